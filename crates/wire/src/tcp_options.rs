//! Options of TCP (RFC 9293, section 3.2), read as Linux reads them.

use crate::bytes::{u16_at, u32_at};
use crate::limits::SACK_BLOCKS;
use crate::sequence::SequenceNumber;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const MD5: u8 = 19;
const AUTHENTICATION: u8 = 29;
const FAST_OPEN: u8 = 34;
/// Fast open before it had a number of its own: an experimental option that begins with this (RFC 6994, RFC 7413).
const EXPERIMENT: u8 = 254;
const EXPERIMENT_FAST_OPEN: u16 = 0xf989;

/// The greatest window scale; a greater one counts as this (RFC 7323, section 2.3).
pub const WINDOW_SCALE_MAXIMUM: u8 = 14;

/// The options of a segment, not yet read.
///
/// Each question walks the at most 40 octets again; who wants more than one answer asks [`TcpOptions::values`] once. An option
/// with a wrong length for its kind is skipped, and one whose length is impossible ends the walk, as in Linux, so that what
/// stood before it still counts. Of two options of a kind the last one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions<'a> {
    bytes: &'a [u8],
}

impl<'a> TcpOptions<'a> {
    /// Takes the octets after the fixed header.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The options as they stand in the packet.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The options one after another, without padding.
    pub const fn iter(&self) -> TcpOptionIterator<'a> {
        TcpOptionIterator { rest: self.bytes, malformed: false }
    }

    /// Whether every option has a possible length.
    pub fn is_well_formed(&self) -> bool {
        let mut options = self.iter();
        options.by_ref().for_each(drop);
        !options.malformed
    }

    /// All values in one walk.
    pub fn values(&self) -> TcpOptionValues {
        let mut values = TcpOptionValues::default();
        // The layout that Linux, Windows and the BSDs all send on established connections.
        if let [NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10, rest @ ..] = self.bytes
            && rest.len() == 8
        {
            values.timestamps = timestamps(rest);
            return values;
        }
        for option in self.iter() {
            values.read(option);
        }
        values
    }

    /// The maximum segment size in octets (RFC 9293); means something only with SYN.
    pub fn mss(&self) -> Option<u16> {
        self.values().mss
    }

    /// The power of two by which windows are to be multiplied, at most 14 (RFC 7323); means something only with SYN.
    pub fn window_scale(&self) -> Option<u8> {
        self.values().window_scale
    }

    /// Whether selective acknowledgements are allowed (RFC 2018); means something only with SYN.
    pub fn sack_permitted(&self) -> bool {
        self.values().sack_permitted
    }

    /// What the sender holds beyond the acknowledgement number (RFC 2018).
    pub fn sack(&self) -> SackBlocks {
        self.values().sack
    }

    /// The timestamps (RFC 7323).
    pub fn timestamps(&self) -> Option<TcpTimestamps> {
        self.values().timestamps
    }
}

impl<'a> IntoIterator for TcpOptions<'a> {
    type Item = TcpOption<'a>;
    type IntoIter = TcpOptionIterator<'a>;

    fn into_iter(self) -> TcpOptionIterator<'a> {
        self.iter()
    }
}

/// One option: its kind and what follows the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption<'a> {
    /// The number of the option in IANA's registry "TCP Option Kind Numbers".
    pub kind: u8,
    /// The octets after kind and length.
    pub data: &'a [u8],
}

/// Walks the options; ends at the end mark or at the first option with an impossible length.
#[derive(Clone, Debug)]
pub struct TcpOptionIterator<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl TcpOptionIterator<'_> {
    /// Whether the walk ended at an option with an impossible length.
    pub const fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for TcpOptionIterator<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        loop {
            match *self.rest {
                [] | [END, ..] => {
                    self.rest = &[];
                    return None;
                }
                [NO_OPERATION, ref rest @ ..] => self.rest = rest,
                [kind, length, ..] if length >= 2 && usize::from(length) <= self.rest.len() => {
                    let (option, rest) = self.rest.split_at_checked(usize::from(length))?;
                    self.rest = rest;
                    return Some(TcpOption { kind, data: option.get(2..).unwrap_or_default() });
                }
                _ => {
                    self.malformed = true;
                    self.rest = &[];
                    return None;
                }
            }
        }
    }
}

