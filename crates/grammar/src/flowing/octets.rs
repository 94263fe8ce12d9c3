//! Looking at many octets at once.

/// Whether text has only whole newlines and no octet 0: each LF behind a CR, each CR before a LF. `last` is the octet
/// before it; a CR at its very end is left for the text that follows.
///
/// It is written so that the compiler makes vector instructions of it: most content is clean, and is looked at no closer.
pub(super) fn is_clean(last: u8, text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let following = text.get(1..).unwrap_or_default();
    let mut broken = (last == b'\r') != (*first == b'\n');
    // What is odd is gathered by place, so that only at the end something has to be put together.
    let mut odd = [0u8; LANES];
    for (octets, nexts) in text.chunks_exact(LANES).zip(following.chunks_exact(LANES)) {
        for ((odd, octet), next) in odd.iter_mut().zip(octets).zip(nexts) {
            *odd |= (mask(*octet == b'\r') ^ mask(*next == b'\n')) | mask(*octet == 0);
        }
    }
    broken |= odd.iter().any(|odd| *odd != 0);
    let done = (following.len() / LANES) * LANES;
    let tail = text.get(done..).unwrap_or_default();
    for (octet, next) in tail.iter().zip(tail.get(1..).unwrap_or_default()) {
        broken |= (*octet == b'\r') != (*next == b'\n');
    }
    broken |= tail.contains(&0);
    !broken
}

/// Octets that are looked at together.
const LANES: usize = 64;

/// All bits set or none, as a vector instruction has its answer.
fn mask(condition: bool) -> u8 {
    0u8.wrapping_sub(u8::from(condition))
}

#[cfg(test)]
mod tests {
    use super::is_clean;

    fn naive(last: u8, text: &[u8]) -> bool {
        let mut before = last;
        text.iter().all(|octet| {
            let fits = ((before == b'\r') == (*octet == b'\n')) && *octet != 0;
            before = *octet;
            fits
        })
    }

    #[test]
    fn agrees_with_a_look_at_each_octet() {
        let base: Vec<u8> = b"some text of a line\r\nand more\r\n.\r\n".iter().copied().cycle().take(700).collect();
        for length in [0, 1, 2, 63, 64, 65, 66, 127, 128, 129, 130, 700] {
            let text = &base[..length];
            assert_eq!(is_clean(b'\n', text), naive(b'\n', text), "length {length}");
            for at in 0..length {
                for octet in [b'\r', b'\n', 0, b'x'] {
                    let mut changed = text.to_vec();
                    changed[at] = octet;
                    for last in [b'\n', b'\r', b'x'] {
                        assert_eq!(is_clean(last, &changed), naive(last, &changed), "{octet} at {at} of {length}");
                    }
                }
            }
        }
    }
}
