//! ledger.md: the fields of the ledger's row, from its one list.

use super::markdown::{Markdown, code, codes, sentence};
use ledger::named::Named;
use ledger::record::COLUMNS;
use ledger::{Kind, Mode, Outcome, Portability, UsageSource};

const ABOUT: &str = "\
One row per attempt, in the table `attempts` of `ledger.db` in the data folder, and before that as a line of JSON in the
journal beside it: the line is on disk before the answer's last byte leaves, the database follows within a second. What
nobody knows is null and never 0. There is no content in it. `autarky why REQUEST` tells one request's rows.";

/// The page.
pub(super) fn page() -> String {
    let mut page = Markdown::new("Ledger", ABOUT);
    let rows: Vec<_> = COLUMNS
        .iter()
        .map(|column| {
            let kind = match column.kind {
                Kind::Integer => "integer",
                Kind::Real => "real",
                Kind::Text => "text",
            };
            let null = if column.required { "" } else { " or null" };
            [code(column.name), code(column.otel), format!("{kind}{null}"), sentence(column.doc)]
        })
        .collect();
    page.table(["field", "in telemetry", "type", "meaning"], &rows);
    page.paragraph(
        "Truth is written as 1 and 0. `candidates` and `losses` are lists in JSON. Names follow OpenTelemetry's conventions \
         for generative AI where these have one.",
    );
    page.heading(2, "Words");
    page.table(
        ["field", "words"],
        &[
            words::<Outcome>("outcome"),
            words::<Mode>("mode"),
            words::<UsageSource>("usage_source"),
            words::<Portability>("portability"),
            words::<canon::StopReason>("finish"),
            [code("fault"), "the codes of [faults](faults.md)".to_owned()],
        ],
    );
    page.finish()
}

fn words<T: Named>(field: &str) -> [String; 2] {
    [code(field), codes(T::MEMBERS.iter().map(|member| member.name()))]
}
