//! Endless edits of endless streams, the same for the same seed, so that who makes them and who checks them agree.

use portcullis_lang::Direction;

/// An edit that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, in octets before edits.
    pub offset: u64,
    /// How many octets are taken out there.
    pub removed: u64,
    /// What is put in.
    pub inserted: Vec<u8>,
}

impl Change {
    /// The first octet behind what is taken out.
    pub fn end(&self) -> u64 {
        self.offset + self.removed
    }
}

/// Numbers that look like chance (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below another.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % end.max(1)
    }

    /// So many octets.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// What the side that sends in a direction says.
pub fn said(seed: u64, direction: Direction, length: usize) -> Vec<u8> {
    Chance::new(seed ^ (1 + direction.index() as u64) << 32).octets(length)
}

/// The edits of a direction, in order; they do not touch each other.
pub fn changes(seed: u64, direction: Direction) -> impl Iterator<Item = Change> {
    let mut chance = Chance::new(seed ^ (3 + direction.index() as u64) << 32);
    let mut at = 0;
    std::iter::from_fn(move || {
        let offset = at + 1 + chance.below(1_500);
        let kind = chance.below(4);
        let removed = if kind == 0 { 0 } else { 1 + chance.below(200) };
        let most = if chance.below(10) == 0 { 6_000 } else { 200 };
        let count = if kind == 1 { 0 } else { 1 + chance.below(most) };
        let inserted = chance.octets(count as usize);
        at = offset + removed;
        Some(Change { offset, removed, inserted })
    })
}

/// What edits make of octets, and how many there were: those are made that lie within.
pub fn edited(original: &[u8], changes: impl Iterator<Item = Change>) -> (Vec<u8>, usize) {
    let mut result = Vec::new();
    let (mut at, mut count) = (0, 0);
    for change in changes.take_while(|change| change.end() <= original.len() as u64) {
        result.extend_from_slice(&original[at..change.offset as usize]);
        result.extend_from_slice(&change.inserted);
        at = change.end() as usize;
        count += 1;
    }
    result.extend_from_slice(&original[at..]);
    (result, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_in_order_and_are_the_same_again() {
        let some: Vec<Change> = changes(7, Direction::Up).take(200).collect();
        assert!(some.is_sorted_by(|one, next| one.end() < next.offset));
        assert_eq!(changes(7, Direction::Up).take(200).collect::<Vec<_>>(), some);
        assert_ne!(changes(7, Direction::Down).next(), changes(7, Direction::Up).next());
        let list = [
            Change { offset: 1, removed: 2, inserted: b"XYZ".to_vec() },
            Change { offset: 4, removed: 0, inserted: b"+".to_vec() },
            Change { offset: 5, removed: 2, inserted: b"no".to_vec() },
        ];
        assert_eq!(edited(b"abcdef", list.into_iter()), (b"aXYZd+ef".to_vec(), 2));
    }
}
