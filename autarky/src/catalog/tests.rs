//! What the embedded catalog knows, against what its sources say: costs to the nano-dollar, every last day, who made,
//! runs and bills what. `scripts/catalog-fixtures` writes what is compared with.

use super::import::names;
use super::*;
use policy::Wall;
use policy::price::Counts;
use serde_json::Value;
use std::time::Instant;

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture is JSON")
}

fn costs() -> Value {
    fixture(include_str!("../../tests/fixtures/costs.json"))
}

fn retirements() -> Value {
    fixture(include_str!("../../tests/fixtures/retirements.json"))
}

fn rows(of: &Value) -> &[Value] {
    of["rows"].as_array().expect("rows")
}

#[test]
fn every_entry_can_be_read_and_has_a_source() {
    let catalog = Catalog::default();
    let known = |source: &Option<String>| source.as_ref().is_some_and(|name| catalog.source(name).is_some());
    for book in [&*MODELS, &PRICES, &CALENDAR] {
        assert!(book.keys().is_sorted_by(|a, b| a < b), "the entries are in order, each once");
    }
    let models: Vec<(String, ModelRow)> = MODELS.rows().collect();
    assert_eq!(models.len(), MODELS.keys().count());
    for (key, row) in models {
        assert!(known(&row.source), "{key} has no source");
        let mut words = row.has.iter().chain(&row.lacks);
        assert!(words.all(|word| policy::fleet::Cap::ALL.iter().any(|cap| cap.name() == word)), "{key}");
    }
    let prices: Vec<(String, PriceRow)> = PRICES.rows().collect();
    assert_eq!(prices.len(), PRICES.keys().count());
    assert!(prices.len() >= 2_300, "{} priced models", prices.len());
    for (key, row) in prices {
        assert!(known(&row.source), "{key} has no source");
        row.tariff(&key).unwrap_or_else(|why| panic!("{why}"));
    }
    let calendar: Vec<(String, Retirement)> = CALENDAR.rows().collect();
    assert_eq!(calendar.len(), CALENDAR.keys().count());
    for (key, row) in calendar {
        assert!(known(&row.source) && row.day().is_some(), "{key}");
    }
}

