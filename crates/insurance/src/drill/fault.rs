//! The catalogue of what a loss looks like from outside. As text `cut:after=40`: a name, and what may be set of it.

use canon::FaultKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Which settings it has.
    pub settings: &'static [&'static str],
    /// How it is played; `None`: on paper only.
    play: Option<Play>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Play {
    Refuses(FaultKind, Option<u16>),
    Silent,
    Late,
    Breaks(Break),
}

/// How an answer breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection is cut.
    Cut,
    /// Silence, the connection stays open.
    Stall,
    /// Something that its wire does not allow.
    Malformed,
    /// It ends without the wire's end.
    NoEnd,
    /// An error event.
    Error,
}

/// What is done to calls of whoever is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Played {
    /// They fail at once, and no call is made.
    Refuses {
        /// What they hear.
        kind: FaultKind,
        /// With which HTTP status; `None`: no answer at all.
        status: Option<u16>,
        /// How long they are asked to wait, in seconds.
        wait: Option<u64>,
    },
    /// They hear nothing.
    Silent,
    /// Their first token comes so many milliseconds later.
    Late(u64),
    /// They are really made, and the answer breaks.
    Breaks {
        /// After so many pieces of content.
        after: usize,
        /// In which way.
        how: Break,
    },
}

const fn kind(name: &'static str, about: &'static str, settings: &'static [&'static str], play: Option<Play>) -> Kind {
    Kind { name, about, settings, play }
}

use Play::{Breaks, Late, Refuses, Silent};

/// Every kind.
pub const KINDS: &[Kind] = &[
    kind("refused", "no connection: the port is closed", &["times"], Some(Refuses(FaultKind::Connect, None))),
    kind("reset", "the connection is reset before any answer", &["times"], Some(Refuses(FaultKind::Connect, None))),
    kind("silent", "the connection stands and nothing ever comes", &["times"], Some(Silent)),
    kind("slow", "the first token comes late (`ms`, default 20000)", &["ms", "times"], Some(Late)),
    kind(
        "rate-limited",
        "429, with `wait` seconds to wait where set; `times=1`: once",
        &["wait", "times"],
        Some(Refuses(FaultKind::RateLimited, Some(429))),
    ),
    kind(
        "quota",
        "429: the quota is used up, for `wait` seconds where set",
        &["wait", "times"],
        Some(Refuses(FaultKind::QuotaExhausted, Some(429))),
    ),
    kind("server-error", "500; `times=1`: once", &["times"], Some(Refuses(FaultKind::Server, Some(500)))),
    kind("overloaded", "503", &["wait", "times"], Some(Refuses(FaultKind::Overloaded, Some(503)))),
    kind(
        "cut",
        "the answer is cut (`after` pieces of content, default 40)",
        &["after", "times"],
        Some(Breaks(Break::Cut)),
    ),
    kind("stall", "the answer stops and the connection stays open", &["after", "times"], Some(Breaks(Break::Stall))),
    kind(
        "malformed",
        "a piece of the answer is not what its wire allows",
        &["after", "times"],
        Some(Breaks(Break::Malformed)),
    ),
    kind("no-end", "the answer ends without its wire's end", &["after", "times"], Some(Breaks(Break::NoEnd))),
    kind("error-event", "an error event inside a good answer", &["after", "times"], Some(Breaks(Break::Error))),
    kind(
        "context-length",
        "400: the prompt is too long",
        &["times"],
        Some(Refuses(FaultKind::ContextLength, Some(400))),
    ),
    kind(
        "content-filter",
        "400: a filter refuses the prompt",
        &["times"],
        Some(Refuses(FaultKind::ContentFilter, Some(400))),
    ),
    kind("revoked", "401: our key is revoked", &["times"], Some(Refuses(FaultKind::Unauthenticated, Some(401)))),
    kind("banned", "403: our account or place is shut out", &["times"], Some(Refuses(FaultKind::Forbidden, Some(403)))),
    kind("retired", "404: the model is no more", &["times"], Some(Refuses(FaultKind::NotFound, Some(404)))),
    kind("price", "its price times `factor` (default 2); on paper only", &["factor"], None),
    kind("degraded", "its answers get worse by `delta` (default 0.1), unsaid; on paper only", &["delta"], None),
];

