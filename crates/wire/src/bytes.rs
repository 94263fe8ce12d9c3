//! Reading of integers in network order that cannot reach past the end.

/// The 16-bit integer at `offset`, or `None` when it reaches past the end.
pub(crate) fn u16_at(data: &[u8], offset: usize) -> Option<u16> {
    data.get(offset..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

/// The 32-bit integer at `offset`, or `None` when it reaches past the end.
pub(crate) fn u32_at(data: &[u8], offset: usize) -> Option<u32> {
    data.get(offset..)?.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// The octets from `start` to `end`, or what there is of them.
pub(crate) fn clamped(data: &[u8], start: usize, end: usize) -> &[u8] {
    let end = end.min(data.len());
    data.get(start.min(end)..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_past_the_end_are_none() {
        let data = [0x01, 0x02, 0x03, 0x04, 0x05];
        assert_eq!(u16_at(&data, 3), Some(0x0405));
        assert_eq!(u16_at(&data, 4), None);
        assert_eq!(u16_at(&data, usize::MAX), None);
        assert_eq!(u32_at(&data, 1), Some(0x0203_0405));
        assert_eq!(u32_at(&data, 2), None);
    }

    #[test]
    fn clamping_never_reaches_past_the_end() {
        assert_eq!(clamped(b"abcde", 1, 3), b"bc");
        assert_eq!(clamped(b"abcde", 3, 99), b"de");
        assert_eq!(clamped(b"abcde", 99, 100), b"");
        assert_eq!(clamped(b"abcde", 4, 2), b"");
    }
}
