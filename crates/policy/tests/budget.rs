//! Laws of budgets in a tree: keys below teams below products. Whatever is reserved, settled, released and in which
//! order, no holder passes its limit, a chain reserves from all or from none, and the books equal a plain recount.

use policy::budget::{Book, Budget, Holder, Period, Reservation};
use policy::rules::BudgetRules;
use policy::{NanoUsd, Wall};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

const WALL: Wall = Wall::from_date(2026, 11, 23);

fn day(most: u64) -> Budget {
    Budget::new(&BudgetRules { usd_day: Some(NanoUsd(most)), ..BudgetRules::default() })
}

/// Eight keys, of four teams, of two products: each key's chain from the product down.
fn tree(book: &Book, limits: &[u64]) -> Vec<[Holder; 3]> {
    let open: Vec<Holder> = limits.iter().map(|most| book.open(day(*most))).collect();
    (0..8).map(|key| [open[key / 4], open[2 + key / 2], open[6 + key]]).collect()
}

/// What a plain recount knows of a holder.
#[derive(Default, Clone, Copy)]
struct Told {
    spent: u64,
    held: u64,
}

proptest! {
    #[test]
    fn no_level_is_ever_overspent(
        limits in prop::collection::vec(0_u64..400, 14),
        steps in prop::collection::vec((0_usize..8, 0_u64..90, 0_u8..4, any::<prop::sample::Index>()), 1..150),
    ) {
        let book = Book::new();
        let chains = tree(&book, &limits);
        let mut told = [Told::default(); 14];
        let mut open: Vec<(Reservation, usize)> = Vec::new();
        for (key, amount, kind, which) in steps {
            if kind < 2 {
                let fits = |holder: &Holder| {
                    let told = told[holder.0 as usize];
                    told.spent + told.held + amount <= limits[holder.0 as usize]
                };
                match book.reserve(&chains[key], NanoUsd(amount), WALL) {
                    Ok(reservation) => {
                        prop_assert!(chains[key].iter().all(fits));
                        chains[key].iter().for_each(|holder| told[holder.0 as usize].held += amount);
                        open.push((reservation, key));
                    }
                    Err(uncovered) => {
                        let first = chains[key].iter().find(|holder| !fits(holder));
                        prop_assert_eq!(Some(&uncovered.holder), first, "the first that does not cover it is named");
                    }
                }
            } else if !open.is_empty() {
                let (reservation, key) = open.swap_remove(which.index(open.len()));
                let held = reservation.amount().0;
                let spent = if kind == 2 { amount.min(held) } else { 0 };
                for holder in chains[key] {
                    told[holder.0 as usize].held -= held;
                    told[holder.0 as usize].spent += spent;
                }
                if spent > 0 { book.settle(reservation, NanoUsd(spent), WALL) } else { book.release(reservation, WALL) }
            }
            for (at, (told, most)) in (0_u32..).zip(told.iter().zip(&limits)) {
                let books = book.with(Holder(at), |budget| (budget.spent(Period::Day, WALL).0, budget.reserved().0));
                prop_assert_eq!(books, Some((told.spent, told.held)));
                prop_assert!(told.spent + told.held <= *most);
            }
        }
    }
}

/// The same with 200 threads: 25 callers of each key, a product with money for ten calls.
#[test]
fn two_hundred_threads_spend_no_more_than_any_level_has() {
    let book = Book::new();
    let limits: [u64; 14] = [1_000, 1_000, 700, 700, 700, 700, 400, 400, 400, 400, 400, 400, 400, 400];
    let chains = tree(&book, &limits);
    let charged: [AtomicU64; 8] = Default::default();
    std::thread::scope(|scope| {
        for caller in 0..200_usize {
            let (book, chains, charged) = (&book, &chains, &charged);
            scope.spawn(move || {
                let key = caller % 8;
                for turn in 0..20_usize {
                    let Ok(held) = book.reserve(&chains[key], NanoUsd(100), WALL) else { continue };
                    match (caller / 8 + turn) % 4 {
                        0 | 1 => book.release(held, WALL),
                        2 => {
                            charged[key].fetch_add(37, Ordering::Relaxed);
                            book.settle(held, NanoUsd(37), WALL);
                        }
                        _ => {
                            charged[key].fetch_add(100, Ordering::Relaxed);
                            book.settle(held, NanoUsd(100), WALL);
                        }
                    }
                }
            });
        }
    });
    for (at, most) in (0_u32..).zip(limits) {
        let below = (0..8).filter(|key| chains[*key].contains(&Holder(at)));
        let charged: u64 = below.map(|key| charged[key].load(Ordering::Relaxed)).sum();
        let books = book.with(Holder(at), |budget| (budget.spent(Period::Day, WALL).0, budget.reserved().0));
        assert_eq!(books, Some((charged, 0)));
        assert!(charged <= most, "{charged} of {most}");
        assert!(at > 1 || charged > most / 2, "{charged} of {most}: there was more to spend");
    }
}
