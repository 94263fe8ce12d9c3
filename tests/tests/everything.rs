//! Every capture at hand goes through without a panic, within a bound of memory, and gives the same twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_capture::CaptureSet;
use portcullis_engine::{Engine, Settings};
use portcullis_policy::PolicySet;
use portcullis_tests::findings::{Findings, find};
use portcullis_tests::grammars::shipped;
use portcullis_tests::{project, shared};

#[test]
fn our_own_captures_give_the_same_twice() {
    let shipped = shipped();
    let captures = files(&project().join("pcaps"));
    assert!(captures.len() > 20, "only {} captures in pcaps/", captures.len());
    for path in captures {
        let first = find(&shipped, PolicySet::default(), &path);
        let second = find(&shipped, PolicySet::default(), &path);
        assert!(!first.lines.is_empty(), "{}: nothing was found", path.display());
        assert_eq!(first.lines, second.lines, "{}", path.display());
    }
}

/// Captures are often made with a length at which packets are cut: what could not be inspected is told.
#[test]
fn datagrams_that_the_capture_cut_are_told() {
    let shipped = shipped();
    let mut findings = Findings::default();
    let mut engine = Engine::new(Arc::clone(&shipped.grammars), Arc::new(PolicySet::default()), Settings::default());
    let mut capture = CaptureSet::open(&[project().join("pcaps/dns-udp.pcap")]).expect("a capture of our own");
    let packet = capture.next().expect("it can be read").expect("it has a packet");
    let cut = &packet.data[..packet.data.len() - 10];
    engine.packet(1, packet.timestamp, packet.link, cut, packet.original_length, &mut findings);
    engine.finish(&mut findings);
    assert_eq!(findings.count("stream gap"), 1, "{:#?}", findings.lines);
    assert_eq!(findings.count(" query "), 0);
    assert_eq!(engine.statistics().gap_octets, 10);
}

#[test]
fn captures_of_others_go_through() {
    let Some(shared) = shared() else { return };
    let shipped = shipped();
    let mut captures = files(&shared.join("corpus"));
    captures.extend(files(&shared.join("lab")));
    let mut packets = 0;
    let mut flows = 0;
    for path in &captures {
        let found = find(&shipped, PolicySet::default(), path);
        packets += found.statistics.packets;
        flows += found.statistics.inspected_flows;
    }
    println!("{} captures, {packets} packets, {flows} flows inspected", captures.len());
    assert!(captures.len() > 500, "only {} captures", captures.len());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of captures") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| ["pcap", "pcapng", "cap", "trace"].iter().any(|e| extension == *e))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}
