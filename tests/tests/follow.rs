//! The streams of public test suites' captures beside what tshark's `follow` makes of them, where both are at hand.
//!
//! Each difference is listed with its reason; one that is not listed, or no longer there, fails.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use portcullis_tests::grammars::{Shipped, shipped};
use portcullis_tests::shared;
use portcullis_tests::streams::{Conversation, difference, ours, tshark_is_here, tsharks};

/// The folders whose captures are compared.
const FOLDERS: [&str; 4] = ["decode", "defrag", "ipv6", "tcp"];

/// Streams that differ: the file, the numbers that tshark gives them, and why.
const KNOWN: [(&str, RangeInclusive<usize>, &str); 18] = [
    ("decode/suricata-verify-bug-5633-gre-02-gre-sample.pcap", 0..=0, "inside GRE; tunnels are not looked into"),
    ("decode/suricata-verify-vxlan-non-zero-reserved-fields.pcap", 0..=0, "inside VXLAN; the same"),
    ("decode/zeek-mixed-vlan-mpls.pcap", 0..=0, "inside MPLS; the same"),
    ("decode/zeek-tunnels-gre-aruba.pcap", 2..=22, "inside GRE; the same"),
    ("decode/zeek-tunnels-gre-over-udp-4754.pcap", 0..=0, "inside GRE; the same"),
    (
        "defrag/suricata-verify-defrag-bug-6887-defrag-ppp-ipv6-tcp-frag-ppp-ipv6-tcp.pcap",
        0..=0,
        "a capture of PPP frames, a link that we say we cannot read",
    ),
    (
        "ipv6/suricata-verify-bug-4571-02-ipv6.pcap",
        0..=0,
        "a segment without any flag, which every receiver drops (T13)",
    ),
    ("ipv6/suricata-verify-bug-4571-03-ipv6-over-ipv6.pcap", 0..=0, "inside IPv6 in IPv6; tunnels are not looked into"),
    ("ipv6/suricata-verify-bug-4571-06-ipv4-over-ipv6.pcap", 0..=0, "inside IPv4 in IPv6; the same"),
    (
        "tcp/suricata-verify-issue-3341-tcphdr-01-urgent11-cve-2019-12260.pcap",
        1..=1,
        "data after a reset that acknowledges what nobody sent: no receiver takes it, tshark looks at no acknowledgement",
    ),
    (
        "tcp/suricata-verify-tcp-5379.pcap",
        0..=0,
        "data on a SYN that nobody answers: only the SYN-ACK would tell that it was taken (T12)",
    ),
    (
        "tcp/suricata-verify-tcp-rst-unacked-stream-01-raw.pcap",
        0..=0,
        "the text of a reset (RFC 9293 3.5.3) is no part of the stream",
    ),
    (
        "tcp/suricata-verify-tcp-rst-unacked-stream-07-http.pcap",
        0..=0,
        "what waits behind a hole at the end: tshark leaves it out, we tell of the gap and of what lies behind it",
    ),
    (
        "tcp/suricata-verify-tcp-rst-unacked-stream-09-TLPW1-tcp-110.37.219.134-10.12.14.101-tcp-990-49230.pcap",
        0..=0,
        "the same",
    ),
    (
        "tcp/suricata-verify-tcp-rst-unacked-stream-12-TLPW1-tcp-110.37.219.134-10.12.14.101-tcp-990-49254.pcap",
        0..=0,
        "tshark gives up what is acknowledged before it was captured; it was captured a little later, and we have it",
    ),
    (
        "tcp/zeek-communityid-tcp.pcap",
        0..=0,
        "packets that the capture has cut to 96 octets: tshark says nothing of the rest, we tell of a gap",
    ),
    (
        "tcp/zeek-tcp-one-sided-2745.pcap",
        0..=1,
        "only one side was captured: it acknowledges what was not captured, of which tshark says nothing",
    ),
    ("tcp/zeek-tcp-timestamp.pcap", 0..=0, "packets that the capture has cut to 96 octets, as above"),
];

#[test]
fn streams_equal_those_of_tshark() {
    let Some(shared) = shared() else { return };
    if !tshark_is_here() {
        return;
    }
    let shipped = shipped();
    let (mut captures, mut streams, mut octets) = (0, 0, 0);
    let mut different = Vec::new();
    for folder in FOLDERS {
        for path in captures_in(&shared.join("corpus").join(folder)) {
            captures += 1;
            let name = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            for (number, found) in compare(&shipped, &path).into_iter().enumerate() {
                streams += 1;
                match found {
                    Ok(equal) => octets += equal,
                    Err(text) => {
                        println!("{name}#{number}: {text}");
                        different.push(format!("{name}#{number}"));
                    }
                }
            }
        }
    }
    println!("{captures} captures, {streams} streams, {octets} octets are equal, {} streams differ", different.len());
    let listed: Vec<String> = KNOWN
        .iter()
        .flat_map(|(file, numbers, _)| numbers.clone().map(move |number| format!("{file}#{number}")))
        .collect();
    assert_eq!(different, listed, "differences, and those that are listed with their reason");
    assert!(captures > 100 && streams > 100, "only {captures} captures with {streams} streams");
}

fn captures_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of captures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of it").path()).collect();
    paths.retain(|path| !path.to_string_lossy().ends_with(".json"));
    paths.sort();
    paths
}

/// By stream of tshark, then of ours that it does not have: how many octets are equal, or what differs.
fn compare(shipped: &Shipped, path: &Path) -> Vec<Result<usize, String>> {
    let mut mine: HashMap<[SocketAddr; 2], Vec<Conversation>> = HashMap::new();
    for conversation in ours(shipped, path).into_iter().map(Conversation::sorted) {
        mine.entry(conversation.ends).or_default().push(conversation);
    }
    let mut found = Vec::new();
    for theirs in tsharks(path).expect("tshark reads it").into_iter().map(Conversation::sorted) {
        let same_ends = mine.get_mut(&theirs.ends).filter(|list| !list.is_empty());
        found.push(match same_ends.map(|list| list.remove(0)) {
            Some(ours) => equal(&ours, &theirs),
            None if theirs.said.iter().all(Vec::is_empty) => Ok(0),
            None => Err(format!("{:?} is no stream of ours", theirs.ends)),
        });
    }
    for ours in mine.into_values().flatten().filter(|ours| !ours.said.iter().all(Vec::is_empty)) {
        found.push(Err(format!("{:?} is no stream of tshark's: {:?}", ours.ends, ours.said.map(|said| said.len()))));
    }
    found
}

fn equal(ours: &Conversation, theirs: &Conversation) -> Result<usize, String> {
    for (end, (ours_said, their_said)) in ours.ends.iter().zip(ours.said.iter().zip(&theirs.said)) {
        if ours_said != their_said {
            let differs = difference(ours_said, their_said);
            return Err(format!("{end} said {differs} ({} {:?})", ours.ended, ours.anomalies));
        }
    }
    Ok(ours.said.iter().map(Vec::len).sum())
}
