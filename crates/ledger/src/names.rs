//! What the ledger's fields are called in telemetry: OpenTelemetry's GenAI names where they can say it, `autarky.*`
//! where they cannot. Pure; the names stand beside the fields in `record`, here they are looked up.

use crate::cell::Column;
use crate::record::COLUMNS;

/// Every field with its telemetry name, in the order of the row.
pub fn table() -> impl Iterator<Item = (&'static str, &'static str)> {
    COLUMNS.iter().map(|column| (column.name, column.otel))
}

/// The telemetry name of `field`.
#[must_use]
pub fn of(field: &str) -> Option<&'static str> {
    column(field).map(|column| column.otel)
}

/// The column called `field`.
#[must_use]
pub fn column(field: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.name == field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_field_has_a_name_of_its_own() {
        let fields: HashSet<_> = table().map(|(field, _)| field).collect();
        let names: HashSet<_> = table().map(|(_, name)| name).collect();
        assert_eq!(fields.len(), COLUMNS.len());
        assert_eq!(names.len(), COLUMNS.len());
    }

    #[test]
    fn the_common_names_are_telemetrys_own() {
        assert_eq!(of("requested_model"), Some("gen_ai.request.model"));
        assert_eq!(of("input_tokens"), Some("gen_ai.usage.input_tokens"));
        assert_eq!(of("output_tokens"), Some("gen_ai.usage.output_tokens"));
        assert_eq!(of("maker"), Some("autarky.maker"));
        assert_eq!(of("no such field"), None);
    }
}
