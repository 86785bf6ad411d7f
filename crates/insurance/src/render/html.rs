//! The report as one page: no script, nothing from elsewhere, pictures drawn in place, light and dark as the reader's
//! system is.

use super::{count, cut, day, fates, hhi, left, money, name, nodes, part, percent, survival, tokens};
use crate::exposure::{End, Exposure, Survival, Table};
use std::fmt::Write;

/// Lines of a list.
const LINES: usize = 40;
/// Width of a bar in the picture's own units.
const BAR: f64 = 240.0;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6470;--line:#d5dae1;--paper:#fff;--panel:#f5f7f9;--bar:#3b6fb6;
--untouched:#c3cad3;--covered:#2e8b57;--good:#24734a;--configured:#d9a21b;--last:#d9702b;--nothing:#c0392b;--unknown:#8b93a0}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#a3adba;--line:#39414c;--paper:#14181d;--panel:#1c2229;
--bar:#6ea3e8;--untouched:#4a5461;--covered:#4db37f;--good:#4db37f;--configured:#e2b744;--last:#e58a4d;--nothing:#e5645a;--unknown:#7d8794}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.6rem;margin:0 0 .25rem}
h2{font-size:1.1rem;margin:2.25rem 0 .5rem}.basis{color:var(--soft);font-weight:400;font-size:.85rem}
p.lead,.note{color:var(--soft);margin:.25rem 0}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;font-size:.85rem}td.n,th.n{text-align:right}td.n,time{white-space:nowrap}td:first-child{min-width:7rem}.fate{min-width:20rem}code{font:.87em ui-monospace,monospace}tr.sum td{color:var(--soft)}
.cards{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1rem}
.card{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.6rem .9rem;min-width:8rem}
.card b{display:block;font-size:1.25rem}.card span{color:var(--soft);font-size:.85rem}
svg{display:block;max-width:100%}td svg{max-width:none}svg.timeline{width:100%;min-width:55rem}svg.bars{overflow:visible}@media (max-width:40rem){svg.bars text{font-size:22px}}svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.bad{color:var(--nothing);font-weight:600}.good{color:var(--good);font-weight:600}.key{display:inline-flex;align-items:center;gap:.35rem;margin-right:1rem;color:var(--soft);font-size:.85rem}
.key i{width:.8rem;height:.8rem;border-radius:2px;display:inline-block}
";

/// The page.
#[must_use]
pub fn html(report: &Exposure) -> String {
    page(&format!("Exposure on {}", report.day), |page| {
        head(page, report);
        single_points(page, report);
        for table in &report.tables {
            shares(page, table);
        }
        calendar(page, report);
        state(page, report);
        exits(page, report);
    })
}

/// A page called `title` with what `body` writes.
#[must_use]
pub fn page(title: &str, body: impl FnOnce(&mut String)) -> String {
    let mut page = String::with_capacity(16 * 1024);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>",
        safe(title)
    );
    body(&mut page);
    let _ = writeln!(page, "</main></body></html>");
    page
}

/// A line in small print.
pub fn note(page: &mut String, text: &str) {
    let _ = write!(page, "<p class=\"note\">{}</p>", prose(text));
}

/// Words for people, safe anywhere; what stands between backticks is shown as what it is.
#[must_use]
pub fn prose(text: &str) -> String {
    let safe = safe(text);
    let parts: Vec<&str> = safe.split('`').collect();
    // Without its partner a backtick is only a sign.
    if parts.len().is_multiple_of(2) {
        return safe;
    }
    let part =
        |(at, part): (usize, &&str)| if at % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() };
    parts.iter().enumerate().map(part).collect()
}

/// Text that may stand anywhere in the page.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn head(page: &mut String, report: &Exposure) {
    let window = &report.window;
    let _ = write!(
        page,
        "<h1>Who our products depend on</h1><p class=\"lead\">On {}; traffic from {} to {}.</p><div class=\"cards\">",
        report.day,
        day(window.first),
        day(window.last)
    );
    let house = &report.house;
    let cards = [
        (count(window.requests), "answered requests"),
        (tokens(window.tokens, window.uncounted), "tokens"),
        (money(window.cost_nanodollars, window.unpriced), "spend"),
        (format!("{} ({})", window.products, window.critical), "products (critical)"),
        (report.single_points.len().to_string(), "single points of failure"),
        (percent(house.served.requests), "served by our own models"),
        (house.covered.map_or_else(|| "none".to_owned(), |share| percent(Some(share))), "proven for our own models"),
        (house.drilled.map_or_else(|| "never".to_owned(), |share| percent(Some(share))), "drilled"),
    ];
    for (figure, word) in cards {
        let _ = write!(page, "<div class=\"card\"><b>{}</b><span>{word}</span></div>", safe(&figure));
    }
    page.push_str("</div>");
    for note in &report.notes {
        self::note(page, note);
    }
}

