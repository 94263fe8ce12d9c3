//! Standard output, and anything else that takes octets.

use std::io::{self, Stdout, Write};

use super::buffer::LineBuffer;
use super::{Sink, SinkError};

/// Writes to something that takes octets.
#[derive(Debug)]
pub struct WriterSink<W: Write> {
    place: String,
    writer: W,
    buffer: LineBuffer,
}

/// Standard output. It is buffered: whoever waits for lines flushes.
pub type StdoutSink = WriterSink<Stdout>;

impl StdoutSink {
    /// The standard output of this process.
    pub fn new() -> StdoutSink {
        WriterSink::to("standard output", io::stdout())
    }
}

impl Default for StdoutSink {
    fn default() -> StdoutSink {
        StdoutSink::new()
    }
}

impl<W: Write> WriterSink<W> {
    /// A sink that writes to `writer`, which messages call `place`.
    pub fn to(place: &str, writer: W) -> WriterSink<W> {
        WriterSink { place: place.to_owned(), writer, buffer: LineBuffer::default() }
    }
}

impl<W: Write + Send> Sink for WriterSink<W> {
    fn line(&mut self, line: &[u8]) -> Result<(), SinkError> {
        self.buffer.push(line);
        if self.buffer.is_due() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.buffer.write_to(&mut self.writer).map_err(|source| SinkError::of_write(&self.place, source))
    }

    fn lost(&self) -> u64 {
        self.buffer.lost()
    }
}
