//! What rules remember from event to event: how often something happened, per key.

use std::collections::VecDeque;

use ahash::AHashMap;
use portcullis_lang::{Formula, Host, Value};
use smallvec::SmallVec;

use crate::limits::{MAX_COUNTED_KEYS, MAX_COUNTED_TIMES, MAX_KEY_BYTES};

/// What the rules of a set remember: the counts behind `after N per KEY in TIME` and `at most N per KEY in TIME`.
///
/// Whoever judges owns one. It is bounded by [`MAX_COUNTED_KEYS`] and [`MAX_COUNTED_TIMES`] for all rules together, about
/// 16 MB at worst: a peer that makes up keys can make it forget the ones that were quiet for longest, and
/// [`Memory::forgotten`] tells how often that was. Time is that of the packets, so that a capture gives the same each time.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    counters: AHashMap<Key, Counter>,
    /// Times held by all counters.
    times: usize,
    forgotten: u64,
}

/// `N per KEY in TIME`, checked.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    /// Tells it from all others of the set.
    pub(crate) number: u32,
    /// N.
    pub(crate) count: usize,
    /// KEY.
    pub(crate) key: Formula,
    /// TIME, in nanoseconds.
    pub(crate) window: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    threshold: u32,
    value: SmallVec<[u8; 24]>,
}

#[derive(Clone, Debug)]
struct Counter {
    /// The last N times, oldest first.
    times: VecDeque<i64>,
    last: i64,
    window: i64,
}

impl Memory {
    /// Begins with nothing.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// How many keys were forgotten before their time because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many keys are being counted.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether nothing is being counted.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// `after N`: counts this time, and tells whether there were N others within the window before it.
    pub(crate) fn exceeds(&mut self, threshold: &Threshold, host: &dyn Host, now: i64) -> bool {
        let counter = self.counter(threshold, host, now);
        let full = counter.is_full(threshold, now);
        let added = counter.push(threshold, now);
        self.times = self.times.saturating_add(added);
        full
    }

    /// `at most N`: tells whether there were fewer than N within the window before this time, and counts it if so.
    pub(crate) fn allows(&mut self, threshold: &Threshold, host: &dyn Host, now: i64) -> bool {
        let counter = self.counter(threshold, host, now);
        if counter.is_full(threshold, now) {
            return false;
        }
        let added = counter.push(threshold, now);
        self.times = self.times.saturating_add(added);
        true
    }

    fn counter(&mut self, threshold: &Threshold, host: &dyn Host, now: i64) -> &mut Counter {
        let key = Key { threshold: threshold.number, value: key_of(&threshold.key.value(host)) };
        let full = self.counters.len() >= MAX_COUNTED_KEYS && !self.counters.contains_key(&key);
        if full || self.times >= MAX_COUNTED_TIMES {
            self.forget(now);
        }
        let counter = || Counter { times: VecDeque::new(), last: now, window: threshold.window };
        self.counters.entry(key).or_insert_with(counter)
    }

    /// Forgets what no longer counts, and if that is not enough, the quarter that was quiet for longest.
    fn forget(&mut self, now: i64) {
        self.counters.retain(|_, counter| now.saturating_sub(counter.last) < counter.window);
        self.times = self.counters.values().map(|counter| counter.times.len()).sum();
        if self.counters.len() < MAX_COUNTED_KEYS / 4 * 3 && self.times < MAX_COUNTED_TIMES / 4 * 3 {
            return;
        }
        let mut by_age: Vec<(i64, Key)> =
            self.counters.iter().map(|(key, counter)| (counter.last, key.clone())).collect();
        by_age.sort_unstable();
        for (_, key) in by_age.iter().take((by_age.len() / 4).max(1)) {
            if let Some(counter) = self.counters.remove(key) {
                self.times = self.times.saturating_sub(counter.times.len());
                self.forgotten = self.forgotten.saturating_add(1);
            }
        }
    }
}

impl Counter {
    fn is_full(&self, threshold: &Threshold, now: i64) -> bool {
        self.times.len() >= threshold.count
            && self.times.front().is_none_or(|oldest| now.saturating_sub(*oldest) < threshold.window)
    }

