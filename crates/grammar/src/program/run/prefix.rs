//! Decisions by the first octets.

use crate::model::{First, Literal, Next};

/// Whether the octets begin with the literal; nothing if they end before that can be told.
pub(super) fn begins_with(octets: &[u8], literal: &Literal) -> Option<bool> {
    let known = octets.len().min(literal.bytes.len());
    let (there, wanted) = (octets.get(..known)?, literal.bytes.get(..known)?);
    let same = if literal.fold { there.eq_ignore_ascii_case(wanted) } else { there == wanted };
    match (same, known == literal.bytes.len()) {
        (false, _) => Some(false),
        (true, true) => Some(true),
        (true, false) => None,
    }
}

/// Whether the octets begin with one of the prefixes; nothing if that cannot be told before more octets come.
pub(crate) fn decide(first: &First, octets: &[u8], open: bool) -> Option<bool> {
    let mut undecided = false;
    for prefix in &first.prefixes {
        let next = octets.get(prefix.literal.bytes.len());
        let fits = match (begins_with(octets, &prefix.literal), &prefix.next, next) {
            (Some(false), _, _) => Some(false),
            (None, _, _) => None,
            (Some(true), Next::Any, _) => Some(true),
            (Some(true), Next::Class(set), Some(octet)) => Some(set.contains(*octet)),
            (Some(true), Next::End, Some(_)) => Some(false),
            (Some(true), Next::Class(_), None) => None,
            (Some(true), Next::End, None) if open => None,
            (Some(true), Next::End, None) => Some(true),
        };
        match fits {
            Some(true) => return Some(true),
            Some(false) => {}
            None => undecided = true,
        }
    }
    if undecided && open { None } else { Some(false) }
}
