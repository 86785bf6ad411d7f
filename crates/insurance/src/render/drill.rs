//! A drill, as it is planned and as it was, as text and as a page. Both are made of the same blocks.

use super::html::{end, note, page, prose, safe, table};
use super::timeline::timeline;
use super::{UNKNOWN, aligned, count, money, percent, tokens};
use crate::drill::moment;
use crate::drill::{Change, Drill, Latency, Level, Live, Paper, Quality, Record, Replayed, Report, State, Tally};
use ledger::record::Name;
use policy::Wall;
use std::fmt::Write;

/// Lines of a list of names.
const LINES: usize = 12;

/// A block of figures.
struct Block {
    title: String,
    basis: &'static str,
    head: Vec<&'static str>,
    /// Which columns are numbers.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Block {
    /// Lines of a name and what is known of it.
    fn list(title: &str, basis: &'static str, rows: Vec<Vec<String>>) -> Self {
        Self { title: title.to_owned(), basis, head: Vec::new(), right: Vec::new(), rows }
    }

    fn text(&self, text: &mut String) {
        let _ = write!(text, "\n\n{}  [{}]", self.title.to_uppercase(), self.basis);
        let head = (!self.head.is_empty()).then(|| self.head.iter().map(ToString::to_string).collect());
        let rows: Vec<Vec<String>> = head.into_iter().chain(self.rows.iter().cloned()).collect();
        for line in aligned(&rows, &self.right) {
            let _ = write!(text, "\n  {line}");
        }
    }

    fn html(&self, page: &mut String) {
        let width = self.rows.first().map_or(0, Vec::len);
        let right = |at: usize| self.right.get(at).copied().unwrap_or(false);
        let columns: Vec<(&str, bool)> =
            (0..width).map(|at| (self.head.get(at).copied().unwrap_or_default(), right(at))).collect();
        table(page, &safe(&self.title), self.basis, &columns);
        for row in &self.rows {
            page.push_str("<tr>");
            for (at, cell) in row.iter().enumerate() {
                let mark = match cell.as_str() {
                    "held" => " class=\"good\"",
                    "did not hold" => " class=\"bad\"",
                    _ if right(at) => " class=\"n\"",
                    _ => "",
                };
                let _ = write!(page, "<td{mark}>{}</td>", prose(cell));
            }
            page.push_str("</tr>");
        }
        end(page, 0);
    }
}

fn maybe(micros: Option<u64>, none: &str) -> String {
    micros.map_or_else(|| none.to_owned(), moment)
}

/// A moment of the day in UTC.
fn clock(micros: Option<i64>) -> String {
    let Some(micros) = micros else { return "never".to_owned() };
    let seconds = micros.div_euclid(1_000_000);
    let of_day = seconds.rem_euclid(86_400);
    let day = Wall::from_unix(seconds);
    format!("{} {:02}:{:02}:{:02} UTC", day.day(), of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

fn names(names: &[Name], none: &str) -> String {
    let text = names.iter().take(LINES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => none.to_owned(),
        more if more > LINES => format!("{text} and {} more", more - LINES),
        _ => text,
    }
}

fn listed(list: &[(Name, u64)], none: &str) -> String {
    let shown: Vec<Name> = list.iter().map(|(name, requests)| format!("{name} {}", count(*requests)).into()).collect();
    names(&shown, none)
}

/// The order in one line each.
fn order(drill: &Drill) -> Block {
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let window =
        if drill.level >= Level::L1 { format!("{} s", drill.window_s) } else { "none: nothing is played".to_owned() };
    let mut stops = vec!["a person does (`autarky drill abort`)".to_owned()];
    let abort = &drill.abort;
    if let Some(most) = abort.failed {
        stops.push(format!("more than {} of at least {} requests fail", percent(Some(most)), abort.least));
    }
    if let Some(most) = abort.below_floor {
        stops.push(format!("more than {} of answers are below the quality floor", percent(Some(most))));
    }
    if let Some(most) = abort.usd {
        stops.push(format!("its calls have cost ${most:.2}"));
    }
    let mut rows = vec![
        line("lost", format!("{}: {}", drill.target, names(&drill.lost, "nothing"))),
        line("fault", format!("{}: {}", drill.fault, drill.fault.kind.about)),
        line("level", format!("{}, {}", drill.level, drill.level.about())),
        line("products", names(&drill.products, "all")),
        line("share", percent(Some(drill.share))),
        line("window", window),
    ];
    if drill.level >= Level::L1 {
        rows.push(line("stops when", stops.join("; or ")));
    }
    Block::list("Order", "as it was given", rows)
}

fn findings(report: &Report) -> Block {
    let rows = report.findings.iter().map(|finding| {
        let held = match finding.held {
            Some(true) => "held",
            Some(false) => "did not hold",
            None => "not judged",
        };
        vec![
            finding.product.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string),
            finding.what.clone(),
            finding.expected.clone(),
            finding.found.clone(),
            held.to_owned(),
            finding.basis.name().to_owned(),
        ]
    });
    Block {
        title: "What was expected".to_owned(),
        basis: "each with its basis",
        head: vec!["product", "what", "expected", "found", "", "basis"],
        right: Vec::new(),
        rows: rows.collect(),
    }
}

fn tally(name: &str, tally: &Tally) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    let Tally { offered, served, failed, left, unknown, degraded, met, switched } = *tally;
    row.extend([offered, served, failed, left, unknown, degraded, met, switched].map(count));
    row.push(percent(tally.served_share()));
    row
}

