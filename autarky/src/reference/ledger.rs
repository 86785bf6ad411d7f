//! ledger.md: the fields of the ledger's row, from its one list.

use super::markdown::{Markdown, code, codes, sentence};
use ledger::named::Named;
use ledger::record::COLUMNS;
use ledger::{Kind, Mode, Outcome, Portability, UsageSource};

const ABOUT: &str = "\
One row per attempt, in `ledger.db` in the data folder, and before that as an entry of the journal beside it: the entry
is on disk before the answer's last byte leaves, the database follows within a second. There the view `attempts_DAY` has
the rows of requests that came on that day (days since 1970, UTC; `days` lists them); `autarky ledger query` reads all of
them. What nobody knows is null and never 0. There is no content in it. `autarky why REQUEST` tells one request's rows.";

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
        "Truth is written as 1 and 0. `candidates` and `losses` are lists in JSON; in the database the candidates' \
         scores stand beside them in `scores`, eight bytes each. Names follow OpenTelemetry's conventions \
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
