//! What pages are drawn on: a frame with the line of pages, tables, cards, bars; and reading what an operation said.

use super::PAGES;
use insurance::render::{self, safe};
use serde_json::Value;
use std::fmt::{Display, Write};

/// What the console's pages have besides those of the reports.
const STYLE: &str = "<style>nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding-bottom:.75rem;margin-bottom:1.25rem;\
border-bottom:1px solid var(--line)}nav b{margin-right:.5rem}a{color:var(--bar)}nav a{text-decoration:none}\
nav a[aria-current]{color:var(--ink);font-weight:600}form{display:flex;flex-wrap:wrap;gap:.5rem .75rem;align-items:end;margin:.75rem 0}\
label{display:grid;color:var(--soft);font-size:.85rem}input,select,button{font:inherit;color:var(--ink);background:var(--paper);\
border:1px solid var(--line);border-radius:6px;padding:.25rem .5rem;height:2.1rem}button{background:var(--panel);cursor:pointer}td form{display:inline-flex;margin:0 .4rem 0 0}code{white-space:nowrap}\
code{font-size:13px}.secret code{white-space:normal;overflow-wrap:anywhere}.secret{background:var(--panel);\
border:1px solid var(--line);border-radius:8px;padding:.75rem 1rem;margin:1rem 0}</style>";

/// Width and height of a row of bars, in the picture's own units.
const BARS: (f64, f64) = (720.0, 110.0);

/// A page in the making.
pub(super) struct Html {
    title: String,
    body: String,
}

impl Html {
    /// An empty page.
    pub(super) fn titled(title: &str) -> Self {
        Self { title: title.to_owned(), body: format!("<h1>{}</h1>", safe(title)) }
    }

    /// A whole page of another hand, put into the frame.
    pub(super) fn report(html: &str) -> Self {
        let inner = html.split_once("<main>").and_then(|(_, rest)| rest.rsplit_once("</main>"));
        let title = html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        Self {
            title: title.map_or("Report", |(title, _)| title).to_owned(),
            body: inner.map_or("", |(body, _)| body).to_owned(),
        }
    }

    /// The finished page, which stands at `path`.
    pub(super) fn page(self, path: &str) -> String {
        render::page(&self.title, |page| {
            page.push_str(STYLE);
            page.push_str("<nav><b>autarky</b>");
            for one in PAGES.iter().filter(|page| !page.title.is_empty()) {
                let here = if one.path == path { " aria-current=\"page\"" } else { "" };
                let _ = write!(page, "<a href=\"{}\"{here}>{}</a>", one.path, one.title);
            }
            page.push_str("</nav>");
            page.push_str(&self.body);
        })
    }

