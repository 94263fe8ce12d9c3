//! Each error, raised by the bytes or the path that cause it, with its message.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use std::io::Read;

use portcullis_capture::{CaptureError, CaptureFile, CaptureSet, Damage, What};
use support::*;

/// Opens bytes that are no capture and returns the message.
fn refused(bytes: &[u8]) -> String {
    open(bytes).unwrap_err().to_string()
}

/// Reads a capture that breaks off, checks how many packets came before, and returns the error.
fn broken(bytes: &[u8], packets: usize) -> CaptureError {
    let (read, mut errors) = drain(&mut open(bytes).unwrap());
    assert_eq!(read.len(), packets);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

fn damage(bytes: &[u8], packets: usize) -> (Damage, u64) {
    match broken(bytes, packets) {
        CaptureError::Damaged { damage, offset, packet, .. } => {
            assert_eq!(packet, packets as u64 + 1);
            (damage, offset.byte)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_file() {
    let directory = Directory::new("missing");
    let error = CaptureFile::open(directory.0.join("none.pcap")).unwrap_err();
    assert!(matches!(error, CaptureError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("none.pcap\": there is no such file"), "{error}");
}

#[test]
fn a_directory() {
    let directory = Directory::new("directory");
    let error = CaptureFile::open(&directory.0).unwrap_err();
    assert!(matches!(error, CaptureError::Directory { .. }), "{error:?}");
    assert!(error.to_string().contains("it is a directory"), "{error}");
}

#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new("permission");
    let path = directory.file("secret.pcap", &usual_pcap(&[1]));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let error = CaptureFile::open(&path).unwrap_err();
    assert!(matches!(error, CaptureError::PermissionDenied { .. }), "{error:?}");
    assert!(error.to_string().contains("permission denied"), "{error}");
}

#[test]
fn no_file_and_standard_input_twice() {
    let none: [&str; 0] = [];
    assert!(matches!(CaptureSet::open(&none), Err(CaptureError::NoFiles)));
    assert!(matches!(CaptureSet::open(&["-", "-"]), Err(CaptureError::StandardInputTwice { times: 2 })));
}

#[test]
fn an_empty_file() {
    assert!(refused(b"").contains("\"test.pcap\" is empty: a capture has at least a header"));
    assert!(refused(&gzip(b"")).contains("is empty inside its gzip compression"));
    assert!(refused(&zstd(b"")).contains("is empty inside its zstd compression"));
}

#[test]
fn something_else() {
    let cases: &[(&[u8], &str)] = &[
        (
            b"{\"event_type\": \"smtp\"}\n",
            "is not a capture file: it looks like JSON and starts with \"{\\\"event_type",
        ),
        (b"220 mail.example ESMTP\r\n", "it looks like text and starts with \"220 mail.example ESMTP\""),
        (b"\xa1\xb2", "it starts with the bytes a1 b2"),
        (b"x", "it looks like text"),
    ];
    for (bytes, expected) in cases {
        let message = refused(bytes);
        assert!(message.contains(expected), "{message}");
    }
    let message = refused(&gzip(b"220 mail.example ESMTP\r\n"));
    assert!(message.contains("is not a capture file inside its gzip compression: it looks like text"), "{message}");
    let message = refused(&gzip(&gzip(&usual_pcap(&[1]))));
    assert!(message.contains("is compressed again with gzip; decompress it once first"), "{message}");
}

#[test]
fn a_header_that_is_cut() {
    for (whole, least, format) in [(usual_pcap(&[]), 4, "pcap"), (section(Order::Big), 4, "pcapng")] {
        for length in least..whole.len() {
            let error = open(&whole[..length]).unwrap_err();
            let expected = (length as u64, whole.len() as u64, format);
            match error {
                CaptureError::CutHeader { available, needed, format, .. } => {
                    assert_eq!((available, needed, format), expected);
                }
                other => panic!("{length}: {other:?}"),
            }
        }
        assert!(read(&whole).is_empty());
    }
}

#[test]
fn an_unknown_version() {
    let mut bytes = usual_pcap(&[1]);
    bytes[4] = 3;
    assert!(refused(&bytes).contains("is a pcap file of version 3.4, at byte 0; only version 2.0 to 2.4 is known"));
    let mut bytes = usual_pcapng(&[1]);
    bytes[12] = 9;
    assert!(refused(&bytes).contains("is a pcapng file of version 9.0"));
}

#[test]
fn an_unknown_link_type() {
    let bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 4, 65_535, 127);
    let message = refused(&bytes);
    assert!(
        message.contains("link type 127 (IEEE 802.11 Wi-Fi with radiotap header), which cannot be read"),
        "{message}"
    );
    let bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 4, 65_535, 60_000);
    assert!(refused(&bytes).contains("link type 60000 (a number without a name known here)"));
}

#[test]
fn an_interface_of_unknown_link_type_is_told_once_and_the_others_go_on() {
    let order = Order::Little;
    let bytes = [
        section(order),
        interface(order, 189, 0, &[]),
        interface(order, 1, 0, &[]),
        enhanced(order, 1, 1, 3, b"one", &[]),
        enhanced(order, 0, 2, 3, b"usb", &[]),
        enhanced(order, 1, 3, 5, b"three", &[]),
        enhanced(order, 0, 4, 3, b"usb", &[]),
        enhanced(order, 1, 5, 4, b"five", &[]),
    ]
    .concat();
    let mut file = open(&bytes).unwrap();
    let (packets, errors) = drain(&mut file);
    let numbers: Vec<u64> = packets.iter().map(|packet| packet.number).collect();
    assert_eq!(numbers, [1, 3, 5], "numbers agree with those of other tools");
    assert_eq!(file.uninspected(), 2);
    assert_eq!(errors.len(), 1);
    assert!(!errors[0].ends_file());
    let message = errors[0].to_string();
    assert!(message.contains("link type 189 (USB, Linux) on interface 0, from packet 2 on"), "{message}");
}

#[test]
fn a_file_that_ends_inside_a_packet() {
    let whole = usual_pcap(&[100, 200]);
    let start = 24 + 16 + 100;
    match broken(&whole[..start + 16 + 50], 1) {
        CaptureError::Cut { packet, offset, needed, available, what, .. } => {
            assert_eq!((packet, offset.byte, needed, available, what), (2, start as u64, 216, 66, What::Packet));
        }
        other => panic!("{other:?}"),
    }
    let message = broken(&whole[..start + 7], 1).to_string();
    assert_eq!(
        message,
        "\"test.pcap\" ends inside the header of a packet (packet 2): it starts at byte 140 and needs 16 bytes, 7 are \
         there. The packet before was read; the file was cut while it was copied, or is still being written"
    );
    let message = broken(&gzip(&whole[..start + 7]), 1).to_string();
    assert!(message.contains("byte 140 of the decompressed data"), "{message}");
}

#[test]
fn a_block_that_is_passed_over_may_be_cut_too() {
    let order = Order::Little;
    let start = [section(order), interface(order, 1, 0, &[]), enhanced(order, 0, 0, 5, b"hello", &[])].concat();
    let other = block(order, 5, &[0; 100]);
    for length in 1..other.len() {
        match broken(&[&start[..], &other[..length]].concat(), 1) {
            CaptureError::Cut { packet: 2, offset, available, .. } => {
                assert_eq!((offset.byte, available), (start.len() as u64, length as u64));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_packet_that_is_too_long() {
    let mut bytes = usual_pcap(&[10, 10]);
    let start = 24 + 16 + 10;
    bytes[start + 11] = 0x40;
    let (damage, offset) = damage(&bytes, 1);
    assert_eq!(damage, Damage::PacketTooLong { captured: 0x4000_000a, limit: 256 << 10 });
    assert_eq!(offset, start as u64);
    let message = broken(&bytes, 1).to_string();
    assert_eq!(
        message,
        "\"test.pcap\" is damaged at byte 50 (packet 2): a packet claims 1073741834 captured bytes, at most 262144 are \
         possible here. The packet before was read; what follows cannot be found again"
    );
}

#[test]
fn the_bound_of_a_packet_is_exact() {
    for (snapshot_length, limit) in [(65_535, 256 << 10), (300_000, 300_000), (u32::MAX, 1 << 20)] {
        let with = |length: u32| {
            let header = pcap_header(Order::Little, 0xa1b2_c3d4, 4, snapshot_length, 1);
            [header, pcap_record(Order::Little, 1, 0, length, &vec![1; length as usize])].concat()
        };
        assert_eq!(read(&with(limit)).len(), 1);
        assert_eq!(damage(&with(limit + 1), 0), (Damage::PacketTooLong { captured: limit + 1, limit }, 24));
    }
}

#[test]
fn two_captures_put_together() {
    let bytes = [usual_pcap(&[10, 20]), usual_pcap(&[30])].concat();
    assert_eq!(damage(&bytes, 2).0, Damage::SecondHeader);
    assert!(broken(&bytes, 2).to_string().contains("mergecap"));
}

#[test]
fn bad_blocks() {
    let order = Order::Little;
    let start = [section(order), interface(order, 1, 0, &[]), enhanced(order, 0, 0, 5, b"hello", &[])].concat();
    let packet = enhanced(order, 0, 0, 5, b"hello", &[]);
    let with = |at: usize, value: u32| {
        let mut bytes = [&start[..], &packet].concat();
        bytes[start.len() + at..start.len() + at + 4].copy_from_slice(&value.to_le_bytes());
        let (damage, offset) = damage(&bytes, 1);
        assert_eq!(offset, start.len() as u64);
        damage
    };
    let length = u32::try_from(packet.len()).unwrap();
    assert_eq!(with(4, 8), Damage::BlockTooShort { kind: 6, length: 8, least: 32 });
    assert_eq!(with(4, length + 1), Damage::BlockUnaligned { kind: 6, length: length + 1 });
    assert_eq!(with(4, 0x7fff_fff0), Damage::BlockTooLong { kind: 6, length: 0x7fff_fff0, limit: 4 << 20 });
    assert_eq!(with(packet.len() - 4, 44), Damage::BlockTrailer { kind: 6, length, trailer: 44 });
    assert_eq!(with(8, 3), Damage::NoSuchInterface { interface: 3, known: 1 });
    assert_eq!(with(20, 9), Damage::PacketBeyondBlock { captured: 9, room: 8 });
    assert_eq!(with(0, 0x0a0d_0d0a), Damage::ByteOrderMark { found: 0 });
}

#[test]
fn bad_blocks_of_other_kinds() {
    let order = Order::Little;
    let start = [section(order), interface(order, 1, 0, &[])].concat();
    let with = |bytes: &[u8]| damage(&[&start[..], bytes].concat(), 0).0;
    let mut statistics = block(order, 5, &[0; 12]);
    statistics[20] = 1;
    assert_eq!(with(&statistics), Damage::BlockTrailer { kind: 5, length: 24, trailer: 1 });
    assert_eq!(with(&[5, 0, 0, 0, 4, 0, 0, 0, 0]), Damage::BlockTooShort { kind: 5, length: 4, least: 12 });
    assert_eq!(with(&[5, 0, 0, 0, 17, 0, 0, 0, 0]), Damage::BlockUnaligned { kind: 5, length: 17 });
    let resolution = interface(order, 1, 0, &option(order, 9, &[77]));
    assert_eq!(with(&resolution), Damage::TimeResolution { base: 10, exponent: 77 });
    let option = interface(order, 1, 0, &[9, 0, 99, 0]);
    assert_eq!(with(&option), Damage::Option { code: 9, length: 99, room: 0 });
    let long = enhanced(order, 0, 0, 5, &vec![0; 300_000], &[]);
    assert_eq!(with(&long), Damage::PacketTooLong { captured: 300_000, limit: 256 << 10 });
}

#[test]
fn a_packet_before_any_interface() {
    let order = Order::Big;
    let simple = [section(order), block(order, 3, &order.u32(0))].concat();
    assert_eq!(damage(&simple, 0).0, Damage::NoSuchInterface { interface: 0, known: 0 });
    // Interfaces end with their section.
    let bytes = [usual_pcapng(&[5]), section(order), enhanced(order, 0, 0, 5, b"hello", &[])].concat();
    assert_eq!(damage(&bytes, 1).0, Damage::NoSuchInterface { interface: 0, known: 0 });
}

#[test]
fn too_many_interfaces() {
    let order = Order::Little;
    let bytes = [section(order), interface(order, 1, 0, &[]).repeat(65_537)].concat();
    assert_eq!(damage(&bytes, 0).0, Damage::TooManyInterfaces { limit: 65_536 });
}

/// Packets whose bytes do not compress, so that every part of the compressed file holds some.
fn noisy_pcap() -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = usual_header();
    for second in 0..2_000 {
        let data: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Letters compress a little, so that blocks are not just stored.
            b'a' + u8::try_from((state >> 24) % 26).unwrap()
        })
        .take(1_000)
        .collect();
        bytes.extend(pcap_record(Order::Little, second, 0, 1_000, &data));
    }
    bytes
}

#[test]
fn compressed_data_that_are_damaged() {
    let plain = noisy_pcap();
    let expected = read(&plain);
    for (compressed, tool) in [(gzip(&plain), "gzip"), (zstd(&plain), "zstd")] {
        let mut bytes = compressed.clone();
        let middle = bytes.len() / 2;
        // Long enough to hit the start of a zstd block: inside, damage may go unnoticed without a checksum.
        bytes[middle..middle + 200_000].fill(0xff);
        let (packets, errors) = read_damaged(&bytes);
        assert_eq!(errors.len(), 1, "{tool}: {errors:?}");
        let message = errors[0].to_string();
        println!("{message}");
        assert!(matches!(errors[0], CaptureError::Compression { .. } | CaptureError::Damaged { .. }), "{message}");
        assert!(packets.len() > 900, "{tool}: only {} packets before the damage in the middle", packets.len());
        // A zstd block is 128 KiB; damage shows when its block is decoded.
        assert_eq!(packets[..850], expected[..850]);
    }
}

#[test]
fn a_wrong_checksum_is_told_after_all_packets() {
    let plain = usual_pcap(&[100; 50]);
    let mut bytes = gzip(&plain);
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    let error = broken(&bytes, 50);
    assert!(matches!(error, CaptureError::Compression { packet: 51, .. }), "{error:?}");
    println!("{error}");
    let bytes = [gzip(&plain), b"rubbish".to_vec()].concat();
    let message = broken(&bytes, 50).to_string();
    assert!(message.contains("something that is not gzip follows"), "{message}");
}

#[test]
fn compressed_data_that_end_too_early_give_all_they_hold() {
    let plain = noisy_pcap();
    for (compressed, tool) in [(gzip(&plain), "gzip"), (zstd(&plain), "zstd")] {
        for part in [3, 5, 9] {
            let cut = &compressed[..compressed.len() * part / 10];
            let error = {
                let (packets, mut errors) = drain(&mut open(cut).unwrap());
                assert_eq!(errors.len(), 1);
                // Up to one zstd block of 128 KiB cannot be decoded.
                let expected = 2_000 * part / 10;
                assert!(packets.len() + 135 > expected, "{tool}: {} of {expected}", packets.len());
                errors.remove(0)
            };
            assert!(matches!(error, CaptureError::CompressionCut { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(&format!("the {tool} data of \"test.pcap\" end too early, at byte")), "{message}");
        }
    }
}

#[test]
fn compression_that_is_damaged_at_once() {
    for bytes in [&b"\x1f\x8b"[..], b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x00"] {
        let error = open(bytes).unwrap_err();
        assert!(matches!(error, CaptureError::CompressionCut { .. }), "{error:?}");
    }
    let error = open(b"\x1f\x8b\x99\x99\x99\x99\x99\x99\x99\x99\x99").unwrap_err();
    assert!(matches!(error, CaptureError::Compression { .. }), "{error:?}");
    let error = open(b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err();
    assert!(matches!(error, CaptureError::Compression { .. }), "{error:?}");
    println!("{error}");
}

/// A reader that fails after some bytes.
struct Failing(std::io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(target)? {
            0 => Err(std::io::Error::other("the disk is broken")),
            count => Ok(count),
        }
    }
}

#[test]
fn a_read_that_fails() {
    let plain = usual_pcap(&[100; 50]);
    let half = plain[..plain.len() / 2].to_vec();
    for bytes in [half.clone(), gzip(&plain)[..100].to_vec()] {
        let mut file = CaptureFile::from_reader("disk.pcap", Failing(std::io::Cursor::new(bytes))).unwrap();
        let (_, errors) = drain(&mut file);
        let message = errors[0].to_string();
        assert!(matches!(errors[0], CaptureError::Read { .. }), "{message}");
        assert!(
            message.contains("reading \"disk.pcap\" failed at byte") && message.contains("the disk is broken"),
            "{message}"
        );
    }
    let error = CaptureFile::from_reader("disk.pcap", Failing(std::io::Cursor::new(vec![]))).unwrap_err();
    assert!(matches!(error, CaptureError::Open { .. }), "{error:?}");
}

/// Found by the fuzzer: a pipe hands out less at a time, and the message showed as much as had come.
#[test]
fn what_a_file_looks_like_does_not_depend_on_how_it_arrives() {
    struct OneByOne(&'static [u8]);
    impl std::io::Read for OneByOne {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let one = buffer.len().min(1);
            std::io::Read::read(&mut self.0, &mut buffer[..one])
        }
    }
    let contents: [&'static [u8]; 3] =
        [b"\x0a\x0d\x0a\x0d\x0d\x0a\x1c\x00 and more", b"{\"event_type\":\"alert\"}", b"Hello"];
    for content in contents {
        let whole = CaptureFile::from_reader("it", std::io::Cursor::new(content.to_vec())).err().unwrap();
        let slow = CaptureFile::from_reader("it", OneByOne(content)).err().unwrap();
        assert_eq!(whole.to_string(), slow.to_string());
    }
}
