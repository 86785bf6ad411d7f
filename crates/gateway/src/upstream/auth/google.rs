//! Google Cloud: the key is a credentials file as `gcloud` writes it, of a service account (a signed assertion, RFC 7523)
//! or of a person (a refresh token), so Application Default Credentials can be named as they are. Facts:
//! developers.google.com/identity/protocols/oauth2/service-account.

use super::token::{Form, MakeForm, Tokens, pem};
use super::{Identity, Proof, Scheme};
use crate::clock;
use crate::upstream::transport::Transport;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use canon::{Fault, FaultKind};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

/// What Vertex wants leave for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where tokens are issued.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// Seconds that an assertion holds: the most that is allowed.
const HOLDS: i64 = 3_600;

/// Google credentials.
#[derive(Debug)]
pub(super) struct Google;

impl Scheme for Google {
    fn name(&self) -> &'static str {
        "google"
    }

    fn needs_secret(&self) -> bool {
        true
    }

    fn proof(&self, who: &Identity, transport: &Transport) -> Result<Proof, Fault> {
        let file: Value = serde_json::from_str(who.secret.reveal())
            .map_err(|_| wrong("is no JSON: name the file, e.g. `key = \"file:/path/credentials.json\"`"))?;
        let field = |name: &str| {
            let value = file.get(name).and_then(Value::as_str).map(str::to_owned);
            value.ok_or_else(|| wrong(&format!("has no `{name}`")))
        };
        let url = who.login.token_url.clone();
        let url = url.or_else(|| field("token_uri").ok()).unwrap_or_else(|| TOKEN_URL.to_owned());
        let form: MakeForm = match field("type")?.as_str() {
            "service_account" => {
                let key = pem(&field("private_key")?).and_then(|der| RsaKeyPair::from_pkcs8(&der).ok());
                let account = Account {
                    key: key.ok_or_else(|| wrong("holds a `private_key` that is no RSA key in PKCS #8"))?,
                    id: field("private_key_id").unwrap_or_default(),
                    email: field("client_email")?,
                    scope: who.login.scope.clone().unwrap_or_else(|| SCOPE.to_owned()),
                    audience: url.clone(),
                };
                Box::new(move || account.form(clock::unix_micros() / 1_000_000))
            }
            "authorized_user" => {
                let (client, secret, refresh) = (field("client_id")?, field("client_secret")?, field("refresh_token")?);
                Box::new(move || {
                    Ok(vec![
                        ("grant_type", "refresh_token".to_owned()),
                        ("client_id", client.clone()),
                        ("client_secret", secret.clone()),
                        ("refresh_token", refresh.clone()),
                    ])
                })
            }
            other => return Err(wrong(&format!("is of type `{other}`; known: service_account, authorized_user"))),
        };
        Ok(Proof::Each(Box::new(Tokens::new(transport, &url, form)?)))
    }
}

fn wrong(what: &str) -> Fault {
    Fault::gateway(FaultKind::Internal, format!("the Google credentials file {what}"))
}

/// A service account.
struct Account {
    key: RsaKeyPair,
    id: String,
    email: String,
    scope: String,
    audience: String,
}

impl Account {
    /// The form of a request at `now`, Unix seconds.
    fn form(&self, now: i64) -> Result<Form, Fault> {
        Ok(vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
            ("assertion", self.assertion(now)?),
        ])
    }

    /// A signed claim to be this account.
    fn assertion(&self, now: i64) -> Result<String, Fault> {
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": self.id});
        let claims = json!({
            "iss": self.email,
            "scope": self.scope,
            "aud": self.audience,
            "iat": now,
            "exp": now + HOLDS,
        });
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let said = format!("{}.{}", encoded(&head), encoded(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature)
            .map_err(|_| Fault::gateway(FaultKind::Internal, "the Google assertion could not be signed"))?;
        Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use std::time::Duration;

    /// Made for this test with `openssl genpkey`; it opens nothing.
    const KEY: &str = include_str!("../../../tests/data/test-service-account.pem");

    fn proof(file: &Value) -> Result<Proof, Fault> {
        let who = Identity { secret: super::super::Secret::new(file.to_string()), ..Identity::default() };
        Google.proof(&who, &Transport::new(Duration::from_secs(1)))
    }

    #[test]
    fn an_assertion_says_who_we_are_and_is_signed() {
        let key = RsaKeyPair::from_pkcs8(&pem(KEY).expect("PEM")).expect("a key");
        let public = key.public().as_ref().to_vec();
        let account = Account {
            key,
            id: "k1".to_owned(),
            email: "a@b.iam.gserviceaccount.com".to_owned(),
            scope: SCOPE.to_owned(),
            audience: TOKEN_URL.to_owned(),
        };
        let assertion = account.assertion(1_000).expect("signed");
        let (said, signature) = assertion.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(said.as_bytes(), &signature).expect("ours");
        let (_, claims) = said.split_once('.').expect("two parts");
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON");
        assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(1_000), Some(4_600)));
        assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(account.email.as_str()), Some(TOKEN_URL)));
    }

    #[test]
    fn both_kinds_of_files_are_taken_and_others_are_named() {
        let account = json!({"type": "service_account", "client_email": "a@b", "private_key": KEY});
        assert!(matches!(proof(&account), Ok(Proof::Each(_))));
        let person = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"});
        assert!(matches!(proof(&person), Ok(Proof::Each(_))));
        for (file, word) in [
            (json!({"type": "external_account"}), "external_account"),
            (json!({"type": "service_account", "client_email": "a@b"}), "private_key"),
            (json!({"type": "service_account", "client_email": "a@b", "private_key": "x"}), "PKCS"),
            (json!({}), "type"),
        ] {
            let Err(fault) = proof(&file) else { panic!("{file} is taken") };
            assert!(fault.message.contains(word), "{fault}");
        }
    }
}
