//! Real hosts behind a gateway that edits what they say and loses, doubles and reorders their packets.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_tests::edits::{changes, edited, said};
use portcullis_tests::namespace::{Line, Need, Offloads, lacking, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_edited_line");
const QUEUE: &str = "7";

/// Adds or removes the rules that give the gateway its packets.
fn rules(line: &Line, action: &str) {
    for (program, end) in
        ["iptables-legacy", "ip6tables-legacy"].iter().flat_map(|program| [(program, "--dport"), (program, "--sport")])
    {
        line.gateway.shell(&format!("{program} -w {action} FORWARD -p tcp {end} 25 -j NFQUEUE --queue-num {QUEUE}"));
    }
}

/// Both sides say so many octets through a gateway that loses so many packets of a thousand; the number of edits.
fn run(line: &Line, address: IpAddr, seed: u64, lost: u64, length: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let path = |name: &str| file(name).to_str().unwrap().to_owned();
    let (seed_text, length_text) = (seed.to_string(), length.to_string());
    let address = SocketAddr::new(address, 25).to_string();
    let gateway =
        line.gateway.spawn(PROGRAM, ["gateway", QUEUE, &seed_text, &lost.to_string()], Some(&file("gateway")));
    let told = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    assert!(until(Duration::from_secs(10), || told(&file("gateway")).contains("ready")), "{}", told(&file("gateway")));
    rules(line, "-A");
    let arguments = ["server", &address, &seed_text, &length_text, &path("server")];
    let mut server = line.server.spawn(PROGRAM, arguments, Some(&file("server-log")));
    assert!(line.server.listens(25, Duration::from_secs(10)), "nobody listens");
    let client = line.client.run_for(100, PROGRAM, ["client", &address, &seed_text, &length_text, &path("client")]);
    let log = || format!("gateway: {}server: {}", told(&file("gateway")), told(&file("server-log")));
    assert_eq!(client.status, 0, "{}{}", client.stderr, log());
    let status = server.wait(Duration::from_secs(30));
    assert!(status.is_some_and(|status| status.success()), "{}", log());
    let mut edits = 0;
    for (direction, read) in [(Direction::Up, file("server")), (Direction::Down, file("client"))] {
        let (expected, count) = edited(&said(seed, direction, length), changes(seed, direction));
        edits += count;
        let read = std::fs::read(read).unwrap();
        let differs = read.iter().zip(&expected).position(|(one, other)| one != other);
        assert!(read == expected, "{direction}: {} octets of {}, {differs:?} differs", read.len(), expected.len());
    }
    until(Duration::from_secs(5), || told(&file("gateway")).contains("edits"));
    println!("lost {lost} of 1000: {}", told(&file("gateway")).replace('\n', "; "));
    rules(line, "-D");
    drop(gateway);
    edits
}

#[test]
fn real_hosts_read_what_a_thousand_edits_make_of_what_was_said() {
    if lacking(&[Need::Namespaces, Need::Program("ethtool"), Need::Iptables, Need::Queue]) {
        return;
    }
    let line = Line::routed(Offloads::Off);
    let (v4, v6) = (line.addresses.server_v4(0).into(), line.addresses.server_v6(0).into());
    let mut edits = run(&line, v4, 1, 0, 300_000);
    edits += run(&line, v6, 2, 10, 300_000);
    edits += run(&line, v4, 3, 30, 150_000);
    drop(line);
    // With segments of many packets, whose checksums the gateway never sees.
    let line = Line::routed(Offloads::On);
    edits += run(&line, line.addresses.server_v4(0).into(), 4, 5, 500_000);
    assert!(edits >= 1_000, "{edits}");
}
