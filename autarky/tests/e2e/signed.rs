//! AWS's official client, with an access key of ours: who signs with it is its product, and nobody else is.

use crate::stage::{Stage, leg, until};
use serde_json::Value;
use std::process::Command;
use testkit::provider::{Provider, Script};

const SCRIPT: &str = r#"
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
url, key, secret = sys.argv[1:4]
def client(key, secret):
    return boto3.client("bedrock-runtime", endpoint_url=url, region_name="eu-west-1", aws_access_key_id=key,
        aws_secret_access_key=secret, config=Config(retries={"total_max_attempts": 1}))
def ask(by, model="one"):
    return by.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "hi ü"}]}])
good = client(key, secret)
assert ask(good)["output"]["message"]["content"][0]["text"]
# A name with characters that are escaped, which the signature covers twice escaped.
assert ask(good, "odd:name/one")["stopReason"]
stream = good.converse_stream(modelId="one", messages=[{"role": "user", "content": [{"text": "hi"}]}])
assert any("messageStop" in event for event in stream["stream"])
for wrong in (client(key, "not-the-secret"), client("key_unknown", secret)):
    try:
        ask(wrong)
        raise SystemExit("a wrong signature is taken")
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 401, error.response
print("signed")
"#;

#[tokio::test]
async fn awss_client_signs_with_a_key_of_ours() {
    let Some(python) = std::env::var_os("AUTARKY_TEST_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "no client: run `scripts/test`");
        eprintln!("SKIPPED: no client; `scripts/test` installs it");
        return;
    };
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let odd = leg("one", provider.addr(), 0)
        + "[deployment.\"odd:name/one\"]\nprovider = \"one\"\nmodel = \"m\"\norder = 1\n";
    let stage = Stage::start(&format!("{odd}[product.office]\n"));
    let json = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    let made = json(stage.say(&["keys", "create", "office", "--format", "json"]));
    let id = made["id"].as_str().expect("an id").to_owned();
    let key = made["secret"].as_str().expect("a secret").to_owned();
    until("the key is in force", async || {
        let models = stage.client().send("GET", "/v1/models", &[("x-api-key", &key)], bytes::Bytes::new()).await;
        (models.expect("headers").whole().await.expect("an answer").status == 200).then_some(())
    })
    .await;
    let told = json(stage.say(&["keys", "aws", &id, "--format", "json"]));
    let again = json(stage.say(&["keys", "aws", &id, "--format", "json"]));
    assert_eq!(told, again);
    let (url, secret) = (format!("http://{}", stage.addr), told["secret"].as_str().expect("a secret").to_owned());
    let named = id.clone();
    let ran =
        tokio::task::spawn_blocking(move || Command::new(python).args(["-c", SCRIPT, &url, &named, &secret]).output());
    let output = ran.await.expect("not broken").expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let rows = stage.rows("three answers", |rows| rows.len() >= 3).await;
    assert!(rows.iter().all(|row| row.key.as_deref() == Some(id.as_str()) && row.product.as_deref() == Some("office")));
    // What is refused at once is refused here too.
    stage.say(&["keys", "revoke", &id]);
}
