//! What is written is read again as it was, and by libpcap too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use portcullis_capture::{CaptureError, CaptureFile, CaptureFormat, CaptureWriter, Packet, WriteError};
use portcullis_wire::{LinkType, Timestamp};
use proptest::prelude::*;
use support::*;

fn packet(nanoseconds: i64, link: LinkType, data: &[u8]) -> Packet<'_> {
    Packet::new(Timestamp::from_nanos(nanoseconds), link, data)
}

#[test]
fn pcapng_keeps_comments_and_several_link_types() {
    let mut writer = CaptureWriter::pcapng(Vec::new()).unwrap();
    assert_eq!(writer.format(), CaptureFormat::Pcapng);
    writer
        .write(&packet(1_700_000_000_123_456_789, LinkType::Ethernet, b"first"), Some("rule 1: g\u{fc}ltig"))
        .unwrap();
    writer.write(&packet(2, LinkType::RawIp, b""), None).unwrap();
    writer.write(&packet(3, LinkType::Ethernet, b"third"), Some("")).unwrap();
    let packets = read(&writer.finish().unwrap());
    assert_eq!(packets[0].nanoseconds, 1_700_000_000_123_456_789);
    assert_eq!(packets[0].comments, ["rule 1: g\u{fc}ltig"]);
    assert_eq!((packets[1].link, packets[1].interface, packets[1].comments.len()), (LinkType::RawIp, 1, 0));
    assert_eq!(
        (packets[2].link, packets[2].interface, packets[2].data.as_slice()),
        (LinkType::Ethernet, 0, &b"third"[..])
    );
    assert_eq!(packets[2].comments, [""]);
}

#[test]
fn an_empty_capture_is_one() {
    for bytes in [
        CaptureWriter::pcapng(Vec::new()).unwrap().finish().unwrap(),
        CaptureWriter::pcap(Vec::new(), LinkType::RawIp).unwrap().finish().unwrap(),
    ] {
        assert!(read(&bytes).is_empty());
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_no_trace() {
    let mut pcap = CaptureWriter::pcap(Vec::new(), LinkType::Ethernet).unwrap();
    let refused = pcap.write(&packet(0, LinkType::RawIp, b"x"), None);
    assert!(matches!(refused, Err(WriteError::LinkType { .. })));
    assert!(matches!(pcap.write(&packet(0, LinkType::Ethernet, b"x"), Some("c")), Err(WriteError::Comment)));
    for nanoseconds in [-1, (i64::from(u32::MAX) + 1) * 1_000_000_000] {
        let refused = pcap.write(&packet(nanoseconds, LinkType::Ethernet, b"x"), None);
        assert!(matches!(refused, Err(WriteError::Time { format: "pcap", .. })));
    }
    let long = vec![0; (1 << 20) + 1];
    let refused = pcap.write(&packet(0, LinkType::Ethernet, &long), None);
    assert!(matches!(refused, Err(WriteError::PacketTooLong { .. })));
    assert!(read(&pcap.finish().unwrap()).is_empty());

    let mut pcapng = CaptureWriter::pcapng(Vec::new()).unwrap();
    let comment = "c".repeat(65_536);
    let refused = pcapng.write(&packet(0, LinkType::Ethernet, b"x"), Some(&comment));
    assert!(matches!(refused, Err(WriteError::CommentTooLong { length: 65_536 })));
    let refused = pcapng.write(&packet(-1, LinkType::Ethernet, b"x"), None);
    assert!(matches!(refused, Err(WriteError::Time { seconds: -1, .. })));
    pcapng.write(&packet(5, LinkType::Ethernet, b"good"), Some(&comment[1..])).unwrap();
    let packets = read(&pcapng.finish().unwrap());
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].comments[0].len(), 65_535);
}

