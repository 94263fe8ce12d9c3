//! Several files as one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use portcullis_capture::{CaptureError, CaptureSet, Progress};
use portcullis_wire::LinkType;
use proptest::prelude::*;
use support::*;

/// A capture with packets at these seconds, each holding the name of the file.
fn at(seconds: &[u32], name: &str) -> Vec<u8> {
    let mut bytes = usual_header();
    for second in seconds {
        bytes.extend(pcap_record(Order::Little, *second, 0, 1, name.as_bytes()));
    }
    bytes
}

/// The data of all packets in their order, as text.
fn order(packets: &[Kept]) -> String {
    packets.iter().map(|packet| String::from_utf8_lossy(&packet.data).into_owned()).collect()
}

#[test]
fn files_of_a_rotation_are_read_one_after_the_other() {
    let directory = Directory::new("rotation");
    let a = directory.file("a", &at(&[1, 2, 3], "a"));
    let b = directory.file("b", &gzip(&at(&[4, 5], "b")));
    let c = directory.file("c", &zstd(&at(&[6], "c")));
    for paths in [[&a, &b, &c], [&c, &a, &b]] {
        let (packets, errors) = drain(&mut CaptureSet::open(&paths).unwrap());
        assert!(errors.is_empty());
        assert_eq!(order(&packets), "aaabbc", "whatever the order in which they were named");
        let numbers: Vec<u64> = packets.iter().map(|packet| packet.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        let own: Vec<u64> = packets.iter().map(|packet| packet.number_in_file).collect();
        assert_eq!(own, [1, 2, 3, 1, 2, 1]);
    }
}

#[test]
fn two_taps_are_interleaved_and_ties_go_to_the_first() {
    let directory = Directory::new("taps");
    let a = directory.file("a", &at(&[1, 3, 3, 9], "a"));
    let b = directory.file("b", &at(&[2, 3, 4, 4], "b"));
    let mut set = CaptureSet::open(&[&a, &b]).unwrap();
    let (packets, _) = drain(&mut set);
    assert_eq!(order(&packets), "abaabbba");
    assert_eq!(packets[1].file, 1);
    assert!(set.name(1).unwrap().to_string().ends_with("b\""));
    let (packets, _) = drain(&mut CaptureSet::open(&[&b, &a]).unwrap());
    assert_eq!(order(&packets), "abbaabba");
}

#[test]
fn packets_of_one_file_are_never_reordered() {
    let directory = Directory::new("backwards");
    let a = directory.file("a", &at(&[5, 1, 6], "a"));
    let b = directory.file("b", &at(&[2, 7], "b"));
    let (packets, _) = drain(&mut CaptureSet::open(&[&a, &b]).unwrap());
    let own: Vec<u64> = packets.iter().filter(|packet| packet.file == 0).map(|packet| packet.number_in_file).collect();
    assert_eq!(own, [1, 2, 3]);
    assert_eq!(order(&packets), "baaab");
}

#[test]
fn one_file_is_as_it_is_alone() {
    let directory = Directory::new("alone");
    let bytes = usual_pcapng(&[1, 2, 3]);
    let a = directory.file("a", &bytes);
    let (packets, errors) = drain(&mut CaptureSet::open(&[&a]).unwrap());
    assert!(errors.is_empty());
    assert_eq!(packets, read(&bytes));
}

#[test]
fn a_damaged_file_ends_alone_and_the_others_go_on() {
    let directory = Directory::new("damaged");
    let cut = at(&[1, 4, 5], "a");
    let a = directory.file("a", &cut[..cut.len() - 1]);
    let b = directory.file("b", &at(&[2, 3, 6], "b"));
    let (packets, errors) = drain(&mut CaptureSet::open(&[&a, &b]).unwrap());
    assert_eq!(order(&packets), "abbab");
    assert!(matches!(errors[..], [CaptureError::Cut { packet: 3, .. }]), "{errors:?}");
}

#[test]
fn a_first_packet_that_is_damaged_is_told_once() {
    let directory = Directory::new("first");
    let cut = at(&[9], "a");
    let a = directory.file("a", &cut[..cut.len() - 1]);
    let b = directory.file("b", &at(&[2, 3], "b"));
    let empty = directory.file("empty", &at(&[], ""));
    let (packets, errors) = drain(&mut CaptureSet::open(&[&a, &b, &empty]).unwrap());
    assert_eq!(order(&packets), "bb");
    assert!(matches!(errors[..], [CaptureError::Cut { packet: 1, .. }]), "{errors:?}");
}

#[test]
fn an_unknown_interface_does_not_end_its_file() {
    let directory = Directory::new("interface");
    let o = Order::Little;
    let bytes = [
        section(o),
        interface(o, 189, 0, &[]),
        interface(o, 101, 0, &[]),
        enhanced(o, 0, 1_000_000, 1, b"u", &[]),
        enhanced(o, 1, 3_000_000, 1, b"a", &[]),
        enhanced(o, 1, 5_000_000, 1, b"a", &[]),
    ]
    .concat();
    let a = directory.file("a", &bytes);
    let b = directory.file("b", &at(&[2, 4], "b"));
    let mut set = CaptureSet::open(&[&b, &a]).unwrap();
    let (packets, errors) = drain(&mut set);
    assert_eq!(order(&packets), "baba");
    assert!(matches!(errors[..], [CaptureError::UnknownLinkType { number: 189, .. }]), "{errors:?}");
    assert_eq!(set.uninspected(), 1);
    assert_eq!(set.link_types(), [LinkType::Ethernet, LinkType::RawIp]);
}

#[test]
fn a_file_that_cannot_be_opened_is_told_before_anything_is_read() {
    let directory = Directory::new("open");
    let a = directory.file("a", &at(&[1], "a"));
    let text = directory.file("text", b"hello");
    assert!(matches!(CaptureSet::open(&[&a, &text]), Err(CaptureError::NotACapture { .. })));
    assert!(matches!(CaptureSet::open(&[&a, &directory.0]), Err(CaptureError::Directory { .. })));
}

#[test]
fn pipes_take_part_in_the_merge() {
    let directory = Directory::new("pipes");
    let file = directory.file("file", &at(&[2, 4], "f"));
    let cases = [(at(&[1, 3, 5], "p"), "pfpfp", 0), (at(&[], "p"), "ff", 0), (at(&[1], "p")[..30].to_vec(), "ff", 1)];
    for (bytes, expected, expected_errors) in cases {
        let pipe = directory.0.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, bytes)
        });
        let mut set = CaptureSet::open(&[&file, &pipe]).unwrap();
        assert_eq!(set.progress().total, None);
        let (packets, errors) = drain(&mut set);
        writer.join().unwrap().unwrap();
        assert_eq!((order(&packets).as_str(), errors.len()), (expected, expected_errors), "{errors:?}");
        std::fs::remove_file(&pipe).unwrap();
    }
}

