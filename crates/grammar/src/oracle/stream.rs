//! Streams, over all of their octets at once.

use portcullis_lang::AnomalyId;

use crate::limits::MAX_LOOKALIKES;
use crate::model::{Newline, Source, Stream};

/// What a stream came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flowed {
    /// What it carries, as far as that is known.
    pub content: Vec<u8>,
    /// Octets that belong to it.
    pub used: usize,
    /// Whether it ended by itself.
    pub complete: bool,
    /// Deviations, and how many octets of the stream come before each.
    pub anomalies: Vec<(AnomalyId, usize)>,
}

/// A stream that begins with these octets, which are all that have come. `size`: what the formula of
/// [`Source::Bytes`] comes to.
pub fn flow(stream: &Stream, newline: &Newline, size: u64, octets: &[u8]) -> Flowed {
    match &stream.source {
        Source::Bytes(_) => {
            let used = usize::try_from(size).unwrap_or(usize::MAX).min(octets.len());
            Flowed { content: octets[..used].to_vec(), used, complete: used as u64 == size, anomalies: Vec::new() }
        }
        Source::ToEnd => Flowed { content: octets.to_vec(), used: octets.len(), ..Flowed::default() },
        Source::Literal(text) => match (0..octets.len()).find(|at| octets[*at..].starts_with(text)) {
            Some(at) => {
                Flowed { content: octets[..at].to_vec(), used: at + text.len(), complete: true, ..Flowed::default() }
            }
            None => {
                let known = (0..=octets.len()).find(|at| text.starts_with(&octets[*at..])).unwrap_or(octets.len());
                Flowed { content: octets[..known].to_vec(), used: octets.len(), ..Flowed::default() }
            }
        },
        Source::Lines { text, lookalikes, long } => {
            let mut flowed = lines(text, stream.remove_leading, newline, octets);
            let octets = &octets[..flowed.used];
            let mut anomalies = Vec::new();
            if newline.crlf {
                anomalies.extend(odd(newline, octets));
            }
            if let Some((most, anomaly)) = long {
                let most = *most as usize;
                let starts = line_starts(newline, octets);
                let ends = starts.iter().skip(1).copied().chain([octets.len()]);
                let too_long = starts.iter().zip(ends).find(|(start, end)| {
                    let line = &octets[**start..*end];
                    let line = line.strip_suffix(ending(newline)).unwrap_or(line);
                    // The last octet may be the beginning of the newline.
                    let open = *end == octets.len() && line.len() == *end - **start;
                    let undecided = open && newline.crlf && line.ends_with(b"\r");
                    line.len() - usize::from(undecided) > most
                });
                anomalies.extend(too_long.map(|(start, _)| (*anomaly, start + most)));
            }
            if let Some(anomaly) = lookalikes {
                let complete = flowed.complete;
                let ends = other_ends(text, newline, octets, complete);
                anomalies.extend(ends.into_iter().take(MAX_LOOKALIKES as usize).map(|at| (*anomaly, at)));
            }
            flowed.anomalies = anomalies;
            flowed
        }
    }
}

fn ending(newline: &Newline) -> &'static [u8] {
    if newline.crlf { b"\r\n" } else { b"\n" }
}

/// Where lines begin, by the canonical newline.
fn line_starts(newline: &Newline, octets: &[u8]) -> Vec<usize> {
    let ending = ending(newline);
    let begins = |at: &usize| *at == 0 || octets[..*at].ends_with(ending);
    (0..=octets.len()).filter(begins).collect()
}

fn lines(text: &[u8], remove: Option<u8>, newline: &Newline, octets: &[u8]) -> Flowed {
    let last_line = [text, ending(newline)].concat();
    let mut flowed = Flowed { used: octets.len(), ..Flowed::default() };
    let starts = line_starts(newline, octets);
    for (index, start) in starts.iter().enumerate() {
        let rest = &octets[*start..];
        if rest.starts_with(&last_line) {
            flowed.used = start + last_line.len();
            flowed.complete = true;
            break;
        }
        if last_line.starts_with(rest) {
            // It may become the last line.
            break;
        }
        let end = starts.get(index + 1).copied().unwrap_or(octets.len());
        let line = &octets[*start..end];
        let hidden = usize::from(!line.is_empty() && line.first().copied() == remove);
        flowed.content.extend_from_slice(&line[hidden..]);
    }
    flowed
}

/// The first of each octet that the newline policy wants to know of.
fn odd(newline: &Newline, octets: &[u8]) -> Vec<(AnomalyId, usize)> {
    let before = |at: usize| at.checked_sub(1).map(|before| octets[before]);
    let places = [
        (newline.bare_lf, (0..octets.len()).find(|at| octets[*at] == b'\n' && before(*at) != Some(b'\r'))),
        (
            newline.bare_cr,
            (1..octets.len()).find(|at| octets[*at] != b'\n' && before(*at) == Some(b'\r')).map(|at| at - 1),
        ),
        (newline.nul, (0..octets.len()).find(|at| octets[*at] == 0)),
    ];
    places.into_iter().filter_map(|(anomaly, place)| Some((anomaly?, place?))).collect()
}

/// Where the text stands alone between two line breaks of any kind, with or without octets 0, and is not the end of the
/// stream: the places of the octets that settle it.
fn other_ends(text: &[u8], newline: &Newline, octets: &[u8], complete: bool) -> Vec<usize> {
    let is_break = |octet: u8| octet == b'\r' || octet == b'\n';
    let mut places = Vec::new();
    for start in 0..octets.len() {
        if !octets[start..].starts_with(text) {
            continue;
        }
        let zeroes_before = octets[..start].iter().rev().take_while(|octet| **octet == 0).count();
        let before = &octets[..start - zeroes_before];
        if before.last().is_some_and(|octet| !is_break(*octet)) {
            continue;
        }
        let end = start + text.len();
        let end = end + octets[end..].iter().take_while(|octet| **octet == 0).count();
        let settled = match octets.get(end) {
            Some(b'\n') => end,
            Some(b'\r') => end + 1,
            _ => continue,
        };
        let is_the_end = complete && start + text.len() + ending(newline).len() == octets.len();
        if settled < octets.len() && !is_the_end {
            places.push(settled);
        }
    }
    places
}