/// The package charges cached sound and cached pictures apart where it knows their price, and refuses a usage that says
/// both without saying how many are both. No provider's usage that we read says so, hence the fixture says 0 for it,
/// and nothing differs.
#[test]
fn costs_equal_those_of_genai_prices_to_the_nano_dollar() {
    let (catalog, costs) = (Catalog::default(), costs());
    let source = catalog.source("genai-prices").expect("the catalog names it");
    assert_eq!(costs["version"].as_str(), Some(source.version.as_str()), "fixture and catalog are of one version");
    assert!(rows(&costs).len() >= 500, "{} rows", rows(&costs).len());
    let mut wrong = Vec::new();
    for row in rows(&costs) {
        let count = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let counts = Counts {
            input: count("input"),
            cache_read: count("cache_read"),
            cache_write: count("cache_write"),
            cache_write_1h: count("cache_write_1h"),
            audio_input: count("audio_input"),
            image_input: count("image_input"),
            output: count("output"),
            reasoning: count("reasoning"),
            audio_output: count("audio_output"),
            image_output: count("image_output"),
        };
        let (host, model) = row["model"].as_str().expect("a model").split_once('/').expect("at a host");
        let day = row::date(row["day"].as_str().expect("a day")).expect("a date");
        let found = catalog.price(host, model, None).unwrap_or_else(|| panic!("{host}/{model} has no price"));
        let cost = found.row.tariff(&found.key).expect("a price list").cost(day, &counts, row["class"].as_str());
        if Some(cost.0) != row["nano"].as_u64() {
            wrong.push(format!("{} nano-dollars by {}: {row}", cost.0, found.key));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        rows(&costs).len(),
        wrong[..wrong.len().min(9)].join("\n")
    );
}

#[test]
fn every_last_day_of_litellm_is_in_the_calendar() {
    let (catalog, said) = (Catalog::default(), retirements());
    let as_of = row::date(said["as_of"].as_str().expect("a day")).expect("a date");
    assert_eq!(said["entries"], 406, "of LiteLLM 1.110.2; what the same host calls the same is one entry here");
    let mut keys = std::collections::BTreeSet::new();
    for entry in rows(&said) {
        let text = |at: usize| entry[at].as_str().expect("text");
        let key = format!("{}/{}", names::host(text(0)), names::at_host(text(1), text(0)).to_ascii_lowercase());
        let (host, model) = key.split_once('/').expect("a host");
        let found = catalog.retirement(host, model, None).unwrap_or_else(|| panic!("{key} has no last day"));
        assert_eq!((found.row.on.as_str(), &found.key), (text(2), &key));
        keys.insert(key);
    }
    let is_meant = |row: &Retirement| {
        row.day().is_some_and(|day| day > as_of) && matches!(row.mode.as_deref(), Some("chat" | "responses"))
    };
    let mine: std::collections::BTreeSet<String> =
        catalog.calendar().into_iter().filter(|(_, row)| is_meant(row)).map(|(key, _)| key).collect();
    assert_eq!(mine, keys);
}

#[test]
fn maker_host_and_invoicer_are_three_facts() {
    let found = Catalog::default().model("azure-ai", "claude-sonnet-4-5", None).expect("Claude on Azure");
    let parties = crate::config::catalog::parties("azure-ai");
    assert_eq!(found.row.maker.as_deref(), Some("anthropic"));
    assert_eq!((parties.host.as_str(), parties.invoicer.as_str()), ("azure", "microsoft"));
}

#[test]
fn a_name_is_found_by_region_and_without_its_date() {
    let catalog = Catalog::default();
    let key = |host, model, region| catalog.model(host, model, region).map(|found| found.key);
    assert_eq!(key("azure", "gpt-4o", Some("eu")).as_deref(), Some("azure/eu/gpt-4o"));
    assert_eq!(key("azure", "gpt-4o", Some("mars")).as_deref(), Some("azure/gpt-4o"));
    assert_eq!(key("openai", "GPT-5.2-2029-01-31", None).as_deref(), Some("openai/gpt-5.2"));
    assert_eq!(key("openai", "gpt-nonsense", None), None);
    assert!(catalog.knows("openai") && !catalog.knows("own"));
}

#[test]
fn a_users_file_goes_over_the_catalog() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    let text = r#"
        [model."openai/gpt-5.2"]
        maker = "openai"
        quality = 0.8
        [price."own/qwen3"]
        periods = [{ from = "2026-01-01", hours = "22:00-06:00", standard = [{ input = 0.1, output = 0.2 }] }]
        [retirement."own/qwen3"]
        on = "2027-01-01"
    "#;
    std::fs::write(&path, text).expect("written");
    let catalog = Catalog::with([&path]).expect("a catalog");
    assert_eq!(catalog.model("openai", "gpt-5.2", None).expect("there").row.quality, Some(0.8));
    assert_eq!(catalog.price("own", "qwen3", None).expect("there").row.periods.len(), 1);
    assert!(catalog.calendar().contains_key("own/qwen3"));
    for (wrong, what) in [
        ("[price.\"a/b\"]\nperiods = [{ from = \"soon\", standard = [{ input = 1, output = 1 }] }]", "no date"),
        ("[price.\"a/b\"]\nperiods = [{ standard = [{ above = 3, input = 1, output = 1 }] }]", "every size"),
        ("[price.\"a/b\"]\nperiods = []", "no period"),
        ("[model.\"a/b\"]\nmakr = \"x\"", "unknown field `makr`"),
    ] {
        std::fs::write(&path, wrong).expect("written");
        let error = Catalog::with([&path]).expect_err("refused").to_string();
        assert!(error.contains(what) && error.contains("mine.toml"), "{error}");
    }
}

/// A start looks a few names up and reads no file whole.
#[test]
fn a_look_up_is_quick() {
    let catalog = Catalog::default();
    let begin = Instant::now();
    for _ in 0..100 {
        assert!(catalog.price("openai", "gpt-5.2", Some("eu")).is_some());
        assert!(catalog.model("vertex", "gemini-2.5-pro", None).is_some());
    }
    let each = begin.elapsed() / 200;
    assert!(each.as_micros() < 5_000, "{each:?} each, without optimization");
    assert!(catalog.calendar().values().filter_map(Retirement::day).all(|day| day > Wall::from_date(2020, 1, 1)));
}
