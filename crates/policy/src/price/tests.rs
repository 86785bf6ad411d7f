//! Costs are exact, whatever the counts; lists are read by day, hour, size and class.

use super::*;
use proptest::prelude::*;

fn usd(dollars: f64) -> NanoUsd {
    toml::from_str::<std::collections::HashMap<String, NanoUsd>>(&format!("x = {dollars:?}")).unwrap()["x"]
}

#[test]
fn costs_are_exact_and_round_up() {
    let price = Price { cache_read: usd(0.125), ..Price::flat(usd(1.25), usd(10.0)) };
    let counts = Counts { input: 1_000, cache_read: 400, output: 100, ..Counts::default() };
    assert_eq!(price.cost(&counts), NanoUsd(600 * 1_250 + 400 * 125 + 100 * 10_000));
    let one = Counts { input: 1, ..Counts::default() };
    assert_eq!(Price::flat(NanoUsd(1), NanoUsd::ZERO).cost(&one), NanoUsd(1));
    let all = Counts { output: u64::MAX, ..Counts::default() };
    assert_eq!(Price::flat(NanoUsd::ZERO, NanoUsd::MAX).cost(&all), NanoUsd::MAX);
}

#[test]
fn past_a_threshold_every_token_has_the_next_price() {
    let steps =
        Steps { base: Price::flat(usd(3.0), usd(15.0)), above: vec![(200_000, Price::flat(usd(6.0), usd(22.5)))] };
    let tariff = Tariff::new("v", [Period { standard: steps, ..Period::default() }]).unwrap();
    let cost = |input| tariff.cost(Wall::from_unix(0), &Counts { input, ..Counts::default() }, None);
    assert_eq!(cost(200_000), NanoUsd(200_000 * 3_000));
    assert_eq!(cost(200_001), NanoUsd(200_001 * 6_000));
}

#[test]
fn the_day_the_hour_and_the_class_choose_the_price() {
    let flat = |price: f64| Steps::from(Price::flat(usd(price), usd(price)));
    let tariff = Tariff::new(
        "v",
        [
            Period { standard: flat(1.0), ..Period::default() },
            Period {
                from: Some(Wall::from_date(2026, 1, 1)),
                standard: flat(2.0),
                classes: vec![("batch".into(), flat(0.5))],
                ..Period::default()
            },
            Period {
                from: Some(Wall::from_date(2026, 6, 1)),
                hours: Some((23 * 3_600, 3_600)),
                standard: flat(4.0),
                ..Period::default()
            },
        ],
    )
    .unwrap();
    let at = |day: Wall, hour: i64, class| tariff.at(Wall::from_unix(day.unix() + hour * 3_600), 1, class).input;
    assert_eq!(at(Wall::from_date(2025, 1, 1), 0, None), usd(1.0));
    assert_eq!(at(Wall::from_date(2025, 1, 1), 0, Some("batch")), usd(1.0), "no such class then");
    assert_eq!(at(Wall::from_date(2026, 1, 1), 0, None), usd(2.0));
    assert_eq!(at(Wall::from_date(2026, 1, 1), 0, Some("batch")), usd(0.5));
    assert_eq!(at(Wall::from_date(2026, 1, 1), 0, Some("default")), usd(2.0));
    assert_eq!(at(Wall::from_date(2026, 6, 2), 23, None), usd(4.0));
    assert_eq!(at(Wall::from_date(2026, 6, 2), 0, None), usd(4.0));
    assert_eq!(at(Wall::from_date(2026, 6, 2), 1, None), usd(2.0));
}

fn counts() -> impl Strategy<Value = Counts> {
    let any = || 0_u64..2_000_000;
    let prompt = (any(), any(), any(), any(), any(), any());
    (prompt, (any(), any(), any(), any())).prop_map(|(prompt, answer)| Counts {
        input: prompt.0,
        cache_read: prompt.1,
        cache_write: prompt.2,
        cache_write_1h: prompt.3,
        audio_input: prompt.4,
        image_input: prompt.5,
        output: answer.0,
        reasoning: answer.1,
        audio_output: answer.2,
        image_output: answer.3,
    })
}

proptest! {
    #[test]
    fn parts_sum_to_the_whole(counts in counts()) {
        let p = counts.parts();
        prop_assert_eq!(
            p.input + p.cache_read + p.cache_write + p.cache_write_1h + p.audio_input + p.image_input,
            counts.input
        );
        prop_assert_eq!(p.output + p.reasoning + p.audio_output + p.image_output, counts.output);
    }

    #[test]
    fn nothing_costs_more_than_the_worst(counts in counts(), prices in proptest::array::uniform11(0_u64..100_000_000_000)) {
        let [a, b, c, d, e, f, g, h, i, j, k] = prices.map(NanoUsd);
        let price = Price {
            input: a.max(b),
            cache_read: b,
            cache_write: c,
            cache_write_1h: d,
            audio_input: e,
            image_input: f,
            output: g,
            reasoning: h,
            audio_output: i,
            image_output: j,
            request: k,
        };
        let tariff = Tariff::from(price);
        let when = Wall::from_unix(0);
        prop_assert!(tariff.cost(when, &counts, None) <= tariff.worst(when, counts.input, counts.output, None));
    }
}
