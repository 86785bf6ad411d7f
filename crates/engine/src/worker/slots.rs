//! Which tokens lie in which slot's part of the KV cache, which conversations are parked outside it, and which slot a
//! new prompt should take. Bookkeeping over a [`Kv`], which the scheduler gives and a test fakes.
//!
//! llama.cpp's attention looks at every cell of the cache for every token, those of others too. So the cache holds
//! those who speak, and of those who are silent at most the last; all others are parked as plain bytes until a prompt
//! comes that begins like them. A prompt that comes alone finds an empty cache, and its answer does not depend on what
//! was asked before.

/// The KV cache as this room needs it. Positions count from 0.
pub(crate) trait Kv {
    /// One conversation outside the cache.
    type State;
    /// Forgets everything of `slot` from position `from` on. `false`: the model cannot forget a part (recurrent state).
    fn cut(&mut self, slot: usize, from: usize) -> bool;
    /// Lets `to`, which is empty, share the first `length` positions of `from`. `false`: it cannot, `to` stays empty.
    fn share(&mut self, from: usize, to: usize, length: usize) -> bool;
    /// Copies `slot` out of the cache.
    fn save(&mut self, slot: usize) -> Option<Self::State>;
    /// Copies `state` into `slot`, which is empty. `false`: there is no room, the slot stays empty.
    fn restore(&mut self, state: &Self::State, slot: usize) -> bool;
}

/// A prompt's common beginning with what lies somewhere must have this many tokens to be worth keeping and sharing:
/// below, reading it again is as quick.
pub(crate) const WORTH_SHARING: usize = 32;

/// One slot.
#[derive(Debug, Default)]
struct Slot {
    /// Tokens whose keys and values lie in the cache.
    tokens: Vec<i32>,
    /// Of these, shared with another slot when it was taken.
    shared: usize,
    busy: bool,
}

/// A conversation outside the cache.
#[derive(Debug)]
struct Parked<S> {
    tokens: Vec<i32>,
    state: S,
}

/// Where a prompt's beginning was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Busy(usize),
    Parked(usize),
    Idle(usize),
}

/// All slots.
#[derive(Debug)]
pub(crate) struct Slots<S> {
    slots: Vec<Slot>,
    /// Oldest first.
    parked: Vec<Parked<S>>,
    /// Most tokens that are parked.
    room: usize,
    /// Whether a beginning can be kept without the rest; else nothing is kept at all.
    shares: bool,
}

impl<S> Slots<S> {
    pub(crate) fn new(count: usize, room: usize, shares: bool) -> Self {
        Self { slots: (0..count).map(|_| Slot::default()).collect(), parked: Vec::new(), room, shares }
    }

    /// Tokens of `slot` in the cache.
    pub(crate) fn held(&self, slot: usize) -> usize {
        self.slots[slot].tokens.len()
    }

    /// `tokens` were computed into `slot`.
    pub(crate) fn extend(&mut self, slot: usize, tokens: &[i32]) {
        self.slots[slot].tokens.extend_from_slice(tokens);
    }

    /// Whether a slot is free.
    pub(crate) fn any_free(&self) -> bool {
        self.slots.iter().any(|slot| !slot.busy)
    }

    /// Cells that busy slots hold at most.
    pub(crate) fn busy_cells(&self) -> usize {
        self.slots.iter().filter(|slot| slot.busy).map(|slot| slot.tokens.len() - slot.shared).sum()
    }

    /// Tokens kept for prompts that begin alike, in the cache and outside.
    pub(crate) fn kept(&self) -> usize {
        let idle: usize = self.slots.iter().filter(|slot| !slot.busy).map(|slot| slot.tokens.len()).sum();
        idle + self.parked.iter().map(|parked| parked.tokens.len()).sum::<usize>()
    }

    /// How many of `prompt`'s first tokens need not be computed, all but the last at most (its logits are needed).
    pub(crate) fn common(&self, prompt: &[i32]) -> usize {
        self.best(prompt).map_or(0, |(_, length)| length)
    }

    /// Where most of `prompt`'s beginning lies. Of equals, what costs least: an idle slot is taken over as it is.
    fn best(&self, prompt: &[i32]) -> Option<(Place, usize)> {
        if !self.shares {
            return None;
        }
        let slots = self.slots.iter().enumerate().map(|(at, slot)| {
            (if slot.busy { Place::Busy(at) } else { Place::Idle(at) }, beginning(&slot.tokens, prompt))
        });
        let parked = self.parked.iter().enumerate();
        let parked = parked.map(|(at, parked)| (Place::Parked(at), beginning(&parked.tokens, prompt)));
        let cheap = |place: &Place| match place {
            Place::Parked(_) => 0,
            Place::Busy(_) => 1,
            Place::Idle(_) => 2,
        };
        let best = slots.chain(parked).max_by_key(|(place, length)| (*length, cheap(place)))?;
        (best.1 >= WORTH_SHARING).then_some(best)
    }

