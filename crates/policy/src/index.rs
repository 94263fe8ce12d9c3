//! Tests of one field by many rules, merged into one look-up.

use std::collections::BTreeMap;

use ahash::AHashMap;
use portcullis_lang::{CaseValue, Comparison, Formula, Host, Place, Value};
use smallvec::SmallVec;

use crate::limits::{MAX_INDEXED_RANGE, MIN_INDEXED_RULES};

/// Positions of rules within the plan of an event, ascending.
pub(crate) type Hits = SmallVec<[u32; 32]>;

/// For one field of an event: which rules want which value.
///
/// A thousand rules `when sender.domain == "..."` cost one read and one look-up. The maps are made when the policy is
/// loaded and only read afterwards, so that no peer can fill them.
#[derive(Clone, Debug)]
pub(crate) struct FieldIndex {
    place: Place,
    /// Texts that are compared in any case, in lower case here.
    folded: AHashMap<Box<[u8]>, Hits>,
    /// Texts that are compared octet by octet.
    exact: AHashMap<Box<[u8]>, Hits>,
    numbers: AHashMap<i64, Hits>,
    /// Longest text of the maps: what is longer is in none of them and is not hashed.
    longest: usize,
}

/// One value that a condition wants a field to have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// In lower case, for any case.
    Folded(Box<[u8]>),
    /// As it is.
    Exact(Box<[u8]>),
    /// A number.
    Number(i64),
}

impl FieldIndex {
    fn new(place: Place) -> FieldIndex {
        FieldIndex { place, folded: AHashMap::new(), exact: AHashMap::new(), numbers: AHashMap::new(), longest: 0 }
    }

    fn insert(&mut self, key: Key, rule: u32) {
        let hits = match key {
            Key::Folded(text) => {
                self.longest = self.longest.max(text.len());
                self.folded.entry(text).or_default()
            }
            Key::Exact(text) => {
                self.longest = self.longest.max(text.len());
                self.exact.entry(text).or_default()
            }
            Key::Number(number) => self.numbers.entry(number).or_default(),
        };
        if hits.last() != Some(&rule) {
            hits.push(rule);
        }
    }

    /// Adds the rules that want the value which the field has. One rule can be added twice.
    pub(crate) fn collect(&self, host: &dyn Host, hits: &mut Hits) {
        match host.read(self.place) {
            Value::Number(number) => add(self.numbers.get(&number), hits),
            Value::Bytes(bytes) if bytes.len() <= self.longest => {
                if !self.exact.is_empty() {
                    add(self.exact.get(bytes.as_ref()), hits);
                }
                if !self.folded.is_empty() {
                    let mut folded: SmallVec<[u8; 256]> = SmallVec::from_slice(&bytes);
                    folded.make_ascii_lowercase();
                    add(self.folded.get(folded.as_slice()), hits);
                }
            }
            // A truth value is no key, and a test of what is absent or was not seen does not hold.
            _ => {}
        }
    }
}

fn add(found: Option<&Hits>, hits: &mut Hits) {
    if let Some(found) = found {
        hits.extend_from_slice(found);
    }
}

/// Which test of a rule an index answers: the number of the condition and the field.
type Choice = Option<(usize, Place)>;

/// Chooses, for each rule, the test that an index answers, and makes the indexes.
///
/// `rules` are the conditions of the rules of one event, all of which have to hold. Among the tests of a rule the one
/// whose field is tested for the most different values is the most telling: of `verb == MAIL and sender.domain == "x"`
/// in a thousand rules, the domain. Returns the indexes, and for each rule the condition that need not be tested again.
pub(crate) fn build(rules: &[&[Formula]]) -> (Vec<FieldIndex>, Vec<Option<usize>>) {
    let keyed: Vec<Vec<(usize, Place, Vec<Key>)>> = rules
        .iter()
        .map(|conditions| {
            let keyed = conditions.iter().enumerate();
            keyed.filter_map(|(number, condition)| keys(condition).map(|(place, keys)| (number, place, keys))).collect()
        })
        .collect();
    let mut values: BTreeMap<(u8, u16), std::collections::BTreeSet<&Key>> = BTreeMap::new();
    for (_, place, keys) in keyed.iter().flatten() {
        values.entry(order(*place)).or_default().extend(keys);
    }
    let telling = |place: Place| values.get(&order(place)).map_or(0, |keys| keys.len());
    let choices: Vec<Choice> = keyed
        .iter()
        .map(|tests| {
            let best = tests.iter().max_by_key(|(number, place, _)| (telling(*place), std::cmp::Reverse(*number)));
            best.map(|(number, place, _)| (*number, *place))
        })
        .collect();
    let mut users: BTreeMap<(u8, u16), usize> = BTreeMap::new();
    for (_, place) in choices.iter().flatten() {
        *users.entry(order(*place)).or_default() += 1;
    }
    let mut indexes: BTreeMap<(u8, u16), FieldIndex> = BTreeMap::new();
    let mut answered = vec![None; rules.len()];
    for (rule, (tests, choice)) in keyed.into_iter().zip(choices).enumerate() {
        let Some((chosen, place)) = choice else { continue };
        if users.get(&order(place)).is_none_or(|users| *users < MIN_INDEXED_RULES) {
            continue;
        }
        let Ok(position) = u32::try_from(rule) else { continue };
        let index = indexes.entry(order(place)).or_insert_with(|| FieldIndex::new(place));
        for (_, _, keys) in tests.into_iter().filter(|(number, _, _)| *number == chosen) {
            keys.into_iter().for_each(|key| index.insert(key, position));
        }
        if let Some(slot) = answered.get_mut(rule) {
            *slot = Some(chosen);
        }
    }
    (indexes.into_values().collect(), answered)
}

