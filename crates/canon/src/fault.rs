//! What can go wrong on a request's path: what it was, whose fault it was, and what may be done about it.
//! One type for every room on the path; each wire knows how to read and write it in its own shape.

use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// Whose fault it was.
    pub side: Side,
    /// What may be done.
    pub retry: Retry,
    /// The upstream's HTTP status, where there was one.
    pub status: Option<u16>,
    /// The upstream's own code, where there was one.
    pub code: Option<String>,
    /// The request's field at fault, where known.
    pub param: Option<String>,
    /// Words for a person; never a key, a prompt or another tenant's name.
    pub message: String,
    /// How long the upstream asks to wait.
    pub retry_after: Option<Duration>,
}

/// Whose fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client asked for something wrong.
    Client,
    /// We could not.
    Gateway,
    /// The provider could not.
    Provider,
}

/// What may be done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing: the same request fails everywhere.
    Never,
    /// The same deployment may be asked again.
    Here,
    /// Another deployment may be asked.
    Elsewhere,
}

/// What went wrong. `name` is the stable code that clients, the ledger and the reference use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request is malformed or asks for what cannot be.
    Invalid,
    /// The prompt does not fit the context window.
    ContextLength,
    /// The body is larger than accepted.
    TooLarge,
    /// The key is missing or wrong.
    Unauthenticated,
    /// The key may not do this.
    Forbidden,
    /// The account cannot pay.
    Billing,
    /// No such model, route or object.
    NotFound,
    /// The method is not one of the route's.
    MethodNotAllowed,
    /// A filter refused the request.
    ContentFilter,
    /// Too many requests or tokens per time.
    RateLimited,
    /// The quota of the period is used up.
    QuotaExhausted,
    /// The product's budget does not allow it.
    Budget,
    /// The server is overloaded (503, 529) or its queue is full.
    Overloaded,
    /// The server failed (other 5xx).
    Server,
    /// No connection: DNS, refused, reset before an answer, TLS.
    Connect,
    /// The connection took too long.
    ConnectTimeout,
    /// No first token in time.
    FirstTokenTimeout,
    /// Silence between tokens.
    Stalled,
    /// The request's deadline passed.
    Deadline,
    /// The answer ended before it was complete.
    Cut,
    /// The answer is not what its wire allows.
    Malformed,
    /// What was asked cannot be said on the target wire and the product forbids losses.
    Loss,
    /// No deployment can serve the request.
    NoRoute,
    /// The client went away.
    Cancelled,
    /// A fault of our own.
    Internal,
}

