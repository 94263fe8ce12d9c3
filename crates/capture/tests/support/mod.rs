//! Captures made by hand, byte by byte, and helpers to read them.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{Cursor, Write};

use portcullis_capture::{CaptureError, CaptureFile, PacketSource};
use portcullis_wire::LinkType;

/// The byte order of a capture that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

pub const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// The header of a classic capture.
pub fn pcap_header(order: Order, magic: u32, minor: u16, snapshot_length: u32, link: u32) -> Vec<u8> {
    let mut bytes = order.u32(magic).to_vec();
    bytes.extend(order.u16(2));
    bytes.extend(order.u16(minor));
    bytes.extend([0; 8]);
    bytes.extend(order.u32(snapshot_length));
    bytes.extend(order.u32(link));
    bytes
}

/// The usual header: little endian, microseconds, Ethernet.
pub fn usual_header() -> Vec<u8> {
    pcap_header(Order::Little, 0xa1b2_c3d4, 4, 65_535, 1)
}

/// A packet of a classic capture.
pub fn pcap_record(order: Order, seconds: u32, fraction: u32, original: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [seconds, fraction, u32::try_from(data.len()).unwrap(), original] {
        bytes.extend(order.u32(word));
    }
    bytes.extend(data);
    bytes
}

/// A classic capture of packets one second apart, each filled with its own number.
pub fn usual_pcap(lengths: &[usize]) -> Vec<u8> {
    let mut bytes = usual_header();
    for (at, length) in lengths.iter().enumerate() {
        let number = u32::try_from(at).unwrap() + 1;
        let data = vec![u8::try_from(number % 251).unwrap(); *length];
        bytes.extend(pcap_record(Order::Little, number, 0, u32::try_from(*length).unwrap(), &data));
    }
    bytes
}

/// A block of a pcapng file.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = order.u32(u32::try_from(body.len()).unwrap() + 12);
    [&order.u32(kind)[..], &length, &body, &length].concat()
}

pub fn section(order: Order) -> Vec<u8> {
    block(
        order,
        0x0a0d_0d0a,
        &[&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(u64::MAX)].concat(),
    )
}

pub fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [&order.u16(code)[..], &order.u16(u16::try_from(value.len()).unwrap()), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub fn interface(order: Order, link: u16, snapshot_length: u32, options: &[u8]) -> Vec<u8> {
    block(order, 1, &[&order.u16(link)[..], &[0; 2], &order.u32(snapshot_length), options].concat())
}

pub fn enhanced(order: Order, interface: u32, time: u64, original: u32, data: &[u8], options: &[u8]) -> Vec<u8> {
    let mut body = order.u32(interface).to_vec();
    body.extend(order.u32(u32::try_from(time >> 32).unwrap()));
    body.extend(order.u32(u32::try_from(time & 0xffff_ffff).unwrap()));
    body.extend(order.u32(u32::try_from(data.len()).unwrap()));
    body.extend(order.u32(original));
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(options);
    block(order, 6, &body)
}

/// A pcapng file of packets one second apart, each filled with its own number.
pub fn usual_pcapng(lengths: &[usize]) -> Vec<u8> {
    let order = Order::Little;
    let mut bytes = [section(order), interface(order, 1, 65_535, &[])].concat();
    for (at, length) in lengths.iter().enumerate() {
        let number = u64::try_from(at).unwrap() + 1;
        let data = vec![u8::try_from(number % 251).unwrap(); *length];
        bytes.extend(enhanced(order, 0, number * 1_000_000, u32::try_from(*length).unwrap(), &data, &[]));
        // A block of interface statistics after every packet, which is passed over.
        bytes.extend(block(order, 5, &[0; 12]));
    }
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// A packet that was read, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub number: u64,
    pub nanoseconds: i64,
    pub link: LinkType,
    pub data: Vec<u8>,
    pub original_length: u32,
    pub interface: u32,
    pub file: u32,
    pub number_in_file: u64,
    pub comments: Vec<String>,
}

/// All packets of a source, and the errors between or after them.
pub fn drain(source: &mut dyn PacketSource) -> (Vec<Kept>, Vec<CaptureError>) {
    let (mut packets, mut errors) = (Vec::new(), Vec::new());
    loop {
        match source.next() {
            Ok(Some(packet)) => packets.push(Kept {
                number: packet.number,
                nanoseconds: packet.timestamp.as_nanos(),
                link: packet.link,
                data: packet.data.to_vec(),
                original_length: packet.original_length,
                interface: packet.interface,
                file: packet.file,
                number_in_file: packet.number_in_file,
                comments: packet.comments.map(std::borrow::Cow::into_owned).collect(),
            }),
            Ok(None) => break,
            Err(error) => errors.push(error),
        }
        assert!(errors.len() < 10_000, "a source must not fail for ever");
    }
    assert!(matches!(source.next(), Ok(None)), "the end is the end");
    (packets, errors)
}

pub fn open(bytes: &[u8]) -> Result<CaptureFile, CaptureError> {
    CaptureFile::from_reader("test.pcap", Cursor::new(bytes.to_vec()))
}

/// Reads a capture that is sound.
pub fn read(bytes: &[u8]) -> Vec<Kept> {
    let (packets, errors) = drain(&mut open(bytes).unwrap());
    assert!(errors.is_empty(), "{errors:?}");
    packets
}

/// Reads a capture that may not even open.
pub fn read_damaged(bytes: &[u8]) -> (Vec<Kept>, Vec<CaptureError>) {
    match open(bytes) {
        Ok(mut file) => drain(&mut file),
        Err(error) => (Vec::new(), vec![error]),
    }
}

/// A directory of the test's own, removed in the end.
pub struct Directory(pub std::path::PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-capture-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
