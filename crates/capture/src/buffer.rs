//! A window on the bytes of a capture: what has to be contiguous is, everything else passes through.

use std::ops::Range;

use crate::input::{Input, InputFault};
use crate::limits;
use crate::name::Offset;

pub(crate) struct ReadBuffer {
    input: Input,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset in the capture of `bytes[0]`.
    base: u64,
    ended: bool,
    fault: Option<InputFault>,
}

impl ReadBuffer {
    pub(crate) fn new(input: Input) -> Self {
        // Zeroed pages are not resident before they are used: a file that is only looked at costs little.
        Self { input, bytes: vec![0; limits::READ_BUFFER_BYTES], start: 0, end: 0, base: 0, ended: false, fault: None }
    }

    /// Reads until `count` bytes are available or no more come, and returns how many are available.
    ///
    /// Ranges that were taken before are invalid afterwards.
    #[inline]
    pub(crate) fn ensure(&mut self, count: usize) -> usize {
        let available = self.end.saturating_sub(self.start);
        if available >= count { available } else { self.fill(count) }
    }

    /// The next bytes, if that many are available.
    #[inline]
    pub(crate) fn peek(&self, count: usize) -> Option<&[u8]> {
        self.bytes.get(self.start..self.end)?.get(..count)
    }

    /// Takes bytes that are available and returns where they are until the next [`ReadBuffer::ensure`].
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Range<usize> {
        let start = self.start;
        self.start = self.start.saturating_add(count).min(self.end);
        start..self.start
    }

    #[inline]
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Passes over bytes without holding them, and returns how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> u64 {
        let mut left = count;
        while left > 0 {
            let available = self.ensure(1);
            if available == 0 {
                break;
            }
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(available);
            self.take(step);
            left = left.saturating_sub(step as u64);
        }
        count.saturating_sub(left)
    }

    /// Where the next byte is in the capture.
    pub(crate) fn offset(&self) -> Offset {
        Offset { byte: self.base.saturating_add(self.start as u64), decompressed: self.input.compression().is_some() }
    }

    /// Why no more bytes come, if it is not the end.
    pub(crate) fn take_fault(&mut self) -> Option<InputFault> {
        self.fault.take()
    }

    pub(crate) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    #[cold]
    #[inline(never)]
    fn fill(&mut self, count: usize) -> usize {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.base = self.base.saturating_add(self.start as u64);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        if count > self.bytes.len() {
            self.bytes.resize(count.next_multiple_of(limits::READ_BUFFER_BYTES), 0);
        }
        while self.end < count && !self.ended {
            match self.input.read(self.bytes.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end = self.end.saturating_add(read).min(self.bytes.len()),
                Err(fault) => {
                    self.ended = true;
                    self.fault = Some(fault);
                }
            }
        }
        self.end
    }
}
