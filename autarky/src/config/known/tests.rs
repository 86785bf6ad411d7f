//! What the catalog adds, and what it warns of, as of a day that the test chooses.

use crate::config::checked::Checked;
use crate::config::convert::check;
use policy::fleet::Cap;
use policy::price::Counts;
use policy::{Deployment, Wall};

const TODAY: Wall = Wall::from_date(2026, 11, 23);

fn checked(rules: &str) -> Checked {
    let product = "[product.default]\nanonymous = true\n";
    check("autarky.toml", &format!("[provider.openai]\nauth = \"none\"\n{product}{rules}"), TODAY)
        .expect("a configuration")
}

fn deployment<'a>(checked: &'a Checked, name: &str) -> &'a Deployment {
    checked.fleet.deployment(checked.fleet.deployment_named(name).expect("a deployment"))
}

/// The one warning that says `what`, with its hint.
fn warning(checked: &Checked, what: &str) -> String {
    let said =
        checked.warnings.iter().map(|one| format!("{} {}", one.message, one.hint.as_deref().unwrap_or_default()));
    let said: Vec<String> = said.filter(|text| text.contains(what)).collect();
    assert_eq!(said.len(), 1, "{what}: {:?}", checked.warnings);
    said.concat()
}

#[test]
fn what_the_user_leaves_out_is_as_the_catalog_says() {
    let checked = checked("[deployment.gpt]\nprovider = \"openai\"\nmodel = \"gpt-5.2\"\n");
    let gpt = deployment(&checked, "gpt");
    assert_eq!((gpt.maker.as_str(), gpt.family.as_deref()), ("openai", Some("gpt-5.2")));
    assert_eq!((gpt.context, gpt.max_output), (Some(400_000), Some(128_000)));
    assert!(gpt.has.has(Cap::Tools) && !gpt.has.has(Cap::Audio) && !gpt.lacks.has(Cap::Audio), "unknown stays unknown");
    let tariff = gpt.price.as_ref().expect("a price");
    assert_eq!(tariff.version(), "genai-prices:openai/gpt-5.2");
    let counts = Counts { input: 1_000_000, output: 1_000_000, ..Counts::default() };
    assert_eq!(tariff.cost(TODAY, &counts, None).to_string(), "$15.75");
    assert_eq!(tariff.cost(TODAY, &counts, Some("batch")).to_string(), "$7.875");
}

#[test]
fn what_the_user_says_wins() {
    let checked = checked(
        "[deployment.gpt]\nprovider = \"openai\"\nmodel = \"gpt-5.2\"\ncontext = 1000\nmaker = \"me\"\nlacks = [\"tools\"]\n\
         price = { input = 1, output = 2 }\nretires = \"2026-11-01\"\n\
         [deployment.other]\nprovider = \"openai\"\nmodel = \"my-name-for-it\"\nlisted_as = \"gpt-5.2\"\n",
    );
    let gpt = deployment(&checked, "gpt");
    assert_eq!((gpt.context, gpt.maker.as_str()), (Some(1_000), "me"));
    assert!(gpt.lacks.has(Cap::Tools) && !gpt.has.has(Cap::Tools) && gpt.has.has(Cap::Images));
    assert_eq!(gpt.price.as_ref().expect("a price").version(), "config");
    assert!(!gpt.retires_warns, "the company's own word bars it");
    assert!(warning(&checked, "is not asked any more").contains("since 2026-11-01"));
    assert_eq!(deployment(&checked, "other").context, Some(400_000));
}

#[test]
fn claude_on_azure_is_anthropics_on_azure_billed_by_microsoft() {
    let checked = checked(
        "[provider.azure-foundry]\nauth = \"none\"\naccount = \"a\"\n\
         [deployment.claude]\nprovider = \"azure-foundry\"\nmodel = \"claude-sonnet-4-5\"\n",
    );
    let claude = deployment(&checked, "claude");
    assert_eq!(
        (claude.maker.as_str(), claude.host.as_str(), claude.invoicer.as_str()),
        ("anthropic", "azure", "microsoft")
    );
    let said = warning(&checked, "is retired on 2026-11-30, in 7 days");
    assert!(said.contains("`claude-sonnet-4-5` at `azure-ai`") && said.contains("claude-sonnet-5-5"), "{said}");
    assert!(claude.retires_warns && claude.retires == Some(Wall::from_date(2026, 11, 30)));
}

#[test]
fn unknown_models_and_budgets_without_prices_are_told() {
    let checked = checked(
        "budget = { usd_day = 1 }\n[deployment.typo]\nprovider = \"openai\"\nmodel = \"gpt-5.22\"\n\
         [provider.mine]\nbase_url = \"http://127.0.0.1:1/v1\"\nauth = \"none\"\n\
         [deployment.own]\nprovider = \"mine\"\nmodel = \"qwen3\"\n[deployment.house]\nengine = \"embedded\"\n",
    );
    assert!(warning(&checked, "does not know `gpt-5.22`").contains("gpt-5.2"));
    let said = warning(&checked, "has a budget");
    assert!(said.contains("`own`, `typo`") && !said.contains("house"), "{said}");
    assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
    assert!(deployment(&checked, "own").price.is_none(), "never 0");
    assert!(deployment(&checked, "house").price.is_some(), "the model inside costs nothing, and that is known");
}

#[test]
fn a_contract_that_ends_is_told() {
    for day in ["\"2026-12-31\"", "2026-12-31"] {
        let checked = checked(&format!(
            "[contract.c]\nwith = \"openai\"\nends = {day}\n\
             [deployment.gpt]\nprovider = \"openai\"\nmodel = \"gpt-5.2\"\ncontract = \"c\"\n"
        ));
        assert!(warning(&checked, "no contract any more").contains("from 2027-01-01 on, in 39 days"));
    }
}
