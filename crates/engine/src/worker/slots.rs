//! Which tokens lie in which slot's part of the KV cache, and which slot a new prompt should take. Bookkeeping over a
//! [`Kv`], which the scheduler gives and a test fakes; nothing is computed here.

/// The KV cache as this room needs it. Positions count from 0.
pub(crate) trait Kv {
    /// Forgets everything of `slot` from position `from` on. `false`: the model cannot forget a part (recurrent state).
    fn cut(&mut self, slot: usize, from: usize) -> bool;
    /// Lets `to`, which is empty, share the first `length` positions of `from`.
    fn share(&mut self, from: usize, to: usize, length: usize);
}

/// A prompt's common beginning with what lies somewhere must have this many tokens to be worth sharing: below, reading
/// it again is quick, and the answer does not depend on what happened to be in memory.
pub(crate) const WORTH_SHARING: usize = 32;

/// Cells that llama.cpp's attention computes together; where a prompt lies in them shows in the last bits of the result.
const TILE: usize = 64;

/// One slot.
#[derive(Debug, Default)]
struct Slot {
    /// Tokens whose keys and values lie in the cache.
    tokens: Vec<i32>,
    /// Of these, shared with another slot when it was taken.
    shared: usize,
    busy: bool,
    /// When it was last freed or taken.
    used: u64,
}

/// All slots.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    clock: u64,
    /// Whether beginnings may be shared at all.
    shares: bool,
}

impl Slots {
    pub(crate) fn new(count: usize, shares: bool) -> Self {
        Self { slots: (0..count).map(|_| Slot::default()).collect(), clock: 0, shares }
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

    /// Cells that idle slots hold at most.
    pub(crate) fn idle_cells(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.busy).map(|slot| slot.tokens.len() - slot.shared).sum()
    }

    /// How many of `prompt`'s first tokens lie in the cache, all but the last at most (its logits are needed).
    pub(crate) fn common(&self, prompt: &[i32]) -> usize {
        self.best(prompt).map_or(0, |(_, length)| length)
    }

    fn best(&self, prompt: &[i32]) -> Option<(usize, usize)> {
        if !self.shares {
            return None;
        }
        let all = self.slots.iter().enumerate().map(|(at, slot)| (at, beginning(&slot.tokens, prompt)));
        // Of equals, an idle one: its cells are then taken over whole.
        let best = all.max_by_key(|(at, length)| (*length, !self.slots[*at].busy))?;
        (best.1 >= WORTH_SHARING).then_some(best)
    }

    /// While nobody else speaks, what idle slots hold is shortened to whole tiles, so that a new prompt begins at the
    /// edge of a tile, as it would in an empty cache: its answer then does not depend on what was asked before.
    fn align(&mut self, but: Option<usize>, kv: &mut dyn Kv) {
        if self.slots.iter().any(|slot| slot.busy) {
            return;
        }
        for at in (0..self.slots.len()).filter(|at| Some(*at) != but) {
            let whole = self.held(at) / TILE * TILE;
            if whole < self.held(at) {
                self.cut(at, whole, kv);
            }
        }
    }

    /// Takes a free slot for `prompt` and keeps in it what it has of the prompt's beginning; how much follows from
    /// [`Slots::held`]. `None`: all are busy.
    pub(crate) fn take(&mut self, prompt: &[i32], kv: &mut dyn Kv) -> Option<usize> {
        let best = self.best(prompt);
        self.align(best.map(|(at, _)| at), kv);
        let oldest = (0..self.slots.len()).filter(|at| !self.slots[*at].busy).min_by_key(|at| {
            let slot = &self.slots[*at];
            (!slot.tokens.is_empty(), slot.used)
        })?;
        let taken = match best {
            // A conversation that simply goes on, or the only free slot: taken over in place.
            Some((at, length)) if !self.slots[at].busy && (length == self.held(at) || at == oldest) => {
                self.cut(at, length, kv);
                at
            }
            // Another conversation that begins alike stays as it is; its beginning is shared.
            Some((at, length)) => {
                self.cut(oldest, 0, kv);
                kv.share(at, oldest, length);
                let beginning = self.slots[at].tokens[..length].to_vec();
                self.slots[oldest].tokens = beginning;
                self.slots[oldest].shared = length;
                oldest
            }
            None => {
                self.cut(oldest, 0, kv);
                oldest
            }
        };
        self.clock += 1;
        self.slots[taken].busy = true;
        self.slots[taken].used = self.clock;
        Some(taken)
    }

    /// `slot` is done; its tokens stay for a prompt that begins alike.
    pub(crate) fn free(&mut self, slot: usize) {
        self.clock += 1;
        self.slots[slot].busy = false;
        self.slots[slot].used = self.clock;
    }