/// What the options of one segment say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptionValues {
    /// The maximum segment size in octets.
    pub mss: Option<u16>,
    /// The power of two by which windows are to be multiplied, at most 14.
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements are allowed.
    pub sack_permitted: bool,
    /// What the sender holds beyond the acknowledgement number.
    pub sack: SackBlocks,
    /// The timestamps.
    pub timestamps: Option<TcpTimestamps>,
    /// The length of the fast open cookie in octets; 0 is a request for one (RFC 7413).
    pub fast_open_cookie: Option<u8>,
    /// Whether there is an MD5 signature (RFC 2385); a receiver without the key drops the segment.
    pub md5: bool,
    /// Whether there is an authentication option (RFC 5925); a receiver without the key drops the segment.
    pub authentication: bool,
}

impl TcpOptionValues {
    fn read(&mut self, option: TcpOption<'_>) {
        match (option.kind, option.data) {
            (MSS, &[high, low]) => self.mss = Some(u16::from_be_bytes([high, low])),
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift.min(WINDOW_SCALE_MAXIMUM)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, data) if !data.is_empty() && data.len().is_multiple_of(8) => self.sack = SackBlocks::parse(data),
            (TIMESTAMPS, data) if data.len() == 8 => self.timestamps = timestamps(data),
            (FAST_OPEN, cookie) => self.fast_open_cookie = Some(cookie.len().min(255) as u8),
            (EXPERIMENT, data) if u16_at(data, 0) == Some(EXPERIMENT_FAST_OPEN) => {
                self.fast_open_cookie = Some(data.len().saturating_sub(2).min(255) as u8);
            }
            (MD5, data) if data.len() == 16 => self.md5 = true,
            (AUTHENTICATION, data) if data.len() >= 2 => self.authentication = true,
            _ => {}
        }
    }
}

/// The two clock values of RFC 7323.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimestamps {
    /// The sender's clock (TSval).
    pub value: u32,
    /// The last clock value that the sender saw of the other side (TSecr).
    pub echo: u32,
}

/// Up to four blocks of a selective acknowledgement, each from a number up to, not including, another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(SequenceNumber, SequenceNumber); SACK_BLOCKS],
    count: u8,
}

