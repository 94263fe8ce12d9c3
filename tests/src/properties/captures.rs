//! Capture files of any octets.

use std::io::{Cursor, Read};

use portcullis_capture::{CaptureError, CaptureFile, CaptureWriter, Packet, limits};
use portcullis_wire::{LinkType, Timestamp};

/// A capture gives the same packets and the same error whether it is read at once or in small pieces; packets stay below the
/// bounds and come to an end; written again, the packets are the same.
pub fn captures(octets: &[u8]) {
    let whole = read(Cursor::new(octets.to_vec()));
    let pieces = read(Pieces { octets: octets.to_vec(), at: 0 });
    assert_eq!(whole, pieces);

    let mut writer = CaptureWriter::pcapng(Vec::new()).expect("memory can be written to");
    let mut written = Vec::new();
    for line in &whole {
        let Line::Packet { time, link, data, .. } = line else { continue };
        if writer.write(&Packet::new(*time, *link, data), None).is_ok() {
            written.push((*time, *link, data.clone()));
        }
    }
    let capture = writer.finish().expect("memory can be written to");
    let mut again = Vec::new();
    for line in read(Cursor::new(capture)) {
        match line {
            Line::Packet { time, link, data, .. } => again.push((time, link, data)),
            Line::Error(error) => assert!(written.is_empty(), "what we wrote cannot be read: {error}"),
        }
    }
    assert_eq!(written, again);
}

/// What a capture gives.
#[derive(Debug, PartialEq)]
enum Line {
    Packet { time: Timestamp, link: LinkType, data: Vec<u8>, missing: u32, comments: Vec<String> },
    Error(String),
}

fn read(input: impl Read + Send + 'static) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut capture = match CaptureFile::from_reader("any", input) {
        Ok(capture) => capture,
        Err(error) => return vec![Line::Error(said(&error))],
    };
    let mut number = 0;
    let mut errors = 0;
    loop {
        match capture.next() {
            Ok(None) => break,
            Ok(Some(packet)) => {
                assert!(packet.number > number, "numbers rise");
                number = packet.number;
                assert!(packet.data.len() <= limits::PACKET_BYTES_MAXIMUM as usize);
                lines.push(Line::Packet {
                    time: packet.timestamp,
                    link: packet.link,
                    data: packet.data.to_vec(),
                    missing: packet.missing(),
                    comments: packet.comments.map(|comment| comment.to_string()).collect(),
                });
            }
            Err(error) => {
                errors += 1;
                assert!(errors <= limits::INTERFACES, "errors for ever");
                lines.push(Line::Error(said(&error)));
            }
        }
    }
    assert!(matches!(capture.next(), Ok(None)), "something behind the end");
    lines
}

/// The message of an error; of damaged compression only that it is damaged, since the place is only ever near, and the reason
/// that the library gives depends on how far it had come.
fn said(error: &CaptureError) -> String {
    let message = error.to_string();
    match message.split_once(" are damaged near byte ") {
        Some((before, _)) => format!("{before} are damaged"),
        None => message,
    }
}

/// Hands out a few octets at a time.
struct Pieces {
    octets: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = 1 + self.at % 7;
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let length = most.min(rest.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}