/// Places in an order, so that the plan of a policy is the same each time.
fn order(place: Place) -> (u8, u16) {
    (place.scope as u8, place.slot)
}

/// The values of which a field has to have one for a condition to hold, if that is all the condition says.
pub(crate) fn keys(condition: &Formula) -> Option<(Place, Vec<Key>)> {
    match condition {
        Formula::Compare { operator: Comparison::Equal, left, right, fold } => match (left.as_ref(), right.as_ref()) {
            (Formula::Place(place), constant) | (constant, Formula::Place(place)) => {
                Some((*place, vec![constant_key(constant, *fold)?]))
            }
            _ => None,
        },
        Formula::In { value, set, fold } => {
            let Formula::Place(place) = value.as_ref() else { return None };
            let mut keys = Vec::new();
            for case in set {
                match case {
                    CaseValue::Text(text) => keys.push(text_key(text, *fold)),
                    CaseValue::Range(low, high) if high.checked_sub(*low)? < MAX_INDEXED_RANGE => {
                        keys.extend((*low..=*high).map(Key::Number));
                    }
                    CaseValue::Range(..) => return None,
                }
            }
            Some((*place, keys))
        }
        Formula::Or(parts) => {
            let mut all: Option<(Place, Vec<Key>)> = None;
            for part in parts {
                let (place, keys) = keys(part)?;
                match &mut all {
                    None => all = Some((place, keys)),
                    Some((first, known)) if *first == place => known.extend(keys),
                    Some(_) => return None,
                }
            }
            all
        }
        _ => None,
    }
}

fn constant_key(constant: &Formula, fold: bool) -> Option<Key> {
    match constant {
        Formula::Bytes(text) => Some(text_key(text, fold)),
        Formula::Number(number) => Some(Key::Number(*number)),
        _ => None,
    }
}

fn text_key(text: &[u8], fold: bool) -> Key {
    if fold { Key::Folded(text.to_ascii_lowercase().into()) } else { Key::Exact(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lang::Scope;

    const VERB: Place = Place { scope: Scope::Record, slot: 0 };
    const DOMAIN: Place = Place { scope: Scope::Record, slot: 1 };

    fn equal(place: Place, text: &str) -> Formula {
        Formula::Compare {
            operator: Comparison::Equal,
            left: Box::new(Formula::Place(place)),
            right: Box::new(Formula::Bytes(text.as_bytes().into())),
            fold: true,
        }
    }

    struct Fixed(&'static [u8], &'static [u8]);

    impl Host for Fixed {
        fn read(&self, place: Place) -> Value<'_> {
            if place == VERB { Value::bytes(self.0) } else { Value::bytes(self.1) }
        }

        fn count(&self, _: Place) -> u32 {
            0
        }

        fn element(&self, _: Place, _: u32, _: u16) -> Value<'_> {
            Value::Absent
        }
    }

    #[test]
    fn the_most_telling_field_is_chosen() {
        let rules: Vec<Vec<Formula>> =
            (0..10).map(|n| vec![equal(VERB, "MAIL"), equal(DOMAIN, &format!("D{n}.example"))]).collect();
        let conditions: Vec<&[Formula]> = rules.iter().map(Vec::as_slice).collect();
        let (indexes, answered) = build(&conditions);
        assert_eq!(indexes.len(), 1);
        assert!(answered.iter().all(|condition| *condition == Some(1)));
        let mut hits = Hits::new();
        indexes[0].collect(&Fixed(b"MAIL", b"d7.EXAMPLE"), &mut hits);
        assert_eq!(hits.as_slice(), [7]);
        hits.clear();
        indexes[0].collect(&Fixed(b"MAIL", b"other"), &mut hits);
        assert!(hits.is_empty());
    }

    #[test]
    fn few_rules_and_wide_ranges_are_not_indexed() {
        let few = [vec![equal(VERB, "A")], vec![equal(DOMAIN, "B")]];
        let conditions: Vec<&[Formula]> = few.iter().map(Vec::as_slice).collect();
        assert!(build(&conditions).0.is_empty());
        let wide = |set| Formula::In { value: Box::new(Formula::Place(VERB)), set, fold: false };
        assert!(keys(&wide(vec![CaseValue::Range(i64::MIN, i64::MAX)])).is_none());
        assert!(keys(&wide(vec![CaseValue::Range(0, 65_535)])).is_none());
        assert_eq!(keys(&wide(vec![CaseValue::Range(200, 299)])).map(|found| found.1.len()), Some(100));
        assert_eq!(keys(&wide(vec![CaseValue::Range(9, 2)])).map(|found| found.1.len()), Some(0));
    }

    #[test]
    fn alternatives_of_one_field_are_keys_and_of_two_are_not() {
        let one = Formula::Or(vec![equal(VERB, "A"), equal(VERB, "B")]);
        assert_eq!(keys(&one).map(|found| found.1.len()), Some(2));
        assert!(keys(&Formula::Or(vec![equal(VERB, "A"), equal(DOMAIN, "B")])).is_none());
    }
}
