//! The console: every page can be drawn, none loads anything, forms come from the console only, and a key that is made
//! there opens what it should.

use crate::admin::Office;
use crate::stage::{ANONYMOUS, CHAT, chat, leg, question};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use testkit::process::{Answer, Client};
use testkit::provider::{Provider, Script};

/// A password as a browser sends it.
fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("somebody:{password}")))
}

async fn look(office: &Office, path: &str, headers: &[(&str, &str)], form: Option<&str>) -> (Answer, String) {
    let (method, body) = form.map_or(("GET", Bytes::new()), |form| ("POST", Bytes::from(form.to_owned())));
    let mut all = headers.to_vec();
    if form.is_some() {
        all.push(("content-type", "application/x-www-form-urlencoded"));
    }
    let answer = Client::new(office.admin).send(method, path, &all, body).await.expect("headers");
    let answer = answer.whole().await.expect("an answer");
    let html = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    (answer, html)
}

#[tokio::test]
async fn what_people_look_at_is_what_the_api_says() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let office = Office::start(&format!("{}[product.copilot]\n{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let asked = office.stage.client().post(CHAT, "", &chat("auto", &question(1), false)).await.expect("an answer");
    office.stage.story(&asked).await;
    let request = asked.header("x-autarky-request-id");

    // Without a key this machine looks; a form wants one.
    let why = format!("/console/why?request={request}");
    for (path, word) in [
        ("/", "requests in 24 hours"),
        ("/console", "are closed: everybody may be asked"),
        ("/console/products", ">one</a>"),
        ("/console/requests?outcome=ok", request),
        (why.as_str(), "Whom the plan looked at"),
        ("/console/keys", "A new key"),
        ("/console/exposure", "Who our products depend on"),
        ("/console/whatif", "Best policy per scenario"),
    ] {
        let (answer, html) = look(&office, path, &[], None).await;
        assert_eq!(answer.status, 200, "{path}: {html}");
        assert!(html.contains(word), "{path}: {html}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        for foreign in ["<script", "<link", "<iframe", "<img", "src=", "url(", "http://", "https://"] {
            assert!(!html.contains(foreign), "{path} holds `{foreign}`");
        }
    }
    let (refused, _) =
        look(&office, "/console/keys", &[("sec-fetch-site", "same-origin")], Some("product=copilot")).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic"), "a browser asks for the key then");

    let key = basic(&office.key(&[]).await);
    let (from, other) = (("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"));
    assert_eq!(look(&office, "/console", &[], None).await.0.status, 401, "there is a key, so it is asked for");
    let form = "product=copilot&name=a+%3Cb%3E&models=one%2C+two&expires_days=";
    let (refused, _) = look(&office, "/console/keys", &[("authorization", &key), other], Some(form)).await;
    assert_eq!(refused.status, 403, "another site's page");
    let (made, html) = look(&office, "/console/keys", &[("authorization", &key), from], Some(form)).await;
    assert_eq!(made.status, 200, "{html}");
    assert!(html.contains("a &lt;b&gt;") && !html.contains("a <b>"), "a name is text, whatever it says");
    let secret = html.split_once("<code>ak-").and_then(|(_, rest)| rest.split_once('<')).expect("a secret").0;
    let answer = office.stage.client().post(CHAT, &format!("ak-{secret}"), &chat("one", &question(2), false)).await;
    assert_eq!(answer.expect("an answer").status, 200);
    let (_, html) = look(&office, "/console/keys", &[("authorization", &key)], None).await;
    assert!(html.contains("one, two") && !html.contains(secret), "shown once");
    let viewer = basic(&office.key(&["--read-only"]).await);
    let (refused, _) = look(&office, "/console/keys", &[("authorization", &viewer), from], Some(form)).await;
    assert_eq!(refused.status, 403, "for looking only");
}
