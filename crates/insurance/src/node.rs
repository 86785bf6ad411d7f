//! What can be lost: a party in one of its roles, an account, a place, a lineage, a shared network, or ourselves.

use ledger::record::Name;
use policy::{Deployment, Dim};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// What kind of thing can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who trained the model.
    Maker,
    /// Whose machines run it.
    Host,
    /// Who bills.
    Invoicer,
    /// Our account.
    Account,
    /// A model family.
    Family,
    /// A place.
    Region,
    /// The API counterparty.
    Provider,
    /// A deployment.
    Deployment,
    /// An organisation with all its roles.
    Party,
    /// A network that several hosts share.
    Network,
    /// This program.
    Autarky,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Maker,
        Self::Host,
        Self::Invoicer,
        Self::Account,
        Self::Family,
        Self::Region,
        Self::Provider,
        Self::Deployment,
        Self::Party,
        Self::Network,
        Self::Autarky,
    ];

    /// Those by which traffic is divided among parties.
    pub const SHARED: [Self; 7] =
        [Self::Maker, Self::Host, Self::Invoicer, Self::Account, Self::Family, Self::Region, Self::Deployment];

    /// The word before the colon, as in `maker:openai`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Maker => "maker",
            Self::Host => "host",
            Self::Invoicer => "invoicer",
            Self::Account => "account",
            Self::Family => "family",
            Self::Region => "region",
            Self::Provider => "provider",
            Self::Deployment => "deployment",
            Self::Party => "party",
            Self::Network => "network",
            Self::Autarky => "autarky",
        }
    }

    /// What `deployment` depends on in this respect; `None`: unknown, or nothing of the kind.
    #[must_use]
    pub fn of(self, deployment: &Deployment) -> Option<&str> {
        let dim = match self {
            Self::Maker => Dim::Maker,
            Self::Host => Dim::Host,
            Self::Invoicer => Dim::Invoicer,
            Self::Account => Dim::Account,
            Self::Family => Dim::Family,
            Self::Region => Dim::Region,
            Self::Provider => Dim::Provider,
            Self::Deployment => Dim::Deployment,
            Self::Party | Self::Network | Self::Autarky => return None,
        };
        dim.of(deployment).filter(|name| *name != UNKNOWN)
    }
}

/// What a file writes for a fact that nobody knows.
pub const UNKNOWN: &str = "unknown";
/// The host and invoicer of what runs on our own machines: nobody else's to lose.
pub const OWN: &str = "own";
/// The word for all that runs on our own machines, the same as `host:own`.
const HOUSE: &str = "house";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that can be lost; as text `maker:openai`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// What kind of thing.
    pub kind: Kind,
    /// Which.
    pub name: Name,
}

impl Node {
    /// The `kind` called `name`.
    #[must_use]
    pub fn new(kind: Kind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Autarky { f.write_str("autarky") } else { write!(f, "{}:{}", self.kind, self.name) }
    }
}

/// A text that names nothing that can be lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names nothing that can be lost; write KIND:NAME, where KIND is one of maker, host, invoicer, account, family, region, provider, deployment, party, network; or `house`"
)]
pub struct NoNode(pub String);

impl FromStr for Node {
    type Err = NoNode;

    fn from_str(text: &str) -> Result<Self, NoNode> {
        if text == HOUSE {
            return Ok(Self::new(Kind::Host, OWN));
        }
        let found = text.split_once(':').filter(|(_, name)| !name.is_empty()).and_then(|(word, name)| {
            let kind = Kind::ALL.into_iter().find(|kind| *kind != Kind::Autarky && kind.name() == word)?;
            Some(Self::new(kind, name))
        });
        found.ok_or_else(|| NoNode(text.to_owned()))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
