//! What providers say they were used for: the answers of OpenAI's usage and costs API (`GET /v1/organization/usage/…`,
//! `GET /v1/organization/costs`; platform.openai.com/docs/api-reference/usage), of Anthropic's usage and cost reports
//! (`GET /v1/organizations/usage_report/messages`, `…/cost_report`; platform.claude.com/docs/en/api/admin), both looked
//! up 2026-11-25, and FOCUS cost and usage tables. Pages may stand one after the other, of usage and of costs.

use super::{Said, Sums};
use crate::Day;
use crate::import::{self, ImportError, moment, number, text, whole};
use serde_json::Value;
use std::collections::BTreeSet;

/// A statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statement {
    /// What was used.
    pub lines: Vec<Said>,
    /// The days it speaks of, those without use too.
    pub days: BTreeSet<Day>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// Why a statement cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The file is damaged.
    #[error(transparent)]
    Broken(#[from] ImportError),
    /// It is of no kind that is known.
    #[error(
        "the file is no statement that is known: answers of OpenAI's usage or costs API, of Anthropic's usage or cost \
         reports, FOCUS CSV; fetch one of these"
    )]
    Unrecognised,
    /// Costs in another currency.
    #[error("the statement is in `{0}`; only US dollars can be compared with the ledger")]
    Currency(String),
}

impl Statement {
    /// Reads `text`, whatever of the known kinds it is.
    ///
    /// # Errors
    /// It is of no known kind, damaged, or in another currency.
    pub fn read(text: &str) -> Result<Self, StatementError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let mut statement = Self::default();
        if text.starts_with(['{', '[']) {
            let pages = import::documents(text)?;
            pages.iter().try_for_each(|page| statement.page(page))?;
        } else {
            let charges = import::table(text)?;
            if charges.first().is_none_or(|first| first.get("ChargePeriodStart").is_none()) {
                return Err(StatementError::Unrecognised);
            }
            charges.iter().try_for_each(|charge| statement.charge(charge))?;
        }
        statement.lines.retain(|line| line.sums != Sums::default());
        Ok(statement)
    }

    /// A page of buckets.
    fn page(&mut self, page: &Value) -> Result<(), StatementError> {
        let buckets = page.get("data").and_then(Value::as_array).ok_or(StatementError::Unrecognised)?;
        for bucket in buckets {
            let begun = moment(bucket, &["start_time", "starting_at"]).ok_or(StatementError::Unrecognised)?;
            let day = Day::of_micros(begun);
            self.days.insert(day);
            let results = bucket.get("results").and_then(Value::as_array).ok_or(StatementError::Unrecognised)?;
            for result in results {
                self.lines.push(line(day, result)?);
            }
        }
        if page.get("has_more").and_then(Value::as_bool) == Some(true) {
            self.notes
                .push("a page says that more follow: what they hold is compared only if it is here too".to_owned());
        }
        Ok(())
    }

    /// Adds what another file says.
    pub fn merge(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.days.extend(other.days);
        self.notes.extend(other.notes);
    }

    /// A row of a FOCUS table.
    fn charge(&mut self, record: &Value) -> Result<(), StatementError> {
        let Some(call) = import::charge(record) else { return Ok(()) };
        let currency = text(record, &["BillingCurrency"]).unwrap_or_else(|| "USD".to_owned());
        if currency != "USD" {
            return Err(StatementError::Currency(currency));
        }
        let day = Day::of_micros(call.started);
        self.days.insert(day);
        let sums = Sums {
            requests: None,
            input: call.input,
            cached: whole(record, &["x_CachedInputTokens"]),
            output: call.output,
            nanodollars: call.dollars.map(import::nanodollars),
        };
        self.lines.push(Said { day, model: call.model, key: call.account, sums });
        Ok(())
    }
}

/// One result of a bucket.
fn line(day: Day, result: &Value) -> Result<Said, StatementError> {
    let anthropic = result.get("uncached_input_tokens").is_some();
    let cost = cost(result)?;
    let known =
        anthropic || cost.is_some() || result.get("input_tokens").is_some() || result.get("output_tokens").is_some();
    if !known {
        return Err(StatementError::Unrecognised);
    }
    // `gpt-5.2-2025-12-11, cached input`: what was used, and which part of it
    let item = text(result, &["line_item"]).map(|item| item.split(", ").next().unwrap_or_default().to_owned());
    let count = |names: &[&str]| whole(result, names);
    let (input, cached) = if anthropic {
        let cached = count(&["cache_read_input_tokens"]).unwrap_or(0);
        let written = ["cache_creation/ephemeral_5m_input_tokens", "cache_creation/ephemeral_1h_input_tokens"]
            .into_iter()
            .filter_map(|name| count(&[name]))
            .sum::<u64>();
        (count(&["uncached_input_tokens"]).map(|rest| rest + cached + written), Some(cached))
    } else {
        (count(&["input_tokens"]), count(&["input_cached_tokens"]))
    };
    Ok(Said {
        day,
        model: text(result, &["model"]).or(item),
        key: text(result, &["api_key_id"]),
        sums: Sums {
            requests: count(&["num_model_requests"]),
            input,
            cached,
            output: count(&["output_tokens"]),
            nanodollars: cost,
        },
    })
}

