//! Every variant of both formats, read from bytes made by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use std::io::Read;

use portcullis_capture::{CaptureFile, CaptureFormat, Compression};
use portcullis_wire::LinkType;
use support::*;

#[test]
fn classic_captures_of_every_magic_and_order() {
    for order in ORDERS {
        for (magic, nanoseconds, extra) in [(0xa1b2_c3d4, 2_000, 0), (0xa1b2_3c4d, 2, 0), (0xa1b2_cd34, 2_000, 8)] {
            let mut bytes = pcap_header(order, magic, 4, 65_535, 1);
            for data in [&b"first"[..], b"", b"third packet"] {
                let record = pcap_record(order, 1, 2, 60, data);
                bytes.extend(&record[..16]);
                bytes.extend(vec![0xee; extra]);
                bytes.extend(&record[16..]);
            }
            let packets = read(&bytes);
            assert_eq!(packets.len(), 3, "{order:?} {magic:x}");
            assert_eq!(packets[0].nanoseconds, 1_000_000_000 + nanoseconds);
            assert_eq!(packets[0].data, b"first");
            assert_eq!(packets[1].data, b"");
            assert_eq!(packets[2].data, b"third packet");
            assert_eq!(packets[2].number, 3);
            assert_eq!(packets[2].original_length, 60);
            let mut file = open(&bytes).unwrap();
            assert_eq!(file.next().unwrap().unwrap().missing(), 55);
            assert_eq!(packets[2].link, LinkType::Ethernet);
        }
    }
}

#[test]
fn old_classic_captures_have_their_lengths_the_other_way_round() {
    for (minor, words) in [(2_u16, [60_u32, 5]), (3, [60, 5]), (3, [5, 60]), (4, [5, 60])] {
        let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, minor, 65_535, 1);
        for word in [1, 2, words[0], words[1]] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"12345");
        let packets = read(&bytes);
        assert_eq!((packets[0].data.len(), packets[0].original_length), (5, 60), "2.{minor} {words:?}");
    }
}

#[test]
fn upper_bits_of_the_link_type_are_no_part_of_it() {
    let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 4, 65_535, 0x5400_0001);
    bytes.extend(pcap_record(Order::Little, 1, 0, 4, b"data"));
    assert_eq!(read(&bytes)[0].link, LinkType::Ethernet);
}

#[test]
fn the_longest_time_of_a_classic_capture_fits() {
    let mut bytes = usual_header();
    bytes.extend(pcap_record(Order::Little, u32::MAX, u32::MAX, 0, b""));
    assert_eq!(read(&bytes)[0].nanoseconds, i64::from(u32::MAX) * 1_000_000_000 + i64::from(u32::MAX) * 1000);
}

#[test]
fn pcapng_with_sections_in_both_orders_and_several_interfaces() {
    let (little, big) = (Order::Little, Order::Big);
    let bytes = [
        section(little),
        interface(little, 1, 0, &[]),
        interface(little, 101, 0, &option(little, 9, &[9])),
        enhanced(little, 0, 5_000_001, 5, b"ether", &[]),
        enhanced(little, 1, 7, 900, b"raw", &[]),
        block(little, 4, b"name resolution is passed over"),
        section(big),
        interface(big, 113, 0, &[option(big, 9, &[0x81]), option(big, 14, &big.u64(100))].concat()),
        block(big, 0x8000_1234, b"somebody's own block"),
        enhanced(big, 0, 3, 6, b"cooked", &[]),
    ]
    .concat();
    let packets = read(&bytes);
    let seen: Vec<_> = packets
        .iter()
        .map(|p| (p.number, p.nanoseconds, p.link, p.data.as_slice(), p.original_length, p.interface))
        .collect();
    assert_eq!(
        seen,
        [
            (1, 5_000_001_000, LinkType::Ethernet, &b"ether"[..], 5, 0),
            (2, 7, LinkType::RawIp, b"raw", 900, 1),
            (3, 101_500_000_000, LinkType::LinuxSll, b"cooked", 6, 2),
        ]
    );
}

#[test]
fn simple_packets_are_cut_to_the_snapshot_length_and_take_the_time_before() {
    for order in ORDERS {
        let bytes = [
            section(order),
            interface(order, 1, 6, &[]),
            block(order, 3, &[&order.u32(4)[..], b"four"].concat()),
            enhanced(order, 0, 42, 3, b"abc", &[]),
            block(order, 3, &[&order.u32(900)[..], b"sixsix"].concat()),
        ]
        .concat();
        let packets = read(&bytes);
        assert_eq!((packets[0].nanoseconds, packets[0].data.as_slice()), (0, &b"four"[..]));
        assert_eq!((packets[2].nanoseconds, packets[2].data.as_slice()), (42_000, &b"sixsix"[..]));
        assert_eq!(packets[2].original_length, 900);
    }
}

#[test]
fn obsolete_packet_blocks_are_read() {
    for order in ORDERS {
        let body = [
            &order.u16(1)[..],
            &order.u16(0xffff), // dropped packets: not known
            &order.u32(0),
            &order.u32(9),
            &order.u32(5),
            &order.u32(50),
            b"hello\0\0\0",
        ]
        .concat();
        let bytes =
            [section(order), interface(order, 105, 0, &[]), interface(order, 1, 0, &[]), block(order, 2, &body)]
                .concat();
        let packets = read(&bytes);
        assert_eq!(packets[0].data, b"hello");
        assert_eq!((packets[0].nanoseconds, packets[0].interface, packets[0].original_length), (9_000, 1, 50));
    }
}