impl SackBlocks {
    /// The blocks in the order of the segment.
    pub fn as_slice(&self) -> &[(SequenceNumber, SequenceNumber)] {
        self.blocks.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn parse(data: &[u8]) -> Self {
        let mut sack = Self::default();
        for (slot, block) in sack.blocks.iter_mut().zip(data.chunks_exact(8)) {
            if let (Some(start), Some(end)) = (u32_at(block, 0), u32_at(block, 4)) {
                *slot = (SequenceNumber(start), SequenceNumber(end));
                sack.count += 1;
            }
        }
        sack
    }
}

fn timestamps(data: &[u8]) -> Option<TcpTimestamps> {
    Some(TcpTimestamps { value: u32_at(data, 0)?, echo: u32_at(data, 4)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_of_a_linux_syn() {
        let options = TcpOptions::new(&[
            2, 4, 0x05, 0xb4, // MSS 1460
            4, 2, // SACK permitted
            8, 10, 0, 0, 0, 1, 0, 0, 0, 2, // timestamps
            1, // no operation
            3, 3, 7, // window scale
        ]);
        let values = options.values();
        assert_eq!(values.mss, Some(1460));
        assert_eq!(values.window_scale, Some(7));
        assert!(values.sack_permitted);
        assert_eq!(values.timestamps, Some(TcpTimestamps { value: 1, echo: 2 }));
        assert!(values.sack.is_empty() && values.fast_open_cookie.is_none() && !values.md5 && !values.authentication);
        assert!(options.is_well_formed());
        assert_eq!(options.mss(), Some(1460));
        assert_eq!(options.window_scale(), Some(7));
        assert!(options.sack_permitted());
        assert_eq!(options.timestamps(), values.timestamps);
        assert_eq!(options.into_iter().map(|option| option.kind).collect::<Vec<_>>(), [2, 4, 8, 3]);
    }

    #[test]
    fn the_short_way_for_timestamps_gives_the_same() {
        let fast = TcpOptions::new(&[1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0]).values();
        let slow = TcpOptions::new(&[1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0, 1]).values();
        assert_eq!(fast, slow);
        assert_eq!(fast.timestamps, Some(TcpTimestamps { value: 256, echo: 512 }));
    }

    #[test]
    fn selective_acknowledgements() {
        let mut bytes = vec![1, 1, 5, 34];
        for number in 1..=8_u32 {
            bytes.extend(number.to_be_bytes());
        }
        let blocks = TcpOptions::new(&bytes).sack();
        let expected: Vec<_> =
            (0..4).map(|block| (SequenceNumber(2 * block + 1), SequenceNumber(2 * block + 2))).collect();
        assert_eq!(blocks.as_slice(), expected);
        assert!(TcpOptions::new(&[5, 9, 0, 0, 0, 0, 0, 0, 0]).sack().is_empty(), "seven octets are no block");
    }

    #[test]
    fn signatures_and_fast_open() {
        let mut md5 = vec![19, 18];
        md5.extend([0; 16]);
        assert!(TcpOptions::new(&md5).values().md5);
        assert!(TcpOptions::new(&[29, 4, 1, 1]).values().authentication);
        assert_eq!(TcpOptions::new(&[34, 2]).values().fast_open_cookie, Some(0));
        assert_eq!(TcpOptions::new(&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]).values().fast_open_cookie, Some(8));
        assert_eq!(TcpOptions::new(&[254, 8, 0xf9, 0x89, 1, 2, 3, 4]).values().fast_open_cookie, Some(4));
        assert_eq!(TcpOptions::new(&[254, 4, 0x00, 0x00]).values().fast_open_cookie, None);
    }

    #[test]
    fn an_impossible_length_ends_the_walk_but_not_what_stood_before() {
        for bad in [&[2, 4, 5, 0xb4, 3, 1, 9][..], &[2, 4, 5, 0xb4, 3, 0], &[2, 4, 5, 0xb4, 3, 9], &[2, 4, 5, 0xb4, 3]]
        {
            let options = TcpOptions::new(bad);
            assert_eq!(options.mss(), Some(1460));
            assert_eq!(options.window_scale(), None);
            assert!(!options.is_well_formed());
        }
    }

    #[test]
    fn wrong_lengths_of_known_kinds_are_skipped() {
        let values = TcpOptions::new(&[2, 3, 5, 3, 4, 7, 7, 4, 3, 0]).values();
        assert_eq!(values, TcpOptionValues::default());
    }

    #[test]
    fn nothing_is_read_after_the_end_mark() {
        let options = TcpOptions::new(&[0, 2, 4, 5, 0xb4]);
        assert_eq!(options.mss(), None);
        assert!(options.is_well_formed());
    }

    #[test]
    fn the_last_of_a_kind_counts_and_scales_are_capped() {
        let options = TcpOptions::new(&[2, 4, 0, 1, 2, 4, 0, 2, 3, 3, 200]);
        assert_eq!(options.mss(), Some(2));
        assert_eq!(options.window_scale(), Some(14));
    }

    proptest! {
        #[test]
        fn any_octets_can_be_asked(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let options = TcpOptions::new(&bytes);
            let walked: usize = options.iter().map(|option| option.data.len() + 2).sum();
            prop_assert!(walked <= bytes.len());
            prop_assert!(options.values().sack.as_slice().len() <= SACK_BLOCKS);
        }
    }
}