fn requests(live: &Live) -> Block {
    let mut rows = vec![tally("all", &live.total)];
    if live.products.len() > 1 {
        rows.extend(live.products.iter().map(|(name, one)| tally(name, one)));
    }
    Block {
        title: "Requests".to_owned(),
        basis: if live.agrees {
            "ledger; the server's own counters say the same"
        } else {
            "ledger; the server's own counters differ"
        },
        head: vec![
            "product",
            "offered",
            "served",
            "failed",
            "client left",
            "unknown",
            "degraded",
            "asked the lost",
            "switched",
            "served",
        ],
        right: std::iter::once(false).chain([true; 9]).collect(),
        rows,
    }
}

fn moments(live: &Live) -> Block {
    let marks = live.marks;
    let line = |name: &str, about: &str, value: String| vec![name.to_owned(), value, about.to_owned()];
    let rows = vec![
        line("detected", "a call to the lost was known to have failed", maybe(marks.detect_us, "never")),
        line("switched", "a request that had asked the lost heard somebody else", maybe(marks.switch_us, "never")),
        line("settled", "from then on at most one request in twenty still asked the lost", settled(live)),
        line(
            "asked again",
            "after the end, the lost answered again",
            maybe(marks.back_us, "not in the time looked at"),
        ),
    ];
    Block::list("Moments", "ledger; since the drill began, the last one since it ended", rows)
}

fn settled(live: &Live) -> String {
    let none = if live.total.met == 0 { "nobody asked the lost" } else { "not within the window" };
    maybe(live.marks.settle_us, none)
}

