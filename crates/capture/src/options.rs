//! Options of pcapng blocks (draft-ietf-opsawg-pcapng, section 3.5).

use std::borrow::Cow;

use crate::bytes::ByteOrder;

/// End of options.
const END: u16 = 0;
/// A comment, in UTF-8.
const COMMENT: u16 = 1;

/// An iterator over the comments of a packet; costs nothing if it is not used.
///
/// Invalid UTF-8 is replaced, a damaged option ends the list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comments<'a>(Options<'a>);

impl<'a> Comments<'a> {
    pub(crate) const fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self(Options { bytes, order })
    }
}

impl<'a> Iterator for Comments<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (code, value) = self.0.next_option().ok()??;
            if code == COMMENT {
                return Some(String::from_utf8_lossy(value));
            }
        }
    }
}

/// The options at the end of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

/// An option that goes beyond its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionTooLong {
    pub(crate) code: u16,
    pub(crate) length: u16,
    pub(crate) room: usize,
}

impl<'a> Options<'a> {
    pub(crate) const fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { bytes, order }
    }

    pub(crate) fn next_option(&mut self) -> Result<Option<(u16, &'a [u8])>, OptionTooLong> {
        let (Some(code), Some(length)) = (self.order.u16(self.bytes, 0), self.order.u16(self.bytes, 2)) else {
            return Ok(None);
        };
        if code == END {
            return Ok(None);
        }
        let rest = self.bytes.get(4..).unwrap_or_default();
        let Some(value) = rest.get(..usize::from(length)) else {
            return Err(OptionTooLong { code, length, room: rest.len() });
        };
        // Values are padded to four bytes; the last may lack its padding.
        self.bytes = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        Ok(Some((code, value)))
    }
}
