//! Whole lines, collected and written together.

use std::io::{self, Write};

use crate::limits::{MAX_SINK_BACKLOG, SINK_BUFFER};

/// Lines that have not been written. What is handed to the writer ends with a whole line, unless the writer takes only a
/// part: then the rest of that line comes first next time.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    octets: Vec<u8>,
    lost: u64,
}

impl LineBuffer {
    /// Takes a line; it is lost if there is no room for it.
    pub(super) fn push(&mut self, line: &[u8]) {
        if self.octets.len().saturating_add(line.len()) > MAX_SINK_BACKLOG {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        self.octets.extend_from_slice(line);
    }

    /// Whether enough has come together to be written.
    pub(super) fn is_due(&self) -> bool {
        self.octets.len() >= SINK_BUFFER
    }

    /// Lines that found no room.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes everything; what could not be written is kept.
    pub(super) fn write_to(&mut self, writer: &mut impl Write) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            let rest = self.octets.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break writer.flush();
            }
            match writer.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written = written.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.octets.drain(..written.min(self.octets.len()));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many octets, then none until it is given more room.
    struct Disk {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let count = octets.len().min(self.room).min(7);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&octets[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_written_in_part_goes_on_where_it_was() {
        let mut disk = Disk { taken: Vec::new(), room: 12 };
        let mut buffer = LineBuffer::default();
        buffer.push(b"first line\n");
        buffer.push(b"second line\n");
        assert_eq!(buffer.write_to(&mut disk).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.room = 1000;
        buffer.push(b"third line\n");
        buffer.write_to(&mut disk).unwrap();
        assert_eq!(disk.taken, b"first line\nsecond line\nthird line\n");
        assert_eq!(buffer.lost(), 0);
    }

    #[test]
    fn a_full_disk_costs_lines_and_no_memory() {
        let mut disk = Disk { taken: Vec::new(), room: 0 };
        let mut buffer = LineBuffer::default();
        let line = [b'x'; 1024];
        for _ in 0..MAX_SINK_BACKLOG / line.len() + 5 {
            buffer.push(&line);
        }
        assert!(buffer.write_to(&mut disk).is_err());
        assert_eq!(buffer.lost(), 5);
        assert!(buffer.octets.len() <= MAX_SINK_BACKLOG);
    }
}
