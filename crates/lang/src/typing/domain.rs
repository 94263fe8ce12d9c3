//! Sets of values that a field can have at some place, for narrowing.

use crate::scheme::CaseValue;

/// What a value can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One of these numbers: ranges, both ends inclusive, sorted, without overlap or touch.
    Numbers(Vec<(i64, i64)>),
    /// One of these words, or, if `negated`, anything else.
    Words {
        /// The words, sorted; in upper case if the grammar ignores the case of keywords.
        words: Vec<Box<[u8]>>,
        /// Whether they are excluded.
        negated: bool,
    },
}

impl Domain {
    /// The numbers from `min` to `max`.
    pub fn range(min: i64, max: i64) -> Domain {
        Domain::numbers(vec![(min, max)])
    }

    /// These ranges of numbers, in any order.
    pub fn numbers(mut ranges: Vec<(i64, i64)>) -> Domain {
        ranges.retain(|range| range.0 <= range.1);
        ranges.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Domain::Numbers(merged)
    }

    /// These words.
    pub fn words(mut words: Vec<Box<[u8]>>) -> Domain {
        words.sort_unstable();
        words.dedup();
        Domain::Words { words, negated: false }
    }

    /// The values of a branch; nothing if they are of both kinds.
    pub fn of_cases(cases: &[CaseValue]) -> Option<Domain> {
        let mut ranges = Vec::new();
        let mut words = Vec::new();
        for case in cases {
            match case {
                CaseValue::Range(low, high) => ranges.push((*low, *high)),
                CaseValue::Text(text) => words.push(text.clone()),
            }
        }
        match (ranges.is_empty(), words.is_empty()) {
            (false, false) => None,
            (false, true) => Some(Domain::numbers(ranges)),
            _ => Some(Domain::words(words)),
        }
    }

    /// Everything else of the same kind.
    pub fn complement(&self) -> Domain {
        match self {
            Domain::Numbers(ranges) => {
                let mut rest = Vec::with_capacity(ranges.len().saturating_add(1));
                let mut next = Some(i64::MIN);
                for (low, high) in ranges {
                    if let (Some(from), Some(to)) = (next, low.checked_sub(1)) {
                        rest.push((from, to));
                    }
                    next = high.checked_add(1);
                }
                if let Some(from) = next {
                    rest.push((from, i64::MAX));
                }
                Domain::numbers(rest)
            }
            Domain::Words { words, negated } => Domain::Words { words: words.clone(), negated: !negated },
        }
    }

    /// What is in both. Of different kinds: this one.
    pub fn intersection(&self, other: &Domain) -> Domain {
        match (self, other) {
            (Domain::Numbers(left), Domain::Numbers(right)) => {
                let mut both = Vec::new();
                for (low, high) in left {
                    for (other_low, other_high) in right {
                        both.push((*low.max(other_low), *high.min(other_high)));
                    }
                }
                Domain::numbers(both)
            }
            (Domain::Words { words: left, negated: false }, Domain::Words { .. }) => {
                Domain::words(left.iter().filter(|word| other.has_word(word)).cloned().collect())
            }
            (Domain::Words { negated: true, .. }, Domain::Words { words: right, negated: false }) => {
                Domain::words(right.iter().filter(|word| self.has_word(word)).cloned().collect())
            }
            (Domain::Words { words: left, .. }, Domain::Words { words: right, .. }) => {
                Domain::words(left.iter().chain(right).cloned().collect()).complement()
            }
            _ => self.clone(),
        }
    }

    /// What is in either; nothing if they are of different kinds.
    pub fn union(&self, other: &Domain) -> Option<Domain> {
        match (self, other) {
            (Domain::Numbers(_), Domain::Numbers(_)) | (Domain::Words { .. }, Domain::Words { .. }) => {
                Some(self.complement().intersection(&other.complement()).complement())
            }
            _ => None,
        }
    }

    /// Whether all of this is in the other.
    pub fn is_within(&self, other: &Domain) -> bool {
        match (self, other) {
            (Domain::Numbers(_), Domain::Numbers(_)) | (Domain::Words { .. }, Domain::Words { .. }) => {
                self.intersection(&other.complement()).is_empty()
            }
            _ => false,
        }
    }