    /// Takes a free slot for `prompt` and brings into it what is kept of the prompt's beginning; how much follows from
    /// [`Slots::held`]. All other idle slots are emptied. `None`: all are busy.
    pub(crate) fn take(&mut self, prompt: &[i32], kv: &mut dyn Kv<State = S>) -> Option<usize> {
        let best = self.best(prompt);
        let free = (0..self.slots.len()).find(|at| !self.slots[*at].busy)?;
        let taken = match best {
            Some((Place::Idle(at), length)) => {
                if length < self.held(at) {
                    // Another conversation, which begins alike: it may go on later.
                    self.park(at, kv);
                }
                self.cut(at, length, kv);
                at
            }
            _ => free,
        };
        self.slots[taken].busy = matches!(best, Some((Place::Idle(_), _)));
        self.park_idle(kv);
        match best {
            Some((Place::Busy(at), length)) if kv.share(at, taken, length) => {
                self.slots[taken].tokens = self.slots[at].tokens[..length].to_vec();
                self.slots[taken].shared = length;
            }
            Some((Place::Parked(_), _)) => self.bring_back(prompt, taken, kv),
            _ => {}
        }
        self.slots[taken].busy = true;
        Some(taken)
    }

    /// Brings the parked conversation that begins most like `prompt` into `slot`. Looked up again: making room may have
    /// moved or dropped it.
    fn bring_back(&mut self, prompt: &[i32], slot: usize, kv: &mut dyn Kv<State = S>) {
        let Some((Place::Parked(at), length)) = self.best(prompt) else { return };
        let parked = self.parked.remove(at);
        if !kv.restore(&parked.state, slot) {
            return;
        }
        self.slots[slot].tokens.clone_from(&parked.tokens);
        if length < parked.tokens.len() {
            self.cut(slot, length, kv);
            self.parked.push(parked);
        }
    }

    /// Copies what `slot` holds to the parked ones, unless it is not worth it or there already.
    fn park(&mut self, slot: usize, kv: &mut dyn Kv<State = S>) {
        let tokens = self.slots[slot].tokens.clone();
        let longer = |parked: &Parked<S>| parked.tokens.starts_with(&tokens);
        if !self.shares || tokens.len() < WORTH_SHARING || tokens.len() > self.room || self.parked.iter().any(longer) {
            return;
        }
        let Some(state) = kv.save(slot) else { return };
        // An earlier state of the same conversation says nothing more.
        self.parked.retain(|parked| !tokens.starts_with(&parked.tokens));
        self.parked.push(Parked { tokens, state });
        let mut all: usize = self.parked.iter().map(|parked| parked.tokens.len()).sum();
        while all > self.room {
            all -= self.parked.remove(0).tokens.len();
        }
    }

    /// `slot` is done; its tokens stay for a prompt that begins alike.
    pub(crate) fn free(&mut self, slot: usize) {
        self.slots[slot].busy = false;
    }

    /// Parks every idle slot. `false`: none held anything.
    pub(crate) fn park_idle(&mut self, kv: &mut dyn Kv<State = S>) -> bool {
        let idle: Vec<usize> = (0..self.slots.len()).filter(|at| !self.slots[*at].busy && self.held(*at) > 0).collect();
        for at in &idle {
            self.park(*at, kv);
            self.cut(*at, 0, kv);
        }
        !idle.is_empty()
    }

    fn cut(&mut self, slot: usize, from: usize, kv: &mut dyn Kv<State = S>) {
        let mut from = from;
        if from < self.held(slot) && !kv.cut(slot, from) {
            kv.cut(slot, 0);
            from = 0;
        }
        let slot = &mut self.slots[slot];
        slot.tokens.truncate(from);
        slot.shared = slot.shared.min(from);
    }
}