fn latency(live: &Live) -> Block {
    let line = |name: &str, found: Option<Latency>| {
        let mut row = vec![name.to_owned()];
        row.extend(found.map_or_else(
            || ["0".to_owned(), UNKNOWN.to_owned(), UNKNOWN.to_owned()],
            |found| [count(found.n), moment(found.p50_us), moment(found.p95_us)],
        ));
        row
    };
    Block {
        title: "First token".to_owned(),
        basis: "ledger",
        head: vec!["", "answers", "median", "95th percentile"],
        right: vec![false, true, true, true],
        rows: vec![
            line("before the drill", live.first_token_before),
            line("under the drill", live.first_token),
            line("of these, after asking the lost", live.first_token_met),
        ],
    }
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn each(nanodollars: Option<i64>) -> String {
    nanodollars.map_or_else(|| UNKNOWN.to_owned(), |nano| format!("${:.6}", nano as f64 / 1e9))
}

fn effects(live: &Live) -> Block {
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let Quality { covered, below, unproven } = live.quality;
    let cost = format!(
        "{}; per answer {}, before the drill {}",
        money(live.nanodollars, live.unpriced),
        each(live.nanodollars_each),
        each(live.nanodollars_each_before)
    );
    let locks = if live.locks.requests == 0 { "none".to_owned() } else { listed(&live.locks.by, "none") };
    let rows = vec![
        line("answered by", listed(&live.by, "nobody")),
        line("clients were told", listed(&live.faults, "no fault")),
        line("tokens", tokens(live.tokens, live.uncounted)),
        line("cost", cost),
        line("losses of translation", listed(&live.losses, "none")),
        line("locked requests", locks),
        line(
            "quality of who stood in",
            format!(
                "{} answers proven no worse, {} proven worse, {} unproven",
                count(covered),
                count(below),
                count(unproven)
            ),
        ),
        line("answered by our own models", count(live.house.answered)),
    ];
    Block::list("What it did", "ledger; quality: cover", rows)
}

fn paper(paper: &Paper) -> Block {
    let dollars = |value: Option<f64>| value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("${value:.2}"));
    let quality = |value: Option<f64>| value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value:.3}"));
    let rows = paper.lines.iter().map(|line| {
        let bound = if line.cost_partial && line.cost.is_some() { "≥ " } else { "" };
        vec![
            line.product.as_ref().map_or_else(|| UNKNOWN.to_owned(), ToString::to_string),
            count(line.requests),
            count(line.moved),
            count(line.last_resort),
            count(line.below_floor),
            count(line.unanswered),
            format!("{} → {bound}{}", dollars(line.cost_before), dollars(line.cost)),
            format!("{} → {}", quality(line.quality_before), quality(line.quality)),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let none =
        || vec!["no recorded requests".to_owned()].into_iter().chain(std::iter::repeat_n(String::new(), 7)).collect();
    Block {
        title: format!("On paper, {:.1} days of traffic", paper.days),
        basis: "ledger, then estimate",
        head: vec!["product", "requests", "moved", "last resort", "below floor", "unanswered", "cost", "quality"],
        right: vec![false, true, true, true, true, true, false, false],
        rows: if rows.is_empty() { vec![none()] } else { rows },
    }
}

fn replayed(found: &Replayed) -> Block {
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mean = |mean: Option<[f64; 3]>| {
        mean.map_or_else(|| UNKNOWN.to_owned(), |[mean, low, high]| format!("{mean:.3} (95 %: {low:.3} to {high:.3})"))
    };
    let requests = format!(
        "{} recorded, {} untouched, {} replayed, {} without an answer, {} never answered by both",
        count(found.requests),
        count(found.untouched),
        count(found.replayed),
        count(found.unanswered),
        count(found.unrecorded)
    );
    let rows = vec![
        line("requests", requests),
        line("quality today", mean(found.before)),
        line("quality then", mean(found.after)),
        line("paired difference", mean(found.difference)),
        line("replacement configured", percent(found.configured)),
        line("replacement shown to be no worse", format!("{} (margin {:.3})", percent(found.covered), found.margin)),
    ];
    Block::list("On recorded outcomes", "cover", rows)
}

fn blocks(report: &Report) -> Vec<Block> {
    let mut blocks = vec![findings(report)];
    if let Some(live) = &report.live {
        blocks.extend([requests(live), moments(live), latency(live), effects(live)]);
    }
    blocks.extend(report.paper.as_ref().map(paper));
    blocks.extend(report.replayed.as_ref().map(replayed));
    blocks
}

fn changes(last: &Record, changes: &[Change]) -> Block {
    let rows = changes.iter().map(|change| vec![change.what.to_owned(), change.before.clone(), change.now.clone()]);
    Block {
        title: format!(
            "Against the last drill of this loss, {} on {}",
            last.drill.id,
            clock(last.began.or(last.ended))
        ),
        basis: "their reports",
        head: vec!["", "then", "now"],
        right: Vec::new(),
        rows: rows.collect(),
    }
}

/// Where a drill stands, in words.
#[must_use]
pub fn standing(state: &State) -> String {
    match state {
        State::Ordered => "ordered, not begun".to_owned(),
        State::Running => "running".to_owned(),
        State::Ended => "ended as ordered".to_owned(),
        State::Aborted(why) => format!("aborted: {why}"),
        State::Refused(why) => format!("refused: {why}"),
    }
}

fn title(record: &Record) -> String {
    let drill = &record.drill;
    format!("drill {}: loss of {} ({}), {}, {}", drill.id, drill.target, drill.fault, drill.level, drill.level.about())
}

fn times(record: &Record) -> String {
    match (record.began, record.drill.level) {
        (_, Level::L0) => format!("asked on {}", clock(record.ended)),
        (None, _) => standing(&record.state),
        (began, _) => {
            format!("began {}, ended {}: {}", clock(began), clock(record.ended), standing(&record.state))
        }
    }
}

/// The report for a terminal; `last`: the last drill of the same loss, and what changed.
#[must_use]
pub fn drill_text(record: &Record, last: Option<(&Record, &[Change])>) -> String {
    let mut text = format!("{}\n{}", title(record), times(record));
    let Some(report) = &record.report else {
        text.push_str("\nnothing is reported yet");
        return text;
    };
    let _ = write!(text, "\nverdict: {}", report.verdict.words());
    order(&record.drill).text(&mut text);
    blocks(report).iter().for_each(|block| block.text(&mut text));
    if let Some((last, list)) = last {
        changes(last, list).text(&mut text);
    }
    text.push_str("\n\nNOT TESTED");
    for line in &report.not_tested {
        let _ = write!(text, "\n  {line}");
    }
    for line in &report.notes {
        let _ = write!(text, "\nnote: {line}");
    }
    text
}

/// The report as a page.
#[must_use]
pub fn drill_html(record: &Record, last: Option<(&Record, &[Change])>) -> String {
    let drill = &record.drill;
    page(&format!("Drill: loss of {}", drill.target), |page| {
        let _ = write!(
            page,
            "<h1>Drill: loss of {}</h1><p class=\"lead\">{}: {}</p>",
            safe(&drill.target.to_string()),
            safe(&drill.id),
            safe(&times(record))
        );
        let Some(report) = &record.report else { return note(page, "nothing is reported yet") };
        cards(page, report);
        if let Some(live) = &report.live {
            timeline(page, record, live);
        }
        let mut all = blocks(report);
        all.push(order(drill));
        all.iter().for_each(|block| block.html(page));
        if let Some((last, list)) = last {
            changes(last, list).html(page);
        }
        page.push_str("<h2>Not tested</h2><ul>");
        for line in &report.not_tested {
            let _ = write!(page, "<li>{}</li>", prose(line));
        }
        page.push_str("</ul>");
        report.notes.iter().for_each(|line| note(page, line));
    })
}

fn cards(page: &mut String, report: &Report) {
    let mut cards = vec![(report.verdict.words().to_owned(), "verdict")];
    if let Some(live) = &report.live {
        cards.extend([
            (count(live.total.offered), "requests offered"),
            (percent(live.total.served_share()), "answered"),
            (count(live.total.failed), "failed"),
            (maybe(live.marks.switch_us, "never"), "until the first switch"),
            (settled(live), "until settled"),
        ]);
    }
    page.push_str("<div class=\"cards\">");
    for (figure, word) in cards {
        let _ = write!(page, "<div class=\"card\"><b>{}</b><span>{word}</span></div>", safe(&figure));
    }
    page.push_str("</div>");
}

/// Whether it may begin, in words; `why_not`: why it may not.
fn permission(why_not: Option<&str>) -> String {
    match why_not {
        Some(why) => format!("it may not begin: {why}"),
        None => "it may begin".to_owned(),
    }
}

/// What a drill would do.
fn plan(drill: &Drill, on_paper: Option<&Report>) -> Vec<Block> {
    let hopes = drill.hopes.iter().map(|hope| {
        let mut parts = vec![format!("at least {} answered", percent(Some(hope.served)))];
        parts.extend(hope.first_token_ms_p95.map(|most| format!("95 % of first tokens within {most} ms")));
        parts.extend(hope.floor.then(|| "no answer below the quality floor".to_owned()));
        vec![hope.product.to_string(), parts.join(", ")]
    });
    let mut all = vec![order(drill), Block::list("What is expected", "the products' own rules", hopes.collect())];
    all.extend(on_paper.into_iter().flat_map(|report| blocks(report).into_iter().skip(1)));
    all
}

/// What a drill would do and whether it may begin, for a terminal; `why_not`: why it may not.
#[must_use]
pub fn plan_text(drill: &Drill, why_not: Option<&str>, on_paper: Option<&Report>) -> String {
    let mut text = format!(
        "plan of a drill: loss of {} ({}), {}, {}\n{}",
        drill.target,
        drill.fault,
        drill.level,
        drill.level.about(),
        permission(why_not)
    );
    if why_not.is_none() {
        text.push_str(": the same words after `autarky drill run`");
    }
    plan(drill, on_paper).iter().for_each(|block| block.text(&mut text));
    for line in on_paper.iter().flat_map(|report| &report.notes) {
        let _ = write!(text, "\nnote: {line}");
    }
    text
}

/// The same as a page.
#[must_use]
pub fn plan_html(drill: &Drill, why_not: Option<&str>, on_paper: Option<&Report>) -> String {
    page(&format!("Plan of a drill: loss of {}", drill.target), |page| {
        let _ = write!(page, "<h1>Plan of a drill: loss of {}</h1>", safe(&drill.target.to_string()));
        let mark = if why_not.is_some() { "bad" } else { "good" };
        let _ = write!(page, "<p class=\"{mark}\">{}</p>", prose(&permission(why_not)));
        plan(drill, on_paper).iter().for_each(|block| block.html(page));
        on_paper.iter().flat_map(|report| &report.notes).for_each(|line| note(page, line));
    })
}

/// Drills in one line each, the newest first.
#[must_use]
pub fn drills_text(records: &[Record]) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let verdict = record.report.as_ref().map_or("no report yet", |report| report.verdict.words());
            vec![
                record.drill.id.to_string(),
                clock(record.began.or(record.ended)),
                format!("{} of {}", record.drill.level, record.drill.target),
                record.drill.fault.to_string(),
                standing(&record.state),
                verdict.to_owned(),
            ]
        })
        .collect();
    aligned(&rows, &[]).join("\n")
}
