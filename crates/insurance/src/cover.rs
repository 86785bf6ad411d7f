//! What is proven: that one deployment may answer in another's place for one kind of task of one product. A configured
//! fallback is not a cover, and the absence of a cover is `none`.

use crate::Day;
use ledger::record::Name;
use serde::Serialize;

/// What the evidence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Shown to be no worse than the margin allows.
    Covered,
    /// Shown to be worse.
    BelowFloor,
    /// Too few pairs to say.
    Insufficient,
    /// Something it depends on has changed since.
    Stale,
    /// Not allowed: a contract, a need or a right stands against it.
    Blocked,
    /// Never looked at.
    None,
}

/// One row of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cover {
    /// The product.
    pub product: Name,
    /// The kind of task; `None`: all of the product's.
    pub class: Option<Name>,
    /// The deployment that is lost.
    pub from: Name,
    /// The deployment that answers instead.
    pub to: Name,
    /// What the evidence says.
    pub verdict: Verdict,
    /// The last day on which it counts.
    pub expires: Day,
}

/// What `covers` say of `to` in the place of `from` on `day`; a cover of the class goes before one of all classes.
#[must_use]
pub fn verdict(covers: &[Cover], product: &str, class: Option<&str>, from: &str, to: &str, day: Day) -> Verdict {
    let fits = |cover: &&Cover| &*cover.product == product && &*cover.from == from && &*cover.to == to;
    let all = covers.iter().filter(fits);
    let exact = all.clone().find(|cover| cover.class.is_some() && cover.class.as_deref() == class);
    let found = exact.or_else(|| all.clone().find(|cover| cover.class.is_none()));
    found.map_or(Verdict::None, |cover| if day > cover.expires { Verdict::Stale } else { cover.verdict })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_none_and_age_is_stale() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let cover = |class: Option<&str>, verdict| Cover {
            product: "office".into(),
            class: class.map(Into::into),
            from: "gpt".into(),
            to: "claude".into(),
            verdict,
            expires: day("2026-12-31"),
        };
        let covers = [cover(None, Verdict::Covered), cover(Some("draft"), Verdict::BelowFloor)];
        let ask = |class, to, on| verdict(&covers, "office", class, "gpt", to, day(on));
        assert_eq!(ask(None, "claude", "2026-12-31"), Verdict::Covered);
        assert_eq!(ask(Some("mail"), "claude", "2026-12-31"), Verdict::Covered);
        assert_eq!(ask(Some("draft"), "claude", "2026-12-31"), Verdict::BelowFloor);
        assert_eq!(ask(None, "claude", "2027-01-01"), Verdict::Stale);
        assert_eq!(ask(None, "mistral", "2026-12-31"), Verdict::None);
    }
}
