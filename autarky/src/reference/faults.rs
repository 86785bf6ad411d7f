//! faults.md: what can go wrong, by its stable code.

use super::markdown::{Markdown, code};
use canon::fault::{Retry, Side};
use canon::{Fault, FaultKind};

const ABOUT: &str = "\
What can go wrong. The code is stable: clients find it in the error's body (in their own API's shape, see
[dialects](dialects.md)), the [ledger](ledger.md) under `fault`, the [metrics](metrics.md) under `error_type`, and
`autarky why` tells it for each attempt. A client sees a fault only when no other deployment could answer; the column
*from a provider* says what happens to an attempt that ends so. What is wrong with the client's own request is never tried
elsewhere.";

/// The page.
pub(super) fn page() -> String {
    let mut page = Markdown::new("Faults", ABOUT);
    let rows: Vec<_> = FaultKind::ALL.into_iter().map(row).collect();
    page.table(["code", "status", "what went wrong", "from a provider", "what to do"], &rows);
    page.paragraph(
        "`Retry-After` is set where a time is known. Status 529 of a provider stays 529. A stream that had begun ends with \
         the API's own error event, never with a clean end.",
    );
    page.finish()
}

fn row(kind: FaultKind) -> [String; 5] {
    let (name, status, retry) = kind.row();
    let from_provider = Fault::provider(kind, "").client_status();
    let status = if from_provider == status {
        status.to_string()
    } else {
        format!("{status}; {from_provider} when a provider says it of us")
    };
    let retried = match retry {
        Retry::Never => "given to the client",
        Retry::Here => "tried again, then elsewhere",
        Retry::Elsewhere => "tried elsewhere",
    };
    let (what, to_do) = words(kind);
    let retried = if sides(kind).contains(&Side::Provider) { retried } else { "" };
    [code(name), status, what.to_owned(), retried.to_owned(), to_do.to_owned()]
}

/// Whose fault it can be.
const fn sides(kind: FaultKind) -> &'static [Side] {
    use FaultKind as K;
    match kind {
        K::MethodNotAllowed | K::Loss => &[Side::Client],
        K::Cancelled => &[Side::Client],
        K::Budget | K::Deadline | K::NoRoute | K::Internal => &[Side::Gateway],
        _ => &[Side::Client, Side::Provider],
    }
}

/// What went wrong, and what to do.
const fn words(kind: FaultKind) -> (&'static str, &'static str) {
    use FaultKind as K;
    match kind {
        K::Invalid => {
            ("The request is malformed or asks for what cannot be.", "Change the request; the message names the field.")
        }
        K::ContextLength => (
            "The prompt does not fit the context window.",
            "Shorten it, or allow a deployment with a larger `context`.",
        ),
        K::TooLarge => ("The body is larger than accepted.", "Send less, or raise `server.body_mib`."),
        K::Unauthenticated => (
            "The key is missing, wrong, revoked or expired.",
            "Send a key of ours (`autarky keys list`). From a provider: check its `key`.",
        ),
        K::Forbidden => (
            "The key may not do this: its product is gone, or it may not be used from this address.",
            "Use another key, or make one with the right `--network`. From a provider: check the account's rights.",
        ),
        K::Billing => ("The account cannot pay.", "Pay the provider's bill."),
        K::NotFound => (
            "There is no such model, route or object.",
            "Ask `/v1/models` for the names there are; the message names near ones.",
        ),
        K::MethodNotAllowed => ("The method is not one of the route's.", "Use the route's method."),
        K::ContentFilter => ("A filter refused the request.", "Change the request."),
        K::RateLimited => ("Too many requests or tokens per time.", "Wait as long as `Retry-After` says."),
        K::QuotaExhausted => {
            ("The quota of the period is used up.", "Wait for the next period, or raise the quota at the provider.")
        }
        K::Budget => ("The product's budget does not allow it.", "Raise `budget`, or set `over = \"degrade\"`."),
        K::Overloaded => (
            "The server is overloaded or its queue is full.",
            "Wait as long as `Retry-After` says; from us: raise `server.in_flight`.",
        ),
        K::Server => ("The server failed.", "Try again; ask the provider if it stays."),
        K::Connect => {
            ("No connection: no such name, refused, reset before an answer, TLS.", "Check `base_url` and the network.")
        }
        K::ConnectTimeout => ("The connection took too long.", "Check the network, or raise `timeouts.connect_ms`."),
        K::FirstTokenTimeout => ("No first token in time.", "Try again, or raise `timeouts.first_token_ms`."),
        K::Stalled => ("Silence between tokens.", "Try again, or raise `timeouts.silence_ms`."),
        K::Deadline => ("The request's deadline passed.", "Try again, or raise `timeouts.deadline_ms`."),
        K::Cut => ("The answer ended before it was complete.", "Try again."),
        K::Malformed => {
            ("The answer is not what its wire allows.", "Check that `base_url` leads to the API that `wires` names.")
        }
        K::Loss => (
            "Something in the request cannot be said to any allowed deployment, and the product forbids losses.",
            "Leave out what the message names, or set `on_loss = \"send\"`.",
        ),
        K::NoRoute => (
            "No deployment can serve the request.",
            "The message tells why each was dropped; `autarky check` looks at the rules.",
        ),
        K::Cancelled => ("The client went away.", "Nothing."),
        K::Internal => ("A fault of our own.", "Report it with the request's id."),
    }
}