    /// Whether nothing is in it. (All words but some are never none.)
    pub fn is_empty(&self) -> bool {
        match self {
            Domain::Numbers(ranges) => ranges.is_empty(),
            Domain::Words { words, negated } => words.is_empty() && !negated,
        }
    }

    /// The least and the greatest number.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            Domain::Numbers(ranges) => Some((ranges.first()?.0, ranges.last()?.1)),
            Domain::Words { .. } => None,
        }
    }

    /// For messages: `200 to 599`, `0 or 3`, `MAIL or RCPT`, `not DATA`.
    pub fn describe(&self) -> String {
        let entries: Vec<String> = match self {
            Domain::Numbers(ranges) => ranges.iter().map(|range| describe_range(*range)).collect(),
            Domain::Words { words, .. } => {
                words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
            }
        };
        let negation = if matches!(self, Domain::Words { negated: true, .. }) { "not " } else { "" };
        match entries.as_slice() {
            [] if negation.is_empty() => "nothing".into(),
            [] => "anything".into(),
            _ => format!("{negation}{}", join_or(&entries)),
        }
    }

    fn has_word(&self, word: &[u8]) -> bool {
        match self {
            Domain::Words { words, negated } => {
                words.binary_search_by(|candidate| candidate.as_ref().cmp(word)).is_ok() != *negated
            }
            Domain::Numbers(_) => false,
        }
    }
}

/// `3`, `200 to 599`, `at least 2`.
pub(super) fn describe_range((low, high): (i64, i64)) -> String {
    match (low, high) {
        (low, high) if low == high => low.to_string(),
        (i64::MIN, i64::MAX) => "any number".into(),
        (i64::MIN, high) => format!("at most {high}"),
        (low, i64::MAX) => format!("at least {low}"),
        _ => format!("{low} to {high}"),
    }
}

/// `a, b or c`; of many entries the first eight.
pub(super) fn join_or(entries: &[String]) -> String {
    const SHOWN: usize = 8;
    match entries {
        [] => String::new(),
        [only] => only.clone(),
        _ if entries.len() > SHOWN => {
            format!("{} or {} others", entries.get(..SHOWN).unwrap_or_default().join(", "), entries.len() - SHOWN)
        }
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Domain {
        Domain::words(list.iter().map(|word| word.as_bytes().into()).collect())
    }

    #[test]
    fn numbers() {
        let some = Domain::numbers(vec![(5, 9), (0, 3), (4, 4), (20, 30)]);
        assert_eq!(some, Domain::Numbers(vec![(0, 9), (20, 30)]));
        assert_eq!(some.complement().complement(), some);
        assert_eq!(some.intersection(&Domain::range(8, 22)), Domain::Numbers(vec![(8, 9), (20, 22)]));
        assert_eq!(some.union(&Domain::range(10, 19)), Some(Domain::range(0, 30)));
        assert!(Domain::range(1, 2).is_within(&some) && !some.is_within(&Domain::range(0, 9)));
        assert!(Domain::range(i64::MIN, i64::MAX).complement().is_empty());
        assert_eq!(some.bounds(), Some((0, 30)));
        assert_eq!(some.describe(), "0 to 9 or 20 to 30");
    }

    #[test]
    fn sets_of_words() {
        let mail = words(&["MAIL", "RCPT"]);
        assert!(words(&["MAIL"]).is_within(&mail));
        assert!(words(&["DATA"]).is_within(&mail.complement()));
        assert!(!mail.complement().is_within(&mail));
        assert_eq!(mail.intersection(&words(&["MAIL"]).complement()), words(&["RCPT"]));
        assert_eq!(mail.union(&words(&["DATA"])), Some(words(&["DATA", "MAIL", "RCPT"])));
        let neither = mail.complement().intersection(&words(&["DATA"]).complement());
        assert_eq!(neither, words(&["DATA", "MAIL", "RCPT"]).complement());
        assert_eq!(mail.complement().describe(), "not MAIL or RCPT");
        assert_eq!(mail.union(&Domain::range(0, 1)), None);
    }
}