impl FaultKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 25] = [
        Self::Invalid,
        Self::ContextLength,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Billing,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::ContentFilter,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Budget,
        Self::Overloaded,
        Self::Server,
        Self::Connect,
        Self::ConnectTimeout,
        Self::FirstTokenTimeout,
        Self::Stalled,
        Self::Deadline,
        Self::Cut,
        Self::Malformed,
        Self::Loss,
        Self::NoRoute,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The stable code, the status a client sees, and the retry decision when a provider shows it.
    #[must_use]
    pub const fn row(self) -> (&'static str, u16, Retry) {
        match self {
            Self::Invalid => ("invalid_request", 400, Retry::Never),
            Self::ContextLength => ("context_length_exceeded", 400, Retry::Elsewhere),
            Self::TooLarge => ("request_too_large", 413, Retry::Elsewhere),
            Self::Unauthenticated => ("invalid_api_key", 401, Retry::Elsewhere),
            Self::Forbidden => ("permission_denied", 403, Retry::Elsewhere),
            Self::Billing => ("billing", 402, Retry::Elsewhere),
            Self::NotFound => ("not_found", 404, Retry::Elsewhere),
            Self::MethodNotAllowed => ("method_not_allowed", 405, Retry::Never),
            Self::ContentFilter => ("content_filter", 400, Retry::Never),
            Self::RateLimited => ("rate_limit_exceeded", 429, Retry::Elsewhere),
            Self::QuotaExhausted => ("insufficient_quota", 429, Retry::Elsewhere),
            Self::Budget => ("budget_exceeded", 429, Retry::Never),
            Self::Overloaded => ("overloaded", 503, Retry::Elsewhere),
            Self::Server => ("server_error", 502, Retry::Elsewhere),
            Self::Connect => ("upstream_unreachable", 502, Retry::Elsewhere),
            Self::ConnectTimeout => ("upstream_connect_timeout", 504, Retry::Elsewhere),
            Self::FirstTokenTimeout => ("upstream_first_token_timeout", 504, Retry::Elsewhere),
            Self::Stalled => ("upstream_stalled", 504, Retry::Elsewhere),
            Self::Deadline => ("deadline_exceeded", 504, Retry::Never),
            Self::Cut => ("upstream_cut", 502, Retry::Elsewhere),
            Self::Malformed => ("upstream_malformed", 502, Retry::Elsewhere),
            Self::Loss => ("not_sayable", 400, Retry::Elsewhere),
            Self::NoRoute => ("no_route", 503, Retry::Never),
            Self::Cancelled => ("client_closed_request", 499, Retry::Never),
            Self::Internal => ("internal_error", 500, Retry::Elsewhere),
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The kind whose stable code is `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The HTTP status a client sees.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().1
    }
}

impl Fault {
    /// A fault of `kind` on `side`; `retry` from the kind's row, except that a client's own fault is never retried.
    #[must_use]
    pub fn new(kind: FaultKind, side: Side, message: impl Into<String>) -> Self {
        let retry = if side == Side::Client { Retry::Never } else { kind.row().2 };
        Self { kind, side, retry, status: None, code: None, param: None, message: message.into(), retry_after: None }
    }

    /// The client's own fault.
    #[must_use]
    pub fn client(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::new(kind, Side::Client, message)
    }

    /// The provider's fault.
    #[must_use]
    pub fn provider(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::new(kind, Side::Provider, message)
    }

    /// Our own fault.
    #[must_use]
    pub fn gateway(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::new(kind, Side::Gateway, message)
    }

    /// The status a client sees. A provider that refuses *our* key or account is a bad gateway to the client, whose
    /// own key is fine; 529 stays 529, since clients that know it wait differently.
    #[must_use]
    pub fn client_status(&self) -> u16 {
        match (self.side, self.kind) {
            (Side::Provider, FaultKind::Unauthenticated | FaultKind::Forbidden | FaultKind::Billing) => 502,
            (Side::Provider, FaultKind::Overloaded) if self.status == Some(529) => 529,
            (_, kind) => kind.status(),
        }
    }

    /// Whether the message may name what a provider said: not where it may hold a piece of our key.
    #[must_use]
    pub fn client_message(&self) -> &str {
        match (self.side, self.kind) {
            (Side::Provider, FaultKind::Unauthenticated | FaultKind::Forbidden) => {
                "the provider refused the gateway's own credentials; the operator must check the provider's key"
            }
            (Side::Provider, FaultKind::Billing) => "the gateway's account at the provider cannot pay for the call",
            _ => &self.message,
        }
    }

    /// With the request's field at fault.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// With a time to wait.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The kind that an upstream's HTTP status stands for when its body says nothing more.
    #[must_use]
    pub const fn kind_of_status(status: u16) -> FaultKind {
        match status {
            401 => FaultKind::Unauthenticated,
            402 => FaultKind::Billing,
            403 => FaultKind::Forbidden,
            404 | 410 => FaultKind::NotFound,
            408 => FaultKind::FirstTokenTimeout,
            413 => FaultKind::TooLarge,
            429 => FaultKind::RateLimited,
            503 | 529 => FaultKind::Overloaded,
            400..=499 => FaultKind::Invalid,
            _ => FaultKind::Server,
        }
    }
}