#[test]
fn progress_runs_from_nothing_to_all() {
    let directory = Directory::new("set-progress");
    let (a, b) = (at(&(1..2_000).collect::<Vec<_>>(), "aaaa"), gzip(&at(&[1, 2], "b")));
    let total = (a.len() + b.len()) as u64;
    let paths = [directory.file("a", &a), directory.file("b", &b)];
    let mut set = CaptureSet::open(&paths).unwrap();
    assert_eq!(set.progress(), Progress { position: 0, total: Some(total) });
    let mut last = 0;
    while set.next().unwrap().is_some() {
        assert!(set.progress().position >= last);
        last = set.progress().position;
    }
    assert_eq!(set.progress(), Progress { position: total, total: Some(total) });
}

#[test]
fn many_files_are_not_open_at_once() {
    let directory = Directory::new("many");
    let paths: Vec<_> = (0..300).map(|n| directory.file(&n.to_string(), &at(&[n * 10, n * 10 + 5], "x"))).collect();
    let mut set = CaptureSet::open(&paths).unwrap();
    let mut most = 0;
    while set.next().unwrap().is_some() {
        let open = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .filter(|target| target.starts_with(&directory.0))
            .count();
        most = most.max(open);
    }
    assert!(most <= 2, "{most} files were open at once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn merging_sorts_files_that_are_sorted(mut times in prop::collection::vec(prop::collection::vec(0..50_u32, 0..20), 1..5)) {
        let directory = Directory::new("merge");
        let mut expected = Vec::new();
        let mut paths = Vec::new();
        for (file, times) in times.iter_mut().enumerate() {
            times.sort_unstable();
            expected.extend(times.iter().map(|time| (*time, file)));
            paths.push(directory.file(&file.to_string(), &at(times, "x")));
        }
        expected.sort_unstable();
        let (packets, errors) = drain(&mut CaptureSet::open(&paths).unwrap());
        prop_assert!(errors.is_empty());
        let merged: Vec<(u32, usize)> =
            packets.iter().map(|packet| ((packet.nanoseconds / 1_000_000_000) as u32, packet.file as usize)).collect();
        prop_assert_eq!(merged, expected);
    }
}
