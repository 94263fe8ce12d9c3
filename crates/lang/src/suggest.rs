//! "Did you mean": the name that was probably meant.

use crate::limits::MAX_SUGGESTION_LENGTH;

/// The candidate that is nearest to `word`, if one is near enough: at most a third of its characters are wrong.
///
/// Of equally near ones the one that begins alike is taken, or else the first, so the same input gives the same answer.
///
/// ```
/// assert_eq!(portcullis_lang::suggest("recrod", ["line", "record"]), Some("record"));
/// assert_eq!(portcullis_lang::suggest("banana", ["line", "record"]), None);
/// ```
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > MAX_SUGGESTION_LENGTH {
        return None;
    }
    let allowed = (length / 3).max(1);
    let mut best: Option<(usize, usize, &'a str)> = None;
    for candidate in candidates {
        if candidate == word || candidate.chars().count() > MAX_SUGGESTION_LENGTH {
            continue;
        }
        let distance = distance(&word.to_lowercase(), &candidate.to_lowercase());
        // A word of which every letter is wrong is no likeness, however short it is.
        let near = distance <= allowed && distance < length.max(1);
        let unlike = length.saturating_sub(word.chars().zip(candidate.chars()).take_while(|(a, b)| a == b).count());
        if near && best.is_none_or(|(least, least_unlike, _)| (distance, unlike) < (least, least_unlike)) {
            best = Some((distance, unlike, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

// Insertions, deletions, replacements and swapped neighbours (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &b) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(a != b);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = row > 0 && column > 0 && left.get(row - 1) == Some(&b) && right.get(column - 1) == Some(&a);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("recrod", "record"), 1);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn near_ones_only() {
        assert_eq!(suggest("error", ["parse_error", "gap"]), None);
        assert_eq!(suggest("recipent", ["sender", "recipient"]), Some("recipient"));
        assert_eq!(suggest("mail", ["MAIL"]), Some("MAIL"));
        assert_eq!(suggest("stat", ["start", "state"]), Some("state"));
        assert_eq!(suggest("x", ["y"]), None);
        assert_eq!(suggest(&"a".repeat(1000), ["a"]), None);
    }
}
