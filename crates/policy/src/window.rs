//! Two counts over the last few seconds: what happened, and what was spent on top of it. Slots of a fixed length; a
//! slot is forgotten only when all of it is older than the window.

use crate::time::Tick;
use std::time::Duration;

/// Counts over `N` slots.
#[derive(Debug, Clone)]
pub(crate) struct Window<const N: usize> {
    slot: Duration,
    slots: [Slot; N],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: u64,
    base: u64,
    spent: u64,
}

impl<const N: usize> Window<N> {
    /// An empty window of `N` slots, each `slot` long.
    pub(crate) const fn new(slot: Duration) -> Self {
        Self { slot, slots: [Slot { number: 0, base: 0, spent: 0 }; N] }
    }

    /// Counts `base` events and `spent` extras.
    pub(crate) fn add(&mut self, now: Tick, base: u64, spent: u64) {
        let number = self.number(now);
        let slot = &mut self.slots[index::<N>(number)];
        if slot.number > number {
            // So old that its slot serves a later time already: forgotten.
            return;
        }
        if slot.number < number {
            *slot = Slot { number, base: 0, spent: 0 };
        }
        slot.base = slot.base.saturating_add(base);
        slot.spent = slot.spent.saturating_add(spent);
    }

    /// Takes back what was counted at `then`, as far as the window still remembers it.
    pub(crate) fn take_back(&mut self, then: Tick, base: u64, spent: u64) {
        let number = self.number(then);
        let slot = &mut self.slots[index::<N>(number)];
        if slot.number == number {
            slot.base = slot.base.saturating_sub(base);
            slot.spent = slot.spent.saturating_sub(spent);
        }
    }

    /// Events and extras of the last `N` slots, the current one included.
    pub(crate) fn sums(&self, now: Tick) -> (u64, u64) {
        let number = self.number(now);
        let lately = self.slots.iter().filter(|slot| slot.number <= number && number - slot.number < N as u64);
        lately.fold((0, 0), |(base, spent), slot| (base + slot.base, spent + slot.spent))
    }

    /// The slots that are not empty, oldest first: how many slots ago, events, extras.
    pub(crate) fn slots(&self, now: Tick) -> impl Iterator<Item = (u64, u64, u64)> + use<'_, N> {
        let number = self.number(now);
        let past = (0..N as u64).rev().filter_map(move |ago| Some((ago, number.checked_sub(ago)?)));
        past.filter_map(|(ago, number)| {
            let slot = self.slots.get(index::<N>(number)).filter(|slot| slot.number == number)?;
            (slot.base > 0 || slot.spent > 0).then_some((ago, slot.base, slot.spent))
        })
    }

    /// How long until sums that `enough` accepts, if nothing more is counted; `None`: never within the window.
    pub(crate) fn wait_until(&self, now: Tick, enough: impl Fn(u64, u64) -> bool) -> Option<Duration> {
        let number = self.number(now);
        (0..=N as u64).find_map(|later| {
            let at = number + later;
            let kept = self.slots.iter().filter(|slot| slot.number <= number && at - slot.number < N as u64);
            let (base, spent) = kept.fold((0, 0), |(base, spent), slot| (base + slot.base, spent + slot.spent));
            enough(base, spent).then(|| {
                let start = self.slot.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
                start.saturating_sub(now.since_epoch())
            })
        })
    }

    fn number(&self, now: Tick) -> u64 {
        u64::try_from(now.since_epoch().as_millis() / self.slot.as_millis().max(1)).unwrap_or(u64::MAX)
    }
}

fn index<const N: usize>(number: u64) -> usize {
    usize::try_from(number % N as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_late_is_forgotten_and_disturbs_nothing() {
        let mut window = Window::<3>::new(Duration::from_secs(1));
        let at = Tick::from_millis;
        window.add(at(1_000), 1, 10);
        window.add(at(4_500), 2, 20);
        window.add(at(1_900), 4, 40);
        window.take_back(at(1_900), 4, 40);
        assert_eq!(window.sums(at(4_999)), (2, 20));
        window.add(at(3_000), 1, 1);
        assert_eq!(window.sums(at(4_999)), (3, 21));
        assert_eq!(window.wait_until(at(4_999), |base, _| base <= 2), Some(Duration::from_millis(1_001)));
        assert_eq!(window.wait_until(at(4_999), |_, _| false), None);
        assert_eq!(window.sums(at(7_000)), (0, 0));
    }
}