/// Length of the common beginning, all of `prompt` but its last token at most.
pub(crate) fn beginning(held: &[i32], prompt: &[i32]) -> usize {
    let most = prompt.len().saturating_sub(1);
    held.iter().zip(&prompt[..most]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Log(Vec<String>);

    impl Kv for Log {
        type State = String;
        fn cut(&mut self, slot: usize, from: usize) -> bool {
            self.0.push(format!("cut {slot} from {from}"));
            true
        }
        fn share(&mut self, from: usize, to: usize, length: usize) -> bool {
            self.0.push(format!("share {length} of {from} with {to}"));
            true
        }
        fn save(&mut self, slot: usize) -> Option<String> {
            self.0.push(format!("save {slot}"));
            Some(format!("state {}", self.0.len()))
        }
        fn restore(&mut self, state: &String, slot: usize) -> bool {
            self.0.push(format!("restore {state} to {slot}"));
            true
        }
    }

    fn words(range: std::ops::Range<i32>) -> Vec<i32> {
        range.collect()
    }

    fn joined(a: std::ops::Range<i32>, b: std::ops::Range<i32>) -> Vec<i32> {
        a.chain(b).collect()
    }

    /// Takes a slot, computes the rest of the prompt, frees it; how much was kept.
    fn visit(slots: &mut Slots<String>, prompt: &[i32], kv: &mut Log) -> usize {
        let slot = slots.take(prompt, kv).unwrap();
        let held = slots.held(slot);
        slots.extend(slot, &prompt[held..]);
        slots.free(slot);
        held
    }

    #[test]
    fn a_conversation_that_goes_on_keeps_its_slot() {
        let (mut slots, mut kv) = (Slots::new(3, 1000, true), Log::default());
        assert_eq!(visit(&mut slots, &words(0..50), &mut kv), 0);
        assert_eq!(visit(&mut slots, &words(0..80), &mut kv), 50);
        assert!(kv.0.is_empty(), "{:?}", kv.0);
    }

    #[test]
    fn conversations_that_alternate_are_parked_and_brought_back() {
        let (mut slots, mut kv) = (Slots::new(3, 1000, true), Log::default());
        visit(&mut slots, &words(0..50), &mut kv);
        visit(&mut slots, &words(100..150), &mut kv);
        assert_eq!(kv.0, ["save 0", "cut 0 from 0"]);
        assert_eq!(visit(&mut slots, &words(0..80), &mut kv), 50);
        assert_eq!(kv.0[2..], ["save 0", "cut 0 from 0", "restore state 1 to 0"]);
        assert_eq!(visit(&mut slots, &words(100..170), &mut kv), 50);
        assert_eq!(slots.kept(), 80 + 70);
    }

    #[test]
    fn the_same_prompt_again_leaves_its_last_token_to_compute() {
        let (mut slots, mut kv) = (Slots::new(1, 0, true), Log::default());
        visit(&mut slots, &words(0..50), &mut kv);
        assert_eq!(visit(&mut slots, &words(0..50), &mut kv), 49);
        assert_eq!(kv.0, ["cut 0 from 49"]);
    }

    #[test]
    fn a_common_beginning_is_shared_with_who_speaks_and_kept_of_who_is_silent() {
        let (mut slots, mut kv) = (Slots::new(3, 1000, true), Log::default());
        let busy = slots.take(&words(0..50), &mut kv).unwrap();
        slots.extend(busy, &words(0..50));
        assert_eq!(visit(&mut slots, &joined(0..40, 900..920), &mut kv), 40);
        assert_eq!(kv.0, ["share 40 of 0 with 1"]);
        assert_eq!(slots.busy_cells(), 50, "shared cells count once");
        kv.0.clear();
        // Another that begins alike: the silent one is parked before its slot is taken over.
        assert_eq!(visit(&mut slots, &joined(0..40, 700..720), &mut kv), 40);
        assert_eq!(kv.0, ["save 1", "cut 1 from 40"]);
        // The first of the two goes on: it is all there.
        assert_eq!(visit(&mut slots, &joined(0..40, 900..950), &mut kv), 60);
    }

    #[test]
    fn what_is_short_or_beyond_the_room_is_not_parked() {
        let (mut slots, mut kv) = (Slots::new(2, 100, true), Log::default());
        visit(&mut slots, &words(0..20), &mut kv);
        visit(&mut slots, &words(100..160), &mut kv);
        visit(&mut slots, &words(200..260), &mut kv);
        visit(&mut slots, &words(300..500), &mut kv);
        visit(&mut slots, &words(600..640), &mut kv);
        assert_eq!(slots.kept(), 60 + 40, "the older of two went, the longest never came");
        assert_eq!(slots.common(&words(200..300)), 60);
    }

    #[test]
    fn models_that_cannot_forget_a_part_keep_nothing() {
        let (mut slots, mut kv) = (Slots::new(1, 1000, false), Log::default());
        visit(&mut slots, &words(0..50), &mut kv);
        assert_eq!(visit(&mut slots, &words(0..80), &mut kv), 0);
        assert_eq!(kv.0, ["cut 0 from 0"]);
    }

    #[test]
    fn all_busy_is_none_and_idle_slots_give_their_cells_back() {
        let (mut slots, mut kv) = (Slots::new(2, 1000, true), Log::default());
        let a = slots.take(&words(0..40), &mut kv).unwrap();
        let b = slots.take(&words(50..90), &mut kv).unwrap();
        assert!(slots.take(&words(0..40), &mut kv).is_none() && !slots.any_free());
        slots.extend(a, &words(0..40));
        slots.extend(b, &words(50..90));
        slots.free(b);
        assert!(slots.park_idle(&mut kv));
        assert!(!slots.park_idle(&mut kv), "busy slots keep theirs");
        assert_eq!((slots.held(a), slots.held(b)), (40, 0));
    }
}
