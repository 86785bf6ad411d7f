//! AWS Signature Version 4: each call is signed with a key that never leaves us (docs.aws.amazon.com, "Create a signed AWS
//! API request"). `login.client` is the access key's id, the row's key the secret access key; of temporary
//! credentials `login.session` is the token. The algorithm is five HMACs; an SDK for it would bring more packages than the
//! rest of this room. Checked against AWS's own test vectors.

use super::header::value;
use super::{Identity, Proof, Scheme, Sign};
use crate::clock;
use crate::sigv4::{ALGORITHM, Scope, canonical, names, signature, stamp};
use crate::upstream::backend::BoxFuture;
use crate::upstream::trace::Outgoing;
use crate::upstream::transport::Transport;
use bytes::Bytes;
use canon::{Fault, FaultKind};
use http::Request;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};

/// The service that Bedrock's model calls are signed for.
const SERVICE: &str = "bedrock";

/// AWS Signature Version 4.
#[derive(Debug)]
pub(super) struct SigV4;

impl Scheme for SigV4 {
    fn name(&self) -> &'static str {
        "sigv4"
    }

    fn needs_secret(&self) -> bool {
        true
    }

    fn proof(&self, who: &Identity, _transport: &Transport) -> Result<Proof, Fault> {
        let need = |value: &Option<String>, name: &str| {
            let message = format!("`auth = \"sigv4\"` needs {name}");
            value.clone().ok_or_else(|| Fault::gateway(FaultKind::Internal, message))
        };
        let signer = Signer {
            id: need(&who.login.client, "`login.client`, the access key's id")?,
            secret: who.secret.reveal().to_owned(),
            session: who.login.session.as_deref().map(value).transpose()?,
            region: need(&who.region, "the deployment's `region`")?,
            service: who.login.service.clone().unwrap_or_else(|| SERVICE.to_owned()),
        };
        Ok(Proof::Each(Box::new(signer)))
    }
}

/// Signs for one account, region and service.
struct Signer {
    id: String,
    secret: String,
    session: Option<HeaderValue>,
    region: String,
    service: String,
}

impl Sign for Signer {
    fn sign<'a>(&'a self, request: &'a mut Request<Outgoing>, body: &'a Bytes) -> BoxFuture<'a, Result<(), Fault>> {
        let signed = self.signed(request, body, &stamp(clock::unix_micros() / 1_000_000));
        Box::pin(std::future::ready(signed))
    }
}

impl Signer {
    /// Adds the signature of `request` at `time`, `YYYYMMDDTHHMMSSZ`.
    fn signed(&self, request: &mut Request<Outgoing>, body: &[u8], time: &str) -> Result<(), Fault> {
        let authority = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let headers = request.headers_mut();
        headers.insert(HOST, value(&authority)?);
        headers.insert(HeaderName::from_static("x-amz-date"), value(time)?);
        if let Some(session) = &self.session {
            headers.insert(HeaderName::from_static("x-amz-security-token"), session.clone());
        }
        // What proxies may change is not signed.
        let mut named: Vec<(String, String)> = headers
            .iter()
            .filter(|(name, _)| {
                **name == HOST || name.as_str() == "content-type" || name.as_str().starts_with("x-amz-")
            })
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).trim().to_owned()))
            .collect();
        named.sort_unstable();
        let scope = Scope { day: time.get(..8).unwrap_or_default(), region: &self.region, service: &self.service };
        let signed =
            signature(&self.secret, &scope, time, &canonical(request.method().as_str(), request.uri(), &named, body));
        let (id, scope, names) = (&self.id, scope.text(), names(&named));
        let proof = format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signed}");
        request.headers_mut().insert(AUTHORIZATION, value(&proof)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    /// Of AWS's test suite for Signature Version 4 (`aws-sig-v4-test-suite`).
    fn vectors() -> Signer {
        Signer {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session: None,
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
        }
    }

    fn signature(method: Method, uri: &str, content: Option<&str>, body: &str) -> String {
        let mut request = Request::new(Outgoing::from(Bytes::from(body.to_owned())));
        (*request.method_mut(), *request.uri_mut()) = (method, uri.parse().expect("an address"));
        if let Some(content) = content {
            request.headers_mut().insert("content-type", HeaderValue::from_str(content).expect("a header"));
        }
        vectors().signed(&mut request, body.as_bytes(), "20150830T123600Z").expect("signed");
        let proof = request.headers()[AUTHORIZATION].to_str().expect("text").to_owned();
        proof.rsplit_once("Signature=").expect("a signature").1.to_owned()
    }

    #[test]
    fn signatures_are_those_of_awss_test_suite() {
        let cases = [
            (
                "get-vanilla",
                Method::GET,
                "https://example.amazonaws.com/",
                None,
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                Method::GET,
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                None,
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                Method::POST,
                "https://example.amazonaws.com/",
                None,
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                Method::POST,
                "https://example.amazonaws.com/",
                Some("application/x-www-form-urlencoded"),
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ];
        for (name, method, uri, content, body, expected) in cases {
            assert_eq!(signature(method, uri, content, body), expected, "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let transport = Transport::new(std::time::Duration::from_secs(1));
        let Err(fault) = SigV4.proof(&Identity::default(), &transport) else { panic!("it is taken") };
        assert!(fault.message.contains("login.client"), "{fault}");
    }
}
