//! Whatever is done to a capture, it is read up to the damage, then there is one error, and never a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use portcullis_capture::CaptureError;
use proptest::prelude::*;
use support::*;

/// Where the packets of a capture end, so that one cut at or after the place holds it whole.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let whole = read(bytes);
    let mut ends = Vec::new();
    for length in 0..=bytes.len() {
        let count = read_damaged(&bytes[..length]).0.len();
        while ends.len() < count {
            ends.push(length);
        }
    }
    assert_eq!(ends.len(), whole.len());
    ends
}

#[test]
fn classic_captures_cut_at_every_byte() {
    let lengths = [60, 0, 7, 300];
    let bytes = usual_pcap(&lengths);
    let whole = read(&bytes);
    let mut expected_ends = Vec::new();
    let mut end = 24;
    for length in lengths {
        end += 16 + length;
        expected_ends.push(end);
    }
    assert_eq!(ends(&bytes), expected_ends);
    for length in 24..bytes.len() {
        let (packets, errors) = read_damaged(&bytes[..length]);
        let count = expected_ends.iter().filter(|end| **end <= length).count();
        assert_eq!(packets, whole[..count], "cut at {length}");
        let start = if count == 0 { 24 } else { expected_ends[count - 1] };
        match &errors[..] {
            [] => assert_eq!(start, length, "an end between packets is none to complain about"),
            [CaptureError::Cut { packet, offset, available, .. }] => {
                assert_eq!((*packet, offset.byte), (count as u64 + 1, start as u64));
                assert_eq!(*available, (length - start) as u64);
                assert_ne!(start, length);
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn pcapng_cut_at_every_byte() {
    let bytes = usual_pcapng(&[60, 0, 7, 300]);
    let whole = read(&bytes);
    let ends = ends(&bytes);
    for length in 28..bytes.len() {
        let (packets, errors) = read_damaged(&bytes[..length]);
        let count = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(packets, whole[..count], "cut at {length}");
        match &errors[..] {
            [] => {}
            [CaptureError::Cut { packet, needed, available, .. }] => {
                assert_eq!(*packet, count as u64 + 1);
                assert!(available < needed);
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn compressed_captures_cut_at_every_byte() {
    let plain = usual_pcap(&[60, 0, 7, 300]);
    let whole = read(&plain);
    for bytes in [gzip(&plain), zstd(&plain)] {
        let mut most = 0;
        for length in 0..bytes.len() {
            let (packets, errors) = read_damaged(&bytes[..length]);
            assert_eq!(packets, whole[..packets.len()]);
            assert!(packets.len() >= most, "more bytes never give fewer packets");
            most = packets.len();
            match length {
                0 => assert!(matches!(errors[..], [CaptureError::Empty { .. }]), "{errors:?}"),
                1..4 => assert_eq!(errors.len(), 1),
                _ => assert!(matches!(errors[..], [CaptureError::CompressionCut { .. }]), "{length}: {errors:?}"),
            }
        }
    }
}

/// A capture of some kind, as plain bytes.
fn any_capture() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..400_usize, 1..12).prop_flat_map(|lengths| {
        prop_oneof![
            Just(usual_pcap(&lengths)),
            Just(usual_pcapng(&lengths)),
            Just([usual_pcapng(&lengths), usual_pcapng(&lengths)].concat()),
            Just(gzip(&usual_pcap(&lengths))),
            Just(zstd(&usual_pcapng(&lengths))),
        ]
    })
}

/// A change of a file: its place as a fraction, and what is put there.
fn any_change() -> impl Strategy<Value = (f64, Vec<u8>, usize)> {
    let interesting = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..5),
        Just(vec![0xff; 4]),
        Just(vec![0; 4]),
        Just(vec![0x0a, 0x0d, 0x0d, 0x0a]),
        Just(vec![6, 0, 0, 0]),
        Just(vec![3, 0, 0, 0]),
        Just(vec![1, 0, 0, 0, 20, 0, 0, 0]),
    ];
    (0.0..1.0, interesting, 0..6_usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutated_captures_end(mut bytes in any_capture(), changes in prop::collection::vec(any_change(), 1..6)) {
        let mut first_change = bytes.len();
        for (place, new, removed) in changes {
            let at = (bytes.len() as f64 * place) as usize;
            let end = bytes.len().min(at + removed);
            bytes.splice(at..end, new);
            first_change = first_change.min(at);
        }
        let (packets, errors) = read_damaged(&bytes);
        let ending = errors.iter().filter(|error| error.ends_file()).count();
        prop_assert!(ending <= 1, "{:?}", errors);
        for error in &errors {
            prop_assert!(error.to_string().len() < 600);
        }
        // What lies before the first change is read as if nothing had happened.
        let (before, _) = read_damaged(&bytes[..first_change]);
        prop_assert!(packets.len() >= before.len());
        prop_assert_eq!(&packets[..before.len()], &before[..]);
    }

    #[test]
    fn random_bytes_end(start in 0..4_usize, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let starts = [vec![], usual_header(), section(Order::Little), vec![0x1f, 0x8b, 8, 0]];
        let (_, errors) = read_damaged(&[&starts[start][..], &bytes].concat());
        prop_assert!(errors.iter().filter(|error| error.ends_file()).count() <= 1);
    }
}
