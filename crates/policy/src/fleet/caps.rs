//! Capabilities as a small set, so that "has all that is needed" is one operation.

use crate::rules::Needs;
use canon::Facets;
use std::fmt;

/// One thing that a model can or cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cap {
    /// Call tools.
    Tools,
    /// See images.
    Images,
    /// Hear audio.
    Audio,
    /// Read documents.
    Documents,
    /// Keep to JSON or a schema.
    Structured,
    /// Think before answering.
    Reasoning,
    /// Report log probabilities.
    Logprobs,
}

impl Cap {
    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::Tools, Self::Images, Self::Audio, Self::Documents, Self::Structured, Self::Reasoning, Self::Logprobs];

    /// Its name in configuration and catalog.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Documents => "documents",
            Self::Structured => "structured",
            Self::Reasoning => "reasoning",
            Self::Logprobs => "logprobs",
        }
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Caps(u8);

impl Caps {
    /// None.
    pub const NONE: Self = Self(0);

    /// Every capability.
    #[must_use]
    pub fn all() -> Self {
        Cap::ALL.into_iter().collect()
    }

    /// With `cap` in the set where `yes`.
    #[must_use]
    pub const fn with(self, cap: Cap, yes: bool) -> Self {
        if yes { Self(self.0 | 1 << cap as u8) } else { self }
    }

    /// Whether `cap` is in the set.
    #[must_use]
    pub const fn has(self, cap: Cap) -> bool {
        self.0 >> (cap as u8) & 1 == 1
    }

    /// What is in both sets.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The first of the set, in the order of `Cap::ALL`.
    #[must_use]
    pub fn first(self) -> Option<Cap> {
        Cap::ALL.into_iter().find(|cap| self.has(*cap))
    }

    /// What a request cannot do without. Thinking is not among them: an answer without it is still an answer.
    #[must_use]
    pub const fn of_request(facets: &Facets) -> Self {
        Self::NONE
            .with(Cap::Tools, facets.tools)
            .with(Cap::Images, facets.images)
            .with(Cap::Audio, facets.audio)
            .with(Cap::Documents, facets.documents)
            .with(Cap::Structured, facets.structured)
            .with(Cap::Logprobs, facets.logprobs)
    }

    /// What a product declares to need.
    #[must_use]
    pub const fn of_needs(needs: &Needs) -> Self {
        Self::NONE
            .with(Cap::Tools, needs.tools)
            .with(Cap::Images, needs.images)
            .with(Cap::Audio, needs.audio)
            .with(Cap::Documents, needs.documents)
            .with(Cap::Structured, needs.structured)
            .with(Cap::Reasoning, needs.reasoning)
            .with(Cap::Logprobs, needs.logprobs)
    }
}

impl FromIterator<Cap> for Caps {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> Self {
        caps.into_iter().fold(Self::NONE, |set, cap| set.with(cap, true))
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Cap::ALL.iter().filter(|cap| self.has(**cap)).map(|cap| cap.name())).finish()
    }
}
