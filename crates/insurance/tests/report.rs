//! Reports on a small company: Claude on Azure, GPT at OpenAI, a house model as the last resort; and the same report
//! made from what other tools recorded.

#![expect(clippy::unwrap_used, reason = "a test may")]

use insurance::exposure::{Inputs, Level, Survival, survival};
use insurance::import::{ImportError, Source, import};
use insurance::register::{Contract, Declared, Severity, Sources};
use insurance::{Cover, Day, Exposure, Kind, Node, Register, Verdict, exposure, render};
use ledger::flow::{Flow, FlowKey};
use ledger::record::Portability;
use policy::rules::Rules;
use policy::{Deployment, Fleet, FleetSpec, NanoUsd, Price, Wall};
use std::collections::BTreeMap;

struct Company {
    fleet: Fleet,
    register: Register,
    flows: Vec<Flow>,
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn deployment(name: &str, model: &str, maker: &str, host: &str, invoicer: &str) -> Deployment {
    Deployment {
        name: name.to_owned(),
        model: model.to_owned(),
        maker: maker.to_owned(),
        host: host.to_owned(),
        invoicer: invoicer.to_owned(),
        provider: host.to_owned(),
        account: format!("{host}-prod"),
        ..Deployment::default()
    }
}

fn company() -> Company {
    let deployments = vec![
        deployment("claude-az", "claude-sonnet-5", "anthropic", "azure", "microsoft"),
        deployment("claude", "claude-sonnet-5", "anthropic", "anthropic", "anthropic"),
        Deployment {
            contract_ends: Some(Wall::from_date(2033, 1, 1)),
            ..deployment("gpt", "gpt-5.2", "openai", "openai", "openai")
        },
        Deployment { house: true, ..deployment("house", "smollm2", "huggingface", "own", "own") },
    ];
    let rules = |text: &str| toml::from_str::<Rules>(text).unwrap();
    let products = vec![
        ("copilot".to_owned(), rules("criticality = 'critical'\nmodels = ['claude*']\nlast_resort = []")),
        ("office".to_owned(), rules("models = ['gpt', 'claude-az']")),
        ("lab".to_owned(), rules("models = ['gpt']\nsubstitute = 'never'\nlast_resort = []")),
    ];
    let unknown_price = Price::flat(NanoUsd(1), NanoUsd(1));
    let fleet = Fleet::build(FleetSpec { version: 1, deployments, products, unknown_price }).unwrap();
    let contracts = [Contract {
        name: "oa-2025".to_owned(),
        with: "openai".to_owned(),
        ends: Some(day("2032-12-31")),
        notice_days: Some(180),
        outputs_for: vec!["eval".to_owned()],
    }];
    let declared: Declared = toml::from_str(
        r#"
        depends = { "host:azure" = ["network:edge-x"], "host:anthropic" = ["network:edge-x"] }
        [party.azure]
        parent = "microsoft"
        [[calendar]]
        model = "claude-sonnet-5"
        host = "azure"
        date = "2027-02-01"
        replacement = "claude-sonnet-6"
        source = "the host's own page"
        "#,
    )
    .unwrap();
    let under = BTreeMap::from([("gpt".to_owned(), "oa-2025".to_owned())]);
    let sources = Sources { fleet: &fleet, contracts: &contracts, under: &under, declared: &declared };
    let register = Register::build(sources);
    let flow = |product: &str, deployment: &str, requests: u64, grade: Option<Portability>, cost: Option<i64>| {
        let one = fleet.deployment(fleet.deployment_named(deployment).unwrap());
        let name = |text: &str| Some(text.into());
        Flow {
            key: FlowKey {
                product: name(product),
                deployment: name(deployment),
                model: name(&one.model),
                maker: name(&one.maker),
                host: name(&one.host),
                invoicer: name(&one.invoicer),
                account: name(&one.account),
                portability: grade,
                locked_by: grade
                    .filter(|grade| *grade == Portability::Locked)
                    .and_then(|_| name("previous_response_id")),
                ..FlowKey::default()
            },
            attempts: requests + 1,
            answered: requests,
            tokens: requests * 1_000,
            cost_nanodollars: cost.unwrap_or(0),
            unpriced: if cost.is_some() { 0 } else { requests },
            first: 1_795_392_000_000_000,
            last: 1_796_256_000_000_000,
            ..Flow::default()
        }
    };
    let flows = vec![
        flow("copilot", "claude-az", 600, Some(Portability::Portable), Some(90_000_000_000)),
        flow("office", "gpt", 250, Some(Portability::Translatable), Some(20_000_000_000)),
        flow("office", "gpt", 50, Some(Portability::Locked), None),
        flow("lab", "gpt", 80, None, Some(1_500_000_000)),
        flow("office", "house", 20, Some(Portability::Portable), Some(0)),
    ];
    Company { fleet, register, flows }
}

fn inputs<'a>(company: &'a Company, covers: &'a [Cover], on: &str) -> Inputs<'a> {
    Inputs {
        flows: &company.flows,
        register: &company.register,
        fleet: Some(&company.fleet),
        covers,
        day: day(on),
        instances: Some(1),
        inferred: &[],
        notes: &[],
    }
}

fn lose(company: &Company, covers: &[Cover], node: &str) -> Survival {
    survival(&inputs(company, covers, "2026-11-25"), &node.parse::<Node>().unwrap()).unwrap()
}

#[test]
fn losing_azure_is_not_losing_anthropic() {
    let company = company();
    let azure = lose(&company, &[], "host:azure");
    assert_eq!(azure, Survival { untouched: 400, configured: 600, ..Survival::default() }, "Claude is left elsewhere");
    let anthropic = lose(&company, &[], "maker:anthropic");
    assert_eq!(anthropic, Survival { untouched: 400, nothing: 600, ..Survival::default() }, "nobody else may answer");
    assert_eq!(lose(&company, &[], "invoicer:microsoft"), azure);
    assert_eq!(lose(&company, &[], "party:microsoft"), azure, "it owns azure");
    assert_eq!(lose(&company, &[], "network:edge-x"), anthropic, "both hosts of Claude stand behind it");
    // `lab` accepts nothing else, `office` falls back to Claude, except for what is kept at OpenAI
    let openai = lose(&company, &[], "maker:openai");
    assert_eq!(openai, Survival { untouched: 620, configured: 250, nothing: 130, ..Survival::default() });
}

#[test]
fn only_a_cover_covers_and_only_while_it_lasts() {
    let company = company();
    let cover = |expires: &str| Cover {
        product: "copilot".into(),
        class: None,
        from: "claude-az".into(),
        to: "claude".into(),
        verdict: Verdict::Covered,
        expires: day(expires),
        proof: None,
    };
    let azure = lose(&company, &[cover("2026-12-31")], "host:azure");
    assert_eq!(azure, Survival { untouched: 400, covered: 600, ..Survival::default() });
    let stale = lose(&company, &[cover("2026-11-24")], "host:azure");
    assert_eq!(stale, Survival { untouched: 400, configured: 600, ..Survival::default() });
}

#[test]
fn past_the_end_of_a_contract_its_routes_and_no_others_are_gone() {
    let company = company();
    let on = |on: &str| survival(&inputs(&company, &[], on), &Node::new(Kind::Host, "azure")).unwrap();
    // Azure's Claude retires in 2027 and its requests go to the other Claude; the contract's last day itself counts
    assert_eq!(on("2032-12-31"), Survival { untouched: 400, configured: 600, ..Survival::default() });
    // lab has nobody else; office has the house model, except for what is kept at OpenAI
    let after = Survival { untouched: 20, configured: 600, last_resort: 250, nothing: 130, ..Survival::default() };
    assert_eq!(on("2033-01-01"), after);
}

fn told() -> (Company, Exposure) {
    let company = company();
    let report = exposure(&inputs(&company, &[], "2026-11-25"));
    (company, report)
}

#[test]
fn the_report_reads_like_this() {
    let (company, report) = told();
    insta::assert_snapshot!("exposure", render::text(&report, None));
    insta::assert_snapshot!("register", render::register(&company.register));
    insta::assert_snapshot!("check", render::findings(&company.register.check(day("2026-12-20"))));
    let found = company.register.check(day("2033-01-01"));
    assert!(found.iter().any(|one| one.severity == Severity::Error && one.subject == "contract:oa-2025"));
}

#[test]
fn we_are_a_single_point_ourselves() {
    let (_, report) = told();
    let ours = |point: &&insurance::exposure::SinglePoint| point.nodes.iter().any(|node| node.kind == Kind::Autarky);
    let products: Vec<_> = report.single_points.iter().filter(ours).collect();
    assert_eq!(products.len(), 3);
    assert!(products.iter().all(|point| point.left == Level::Nothing));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let (_, mut report) = told();
    report.notes.push("<script>alert('x')</script>".to_owned());
    let page = render::html(&report);
    for forbidden in ["<script", "http://", "https://", "src=", "@import", "url(", "<link", "NaN"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("<svg") && page.contains("&lt;script"));
    assert_eq!(page.matches("<tr").count(), page.matches("</tr>").count());
    let table = render::csv(&report, Some(Kind::Maker)).unwrap();
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let requests: u64 = rows.records().map(|row| row.unwrap()[3].parse::<u64>().unwrap()).sum();
    assert_eq!(requests, 1_000);
    let json: serde_json::Value = serde_json::from_str(&render::json(&report).unwrap()).unwrap();
    assert_eq!(json["window"]["requests"], 1_000);
    assert_eq!(json["house"]["covered"], serde_json::Value::Null);
}

/// Requests by party, as the report on an import says.
fn by(text: &str, kind: Kind) -> (Source, Vec<(String, u64)>) {
    let import = import(text).unwrap();
    let report = exposure(&Inputs {
        flows: &import.flows,
        register: &Register::default(),
        fleet: None,
        covers: &[],
        day: day("2026-11-25"),
        instances: None,
        inferred: &import.inferred,
        notes: &import.notes,
    });
    assert!(report.single_points.is_empty(), "no rules are known");
    let table = report.tables.into_iter().find(|table| table.by == kind).unwrap();
    let row =
        |row: insurance::exposure::Row| (row.name.map_or("unknown".to_owned(), |name| name.to_string()), row.requests);
    (import.source, table.rows.into_iter().map(row).collect())
}

fn pairs(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

const LITELLM: &str = r#"
{"request_id":"1","call_type":"acompletion","api_key":"k","spend":0.002,"total_tokens":30,"prompt_tokens":20,"completion_tokens":10,"startTime":"2026-11-23T10:00:00+00:00","model":"azure/gpt-5.2","model_group":"gpt","custom_llm_provider":"azure","api_base":"https://acme.openai.azure.com/","team_id":"copilot","cache_hit":"False","status":"success"}
{"request_id":"2","call_type":"acompletion","api_key":"k","spend":0.004,"total_tokens":60,"prompt_tokens":40,"completion_tokens":20,"startTime":"2026-11-23 10:00:01.5","model":"bedrock/us.anthropic.claude-sonnet-5-v1:0","model_group":"claude","custom_llm_provider":"bedrock","api_base":"","team_id":"copilot","cache_hit":"False"}
{"request_id":"3","call_type":"acompletion","api_key":"k","spend":0.0,"total_tokens":0,"startTime":"2026-11-23T10:00:02Z","model":"gpt-5.2","custom_llm_provider":"openai","status":"failure"}
{"request_id":"4","call_type":"acompletion","api_key":"k","spend":0.0,"startTime":"2026-11-23T10:00:03Z","model":"gpt-5.2","custom_llm_provider":"openai","cache_hit":"True"}
{"request_id":"5","call_type":"acompletion","api_key":"k","spend":0.001,"startTime":"2026-11-23T10:00:04Z","model":"our-own-7b","custom_llm_provider":"hosted_vllm","api_base":"http://10.0.0.7:8000/v1"}
"#;

#[test]
fn litellms_logs_are_read() {
    let (source, hosts) = by(LITELLM, Kind::Host);
    assert_eq!((source, hosts), (Source::Litellm, pairs(&[("aws", 1), ("azure", 1), ("unknown", 1), ("openai", 0)])));
    assert_eq!(by(LITELLM, Kind::Maker).1, pairs(&[("anthropic", 1), ("openai", 1), ("unknown", 1)]));
    let import = import(LITELLM).unwrap();
    let cost: i64 = import.flows.iter().map(|flow| flow.cost_nanodollars).sum();
    assert_eq!((cost, import.skipped), (7_000_000, 1));
    assert_eq!(import.flows.iter().map(|flow| flow.uncounted).sum::<u64>(), 1, "no counts are not 0 tokens");
}

#[test]
fn opentelemetry_spans_are_read() {
    let span = |attributes: &[(&str, &str)], more: &str| {
        let list: Vec<String> = attributes
            .iter()
            .map(|(key, value)| match value.parse::<u64>() {
                Ok(number) => format!(r#"{{"key":"{key}","value":{{"intValue":"{number}"}}}}"#),
                Err(_) => format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#),
            })
            .collect();
        format!(
            r#"{{"name":"chat","startTimeUnixNano":"1795392000000000000","attributes":[{}]{more}}}"#,
            list.join(",")
        )
    };
    let claude = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "claude-sonnet-5"),
        ("gen_ai.usage.input_tokens", "11"),
        ("gen_ai.usage.output_tokens", "4"),
        ("server.address", "acme.services.ai.azure.com"),
    ];
    let spans = [
        span(&claude, ""),
        span(&[("gen_ai.system", "anthropic"), ("gen_ai.request.model", "claude-sonnet-5")], ""),
        span(&claude, r#","status":{"code":2}"#),
        span(&[("gen_ai.operation.name", "execute_tool"), ("gen_ai.request.model", "x")], ""),
        span(&[("http.request.method", "GET")], ""),
    ];
    let text = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"office"}}}}]}},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
        spans.join(",")
    );
    // the flavour of telemetry says OpenAI; the address knows better
    assert_eq!(by(&text, Kind::Host), (Source::Otel, pairs(&[("anthropic", 1), ("azure", 1)])));
    assert_eq!(by(&text, Kind::Maker).1, pairs(&[("anthropic", 2)]));
    assert_eq!(by(&text, Kind::Region).1, pairs(&[("unknown", 2)]));
    let import = import(&text).unwrap();
    assert_eq!(import.skipped, 2);
    assert!(import.flows.iter().all(|flow| flow.key.product.as_deref() == Some("office")));
    assert!(import.flows.iter().all(|flow| flow.unpriced == flow.answered), "spans have no price");
}

