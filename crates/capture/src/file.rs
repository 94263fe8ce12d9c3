//! One capture file, read from front to back.

use std::io::Read;
use std::path::Path;

use portcullis_wire::LinkType;

use crate::buffer::ReadBuffer;
use crate::detect::{self, CaptureFormat};
use crate::error::CaptureError;
use crate::input::{Input, InputFault};
use crate::limits;
use crate::link;
use crate::name::{Compression, FileName};
use crate::options::Comments;
use crate::pcap::PcapReader;
use crate::pcapng::PcapngReader;
use crate::record::{Fault, Record};
use crate::source::{Packet, PacketSource, Progress};

/// A capture file of either format, plain or compressed, recognised by its content.
///
/// It is read once from front to back through a buffer of [`limits::READ_BUFFER_BYTES`], so memory does not depend on
/// its size and a pipe does as well as a file.
pub struct CaptureFile {
    name: FileName,
    buffer: ReadBuffer,
    reader: Reader,
    /// How many packets were met, also those that could not be delivered.
    count: u64,
    current: Option<Record>,
    finished: bool,
}

enum Reader {
    Pcap(PcapReader),
    Pcapng(PcapngReader),
}

impl CaptureFile {
    /// Opens the capture file at `path`; `-` is standard input.
    ///
    /// # Errors
    ///
    /// Fails if there is no such file, it is a directory or may not be read, if it is empty, no capture, or ends in its
    /// header, and if all its packets are of an unknown link type (a pcapng file tells this later).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let path = path.as_ref();
        let name = FileName::new(path);
        let input = Input::open(path, &name)?;
        Self::start(name, input)
    }

    /// Reads a capture from `reader`; messages call it `name`.
    ///
    /// # Errors
    ///
    /// Fails as [`CaptureFile::open`] does for what it reads.
    pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let name = FileName::new(Path::new(name));
        let input = Input::from_reader(Box::new(reader), None)
            .map_err(|source| CaptureError::Open { file: name.clone(), source })?;
        Self::start(name, input)
    }

    fn start(name: FileName, input: Input) -> Result<Self, CaptureError> {
        let mut buffer = ReadBuffer::new(input);
        let result = open_reader(&mut buffer, &name);
        match result {
            Ok(reader) => Ok(Self { name, buffer, reader, count: 0, current: None, finished: false }),
            Err(OpenFault::Named(error)) => Err(error),
            Err(OpenFault::Fault(fault, format)) => Err(to_error(fault, &name, &mut buffer, format, 0)),
        }
    }

    /// Returns the next packet, or `None` at the end of the file and after an error that ends it.
    ///
    /// # Errors
    ///
    /// Fails if the file is cut or damaged where the next packet should be, or with the first packet of an
    /// interface of unknown link type in a pcapng file, whose other interfaces go on.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        self.advance()?;
        Ok(self.current())
    }

    /// Steps to the next packet and tells whether there is one.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<bool, CaptureError> {
        self.current = None;
        if self.finished {
            return Ok(false);
        }
        let step = match &mut self.reader {
            Reader::Pcap(reader) => {
                let step = reader.next(&mut self.buffer);
                if matches!(step, Ok(Some(_))) {
                    self.count = self.count.saturating_add(1);
                }
                step
            }
            Reader::Pcapng(reader) => reader.next(&mut self.buffer, &mut self.count),
        };
        match step {
            Ok(record) => {
                self.finished = record.is_none();
                self.current = record;
                Ok(!self.finished)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// The packet that was stepped to.
    #[inline]
    pub(crate) fn current(&self) -> Option<Packet<'_>> {
        let record = self.current.as_ref()?;
        Some(Packet {
            number: self.count,
            timestamp: record.timestamp,
            link: record.link,
            data: self.buffer.slice(record.data.clone()),
            original_length: record.original_length,
            interface: record.interface,
            file: 0,
            number_in_file: self.count,
            comments: Comments::new(self.buffer.slice(record.options.clone()), record.order),
        })
    }

    /// The name that messages use.
    #[must_use]
    pub const fn name(&self) -> &FileName {
        &self.name
    }

    /// The format of the capture.
    #[must_use]
    pub const fn format(&self) -> CaptureFormat {
        match self.reader {
            Reader::Pcap(_) => CaptureFormat::Pcap,
            Reader::Pcapng(_) => CaptureFormat::Pcapng,
        }
    }

    /// How the file is compressed.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.buffer.input().compression()
    }

    /// The link types that are known so far: for pcap that of the file, for pcapng those of the interfaces that were
    /// described up to here.
    #[must_use]
    pub fn link_types(&self) -> Vec<LinkType> {
        let mut links = Vec::new();
        let mut add = |link| {
            if !links.contains(&link) {
                links.push(link);
            }
        };
        match &self.reader {
            Reader::Pcap(reader) => add(reader.link()),
            Reader::Pcapng(reader) => reader.links().for_each(add),
        }
        links
    }

    /// How many packets were passed over because the link type of their interface is unknown.
    #[must_use]
    pub const fn uninspected(&self) -> u64 {
        match &self.reader {
            Reader::Pcap(_) => 0,
            Reader::Pcapng(reader) => reader.uninspected(),
        }
    }

    /// How many bytes of the file were read, and its size.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let input = self.buffer.input();
        Progress { position: input.position(), total: input.total() }
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> CaptureError {
        let format = self.format();
        let error = to_error(fault, &self.name, &mut self.buffer, format, self.count);
        self.finished = error.ends_file();
        error
    }
}

