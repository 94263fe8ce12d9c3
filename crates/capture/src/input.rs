//! The bytes of a capture file: opened, counted, and decompressed if need be.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use crate::decompress::{GzipStage, ZstdStage};
use crate::error::CaptureError;
use crate::limits;
use crate::name::{Compression, FileName};

/// A stream of capture bytes, decompressed by what its first bytes are.
pub(crate) struct Input {
    raw: RawInput,
    stage: Stage,
}

enum Stage {
    Plain,
    Gzip(Box<GzipStage>),
    Zstd(Box<ZstdStage>),
}

/// Why no more bytes come.
#[derive(Debug)]
pub(crate) enum InputFault {
    Io(io::Error),
    Corrupt(String),
    Cut,
}

impl Input {
    /// Opens the file at `path`, or standard input for `-`.
    pub(crate) fn open(path: &Path, name: &FileName) -> Result<Self, CaptureError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => CaptureError::Missing { file: name.clone() },
            io::ErrorKind::PermissionDenied => CaptureError::PermissionDenied { file: name.clone() },
            io::ErrorKind::IsADirectory => CaptureError::Directory { file: name.clone() },
            _ => CaptureError::Open { file: name.clone(), source },
        };
        let file = if name.is_standard_input() {
            // The descriptor itself, not `Stdin`: that one copies everything through a small buffer under a lock.
            File::from(io::stdin().as_fd().try_clone_to_owned().map_err(refused)?)
        } else {
            File::open(path).map_err(refused)?
        };
        let metadata = file.metadata().map_err(refused)?;
        if metadata.is_dir() {
            return Err(CaptureError::Directory { file: name.clone() });
        }
        let total = metadata.is_file().then_some(metadata.len());
        Self::from_reader(Box::new(file), total).map_err(refused)
    }

    pub(crate) fn from_reader(reader: Box<dyn Read + Send>, total: Option<u64>) -> io::Result<Self> {
        let mut raw = RawInput { reader, first: Vec::new(), first_taken: 0, position: 0, total };
        raw.sniff()?;
        let stage = match Compression::detect(&raw.first) {
            None => Stage::Plain,
            Some(Compression::Gzip) => Stage::Gzip(Box::new(GzipStage::new())),
            Some(Compression::Zstd) => Stage::Zstd(Box::new(ZstdStage::new()?)),
        };
        Ok(Self { raw, stage })
    }

    /// Reads some bytes; 0 is the end. Bytes that precede a fault are delivered before it.
    pub(crate) fn read(&mut self, target: &mut [u8]) -> Result<usize, InputFault> {
        match &mut self.stage {
            Stage::Plain => self.raw.read(target).map_err(InputFault::Io),
            Stage::Gzip(stage) => stage.read(&mut self.raw, target),
            Stage::Zstd(stage) => stage.read(&mut self.raw, target),
        }
    }

    pub(crate) fn compression(&self) -> Option<Compression> {
        match self.stage {
            Stage::Plain => None,
            Stage::Gzip(_) => Some(Compression::Gzip),
            Stage::Zstd(_) => Some(Compression::Zstd),
        }
    }

    /// How many bytes of the file itself were used: read, and decompressed if need be.
    pub(crate) fn position(&self) -> u64 {
        let waiting = match &self.stage {
            Stage::Plain => 0,
            Stage::Gzip(stage) => stage.waiting(),
            Stage::Zstd(stage) => stage.waiting(),
        };
        self.raw.position.saturating_sub(waiting as u64)
    }

    /// The size of the file itself, where it has one.
    pub(crate) fn total(&self) -> Option<u64> {
        self.raw.total
    }
}

/// The file as it is.
pub(crate) struct RawInput {
    reader: Box<dyn Read + Send>,
    /// The bytes that were read to recognise the file, until they are read again.
    first: Vec<u8>,
    first_taken: usize,
    position: u64,
    total: Option<u64>,
}

impl RawInput {
    /// Reads until there are enough bytes to recognise any compression, and whatever comes with them.
    fn sniff(&mut self) -> io::Result<()> {
        const ENOUGH: usize = 4;
        let mut first = vec![0; limits::SNIFF_BYTES];
        let mut filled = 0;
        while filled < ENOUGH {
            match read_some(&mut *self.reader, first.get_mut(filled..).unwrap_or_default())? {
                0 => break,
                count => filled = filled.saturating_add(count),
            }
        }
        first.truncate(filled);
        self.first = first;
        Ok(())
    }

    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let waiting = self.first.get(self.first_taken..).unwrap_or_default();
        let count = if waiting.is_empty() {
            read_some(&mut *self.reader, target)?
        } else {
            let count = waiting.len().min(target.len());
            if let (Some(to), Some(from)) = (target.get_mut(..count), waiting.get(..count)) {
                to.copy_from_slice(from);
            }
            self.first_taken = self.first_taken.saturating_add(count);
            count
        };
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

fn read_some(reader: &mut dyn Read, target: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(target) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A reader that claims more than it was given room for is wrong; it must not make us wrong.
            other => return other.map(|count| count.min(target.len())),
        }
    }
}

/// Compressed bytes on their way to a decompressor.
pub(crate) struct CompressedBytes {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl CompressedBytes {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; limits::COMPRESSED_BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What can be decompressed now; reads if there is nothing. Empty only at the end of the file.
    pub(crate) fn fill(&mut self, raw: &mut RawInput) -> Result<&[u8], InputFault> {
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
            self.end = raw.read(&mut self.bytes).map_err(InputFault::Io)?;
        }
        Ok(self.available())
    }

    pub(crate) fn available(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }
}
