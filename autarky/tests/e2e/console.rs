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
        ("/console/drills", "A new one"),
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

#[tokio::test]
async fn a_drill_is_planned_run_stopped_and_read_by_people() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let legs = leg("one", provider.addr(), 0) + &leg("two", provider.addr(), 1);
    let office = Office::start(&format!("{legs}[product.copilot]\n{ANONYMOUS}"));
    let key = basic(&office.key(&[]).await);
    let headers = [("authorization", key.as_str()), ("sec-fetch-site", "same-origin")];
    let form = "lose=deployment%3Aone&level=L3&window=10m&fault=revoked&products=&share=1&spend=";
    let (refused, html) = look(&office, "/console/drills/plan", &headers, Some("lose=maker%3A%3Cb%3E&share=1")).await;
    assert!(refused.status == 200 && html.contains("nothing here rests on") && !html.contains("<b>`"), "{html}");
    assert!(!html.contains("action=\"/console/drills/run\""), "what may not begin has no button");
    let (_, html) = look(&office, "/console/drills/plan", &headers, Some(form)).await;
    assert!(html.contains("it may begin") && html.contains("name=\"fault\" value=\"revoked\""), "{html}");
    let (_, html) = look(&office, "/console/drills/run", &headers, Some(form)).await;
    assert!(html.contains("Now: loss of deployment:one (revoked), L3") && html.contains("Stop it now"), "{html}");
    let asked = office.stage.client().post(CHAT, "", &chat("auto", &question(1), false)).await.expect("an answer");
    assert_eq!(asked.header("x-autarky-deployment"), "two");
    let (_, html) = look(&office, "/console/drills/abort", &headers, Some("")).await;
    assert!(html.contains("aborted: a person stopped it") && html.contains("A new one"), "{html}");
    let link = html.split_once("href=\"/console/drills/report?id=").and_then(|(_, rest)| rest.split_once('"'));
    let page = format!("/console/drills/report?id={}", link.expect("a link").0);
    let (answer, html) = look(&office, &page, &headers, None).await;
    assert!(answer.status == 200 && html.contains("class=\"timeline\"") && html.contains("Not tested"), "{html}");
}