    /// HTML as it is.
    pub(super) fn raw(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// A line in small print.
    pub(super) fn note(&mut self, text: &str) {
        render::note(&mut self.body, text);
    }

    /// A heading.
    pub(super) fn heading(&mut self, text: &str) {
        let _ = write!(self.body, "<h2>{}</h2>", safe(text));
    }

    /// Figures in a row, each over its words.
    pub(super) fn cards(&mut self, cards: &[(String, &str)]) {
        self.body.push_str("<div class=\"cards\">");
        for (figure, words) in cards {
            let _ = write!(self.body, "<div class=\"card\"><b>{}</b><span>{words}</span></div>", safe(figure));
        }
        self.body.push_str("</div>");
    }

    /// A table with its title: columns (numbers stand to the right), and rows of cells that are HTML already.
    pub(super) fn table(&mut self, title: &str, basis: &str, columns: &[(&str, bool)], rows: &[Vec<String>]) {
        render::table(&mut self.body, title, basis, columns);
        for row in rows {
            self.body.push_str("<tr>");
            for (cell, (_, number)) in row.iter().zip(columns) {
                let _ = write!(self.body, "<td{}>{cell}</td>", if *number { " class=\"n\"" } else { "" });
            }
            self.body.push_str("</tr>");
        }
        if rows.is_empty() {
            let _ = write!(self.body, "<tr><td colspan=\"{}\">none</td></tr>", columns.len());
        }
        render::end(&mut self.body, 0);
    }

    /// A row of bars, each of stacked parts in the order of `classes` (colour and word): a picture with its key.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub(super) fn bars(&mut self, title: &str, bars: &[(String, Vec<u64>)], classes: &[(&str, &str)]) {
        let (width, height) = BARS;
        let most = bars.iter().map(|(_, parts)| parts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
        let step = width / bars.len().max(1) as f64;
        let _ = write!(
            self.body,
            "<svg class=\"bars\" viewBox=\"0 0 {width} {}\" role=\"img\"><title>{}</title><text x=\"0\" y=\"11\">{}</text>",
            height + 34.0,
            safe(title),
            safe(&render::count(most))
        );
        for (at, (words, parts)) in bars.iter().enumerate() {
            let (x, mut y) = (at as f64 * step, height + 16.0);
            let _ = write!(self.body, "<g><title>{}</title>", safe(words));
            for (part, (class, _)) in parts.iter().zip(classes) {
                let tall = *part as f64 / most as f64 * height;
                y -= tall;
                let _ = write!(
                    self.body,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" style=\"fill:var(--{class})\"/>",
                    (step - 2.0).max(1.0)
                );
            }
            self.body.push_str("</g>");
        }
        let floor = height + 16.0;
        let _ = write!(
            self.body,
            "<line x1=\"0\" y1=\"{floor}\" x2=\"{width}\" y2=\"{floor}\" style=\"stroke:var(--line)\"/>"
        );
        for (at, anchor) in [(0, "start"), (bars.len().saturating_sub(1), "end")] {
            let x = if at == 0 { 0.0 } else { width };
            if let Some((words, _)) = bars.get(at) {
                let word = words.split(':').next().unwrap_or_default();
                let _ = write!(
                    self.body,
                    "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                    floor + 15.0,
                    safe(word)
                );
            }
        }
        self.body.push_str("</svg><p>");
        for (class, word) in classes {
            let _ = write!(self.body, "<span class=\"key\"><i style=\"background:var(--{class})\"></i>{word}</span>");
        }
        self.body.push_str("</p>");
    }
}

/// A part of a whole as a bar with words beside it.
pub(super) fn gauge(share: f64, words: &str) -> String {
    let full = if share >= 1.0 {
        "nothing"
    } else if share >= 0.8 {
        "configured"
    } else {
        "bar"
    };
    format!(
        "<svg width=\"90\" height=\"12\" viewBox=\"0 0 90 12\" role=\"img\"><title>{words}</title>\
         <rect y=\"2\" width=\"90\" height=\"8\" style=\"fill:var(--line)\"/>\
         <rect y=\"2\" width=\"{:.1}\" height=\"8\" style=\"fill:var(--{full})\"/></svg>{words}",
        share.clamp(0.0, 1.0) * 90.0,
        words = safe(words)
    )
}

/// A field of a form.
pub(super) fn input(label: &str, name: &str, value: &str, more: &str) -> String {
    format!("<label>{label}<input name=\"{name}\" value=\"{}\" {more}></label>", safe(value))
}

/// A choice of a form; the first is `none`.
pub(super) fn choice<T: Display>(label: &str, name: &str, all: &[T], chosen: &str, none: &str) -> String {
    let mut html = format!("<label>{label}<select name=\"{name}\"><option value=\"\">{none}</option>");
    for one in all {
        let one = one.to_string();
        let mark = if one == chosen { " selected" } else { "" };
        let _ = write!(html, "<option{mark}>{}</option>", safe(&one));
    }
    html.push_str("</select></label>");
    html
}

/// Reading what an operation said.
pub(super) trait Told {
    /// A text; empty where there is none.
    fn text(&self, key: &str) -> &str;
    /// A whole number.
    fn whole(&self, key: &str) -> Option<u64>;
    /// A list; empty where there is none.
    fn list(&self, key: &str) -> &[Value];
}

impl Told for Value {
    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn whole(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Value::as_u64)
    }

    fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// Text for a cell; a dash where there is none.
pub(super) fn cell(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { safe(text) }
}

/// The sum of the totals of one window or several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) requests: u64,
    pub(super) attempts: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) other: u64,
    pub(super) tokens: u64,
    pub(super) uncounted: u64,
    pub(super) nanodollars: i64,
    pub(super) unpriced: u64,
}

impl Sum {
    /// With what `total` says.
    pub(super) fn with(mut self, total: &Value) -> Self {
        let of = |key: &str| total.whole(key).unwrap_or(0);
        self.requests += of("requests");
        self.attempts += of("attempts");
        self.ok += of("ok");
        self.failed += of("failed");
        self.other += of("cancelled") + of("unknown");
        self.tokens += of("input_tokens") + of("output_tokens");
        self.uncounted += of("uncounted");
        self.nanodollars += total.get("cost_nanodollars").and_then(Value::as_i64).unwrap_or(0);
        self.unpriced += of("unpriced");
        self
    }

    /// The tokens, as far as known.
    pub(super) fn tokens(&self) -> String {
        render::tokens(self.tokens, self.uncounted)
    }

    /// The cost, as far as known.
    pub(super) fn cost(&self) -> String {
        render::money(self.nanodollars, self.unpriced)
    }
}
