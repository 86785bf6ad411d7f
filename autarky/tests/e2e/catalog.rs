//! Providers are data: every row of the catalog, pointed at a strict server of its wire, is answered there, with the
//! proof that the row names and within the deviations that it lists. A row that is added is under this test, and
//! needs no code.

use crate::mirror::{Mirror, Say};
use crate::stage::{ANONYMOUS, CHAT, Stage};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use testkit::provider::{Provider, Script, WIRES, expected_answer};

const CATALOG: &str = include_str!("../../../catalog/providers.toml");
const ACCOUNT_KEY: &str = include_str!("../../../crates/gateway/tests/data/test-service-account.pem");
const QUESTION: &str = "hi nonce-row";

/// An identity provider that gives `token` to whoever asks.
async fn issuer(token: &str) -> Mirror {
    let body = format!("{{\"access_token\":\"{token}\",\"expires_in\":3600}}");
    Mirror::start(Say { mime: "application/json", pieces: vec![body.into()] }).await
}

fn hashed(value: &str) -> String {
    let hash = Sha256::digest(value.as_bytes());
    format!("sha256:{}", hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The key file of a row, and the header that must arrive for it.
fn proof(auth: &str, folder: &Path, issuer: SocketAddr) -> (String, Option<(&'static str, String)>) {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        format!("key = \"file:{}\"\n", path.display())
    };
    let token = Some(("authorization", hashed("Bearer tok-1")));
    match auth {
        "none" => (String::new(), None),
        "bearer" => (file("plain", "k-1"), Some(("authorization", hashed("Bearer k-1")))),
        "x-api-key" => (file("plain", "k-1"), Some(("x-api-key", hashed("k-1")))),
        "api-key" => (file("plain", "k-1"), Some(("api-key", hashed("k-1")))),
        "x-goog-api-key" => (file("plain", "k-1"), Some(("x-goog-api-key", hashed("k-1")))),
        "google" => {
            let account = json!({"type": "service_account", "client_email": "a@b.example", "private_key": ACCOUNT_KEY,
                "token_uri": format!("http://{issuer}/token")});
            (file("google.json", &account.to_string()), token)
        }
        "azure-entra" => {
            let login =
                format!("login = {{ tenant = \"t\", client = \"c-1\", token_url = \"http://{issuer}/token\" }}\n");
            (file("plain", "k-1") + &login, token)
        }
        "sigv4" => {
            let login = "login = { client = \"AKID\" }\n";
            (file("plain", "k-1") + login, None)
        }
        other => unreachable!("this test must learn the scheme `{other}`"),
    }
}

fn rows() -> BTreeMap<String, toml::Table> {
    let catalog: toml::Table = toml::from_str(CATALOG).expect("the catalog is TOML");
    catalog.into_iter().map(|(name, row)| (name, row.as_table().expect("a table").clone())).collect()
}

#[tokio::test]
async fn every_row_is_answered_with_its_own_proof() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let issuer = issuer("tok-1").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut rules, mut expected) = (ANONYMOUS.to_owned(), Vec::new());
    for (name, row) in rows() {
        let said = |key: &str| row.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let wire = row["wires"][0].as_str().expect("a wire").to_owned();
        let server = WIRES.iter().find(|known| known.id() == wire).expect("a strict server of the wire");
        let (key, header) = proof(said("auth").as_deref().unwrap_or("bearer"), folder.path(), issuer.addr);
        // Vertex's own path, since the model stands in it.
        let base = match said("base_url").expect("a base URL").split_once("/publishers/anthropic") {
            Some(_) => "/v1/projects/p/locations/eu/publishers/anthropic/models",
            None => server.base(),
        };
        rules += &format!(
            "[provider.{name}]\nbase_url = \"http://{}{base}\"\n{key}[deployment.{name}]\nprovider = \"{name}\"\nmodel = \"m-{name}\"\n",
            provider.addr()
        );
        expected.push((name, wire, header, row));
    }
    let stage = Stage::start(&rules);
    for (name, wire, header, row) in expected {
        provider.clear_log();
        // What official clients of today send, and older servers do not know.
        let asked = json!({"model": name, "max_completion_tokens": 60, "messages": [
            {"role": "developer", "content": "Be brief."}, {"role": "user", "content": QUESTION}]});
        let answer = stage.client().post(CHAT, "", &asked).await.expect("an answer");
        let log = provider.log();
        assert_eq!(answer.status, 200, "{name}: {} {log:?}", answer.json());
        assert_eq!(answer.json()["choices"][0]["message"]["content"], json!(expected_answer(QUESTION)), "{name}");
        let arrival = &log[0].arrival;
        assert_eq!(
            (log.len(), arrival.wire.as_deref(), arrival.model.as_deref()),
            (1, Some(wire.as_str()), Some(format!("m-{name}").as_str()))
        );
        if let Some((header, value)) = header {
            assert_eq!(arrival.headers.get(header), Some(&value), "{name}: {:?}", arrival.headers);
        }
        let body = arrival.body.as_deref().expect("kept");
        let quirk = |key: &str| row.get("quirks").and_then(|quirks| quirks.get(key)).cloned();
        assert!(quirk("no_developer_role").is_none() || !body.contains("developer"), "{name}: {body}");
        if let Some(renames) = quirk("renames") {
            assert!(
                !body.contains("max_completion_tokens") && renames.get("max_completion_tokens").is_some(),
                "{name}: {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_token_is_asked_for_as_its_issuer_wants_and_again_when_it_is_refused() {
    let script = Script { key: Some("tok-1".to_owned()), ..Script::default() };
    let provider = Provider::start(script).await.expect("a provider");
    let issuer = issuer("tok-1").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (key, _) = proof("azure-entra", folder.path(), issuer.addr);
    let row = format!(
        "[provider.azure-openai]\nbase_url = \"http://{}/v1\"\nauth = \"azure-entra\"\n{key}\
         [deployment.one]\nprovider = \"azure-openai\"\n{ANONYMOUS}",
        provider.addr()
    );
    let stage = Stage::start(&row);
    let body = json!({"model": "one", "messages": [{"role": "user", "content": QUESTION}]});
    for _ in 0..3 {
        assert_eq!(stage.client().post(CHAT, "", &body).await.expect("an answer").status, 200);
    }
    let forms = issuer.heard();
    let scope = "scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
    assert_eq!(forms, [format!("grant_type=client_credentials&client_id=c-1&client_secret=k-1&{scope}")]);
    // The provider no longer believes the token: another is asked for, once.
    provider.script(Script { key: Some("tok-2".to_owned()), ..Script::default() });
    let refused = stage.client().post(CHAT, "", &body).await.expect("an answer");
    assert_eq!(refused.status, 502, "{}", refused.json());
    assert!(!refused.json().to_string().contains("tok-"), "{}", refused.json());
    assert_eq!(issuer.heard().len(), 1);
}

#[test]
fn a_row_with_a_place_to_fill_in_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |text: &str| {
        let file = folder.path().join("autarky.toml");
        std::fs::write(&file, text).expect("written");
        let output = crate::stage::autarky(folder.path()).args(["check", "--config"]).arg(&file).env("K", "k").output();
        let output = output.expect("it runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout),
        )
    };
    let azure = "[deployment.gpt]\nprovider = \"azure-openai\"\n";
    let (fine, said) = check(&format!("{ANONYMOUS}[provider.azure-openai]\nkey = \"env:K\"\n{azure}"));
    assert!(!fine && said.contains("needs `account`") && said.contains("hint: add `account"), "{said}");
    let (fine, said) =
        check(&format!("{ANONYMOUS}[provider.azure-openai]\nkey = \"env:K\"\naccount = \"acme\"\n{azure}"));
    assert!(fine, "{said}");
    // The token of a session is a secret, so it is named, never written out.
    let aws = "auth = \"sigv4\"\nkey = \"env:K\"\nlogin = { client = \"AKID\", session = \"a-token\" }\n";
    let bedrock = "[deployment.b]\nprovider = \"bedrock\"\nregion = \"eu-west-1\"\n";
    let (fine, said) = check(&format!("{ANONYMOUS}[provider.bedrock]\n{aws}{bedrock}"));
    assert!(!fine && said.contains("login.session") && said.contains("must be a reference"), "{said}");
}