    /// Empties the idle slot that was used longest ago. `false`: no idle slot holds anything.
    pub(crate) fn forget_oldest(&mut self, kv: &mut dyn Kv) -> bool {
        let oldest = (0..self.slots.len())
            .filter(|at| !self.slots[*at].busy && !self.slots[*at].tokens.is_empty())
            .min_by_key(|at| self.slots[*at].used);
        if let Some(at) = oldest {
            self.cut(at, 0, kv);
        }
        oldest.is_some()
    }

    /// Empties `slot`.
    pub(crate) fn empty(&mut self, slot: usize, kv: &mut dyn Kv) {
        self.cut(slot, 0, kv);
    }

    fn cut(&mut self, slot: usize, from: usize, kv: &mut dyn Kv) {
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
        fn cut(&mut self, slot: usize, from: usize) -> bool {
            self.0.push(format!("cut {slot} from {from}"));
            true
        }
        fn share(&mut self, from: usize, to: usize, length: usize) {
            self.0.push(format!("share {length} of {from} with {to}"));
        }
    }

    fn words(range: std::ops::Range<i32>) -> Vec<i32> {
        range.collect()
    }

    /// Takes a slot, computes the rest of the prompt, frees it.
    fn visit(slots: &mut Slots, prompt: &[i32], kv: &mut Log) -> (usize, usize) {
        let slot = slots.take(prompt, kv).unwrap();
        let held = slots.held(slot);
        slots.extend(slot, &prompt[held..]);
        slots.free(slot);
        (slot, held)
    }

    #[test]
    fn a_conversation_that_goes_on_keeps_its_slot() {
        let (mut slots, mut kv) = (Slots::new(3, true), Log::default());
        assert_eq!(visit(&mut slots, &words(0..50), &mut kv), (0, 0));
        assert_eq!(visit(&mut slots, &words(0..80), &mut kv), (0, 50));
        assert!(kv.0.is_empty(), "{:?}", kv.0);
    }

    #[test]
    fn the_same_prompt_again_leaves_its_last_token_to_compute() {
        let (mut slots, mut kv) = (Slots::new(1, true), Log::default());
        visit(&mut slots, &words(0..50), &mut kv);
        assert_eq!(visit(&mut slots, &words(0..50), &mut kv), (0, 49));
        assert_eq!(kv.0, ["cut 0 from 49"]);
    }

    #[test]
    fn a_common_beginning_is_shared_with_busy_and_idle_slots() {
        let (mut slots, mut kv) = (Slots::new(3, true), Log::default());
        let busy = slots.take(&words(0..50), &mut kv).unwrap();
        slots.extend(busy, &words(0..50));
        let mut other = words(0..40);
        other.extend(words(900..920));
        assert_eq!(visit(&mut slots, &other, &mut kv), (1, 40));
        assert_eq!(kv.0, ["share 40 of 0 with 1"]);
        assert_eq!(slots.busy_cells(), 50);
        assert_eq!(slots.idle_cells(), 20, "shared cells count once");
    }

    #[test]
    fn short_beginnings_are_read_again_and_the_oldest_slot_goes_first() {
        let (mut slots, mut kv) = (Slots::new(2, true), Log::default());
        visit(&mut slots, &words(0..TILE as i32), &mut kv);
        visit(&mut slots, &words(100..100 + TILE as i32), &mut kv);
        let mut other = words(100..110);
        other.extend(words(200..250));
        assert_eq!(visit(&mut slots, &other, &mut kv), (0, 0));
        assert_eq!(kv.0, ["cut 0 from 0"]);
    }

    #[test]
    fn alone_a_new_prompt_begins_at_the_edge_of_a_tile() {
        let (mut slots, mut kv) = (Slots::new(3, true), Log::default());
        visit(&mut slots, &words(0..100), &mut kv);
        assert_eq!(visit(&mut slots, &words(500..600), &mut kv), (1, 0));
        assert_eq!(kv.0, ["cut 0 from 64"]);
        // Not beside others: their answers are on their way, and the cache is worth more.
        kv.0.clear();
        let busy = slots.take(&words(800..900), &mut kv).unwrap();
        slots.extend(busy, &words(800..900));
        assert_eq!(slots.held(1), 64);
        visit(&mut slots, &words(0..70), &mut kv);
        assert!(kv.0.iter().all(|line| !line.ends_with("from 64") || line.starts_with("cut 1")), "{:?}", kv.0);
    }

    #[test]
    fn full_is_none_and_memory_is_given_back_oldest_first() {
        let (mut slots, mut kv) = (Slots::new(2, true), Log::default());
        let a = slots.take(&words(0..40), &mut kv).unwrap();
        let b = slots.take(&words(50..90), &mut kv).unwrap();
        assert!(slots.take(&words(0..40), &mut kv).is_none() && !slots.any_free());
        slots.extend(a, &words(0..40));
        slots.extend(b, &words(50..90));
        slots.free(b);
        assert!(slots.forget_oldest(&mut kv));
        assert!(!slots.forget_oldest(&mut kv), "busy slots keep theirs");
        assert_eq!((slots.held(a), slots.held(b)), (40, 0));
    }
}
