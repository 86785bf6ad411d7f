//! Values with stable names: what the ledger, the reports and the reference write for an enum's members. A name, once
//! released, never changes. Pure. `named!` makes an enum with its names; the canon's enums get theirs here.

use canon::wire::LossKind;
use canon::{FaultKind, StopReason};

/// An enum whose members have stable names.
pub trait Named: Copy + Sized + 'static {
    /// What the enum is called in messages.
    const WHAT: &'static str;
    /// Every member.
    const MEMBERS: &'static [Self];

    /// The member's stable name.
    fn name(self) -> &'static str;

    /// The member called `name`.
    fn named(name: &str) -> Option<Self> {
        Self::MEMBERS.iter().copied().find(|member| member.name() == name)
    }
}

/// Makes an enum with stable names: `Named`, `Display`, and text in serde.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $enum:ident { $($(#[$doc:meta])* $member:ident => $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $enum { $($(#[$doc])* $member,)+ }

        impl $crate::named::Named for $enum {
            const WHAT: &'static str = stringify!($enum);
            const MEMBERS: &'static [Self] = &[$(Self::$member),+];

            fn name(self) -> &'static str {
                match self { $(Self::$member => $name,)+ }
            }
        }

        impl ::std::fmt::Display for $enum {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad($crate::named::Named::name(*self))
            }
        }

        impl ::serde::Serialize for $enum {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::named::text::serialize(self, serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $enum {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::named::text::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use named;

/// Serde of a named value as text.
pub(crate) mod text {
    use super::Named;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;

    pub(crate) fn serialize<T: Named, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.name())
    }

    pub(crate) fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let name = <Cow<'de, str>>::deserialize(deserializer)?;
        T::named(&name).ok_or_else(|| D::Error::custom(format_args!("unknown {} `{name}`", T::WHAT)))
    }
}

/// Serde of a named value that may be missing.
pub(crate) mod option {
    use super::Named;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;

    pub(crate) fn serialize<T: Named, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_str(value.name()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        match <Option<Cow<'de, str>>>::deserialize(deserializer)? {
            None => Ok(None),
            Some(name) => {
                T::named(&name).map(Some).ok_or_else(|| D::Error::custom(format_args!("unknown {} `{name}`", T::WHAT)))
            }
        }
    }
}

impl Named for FaultKind {
    const WHAT: &'static str = "fault kind";
    const MEMBERS: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        Self::name(self)
    }
}

impl Named for StopReason {
    const WHAT: &'static str = "finish reason";
    const MEMBERS: &'static [Self] = &[
        Self::End,
        Self::StopSequence,
        Self::Length,
        Self::Context,
        Self::ToolCalls,
        Self::ContentFilter,
        Self::Refusal,
        Self::Pause,
        Self::Other,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::StopSequence => "stop_sequence",
            Self::Length => "length",
            Self::Context => "context",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::Pause => "pause",
            Self::Other => "other",
        }
    }
}

impl Named for LossKind {
    const WHAT: &'static str = "loss";
    const MEMBERS: &'static [Self] = &[Self::Dropped, Self::Weakened, Self::Emulated];

    fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Weakened => "weakened",
            Self::Emulated => "emulated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Mode, Outcome, Portability, UsageSource};
    use crate::store::Dimension;

    fn every_name_leads_home<T: Named + PartialEq + std::fmt::Debug>() {
        for &member in T::MEMBERS {
            assert_eq!(T::named(member.name()), Some(member));
        }
        assert_eq!(T::named("no such name"), None);
    }

    #[test]
    fn names_are_unique() {
        every_name_leads_home::<FaultKind>();
        every_name_leads_home::<StopReason>();
        every_name_leads_home::<LossKind>();
        every_name_leads_home::<Mode>();
        every_name_leads_home::<Outcome>();
        every_name_leads_home::<Portability>();
        every_name_leads_home::<UsageSource>();
        every_name_leads_home::<Dimension>();
    }
}