/// A fault: its kind with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its kind.
    pub kind: &'static Kind,
    /// Pieces of content before a break; `None`: 40.
    pub after: Option<usize>,
    /// Milliseconds until a late first token; `None`: 20,000.
    pub ms: Option<u64>,
    /// Seconds that callers are asked to wait.
    pub wait: Option<u64>,
    /// How many calls of each lost deployment fail, the first ones; `None`: all.
    pub times: Option<u64>,
    /// Times how much a price rises; `None`: 2.
    pub factor: Option<f64>,
    /// How much worse answers get, 0 to 1; `None`: 0.1.
    pub delta: Option<f64>,
}

impl Fault {
    /// The fault of `kind` with nothing set.
    #[must_use]
    pub const fn of(kind: &'static Kind) -> Self {
        Self { kind, after: None, ms: None, wait: None, times: None, factor: None, delta: None }
    }

    /// What is done to calls; `None`: it plays on paper only.
    #[must_use]
    pub fn played(&self) -> Option<Played> {
        Some(match self.kind.play? {
            Refuses(kind, status) => Played::Refuses { kind, status, wait: self.wait },
            Silent => Played::Silent,
            Late => Played::Late(self.ms.unwrap_or(20_000)),
            Breaks(how) => Played::Breaks { after: self.after.unwrap_or(40), how },
        })
    }

    /// Times how much a price rises, where this is what it is about.
    #[must_use]
    pub fn price(&self) -> Option<f64> {
        (self.kind.name == "price").then(|| self.factor.unwrap_or(2.0))
    }

    /// How much worse answers get, where this is what it is about.
    #[must_use]
    pub fn worse(&self) -> Option<f64> {
        (self.kind.name == "degraded").then(|| self.delta.unwrap_or(0.1))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), NoFault> {
        let wrong = || NoFault::Value { name: name.to_owned(), value: value.to_owned() };
        if !self.kind.settings.contains(&name) {
            let known = self.kind.settings.join("`, `");
            return Err(NoFault::Setting { kind: self.kind.name, name: name.to_owned(), known });
        }
        let number = || value.parse::<u64>().map_err(|_| wrong());
        let real = |least: f64, most: f64| {
            value.parse::<f64>().ok().filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
        };
        match name {
            "after" => self.after = Some(value.parse().map_err(|_| wrong())?),
            "ms" => self.ms = Some(number()?),
            "wait" => self.wait = Some(number()?),
            "times" => self.times = Some(number()?),
            "factor" => self.factor = Some(real(0.0, 1_000.0)?),
            _ => self.delta = Some(real(0.0, 1.0)?),
        }
        Ok(())
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::of(&KINDS[0])
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name)?;
        let settings = [
            ("after", self.after.map(|number| number.to_string())),
            ("ms", self.ms.map(|number| number.to_string())),
            ("wait", self.wait.map(|number| number.to_string())),
            ("times", self.times.map(|number| number.to_string())),
            ("factor", self.factor.map(|number| number.to_string())),
            ("delta", self.delta.map(|number| number.to_string())),
        ];
        let set = settings.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
        let set: Vec<String> = set.collect();
        if set.is_empty() { Ok(()) } else { write!(f, ":{}", set.join(",")) }
    }
}

/// A text that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFault {
    /// No such kind.
    #[error("`{0}` is no fault; known: {known}", known = names())]
    Kind(String),
    /// A setting that the kind does not have.
    #[error("`{kind}` has no setting `{name}`; it has `{known}`")]
    Setting {
        /// The kind.
        kind: &'static str,
        /// The setting.
        name: String,
        /// Those it has.
        known: String,
    },
    /// A value that cannot be.
    #[error("`{name}={value}` cannot be: write a number")]
    Value {
        /// The setting.
        name: String,
        /// What was written.
        value: String,
    },
}

fn names() -> String {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| NoFault::Kind(name.to_owned()))?;
        let mut fault = Self::of(kind);
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            fault.set(name.trim(), value.trim())?;
        }
        Ok(fault)
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_they_are_written() {
        for kind in KINDS {
            assert_eq!(kind.name.parse::<Fault>().unwrap(), Fault::of(kind));
            assert_eq!(Fault::of(kind).played().is_none(), ["price", "degraded"].contains(&kind.name));
        }
        for text in
            ["cut:after=3", "rate-limited:wait=5,times=1", "price:factor=1.5", "degraded:delta=0.2", "slow:ms=1"]
        {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("silent".parse::<Fault>().unwrap().played(), Some(Played::Silent));
        let wrong = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert!(wrong("gone").contains("known: refused, reset, silent"));
        assert!(wrong("revoked:after=1").contains("it has `times`"));
        assert!(wrong("cut:after=x").contains("write a number"));
        assert!(wrong("degraded:delta=2").contains("`delta=2`"));
    }
}