/// Begins a table: its title, what its figures rest on, and its columns (numbers stand to the right).
pub fn table(page: &mut String, title: &str, basis: &str, columns: &[(&str, bool)]) {
    let _ = write!(page, "<h2>{title} <span class=\"basis\">{basis}</span></h2><div class=\"wide\"><table><thead><tr>");
    for (column, number) in columns {
        let _ = write!(page, "<th{}>{column}</th>", if *number { " class=\"n\"" } else { "" });
    }
    page.push_str("</tr></thead><tbody>");
}

/// Ends a table of which `left_out` rows are not shown.
pub fn end(page: &mut String, left_out: usize) {
    page.push_str("</tbody></table></div>");
    if left_out > 0 {
        let _ = write!(page, "<p class=\"note\">… and {left_out} more</p>");
    }
}

fn single_points(page: &mut String, report: &Exposure) {
    let columns = [("lost", false), ("product", false), ("left", false), ("requests", false), ("basis", false)];
    table(page, "Single points of failure", "products without an answer when one thing is lost", &columns);
    let (points, left_out) = cut(&report.single_points, LINES);
    for point in points {
        let mark = if point.critical { " <span class=\"bad\">critical</span>" } else { "" };
        let fate = if point.survival.total() == 0 { "no traffic yet".to_owned() } else { picture(&point.survival) };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}{mark}</td><td>{}</td><td>{fate}</td><td>{}</td></tr>",
            safe(&nodes(&point.nodes)),
            safe(name(point.product.as_ref())),
            left(point.left),
            point.basis.name()
        );
    }
    if points.is_empty() {
        page.push_str("<tr><td colspan=\"5\">none found</td></tr>");
    }
    end(page, left_out);
    let (pairs, left_out) = cut(&report.pairs, LINES / 2);
    if !pairs.is_empty() {
        let columns = [("lost", false), ("and", false), ("product", false), ("left", false)];
        table(page, "Worst pairs", "fine without either, not without both", &columns);
        for pair in pairs {
            let mark = if pair.critical { " <span class=\"bad\">critical</span>" } else { "" };
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}{mark}</td><td>{}</td></tr>",
                safe(&nodes(&pair.first)),
                safe(&nodes(&pair.second)),
                safe(name(pair.product.as_ref())),
                left(pair.left)
            );
        }
        end(page, left_out);
    }
    page.push_str("<p>");
    for (class, word) in FATES {
        let _ = write!(page, "<span class=\"key\"><i style=\"background:var(--{class})\"></i>{word}</span>");
    }
    page.push_str("</p>");
}

/// The classes of the fates in the order of `fates`, with their words.
const FATES: [(&str, &str); 6] = [
    ("untouched", "untouched"),
    ("covered", "covered"),
    ("configured", "configured, no evidence"),
    ("last", "last resort only"),
    ("nothing", "nothing"),
    ("unknown", "unknown"),
];

/// What becomes of requests, as one bar.
#[expect(clippy::cast_precision_loss, reason = "for display")]
fn picture(left: &Survival) -> String {
    let total = left.total().max(1) as f64;
    let words = survival(Some(left));
    let mut bar = format!(
        "<svg width=\"{BAR}\" height=\"14\" viewBox=\"0 0 {BAR} 14\" role=\"img\"><title>{}</title>",
        safe(&words)
    );
    let mut x = 0.0;
    for (word, count) in fates(left) {
        let width = count as f64 / total * BAR;
        let class = FATES.iter().find(|(_, known)| *known == word).map_or("unknown", |(class, _)| class);
        let _ = write!(
            bar,
            "<rect x=\"{x:.2}\" y=\"1\" width=\"{width:.2}\" height=\"12\" style=\"fill:var(--{class})\"/>"
        );
        x += width;
    }
    bar.push_str("</svg>");
    format!("<div class=\"fate\">{bar}<span class=\"basis\">{}</span></div>", safe(&words))
}

fn share_bar(share: Option<f64>) -> String {
    let Some(share) = share else { return super::UNKNOWN.to_owned() };
    let width = share.clamp(0.0, 1.0) * 90.0;
    format!(
        "<svg width=\"150\" height=\"16\" viewBox=\"0 0 150 16\" role=\"img\"><title>{text}</title>\
         <rect x=\"0\" y=\"3\" width=\"90\" height=\"10\" style=\"fill:var(--line)\"/>\
         <rect x=\"0\" y=\"3\" width=\"{width:.2}\" height=\"10\" style=\"fill:var(--bar)\"/>\
         <text x=\"96\" y=\"12\">{text}</text></svg>",
        text = percent(Some(share))
    )
}