impl PacketSource for CaptureFile {
    fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        Self::next(self)
    }

    fn progress(&self) -> Option<Progress> {
        Some(Self::progress(self))
    }
}

impl std::fmt::Debug for CaptureFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureFile")
            .field("name", &self.name)
            .field("format", &self.format())
            .field("packets", &self.count)
            .finish_non_exhaustive()
    }
}

enum OpenFault {
    Named(CaptureError),
    Fault(Fault, CaptureFormat),
}

fn open_reader(buffer: &mut ReadBuffer, name: &FileName) -> Result<Reader, OpenFault> {
    const MAGIC_BYTES: usize = 4;
    let available = buffer.ensure(MAGIC_BYTES);
    let compression = buffer.input().compression();
    let first = buffer.peek(available.min(limits::SNIFF_BYTES)).unwrap_or_default();
    match CaptureFormat::detect(first) {
        Some(format @ CaptureFormat::Pcap) => {
            PcapReader::open(buffer).map(Reader::Pcap).map_err(|fault| OpenFault::Fault(fault, format))
        }
        Some(format @ CaptureFormat::Pcapng) => {
            PcapngReader::open(buffer).map(Reader::Pcapng).map_err(|fault| OpenFault::Fault(fault, format))
        }
        // Damaged compression shows before four bytes came out, or the file is shorter than that.
        None if buffer.has_fault() => Err(OpenFault::Fault(
            Fault::CutHeader { needed: MAGIC_BYTES as u64, available: available as u64 },
            CaptureFormat::Pcap,
        )),
        None if available == 0 => Err(OpenFault::Named(CaptureError::Empty { file: name.clone(), compression })),
        None => {
            // A pipe may hand out less at a time than is looked at, and the message must not depend on that.
            let available = buffer.ensure(limits::SNIFF_BYTES).min(limits::SNIFF_BYTES);
            let looks_like = detect::describe(buffer.peek(available).unwrap_or_default());
            Err(OpenFault::Named(CaptureError::NotACapture { file: name.clone(), compression, looks_like }))
        }
    }
}

/// Adds the name of the file and the number of the packet to what is wrong. `count` packets were met before.
fn to_error(fault: Fault, name: &FileName, buffer: &mut ReadBuffer, format: CaptureFormat, count: u64) -> CaptureError {
    let file = name.clone();
    let packet = count.saturating_add(1);
    match fault {
        Fault::Short { .. } | Fault::CutHeader { .. } if buffer.has_fault() => {
            let offset = buffer.offset();
            let compressed_byte = buffer.input().position();
            let compression = buffer.input().compression().unwrap_or(Compression::Gzip);
            match buffer.take_fault() {
                Some(InputFault::Io(source)) => CaptureError::Read { file, packet, offset, source },
                Some(InputFault::Corrupt(reason)) => {
                    CaptureError::Compression { file, compression, compressed_byte, reason, packet, offset }
                }
                Some(InputFault::Cut) | None => {
                    CaptureError::CompressionCut { file, compression, compressed_byte, packet, offset }
                }
            }
        }
        Fault::Short { what, offset, needed, available } => {
            CaptureError::Cut { file, what, packet, offset, needed, available }
        }
        Fault::CutHeader { needed, available } => {
            CaptureError::CutHeader { file, format: format.name(), available, needed }
        }
        Fault::Damaged { offset, damage } => CaptureError::Damaged { file, packet, offset, damage },
        Fault::Version { major, minor, readable, offset } => {
            CaptureError::Version { file, format: format.name(), major, minor, readable, offset }
        }
        Fault::UnknownLinkType { number, interface } => CaptureError::UnknownLinkType {
            file,
            number,
            name: link::name_of_unknown(number),
            interface: interface.map(|interface| (interface, count)),
        },
    }
}
