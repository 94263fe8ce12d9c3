//! Which TCP options leave.

use portcullis_wire::TcpSegment;
use smallvec::SmallVec;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const MD5: u8 = 19;
const AUTHENTICATION: u8 = 29;

/// What both sides have agreed on, which decides what may stand on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) timestamps: bool,
    pub(super) sack: bool,
}

/// What is to be done about the options of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Options {
    /// They may stand.
    Fine,
    /// These are to stand in their place, as many octets as before.
    Instead(Vec<u8>),
    /// The segment must not leave.
    Signature,
}

/// Judges the options of a segment.
///
/// On a SYN stand those that every receiver understands alike; anything else would open ways past the gate (data on the
/// SYN, RFC 7413; several paths, RFC 8684). Behind it stand timestamps and selective acknowledgements, if they were agreed
/// on. What does not belong there is overwritten in its place, so that nothing moves.
pub(super) fn judge(segment: &TcpSegment<'_>, syn: bool, agreed: Agreed) -> Options {
    let octets = segment.options.as_bytes();
    match octets {
        [] => return Options::Fine,
        // What Linux, Windows and the BSDs send on every segment of an established connection.
        [NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10, ..] if octets.len() == 12 && agreed.timestamps && !syn => {
            return Options::Fine;
        }
        _ => {}
    }
    let allowed = |kind: u8, length: usize| match kind {
        MSS => syn && length == 4,
        WINDOW_SCALE => syn && length == 3,
        SACK_PERMITTED => syn && length == 2,
        TIMESTAMPS => length == 10 && (syn || agreed.timestamps),
        SACK => !syn && agreed.sack && length >= 10 && (length - 2).is_multiple_of(8),
        _ => false,
    };
    let mut cleaned: Vec<u8> = octets.to_vec();
    // Where those stand that may stand, to find what stands twice.
    let mut standing: SmallVec<[(u8, usize, usize); 8]> = SmallVec::new();
    let mut at = 0;
    let mut changed = false;
    while let Some(&kind) = octets.get(at) {
        let length = match kind {
            END => {
                // What stands behind the end nobody reads, and nobody should.
                changed |= clear(&mut cleaned, at, octets.len(), END);
                break;
            }
            NO_OPERATION => 1,
            _ => usize::from(octets.get(at + 1).copied().unwrap_or(0)),
        };
        if kind == NO_OPERATION {
            at += 1;
            continue;
        }
        if length < 2 || at + length > octets.len() {
            changed |= clear(&mut cleaned, at, octets.len(), NO_OPERATION);
            break;
        }
        if matches!(kind, MD5 | AUTHENTICATION) {
            return Options::Signature;
        }
        if !allowed(kind, length) {
            changed |= clear(&mut cleaned, at, at + length, NO_OPERATION);
        } else {
            // Of two of a kind the last one counts for Linux, the first one for others.
            for (_, from, to) in standing.iter().filter(|(earlier, _, _)| *earlier == kind) {
                changed |= clear(&mut cleaned, *from, *to, NO_OPERATION);
            }
            standing.push((kind, at, at + length));
        }
        at += length;
    }
    if changed { Options::Instead(cleaned) } else { Options::Fine }
}

/// Overwrites a range; gives whether that changed anything.
fn clear(octets: &mut [u8], from: usize, to: usize, with: u8) -> bool {
    let range = octets.get_mut(from..to).unwrap_or_default();
    let changed = range.iter().any(|octet| *octet != with);
    range.fill(with);
    changed
}

#[cfg(test)]
mod tests {
    use portcullis_wire::TcpSegment;

    use super::*;

    const ALL: Agreed = Agreed { timestamps: true, sack: true };
    const NONE: Agreed = Agreed { timestamps: false, sack: false };

    fn judged(options: &[u8], syn: bool, agreed: Agreed) -> Options {
        assert!(options.len().is_multiple_of(4));
        let mut octets = vec![0; 20];
        octets[12] = (((20 + options.len()) / 4) as u8) << 4;
        octets.extend_from_slice(options);
        judge(&TcpSegment::parse(&octets).unwrap(), syn, agreed)
    }

    fn instead(octets: &[u8]) -> Options {
        Options::Instead(octets.to_vec())
    }

    #[test]
    fn what_everybody_sends_may_stand() {
        let syn = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        assert_eq!(judged(&syn, true, NONE), Options::Fine);
        assert_eq!(judged(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], false, ALL), Options::Fine);
        assert_eq!(judged(&[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2], false, ALL), Options::Fine);
        assert_eq!(judged(&[], false, NONE), Options::Fine);
        assert_eq!(judged(&[2, 4, 5, 180, 0, 0, 0, 0], true, NONE), Options::Fine);
    }

    #[test]
    fn what_was_not_agreed_on_is_overwritten_in_its_place() {
        assert_eq!(judged(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], false, NONE), instead(&[1; 12]));
        assert_eq!(judged(&[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2], false, NONE), instead(&[1; 12]));
        assert_eq!(judged(&[3, 3, 7, 1], false, ALL), instead(&[1; 4]), "a scale behind the SYN");
        assert_eq!(judged(&[2, 4, 5, 180, 34, 2, 1, 1], true, NONE), instead(&[2, 4, 5, 180, 1, 1, 1, 1]), "fast open");
        assert_eq!(judged(&[30, 4, 0, 129], true, NONE), instead(&[1; 4]), "several paths");
    }

    #[test]
    fn of_two_of_a_kind_the_last_one_stands() {
        let twice = [3, 3, 7, 3, 3, 2, 1, 1];
        assert_eq!(judged(&twice, true, NONE), instead(&[1, 1, 1, 3, 3, 2, 1, 1]));
        let thrice = [2, 4, 0, 1, 2, 4, 0, 2, 2, 4, 0, 3];
        assert_eq!(judged(&thrice, true, NONE), instead(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0, 3]));
        let mut stamps = vec![8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        stamps.extend_from_within(..);
        let mut cleaned = vec![1; 10];
        cleaned.extend_from_slice(&stamps[10..]);
        assert_eq!(judged(&stamps, false, ALL), instead(&cleaned));
    }

    #[test]
    fn what_cannot_be_read_is_overwritten_to_the_end() {
        assert_eq!(judged(&[2, 4, 5, 180, 8, 40, 0, 0], true, NONE), instead(&[2, 4, 5, 180, 1, 1, 1, 1]));
        assert_eq!(judged(&[8, 0, 1, 1], false, ALL), instead(&[1; 4]));
        assert_eq!(judged(&[0, 9, 9, 9], false, ALL), instead(&[0; 4]), "behind the end");
    }

    #[test]
    fn signatures_are_told() {
        let mut md5 = vec![19, 18];
        md5.extend([7; 16]);
        md5.extend([1, 1]);
        assert_eq!(judged(&md5, false, ALL), Options::Signature);
        assert_eq!(judged(&[29, 4, 0, 0], true, NONE), Options::Signature);
    }
}
