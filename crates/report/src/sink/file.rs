//! A file that is appended to.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::buffer::LineBuffer;
use super::{Sink, SinkError};

/// A file to which lines are appended (`O_APPEND`), so that it may be truncated by whoever rotates it, and shared.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    file: File,
    buffer: LineBuffer,
}

impl FileSink {
    /// Opens a file, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// [`SinkError::Open`].
    pub fn open(path: &Path) -> Result<FileSink, SinkError> {
        Ok(FileSink { path: path.to_owned(), file: append(path)?, buffer: LineBuffer::default() })
    }
}

impl Sink for FileSink {
    fn line(&mut self, line: &[u8]) -> Result<(), SinkError> {
        self.buffer.push(line);
        if self.buffer.is_due() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let written = self.buffer.write_to(&mut self.file);
        written.map_err(|source| SinkError::of_write(&self.path.display().to_string(), source))
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        // What was seen before belongs to the old file; if that cannot take it, the new one does.
        let _ = self.flush();
        self.file = append(&self.path)?;
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.buffer.lost()
    }
}

/// What was collected is not lost to a caller that forgot to ask for it; one that wants to know of errors flushes.
impl Drop for FileSink {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

fn append(path: &Path) -> Result<File, SinkError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|source| SinkError::Open { path: path.to_owned(), source })
}
