//! Zstandard (RFC 8878): any number of frames, by libzstd.
//!
//! `ruzstd`, in Rust, was tried first. It hands data out only once they have left its window, so a cut
//! file would lose the last 2 to 8 MiB that could be decompressed.

use std::io;

use zstd::stream::raw::{DParameter, Decoder, Operation};

use crate::input::{CompressedBytes, InputFault, RawInput};
use crate::limits;

/// How many bytes tell the header of a frame (RFC 8878, 3.1.1: magic number and descriptor).
const FRAME_START_BYTES: usize = 5;

pub(crate) struct ZstdStage {
    compressed: CompressedBytes,
    decoder: Decoder<'static>,
    /// How many bytes complete the next header or block.
    ///
    /// The decoder is never given more: an error then concerns exactly one block, and all that was decompressed before
    /// has been handed out. Given more, it would forget what it wrote before the error in the same call.
    wanted: usize,
    /// Whether the decoder still holds output that found no room.
    holds_output: bool,
    between_frames: bool,
}

impl ZstdStage {
    pub(crate) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(limits::ZSTD_WINDOW_LOG))?;
        Ok(Self {
            compressed: CompressedBytes::new(),
            decoder,
            wanted: FRAME_START_BYTES,
            holds_output: false,
            between_frames: true,
        })
    }

    /// How many bytes were read from the file but not used yet.
    pub(crate) fn waiting(&self) -> usize {
        self.compressed.available().len()
    }

    pub(crate) fn read(&mut self, raw: &mut RawInput, target: &mut [u8]) -> Result<usize, InputFault> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            let input = if self.holds_output {
                &[][..]
            } else {
                let input = self.compressed.fill(raw)?;
                if input.is_empty() {
                    return if self.between_frames { Ok(0) } else { Err(InputFault::Cut) };
                }
                input.get(..self.wanted).unwrap_or(input)
            };
            let status =
                self.decoder.run_on_buffers(input, target).map_err(|error| InputFault::Corrupt(error.to_string()))?;
            self.compressed.consume(status.bytes_read);
            self.holds_output = status.bytes_written == target.len();
            self.between_frames = status.remaining == 0;
            self.wanted = if self.between_frames { FRAME_START_BYTES } else { status.remaining };
            if self.between_frames {
                self.holds_output = false;
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
        }
    }
}