#[test]
fn comments_are_kept_in_order() {
    for order in ORDERS {
        let options = [
            option(order, 1, b"first"),
            option(order, 2, &[0; 4]),
            option(order, 1, "zweite: \u{fc}".as_bytes()),
            option(order, 1, b"\xff"),
            option(order, 0, b""),
            option(order, 1, b"after the end"),
        ]
        .concat();
        let bytes =
            [section(order), interface(order, 1, 0, &[]), enhanced(order, 0, 0, 5, b"hello", &options)].concat();
        assert_eq!(read(&bytes)[0].comments, ["first", "zweite: \u{fc}", "\u{fffd}"]);
    }
}

#[test]
fn a_damaged_option_of_a_packet_ends_its_comments_only() {
    let order = Order::Little;
    let options = [option(order, 1, b"good"), vec![1, 0, 200, 0]].concat();
    let bytes = [section(order), interface(order, 1, 0, &[]), enhanced(order, 0, 0, 5, b"hello", &options)].concat();
    let packets = read(&bytes);
    assert_eq!(packets[0].comments, ["good"]);
    assert_eq!(packets[0].data, b"hello");
}

#[test]
fn a_huge_block_of_another_kind_is_passed_over() {
    let order = Order::Little;
    let bytes = [
        section(order),
        interface(order, 1, 0, &[]),
        block(order, 10, &vec![7; 9_000_000]),
        enhanced(order, 0, 0, 5, b"hello", &[]),
    ]
    .concat();
    assert_eq!(read(&bytes)[0].data, b"hello");
}

#[test]
fn compressed_captures_give_the_same_packets() {
    let lengths: Vec<usize> = (0..3_000).map(|n| n * 37 % 1_500).collect();
    for plain in [usual_pcap(&lengths), usual_pcapng(&lengths)] {
        let expected = read(&plain);
        assert_eq!(expected.len(), lengths.len());
        let (front, back) = plain.split_at(plain.len() / 2);
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &zstd(&plain)].concat();
        let cases = [
            (Compression::Gzip, gzip(&plain)),
            (Compression::Gzip, [gzip(front), gzip(back)].concat()),
            (Compression::Gzip, [gzip(front), gzip(b""), gzip(back), vec![0; 300_000]].concat()),
            (Compression::Zstd, zstd(&plain)),
            (Compression::Zstd, [zstd(front), zstd(b""), zstd(back)].concat()),
            (Compression::Zstd, skippable),
        ];
        for (at, (compression, bytes)) in cases.into_iter().enumerate() {
            assert_eq!(open(&bytes).unwrap().compression(), Some(compression));
            assert!(read(&bytes) == expected, "case {at} differs");
        }
    }
}

/// A reader that gives one byte at a time and is interrupted before each.
struct Trickle(std::vec::IntoIter<u8>, bool);

impl Read for Trickle {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        match (target.first_mut(), self.0.next()) {
            (Some(to), Some(from)) => {
                *to = from;
                Ok(1)
            }
            _ => Ok(0),
        }
    }
}

#[test]
fn bytes_may_trickle_in() {
    for plain in [usual_pcap(&[0, 1, 1_500, 64]), usual_pcapng(&[0, 1, 1_500, 64])] {
        let expected = read(&plain);
        for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
            let mut file = CaptureFile::from_reader("-", Trickle(bytes.into_iter(), false)).unwrap();
            let (packets, errors) = drain(&mut file);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(packets, expected);
        }
    }
}

#[test]
fn packets_that_cross_the_ends_of_the_buffer_are_whole() {
    let lengths: Vec<usize> = (0..200).map(|n| 250_000 - n * 1_234).collect();
    let bytes = usual_pcap(&lengths);
    let packets = read(&bytes);
    for (packet, length) in packets.iter().zip(&lengths) {
        assert_eq!(packet.data.len(), *length);
        assert!(packet.data.iter().all(|byte| u64::from(*byte) == packet.number % 251));
    }
    assert_eq!(packets.len(), lengths.len());
}

#[test]
fn a_packet_of_the_greatest_length_is_read() {
    let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 4, u32::MAX, 1);
    bytes.extend(pcap_record(Order::Little, 1, 0, 1 << 20, &vec![5; 1 << 20]));
    bytes.extend(pcap_record(Order::Little, 1, 0, 4, b"next"));
    let packets = read(&bytes);
    assert_eq!(packets[0].data.len(), 1 << 20);
    assert_eq!(packets[1].data, b"next");
}

#[test]
fn what_is_known_of_a_file_is_told() {
    let file = open(&usual_pcapng(&[1])).unwrap();
    assert_eq!(file.format(), CaptureFormat::Pcapng);
    assert_eq!(file.compression(), None);
    let mut file = open(&gzip(&usual_pcap(&[1]))).unwrap();
    assert_eq!(file.format(), CaptureFormat::Pcap);
    assert_eq!(file.link_types(), [LinkType::Ethernet]);
    drain(&mut file);
    assert_eq!(file.uninspected(), 0);
}

#[test]
fn progress_counts_the_bytes_of_the_file_as_it_is() {
    let directory = Directory::new("progress");
    let bytes = gzip(&usual_pcap(&[1_000; 500]));
    let path = directory.file("a.bin", &bytes);
    let mut file = CaptureFile::open(&path).unwrap();
    assert_eq!(file.progress().total, Some(bytes.len() as u64));
    drain(&mut file);
    assert_eq!(file.progress().position, bytes.len() as u64);
}

#[test]
fn sources_may_be_given_to_another_thread() {
    fn may_be_sent<T: Send>(_: &T) {}
    let mut file = open(&zstd(&usual_pcap(&[1, 2, 3]))).unwrap();
    may_be_sent(&file);
    let count = std::thread::spawn(move || drain(&mut file).0.len()).join().unwrap();
    assert_eq!(count, 3);
}
