//! The picture of a drill: what became of requests, slice by slice, with the window and the moments marked.

use super::html::safe;
use crate::drill::{Live, Record, Slice, moment};
use std::fmt::Write;

/// Measures in the picture's own units.
const WIDTH: f64 = 880.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 58.0;
const BARS: f64 = 150.0;
const BOTTOM: f64 = 24.0;

/// Colours and words, from the bottom of a bar to its top.
const PARTS: [(&str, &str); 5] = [
    ("bar", "answered, the lost not asked"),
    ("covered", "answered by somebody else after asking the lost"),
    ("last", "answered with less than was asked for"),
    ("nothing", "not answered"),
    ("unknown", "client left, or unknown"),
];

const fn parts(slice: &Slice) -> [u64; 5] {
    [slice.plain, slice.switched, slice.degraded, slice.failed, slice.other]
}

/// Draws the picture.
#[expect(clippy::cast_precision_loss, reason = "for display")]
pub(super) fn timeline(page: &mut String, record: &Record, live: &Live) {
    let (Some(first), Some(began), Some(ended)) = (live.slices.first(), record.began, record.ended) else { return };
    let span = live.slice_us * live.slices.len() as i64;
    let x = |micros: i64| LEFT + (micros - first.at_us) as f64 / span as f64 * (WIDTH - LEFT);
    let most = live.slices.iter().map(|slice| parts(slice).iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let tall = |requests: u64| requests as f64 / most as f64 * BARS;
    let (floor, height) = (TOP + BARS, TOP + BARS + BOTTOM);
    page.push_str("<h2>Timeline <span class=\"basis\">ledger</span></h2><div class=\"wide\">");
    let _ = write!(
        page,
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>Requests over time: {} offered, {} \
         answered</title>",
        live.total.offered, live.total.served
    );
    let (from, to) = (x(0), x(ended - began));
    let _ = write!(
        page,
        "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{BARS}\" style=\"fill:var(--panel);stroke:var(--line)\"/>",
        to - from
    );
    for slice in &live.slices {
        let (left, right) = (x(slice.at_us), x(slice.at_us + live.slice_us));
        let mut y = floor;
        for (requests, (colour, word)) in parts(slice).into_iter().zip(PARTS) {
            if requests == 0 {
                continue;
            }
            y -= tall(requests);
            let _ = write!(
                page,
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" style=\"fill:var(--{colour})\">\
                 <title>{requests} {word}</title></rect>",
                (right - left - 1.0).max(0.5),
                tall(requests)
            );
        }
    }
    axis(page, live, most, &x, floor);
    marks(page, live, began, ended, &x);
    page.push_str("</svg></div><p>");
    for (colour, word) in PARTS {
        let _ = write!(page, "<span class=\"key\"><i style=\"background:var(--{colour})\"></i>{word}</span>");
    }
    page.push_str("</p>");
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn axis(page: &mut String, live: &Live, most: u64, x: &impl Fn(i64) -> f64, floor: f64) {
    let rate = most as f64 / (live.slice_us as f64 / 1e6);
    let _ = write!(
        page,
        "<text x=\"0\" y=\"{:.1}\">{rate:.0}/s</text><text x=\"0\" y=\"{floor}\">0</text>\
         <line x1=\"{LEFT}\" y1=\"{floor}\" x2=\"{WIDTH}\" y2=\"{floor}\" style=\"stroke:var(--line)\"/>",
        TOP + 10.0
    );
    let end = live.slices.last().map_or(0, |slice| slice.at_us + live.slice_us);
    let span = end - live.slices.first().map_or(0, |slice| slice.at_us);
    // Round steps, about eight of them.
    let step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600]
        .into_iter()
        .map(|seconds: i64| seconds * 1_000_000)
        .find(|step| span / step <= 9)
        .unwrap_or(7_200_000_000);
    let mut at = live.slices.first().map_or(0, |slice| slice.at_us).div_euclid(step) * step;
    while at < end {
        if x(at) >= LEFT && x(at) < WIDTH - 30.0 {
            let _ = write!(page, "<text x=\"{:.1}\" y=\"{:.1}\">{} s</text>", x(at), floor + 16.0, at / 1_000_000);
        }
        at += step;
    }
}

fn marks(page: &mut String, live: &Live, began: i64, ended: i64, x: &impl Fn(i64) -> f64) {
    let since = |micros: Option<u64>, from: i64| micros.and_then(|at| i64::try_from(at).ok()).map(|at| at + from);
    let over = ended - began;
    let settled = live.marks.settle_us.map(|at| format!("settled {}", moment(at)));
    let list = [
        (Some(0), "begins".to_owned(), 0.0),
        (since(live.marks.switch_us, 0), format!("switched {}", moment(live.marks.switch_us.unwrap_or(0))), 14.0),
        (since(live.marks.settle_us, 0), settled.unwrap_or_default(), 28.0),
        (Some(over), "ends".to_owned(), 0.0),
        (since(live.marks.back_us, over), format!("asked again {}", moment(live.marks.back_us.unwrap_or(0))), 14.0),
    ];
    for (at, word, row) in list {
        let Some(at) = at.map(x) else { continue };
        let y = row + 12.0;
        // Near the right edge the word stands before its line.
        let (anchor, text) = if at > WIDTH - 130.0 { ("end", at - 4.0) } else { ("start", at + 4.0) };
        let _ = write!(
            page,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" style=\"stroke:var(--soft);stroke-dasharray:3 3\"/>\
             <text x=\"{text:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            y - 9.0,
            TOP + BARS,
            safe(&word)
        );
    }
}