/// A result's cost: OpenAI writes `amount.value` in dollars, Anthropic `amount` in cents.
fn cost(result: &Value) -> Result<Option<i64>, StatementError> {
    let Some(amount) = result.get("amount") else { return Ok(None) };
    let currency = text(result, &["amount/currency", "currency"]).unwrap_or_else(|| "USD".to_owned());
    if !currency.eq_ignore_ascii_case("usd") {
        return Err(StatementError::Currency(currency));
    }
    let dollars = if amount.is_object() {
        number(result, &["amount/value"])
    } else {
        number(result, &["amount"]).map(|cents| cents / 100.0)
    };
    Ok(dollars.map(import::nanodollars))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Statement {
        Statement::read(text).unwrap()
    }

    #[test]
    fn openais_usage_and_costs_stand_side_by_side() {
        // the shapes of the API reference's own examples
        let usage = r#"{"object": "page", "data": [
            {"object": "bucket", "start_time": 1795392000, "end_time": 1795478400, "results": [
                {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
                 "input_cached_tokens": 800, "num_model_requests": 5, "project_id": null, "user_id": null,
                 "api_key_id": "key_1", "model": "gpt-5.2", "batch": null}]},
            {"object": "bucket", "start_time": 1795478400, "end_time": 1795564800, "results": []}],
            "has_more": false, "next_page": null}"#;
        let costs = r#"{"object": "page", "data": [
            {"object": "bucket", "start_time": 1795392000, "end_time": 1795478400, "results": [
                {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
                 "line_item": "gpt-5.2, cached input", "project_id": null}]}], "has_more": true, "next_page": "x"}"#;
        let statement = read(&format!("{usage}\n{costs}"));
        assert_eq!(statement.days.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2026-11-23", "2026-11-24"]);
        let [used, paid] = statement.lines.as_slice() else { panic!("{:?}", statement.lines) };
        assert_eq!((used.model.as_deref(), used.key.as_deref()), (Some("gpt-5.2"), Some("key_1")));
        let counts =
            Sums { requests: Some(5), input: Some(1_000), cached: Some(800), output: Some(500), nanodollars: None };
        assert_eq!(used.sums, counts);
        assert_eq!(paid.model.as_deref(), Some("gpt-5.2"));
        assert_eq!(paid.sums, Sums { nanodollars: Some(60_000_000), ..Sums::default() });
        assert_eq!(statement.notes.len(), 1);
    }

    #[test]
    fn anthropics_reports_are_read_with_their_cents_and_caches() {
        let statement = read(
            r#"{"data": [{"starting_at": "2026-11-23T00:00:00Z", "ending_at": "2026-11-24T00:00:00Z", "results": [
                {"api_key_id": "apikey_01", "cache_creation": {"ephemeral_1h_input_tokens": 1000,
                 "ephemeral_5m_input_tokens": 500}, "cache_read_input_tokens": 200, "context_window": "0-200k",
                 "model": "claude-sonnet-5", "output_tokens": 500, "server_tool_use": {"web_search_requests": 10},
                 "service_tier": "standard", "uncached_input_tokens": 1500, "workspace_id": "wrkspc_01"}]}],
                "has_more": false, "next_page": null}
               {"data": [{"starting_at": "2026-11-23T00:00:00Z", "ending_at": "2026-11-24T00:00:00Z", "results": [
                {"currency": "USD", "amount": "123.78912", "workspace_id": null, "description": "Input", "cost_type":
                 "tokens", "model": "claude-sonnet-5", "token_type": "uncached_input_tokens"}]}], "has_more": false}"#,
        );
        let sums: Vec<Sums> = statement.lines.iter().map(|line| line.sums).collect();
        let used = Sums { requests: None, input: Some(3_200), cached: Some(200), output: Some(500), nanodollars: None };
        assert_eq!(sums, [used, Sums { nanodollars: Some(1_237_891_200), ..Sums::default() }]);
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        assert_eq!(Statement::read("{\"a\": 1}"), Err(StatementError::Unrecognised));
        assert!(matches!(Statement::read("{\"a\": "), Err(StatementError::Broken(_))));
        let euros =
            r#"{"data": [{"start_time": 1795392000, "results": [{"amount": {"value": 1, "currency": "eur"}}]}]}"#;
        assert_eq!(Statement::read(euros), Err(StatementError::Currency("eur".to_owned())));
    }
}
