//! Sets of texts and domains that a policy names, made for one look-up whatever their size.

use std::collections::HashSet;

use ahash::RandomState;

/// Longest stem (`.example.com`) that is looked up, in octets: that of a domain (RFC 1035 section 2.3.4) and its dot.
const MAX_STEM_BYTES: usize = 256;

/// The entries of a policy's list.
///
/// Letters match in either case. An entry that begins with `.` or `*.` stands for every name below it, without the name
/// itself: `.example.com` has `mail.example.com` and not `example.com`. A dot at the end of a name, which says that it is
/// complete (RFC 1034 section 3.1), is no difference.
///
/// A look-up hashes the text once, and once more for each of its dots that could begin a stem: at most 128 times, over at
/// most 256 octets each.
///
/// ```
/// # use portcullis_lang::TextSet;
/// let banned: TextSet = ["banned.example", "*.evil.test"].into_iter().collect();
/// assert!(banned.contains(b"Banned.Example"));
/// assert!(banned.contains(b"mx.evil.test."));
/// assert!(!banned.contains(b"evil.test"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TextSet {
    /// In lower case.
    exact: HashSet<Box<[u8]>, RandomState>,
    /// In lower case, from the dot on.
    stems: HashSet<Box<[u8]>, RandomState>,
    longest_exact: usize,
    longest_stem: usize,
}

impl TextSet {
    /// Adds an entry as it is written in a list. False if it was there already, or is a stem longer than a domain can be.
    pub fn insert(&mut self, entry: &[u8]) -> bool {
        let entry = entry.to_ascii_lowercase();
        let below = entry.strip_prefix(b"*").filter(|rest| rest.starts_with(b".")).unwrap_or(&entry);
        if below.len() > 1 && below.starts_with(b".") {
            let stem = without_final_dot(below);
            if stem.len() > MAX_STEM_BYTES {
                return false;
            }
            self.longest_stem = self.longest_stem.max(stem.len());
            return self.stems.insert(stem.into());
        }
        let exact = without_final_dot(&entry);
        self.longest_exact = self.longest_exact.max(exact.len());
        self.exact.insert(exact.into())
    }

    /// Whether an entry is this text or a stem of it.
    pub fn contains(&self, text: &[u8]) -> bool {
        let text = without_final_dot(text);
        // Nothing longer than the longest entry is ever copied or hashed.
        if text.len() <= self.longest_exact && with_lowercase(text, |text| self.exact.contains(text)) {
            return true;
        }
        if self.stems.is_empty() {
            return false;
        }
        let from = text.len().saturating_sub(self.longest_stem);
        let tail = text.get(from..).unwrap_or_default();
        with_lowercase(tail, |tail| {
            memchr::memchr_iter(b'.', tail)
                // A stem stands below a name: ".example.com" itself is no name.
                .filter(|dot| from.saturating_add(*dot) > 0)
                .any(|dot| tail.get(dot..).is_some_and(|stem| self.stems.contains(stem)))
        })
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.exact.len().saturating_add(self.stems.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.stems.is_empty()
    }

    /// Whether it has entries that stand for the names below them.
    pub fn has_stems(&self) -> bool {
        !self.stems.is_empty()
    }

    /// All entries in lower case, sorted: whole texts as they are, stems from their dot on.
    ///
    /// So `filename ends with any risky` looks for what `filename in risky` would take for a stem.
    pub fn entries(&self) -> Vec<Box<[u8]>> {
        let mut entries: Vec<Box<[u8]>> = self.exact.iter().chain(&self.stems).cloned().collect();
        entries.sort_unstable();
        entries
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for TextSet {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> TextSet {
        let mut set = TextSet::default();
        for entry in entries {
            set.insert(entry.as_ref());
        }
        set
    }
}

fn without_final_dot(text: &[u8]) -> &[u8] {
    match text.strip_suffix(b".") {
        Some(rest) if !rest.is_empty() => rest,
        _ => text,
    }
}

/// Hands on the text in lower case, copied only if it is not.
fn with_lowercase<T>(text: &[u8], then: impl FnOnce(&[u8]) -> T) -> T {
    if !text.iter().any(u8::is_ascii_uppercase) {
        return then(text);
    }
    // Verbs, names and domains fit.
    let mut room = [0; 64];
    match room.get_mut(..text.len()) {
        Some(copy) => {
            copy.copy_from_slice(text);
            copy.make_ascii_lowercase();
            then(copy)
        }
        None => then(&text.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> TextSet {
        entries.iter().collect()
    }

    #[test]
    fn whole_texts_in_any_case() {
        let set = set(&["Banned.Example", "two"]);
        assert!(set.contains(b"banned.example") && set.contains(b"BANNED.EXAMPLE.") && set.contains(b"Two"));
        assert!(!set.contains(b"x.banned.example") && !set.contains(b"banned.exampl") && !set.contains(b""));
        assert_eq!((set.len(), set.has_stems()), (2, false));
    }

    #[test]
    fn stems_stand_for_what_is_below() {
        let set = set(&["*.evil.test", ".example.com."]);
        assert!(set.contains(b"a.evil.test") && set.contains(b"a.b.EVIL.test.") && set.contains(b"x.example.com"));
        assert!(!set.contains(b"evil.test") && !set.contains(b"notevil.test") && !set.contains(b".evil.test"));
        assert!(!set.contains(b"evil.test.com"));
        assert_eq!(set.entries(), [b".evil.test"[..].into(), b".example.com"[..].into()] as [Box<[u8]>; 2]);
    }

    #[test]
    fn odd_entries_and_texts() {
        let set = set(&[".", "*", "*."]);
        assert!(set.contains(b".") && set.contains(b"*"));
        assert!(!set.contains(b"a.b"));
        assert!(!set.contains(&[b'.'; 100_000]));
        let mut long = TextSet::default();
        assert!(!long.insert(&[b'.'; 1_000]));
        assert!(long.is_empty());
    }

    #[test]
    fn a_long_text_ends_in_a_stem() {
        let set = set(&[".evil.test"]);
        let text = [vec![b'a'; 100_000], b".evil.test".to_vec()].concat();
        assert!(set.contains(&text));
    }
}