    /// Keeps this time and at most N - 1 before it; how many more it keeps than before.
    fn push(&mut self, threshold: &Threshold, now: i64) -> usize {
        self.last = self.last.max(now);
        self.times.push_back(now);
        if self.times.len() > threshold.count {
            self.times.pop_front();
            return 0;
        }
        1
    }
}

/// A value as a key: its kind, then its octets. What is absent counts as one key of its own.
fn key_of(value: &Value<'_>) -> SmallVec<[u8; 24]> {
    let mut key = SmallVec::new();
    let mut write = |kind: u8, octets: &[u8]| {
        key.push(kind);
        key.extend_from_slice(octets.get(..MAX_KEY_BYTES).unwrap_or(octets));
    };
    match value {
        Value::Unknown => write(0, &[]),
        Value::Absent => write(1, &[]),
        Value::Boolean(value) => write(2, &[u8::from(*value)]),
        Value::Number(number) => write(3, &number.to_be_bytes()),
        Value::Bytes(bytes) => write(4, bytes),
        Value::Address(std::net::IpAddr::V4(address)) => write(5, &address.octets()),
        Value::Address(std::net::IpAddr::V6(address)) => write(6, &address.octets()),
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lang::{Place, Scope};

    struct From(i64);

    impl Host for From {
        fn read(&self, _: Place) -> Value<'_> {
            Value::Number(self.0)
        }

        fn count(&self, _: Place) -> u32 {
            0
        }

        fn element(&self, _: Place, _: u32, _: u16) -> Value<'_> {
            Value::Absent
        }
    }

    fn threshold(count: usize, window: i64) -> Threshold {
        let key = Formula::Place(Place { scope: Scope::Connection, slot: 0 });
        Threshold { number: 0, count, key, window }
    }

    #[test]
    fn acts_from_the_next_time_on_and_per_key() {
        let mut memory = Memory::new();
        let three = threshold(3, 10);
        let mut acts = |key, now| memory.exceeds(&three, &From(key), now);
        assert_eq!([acts(1, 0), acts(1, 1), acts(1, 2)], [false; 3]);
        assert!(!acts(2, 3));
        assert!(acts(1, 9));
        // The oldest three are now 1, 2 and 9: 1 is too long ago at 11.
        assert!(!acts(1, 11));
        assert!(acts(1, 11));
        assert!(!acts(1, 100));
    }

    #[test]
    fn allows_so_many_and_then_waits() {
        let mut memory = Memory::new();
        let two = threshold(2, 10);
        let mut allows = |now| memory.allows(&two, &From(1), now);
        assert_eq!([allows(0), allows(1), allows(2), allows(9)], [true, true, false, false]);
        assert!(allows(10) && allows(11) && !allows(12));
        // Clocks that go back do not open the gate.
        assert!(!allows(5));
    }

    #[test]
    fn forgets_the_quietest_when_there_are_too_many() {
        let mut memory = Memory::new();
        let one = threshold(1, i64::MAX);
        for key in 0..i64::try_from(MAX_COUNTED_KEYS).unwrap() + 10 {
            assert!(memory.allows(&one, &From(key), key));
        }
        assert!(memory.len() <= MAX_COUNTED_KEYS);
        assert_eq!(memory.forgotten(), MAX_COUNTED_KEYS as u64 / 4);
        assert!(!memory.allows(&one, &From(70_000 - 5_000), 70_000));
        assert!(memory.allows(&one, &From(0), 70_000));
    }

    #[test]
    fn times_are_bounded_too() {
        let mut memory = Memory::new();
        let many = threshold(1_000, i64::MAX);
        for now in 0..2_200_000 {
            memory.exceeds(&many, &From(now % 2_000), now);
        }
        assert!(memory.times <= MAX_COUNTED_TIMES && memory.forgotten() > 0);
        assert_eq!(memory.times, memory.counters.values().map(|counter| counter.times.len()).sum::<usize>());
    }
}