#[test]
fn observability_exports_and_charges_are_read() {
    // the columns of Helicone's `HeliconeRequest`
    let helicone = "request_created_at,provider,request_model,response_status,prompt_tokens,completion_tokens,costUSD,target_url\n\
        2026-11-23T10:00:00Z,OPENAI,gpt-5.2,200,10,5,0.01,https://api.openai.com/v1/chat/completions\n\
        2026-11-23T10:00:00Z,ANTHROPIC,claude-sonnet-5,500,,,,https://api.anthropic.com/v1/messages\n";
    assert_eq!(by(helicone, Kind::Maker), (Source::Helicone, pairs(&[("openai", 1), ("anthropic", 0)])));
    // the fields of Langfuse's `ObservationsView`
    let langfuse = r#"[
        {"id":"1","type":"GENERATION","traceId":"t","traceName":"office","name":"draft","model":"mistral-large","startTime":"2026-11-23T10:00:00.000Z","usageDetails":{"input":3,"output":4,"total":7},"costDetails":{"total":0.5}},
        {"id":"2","type":"SPAN","traceId":"t","startTime":"2026-11-23T10:00:00.000Z"}]"#;
    assert_eq!(by(langfuse, Kind::Maker), (Source::Langfuse, pairs(&[("mistral", 1)])));
    assert_eq!(by(langfuse, Kind::Host).1, pairs(&[("unknown", 1)]), "nothing says where it ran");
    // columns of FOCUS 1.2
    let focus = "BillingPeriodStart,ChargePeriodStart,ChargeCategory,BilledCost,BillingCurrency,ConsumedQuantity,ConsumedUnit,\
        ServiceCategory,HostProviderName,InvoiceIssuerName,SubAccountId,x_ModelName\n\
        2026-11-01T00:00:00Z,2026-11-23T00:00:00Z,Usage,12.5,USD,40,1K tokens,AI and Machine Learning,Azure,Microsoft,office,claude-sonnet-5\n\
        2026-11-01T00:00:00Z,2026-11-23T00:00:00Z,Usage,99,USD,1,hours,Compute,Azure,Microsoft,office,\n";
    assert_eq!(by(focus, Kind::Host), (Source::Focus, pairs(&[("azure", 1)])));
    let flows = import(focus).unwrap().flows;
    assert_eq!((flows[0].tokens, flows[0].cost_nanodollars), (40_000, 12_500_000_000));
    assert_eq!(flows[0].key.invoicer.as_deref(), Some("microsoft"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    assert_eq!(import("a,b\n1,2\n"), Err(ImportError::Unrecognised));
    assert_eq!(import("{\"resourceSpans\":[]}"), Err(ImportError::Empty { skipped: 0 }));
    assert!(matches!(import("{\"model\": \"x\""), Err(ImportError::Broken { record: 1, .. })));
    assert_eq!(import(""), Err(ImportError::Unrecognised));
}