/// A sink that is full after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told() {
    assert!(matches!(CaptureWriter::pcapng(Full(3)), Err(WriteError::Io(_))));
    let mut writer = CaptureWriter::pcap(Full(50), LinkType::Ethernet).unwrap();
    let refused = writer.write(&packet(0, LinkType::Ethernet, &[0; 100]), None);
    assert!(matches!(refused, Err(WriteError::Io(_))));
}

#[test]
fn files_are_written_whole_and_read_by_libpcap() {
    let directory = Directory::new("writer");
    let path = directory.0.join("written.pcapng");
    let mut writer = CaptureWriter::create(&path).unwrap();
    for number in 0..100 {
        let data = vec![7; 1 + number];
        let packet = packet(number as i64 * 1_000_000_000 + 1_000, LinkType::Ethernet, &data);
        writer.write(&packet, Some("evidence")).unwrap();
    }
    writer.finish().unwrap();
    let mut file = CaptureFile::open(&path).unwrap();
    assert_eq!(drain(&mut file).0.len(), 100);
    let mut capture = pcap::Capture::from_file(&path).unwrap();
    for number in 0..100 {
        let packet = capture.next_packet().unwrap();
        assert_eq!(packet.data.len(), 1 + number);
        assert_eq!((packet.header.ts.tv_sec, packet.header.ts.tv_usec), (number as i64, 1));
    }
    assert!(capture.next_packet().is_err());
}

type Written = (u32, u32, u32, Vec<u8>, usize, Option<String>);

fn any_packets() -> impl Strategy<Value = Vec<Written>> {
    let data = prop::collection::vec(any::<u8>(), 0..300);
    let comment = prop::option::of(".{0,40}");
    prop::collection::vec((any::<u32>(), 0..1_000_000_000_u32, 0..2_000_u32, data, 0..6_usize, comment), 0..20)
}

proptest! {
    #[test]
    fn round_trips(packets in any_packets()) {
        let mut pcapng = CaptureWriter::pcapng(Vec::new()).unwrap();
        let mut pcap = CaptureWriter::pcap(Vec::new(), LinkType::Ethernet).unwrap();
        for (seconds, fraction, more, data, link, comment) in &packets {
            let time = i64::from(*seconds) * 1_000_000_000 + i64::from(*fraction);
            let mut packet = packet(time, LinkType::ALL[*link], data);
            packet.original_length += more;
            pcapng.write(&packet, comment.as_deref()).unwrap();
            packet.link = LinkType::Ethernet;
            pcap.write(&packet, None).unwrap();
        }
        let from_pcapng = read(&pcapng.finish().unwrap());
        let from_pcap = read(&pcap.finish().unwrap());
        prop_assert_eq!(from_pcapng.len(), packets.len());
        prop_assert_eq!(from_pcap.len(), packets.len());
        for ((new, old), (seconds, fraction, more, data, link, comment)) in from_pcapng.iter().zip(&from_pcap).zip(&packets) {
            let time = i64::from(*seconds) * 1_000_000_000 + i64::from(*fraction);
            prop_assert_eq!((new.nanoseconds, old.nanoseconds), (time, time));
            prop_assert_eq!(&new.data, data);
            prop_assert_eq!(&old.data, data);
            prop_assert_eq!(new.link, LinkType::ALL[*link]);
            prop_assert_eq!(new.original_length as usize, data.len() + *more as usize);
            prop_assert_eq!(new.original_length, old.original_length);
            prop_assert_eq!(new.comments.first(), comment.as_ref());
        }
    }
}

#[test]
fn a_cut_file_of_ours_says_so() {
    let mut writer = CaptureWriter::pcapng(Vec::new()).unwrap();
    writer.write(&packet(0, LinkType::Ethernet, b"whole"), None).unwrap();
    writer.write(&packet(0, LinkType::Ethernet, b"cut"), None).unwrap();
    let mut bytes = writer.finish().unwrap();
    bytes.pop();
    let (packets, errors) = read_damaged(&bytes);
    assert_eq!(packets.len(), 1);
    assert!(matches!(errors[..], [CaptureError::Cut { packet: 2, .. }]), "{errors:?}");
}
