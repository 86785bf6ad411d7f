//! A day in UTC, as reports and files write it.

use policy::Wall;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

const SECONDS: i64 = 86_400;

/// A calendar day in UTC; as text `2032-12-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Wall);

impl Day {
    /// The day in which `wall` lies.
    #[must_use]
    pub const fn of(wall: Wall) -> Self {
        Self(wall.day())
    }

    /// The day in which a moment lies, Unix microseconds.
    #[must_use]
    pub const fn of_micros(micros: i64) -> Self {
        Self::of(Wall::from_unix(micros.div_euclid(1_000_000)))
    }

    /// Its first moment.
    #[must_use]
    pub const fn wall(self) -> Wall {
        self.0
    }

    /// Whole days from `self` until `later`; negative where that has passed.
    #[must_use]
    pub const fn days_until(self, later: Self) -> i64 {
        (later.0.unix() - self.0.unix()) / SECONDS
    }

    /// The day `days` earlier.
    #[must_use]
    pub const fn before(self, days: i64) -> Self {
        Self(Wall::from_unix(self.0.unix() - days * SECONDS))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no day; write it like 2032-12-31")]
pub struct NoDay(pub String);

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let no = || NoDay(text.to_owned());
        let mut parts = text.splitn(3, '-').map(str::parse::<u16>);
        let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) = (parts.next(), parts.next(), parts.next()) else {
            return Err(no());
        };
        let (Ok(month), Ok(day)) = (u8::try_from(month), u8::try_from(day)) else { return Err(no()) };
        let wall = Wall::from_date(i64::from(year), month, day);
        // a 31st of February comes out as another day
        if wall.date() == (i64::from(year), month, day) { Ok(Self(wall)) } else { Err(no()) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The key under which TOML gives a date that is written without quotes.
const TOML_DATE: &str = "$__toml_private_datetime";

/// A day as text, or as TOML writes one without quotes.
impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> de::Visitor<'de> for Read {
            type Value = Day;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a day like 2032-12-31")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Day, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Day, A::Error> {
                if map.next_key::<String>()?.is_none_or(|key| key != TOML_DATE) {
                    return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
                }
                self.visit_str(&map.next_value::<String>()?)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_write_a_day_with_quotes_or_without() {
        #[derive(Debug, Deserialize)]
        struct File {
            day: Option<Day>,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.day);
        let day = Some("2032-12-31".parse().unwrap());
        assert_eq!(read("day = 2032-12-31"), Ok(day));
        assert_eq!(read("day = \"2032-12-31\""), Ok(day));
        assert_eq!(read(""), Ok(None));
        for wrong in ["day = 2032-12-31T10:00:00", "day = { on = 1 }", "day = 7", "day = \"soon\""] {
            assert!(read(wrong).unwrap_err().to_string().contains("2032-12-31"), "{wrong}");
        }
    }

    #[test]
    fn days_are_read_counted_and_refused() {
        let day: Day = "2026-12-31".parse().unwrap();
        assert_eq!(day.to_string(), "2026-12-31");
        assert_eq!(day.before(31).to_string(), "2026-11-30");
        assert_eq!(day.before(31).days_until(day), 31);
        for wrong in ["2026-02-30", "2026-13-01", "tomorrow", "2026-1", "", "2026-01-01T00:00:00Z"] {
            assert_eq!(wrong.parse::<Day>(), Err(NoDay(wrong.to_owned())));
        }
    }
}
