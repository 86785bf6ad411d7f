//! What answers cost: by the catalog's prices, in rows that say which; an unknown price is an alarm and never nothing.

use crate::stage::{CHAT, Stage, chat, leg, question};
use testkit::provider::{Provider, Script};

const PRODUCT: &str = "[product.default]\nanonymous = true\nlast_resort = []\n";

async fn provider() -> Provider {
    Provider::start(Script::default()).await.expect("a provider")
}

#[tokio::test]
async fn the_catalogs_price_is_in_the_row() {
    let provider = provider().await;
    let rules = format!(
        "[provider.openai]\nbase_url = \"http://{}/v1\"\nauth = \"none\"\n\
         [deployment.gpt]\nprovider = \"openai\"\nmodel = \"gpt-5.2\"\n{PRODUCT}",
        provider.addr()
    );
    let stage = Stage::start(&rules);
    for stream in [false, true] {
        let answer = stage.client().post(CHAT, "", &chat("auto", &question(1), stream)).await.expect("an answer");
        let row = stage.story(&answer).await.remove(0);
        let (input, output) = (row.input_tokens.expect("counted"), row.output_tokens.expect("counted"));
        let cached = row.cache_read_tokens.unwrap_or(0);
        let cost = (input - cached) * 1_750 + cached * 175 + output * 14_000;
        assert!(input > 0 && output > 0);
        assert_eq!(row.cost_nanodollars, i64::try_from(cost).ok(), "$1.75, $0.175 and $14 per million");
        assert_eq!(row.price_version.as_deref(), Some("genai-prices:openai/gpt-5.2"));
    }
    assert!(stage.metric("autarky_unpriced_attempts_total", &["gpt"]).await < 0.5);
}

#[tokio::test]
async fn an_unknown_price_is_an_alarm() {
    let provider = provider().await;
    let stage = Stage::start(&(leg("own", provider.addr(), 0) + PRODUCT));
    let answer = stage.client().post(CHAT, "", &chat("auto", &question(1), false)).await.expect("an answer");
    let row = stage.story(&answer).await.remove(0);
    assert_eq!((row.cost_nanodollars, row.price_version), (None, None));
    assert!((stage.metric("autarky_unpriced_attempts_total", &["own"]).await - 1.0).abs() < 0.5);
    let log = std::fs::read_to_string(stage.folder.path().join("autarky.err")).expect("a log");
    assert!(log.contains("nobody knows what this deployment costs") && log.contains("own"), "{log}");
}

#[tokio::test]
async fn the_calendar_and_an_entry_are_told() {
    let stage = Stage::start(&(leg("own", provider().await.addr(), 0) + PRODUCT));
    let said = stage.say(&["catalog", "calendar", "--as-of", "2026-11-23"]);
    assert!(said.ends_with("31 models whose last day differs by host\n"), "{said}");
    assert!(said.contains("2026-12-11  in   18 days  openai/gpt-5  then"), "{said}");
    let said = stage.say(&["catalog", "show", "azure-ai/claude-sonnet-4-5", "--format", "json"]);
    let entry: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(entry[0]["host"], "azure");
    assert_eq!(entry[0]["invoicer"], "microsoft");
    assert_eq!(entry[0]["model"]["maker"], "anthropic");
    assert_eq!(entry[0]["source"]["litellm"]["version"], "1.110.2");
    let wrong = stage.command(&["catalog", "show", "gpt-5.22"]);
    let errors = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && errors.contains("gpt-5.2"), "{errors}");
}
