//! Where lines go.
//!
//! | file | is |
//! |---|---|
//! | `file` | a file that is appended to, and opened again for whoever rotates it |
//! | `stdout` | standard output |
//! | `buffer` | whole lines, collected and written together |

mod buffer;
mod file;
mod stdout;

pub use file::FileSink;
pub use stdout::{StdoutSink, WriterSink};

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Takes lines.
pub trait Sink: Send {
    /// Takes one line, with its newline. It may be written later, together with others, but is never torn apart by those
    /// of another process that writes to the same place.
    ///
    /// # Errors
    ///
    /// [`SinkError::Closed`] if nobody reads any more: a clean end, after which there is no use in going on. Otherwise
    /// [`SinkError::Write`]; the line is kept and will be tried again with the next, within
    /// [`MAX_SINK_BACKLOG`](crate::limits::MAX_SINK_BACKLOG).
    fn line(&mut self, line: &[u8]) -> Result<(), SinkError>;

    /// Writes what was collected.
    ///
    /// # Errors
    ///
    /// As [`Sink::line`].
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Opens the place again, where it has a name, so that a file that was renamed is written no longer.
    ///
    /// # Errors
    ///
    /// [`SinkError::Open`]; the old place stays in use.
    fn reopen(&mut self) -> Result<(), SinkError> {
        self.flush()
    }

    /// Lines that were given up because they could not be written for too long.
    fn lost(&self) -> u64;
}

/// Opens the sink of an argument: a file to append to, or `-` for standard output.
///
/// # Errors
///
/// [`SinkError::Open`].
pub fn open_sink(target: &Path) -> Result<Box<dyn Sink>, SinkError> {
    if target == Path::new("-") {
        return Ok(Box::new(StdoutSink::new()));
    }
    Ok(Box::new(FileSink::open(target)?))
}

/// Why lines could not be written.
#[derive(Debug, Error)]
pub enum SinkError {
    /// `portcullis read a.pcap --eve - | head -1`: the reader has gone.
    #[error("nobody reads {place} any more")]
    Closed {
        /// What was written to.
        place: String,
    },
    /// `--eve /no/such/directory/eve.json`
    #[error("cannot open {} for records: {source}; it has to be a file that can be written, or - for standard output", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A full disk.
    #[error("cannot write records to {place}: {source}; lines are held back and tried again")]
    Write {
        /// What was written to.
        place: String,
        /// Why.
        source: io::Error,
    },
}

impl SinkError {
    /// Whether this is the clean end: the reader has seen enough.
    pub fn is_closed(&self) -> bool {
        matches!(self, SinkError::Closed { .. })
    }

    fn of_write(place: &str, source: io::Error) -> SinkError {
        match source.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed { place: place.to_owned() },
            _ => SinkError::Write { place: place.to_owned(), source },
        }
    }
}
