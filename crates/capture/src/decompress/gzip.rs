//! gzip (RFC 1952): any number of members, header and checksum verified by zlib-rs.

use flate2::{Decompress, FlushDecompress, Status};

use crate::input::{CompressedBytes, InputFault, RawInput};

/// The largest window of deflate (RFC 1951, section 2), as a power of two.
const WINDOW_BITS: u8 = 15;

pub(crate) struct GzipStage {
    compressed: CompressedBytes,
    member: Member,
}

enum Member {
    Inside(Decompress),
    Between,
    Failed(String),
}

impl GzipStage {
    pub(crate) fn new() -> Self {
        Self { compressed: CompressedBytes::new(), member: Member::Inside(Decompress::new_gzip(WINDOW_BITS)) }
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
            match &mut self.member {
                Member::Failed(reason) => return Err(InputFault::Corrupt(std::mem::take(reason))),
                Member::Between => {
                    if !self.next_member(raw)? {
                        return Ok(0);
                    }
                }
                Member::Inside(inflate) => {
                    let input = self.compressed.fill(raw)?;
                    let ended = input.is_empty();
                    let (read_before, written_before) = (inflate.total_in(), inflate.total_out());
                    let result = inflate.decompress(input, target, FlushDecompress::None);
                    let read = usize::try_from(inflate.total_in().saturating_sub(read_before)).unwrap_or(usize::MAX);
                    let written = usize::try_from(inflate.total_out().saturating_sub(written_before)).unwrap_or(0);
                    self.compressed.consume(read);
                    match result {
                        Ok(Status::StreamEnd) => self.member = Member::Between,
                        Ok(Status::Ok | Status::BufError) if written == 0 && read == 0 => {
                            return Err(if ended {
                                InputFault::Cut
                            } else {
                                InputFault::Corrupt("the decompressor makes no progress".to_owned())
                            });
                        }
                        Ok(Status::Ok | Status::BufError) => {}
                        Err(error) => {
                            self.member = Member::Failed(error.message().unwrap_or("invalid deflate data").to_owned());
                        }
                    }
                    if written > 0 {
                        return Ok(written);
                    }
                }
            }
        }
    }

    /// Starts the next member if there is one. Zeros at the end are padding, as for the `gzip` tool.
    fn next_member(&mut self, raw: &mut RawInput) -> Result<bool, InputFault> {
        loop {
            let input = self.compressed.fill(raw)?;
            let padding = input.iter().take_while(|byte| **byte == 0).count();
            if input.is_empty() {
                return Ok(false);
            }
            let next = input.get(padding).copied();
            self.compressed.consume(padding);
            match next {
                None => {}
                Some(0x1f) => {
                    self.member = Member::Inside(Decompress::new_gzip(WINDOW_BITS));
                    return Ok(true);
                }
                Some(_) => {
                    return Err(InputFault::Corrupt(
                        "something that is not gzip follows the compressed data".to_owned(),
                    ));
                }
            }
        }
    }
}
