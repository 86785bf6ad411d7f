//! metrics.md: what `/metrics` exports, read from a sample of it.

use super::markdown::{Markdown, code, codes, sentence};
use std::collections::BTreeMap;

const ABOUT: &str = "\
`GET /metrics` answers in the OpenMetrics text format, which Prometheus reads. It asks for no key; there is no content, no key
and no request id in it. Labels hold the names that the configuration gives to products and deployments.";

/// The names that OpenTelemetry's conventions for generative AI give to the same measures.
const TELEMETRY: [(&str, &str); 3] = [
    ("gen_ai_client_token_usage", "gen_ai.client.token.usage"),
    ("gen_ai_client_operation_duration_seconds", "gen_ai.client.operation.duration"),
    ("gen_ai_client_operation_time_to_first_chunk_seconds", "gen_ai.client.operation.time_to_first_chunk"),
];

/// The page.
pub(super) fn page() -> String {
    let mut page = Markdown::new("Metrics", ABOUT);
    let rows: Vec<_> = families(&gateway::tap::sample()).iter().map(Family::row).collect();
    page.table(["name", "type", "labels", "OpenTelemetry", "meaning"], &rows);
    page.heading(2, "Labels");
    let labels = [
        ("product", "The product's name in the configuration."),
        ("deployment", "The deployment's name in the configuration."),
        ("outcome", "What became of the attempt: the words of [`outcome`](ledger.md)."),
        ("error_type", "The [fault's code](faults.md); empty for a complete answer."),
        ("dialect", "The [wire](dialects.md) that the client spoke."),
        ("status", "The HTTP status that the client saw."),
        ("gen_ai_token_type", "`input` or `output`."),
        ("le", "The upper bound of a histogram's bucket, in seconds."),
    ];
    page.table(["label", "meaning"], &labels.map(|(name, text)| [code(name), text.to_owned()]));
    page.finish()
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    help: String,
    samples: Vec<String>,
    labels: Vec<String>,
}

impl Family {
    fn row(&self) -> [String; 5] {
        let otel = TELEMETRY.iter().find(|(name, _)| *name == self.name).map_or("", |(_, otel)| *otel);
        let names = match self.samples.as_slice() {
            [one] => code(one),
            list => {
                let ends = list.iter().filter_map(|name| name.strip_prefix(self.name.as_str()));
                format!("{} with {}", code(&self.name), codes(ends))
            }
        };
        [names, self.kind.clone(), codes(self.labels.iter().map(String::as_str)), code(otel), sentence(&self.help)]
    }

    /// A line such as `name_total{label="value"} 1`.
    fn sample(&mut self, line: &str) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap_or((line, ""));
        push(&mut self.samples, name);
        if line.contains('{') {
            for label in rest.split('}').next().unwrap_or_default().split(',') {
                push(&mut self.labels, label.split('=').next().unwrap_or_default());
            }
        }
    }
}

/// The families of a text of metrics, by name.
fn families(text: &str) -> Vec<Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) => {
                name.clone_into(&mut last);
                let family = families.entry(last.clone()).or_default();
                name.clone_into(&mut family.name);
                rest.clone_into(if what == "HELP" { &mut family.help } else { &mut family.kind });
            }
            (Some("#"), ..) => {}
            _ => families.entry(last.clone()).or_default().sample(line),
        }
    }
    families.into_values().collect()
}

fn push(list: &mut Vec<String>, name: &str) {
    if !name.is_empty() && list.iter().all(|known| known != name) {
        list.push(name.to_owned());
    }
}