fn shares(page: &mut String, shares: &Table) {
    let columns = [
        ("", false),
        ("requests", false),
        ("tokens", false),
        ("spend", false),
        ("critical", true),
        ("if lost, of all requests", false),
    ];
    table(page, &format!("By {}", shares.by.name()), shares.basis.name(), &columns);
    let (rows, left_out) = cut(&shares.rows, LINES);
    for row in rows {
        let fate = match &row.survival {
            Some(survival) if survival.unknown < survival.total() => picture(survival),
            _ => super::UNKNOWN.to_owned(),
        };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{fate}</td></tr>",
            safe(name(row.name.as_ref())),
            share_bar(row.shares.requests),
            share_bar(row.shares.tokens),
            share_bar(row.shares.spend),
            row.critical.len()
        );
    }
    let three = [shares.requests, shares.tokens, shares.spend].map(hhi);
    page.push_str("<tr class=\"sum\"><td>HHI (effective number)</td>");
    for (index, effective) in three {
        let _ = write!(page, "<td>{} ({})</td>", safe(&index), safe(&effective));
    }
    page.push_str("<td></td><td></td></tr>");
    end(page, left_out);
}

fn calendar(page: &mut String, report: &Exposure) {
    let columns =
        [("date", false), ("days", true), ("what", false), ("requests", true), ("then", false), ("source", false)];
    table(page, "Calendar", "assumed: as written in configuration and register", &columns);
    let (endings, left_out) = cut(&report.calendar, LINES);
    for ending in endings {
        let what = match ending.what {
            End::Model => "model retires",
            End::Contract => "contract is over",
            End::Notice => "last day for notice",
        };
        let then = ending.survival.as_ref().map(picture).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td><time>{}{}</time></td><td class=\"n\">{}</td><td>{}: {what}</td><td class=\"n\">{}</td><td>{then}</td><td>{}</td></tr>",
            if ending.not_before { "≥ " } else { "" },
            ending.date,
            ending.days,
            safe(&ending.subject),
            percent(ending.share),
            safe(ending.source.as_deref().unwrap_or(super::UNKNOWN))
        );
    }
    if !report.undated.is_empty() {
        let _ = write!(
            page,
            "<tr><td>unknown</td><td></td><td colspan=\"4\">{} deployments: {}</td></tr>",
            report.undated.len(),
            safe(&report.undated.join(", "))
        );
    }
    end(page, left_out);
}

fn state(page: &mut String, report: &Exposure) {
    let columns = [
        ("product", false),
        ("portable", true),
        ("translatable", true),
        ("degraded", true),
        ("locked", true),
        ("unknown", true),
        ("locked by", false),
    ];
    table(page, "Sticky state", "ledger", &columns);
    for state in &report.state {
        let _ = write!(page, "<tr><td>{}</td>", safe(name(state.product.as_ref())));
        for grade in [state.portable, state.translatable, state.degraded, state.locked, state.unknown] {
            let _ = write!(page, "<td class=\"n\">{}</td>", part(grade, state.requests));
        }
        let locks = state.locked_by.iter().map(|(by, count)| format!("{by} ({})", part(*count, state.requests)));
        let _ = write!(page, "<td>{}</td></tr>", safe(&locks.collect::<Vec<_>>().join(", ")));
    }
    end(page, 0);
}

fn exits(page: &mut String, report: &Exposure) {
    if report.exits.is_empty() {
        return;
    }
    table(page, "Exit clock", "each part with its basis", &[("party", false), ("at least", true), ("parts", false)]);
    let (exits, left_out) = cut(&report.exits, LINES);
    for exit in exits {
        let bound = if exit.at_least { "≥ " } else { "" };
        let total = exit.days.map_or_else(|| super::UNKNOWN.to_owned(), |days| format!("{bound}{days:.1} d"));
        let parts = exit.parts.iter().map(|part| {
            let days = part.days.map_or_else(|| super::UNKNOWN.to_owned(), |days| format!("{days:.1} d"));
            format!("{} {days} <span class=\"basis\">{}: {}</span>", part.name, part.basis.name(), prose(&part.how))
        });
        let parts = parts.collect::<Vec<_>>().join("<br>");
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{total}</td><td><div class=\"fate\">{parts}</div></td></tr>",
            safe(&exit.node.to_string())
        );
    }
    end(page, left_out);
}
