//! Bounds and timeouts: listed, documented, set, met and told.

use portcullis_engine::{Bound, Settings, WhenMet};
use portcullis_tests::{portcullis, project};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpPacket};
use serde_json::Value;

use crate::{capture, folder, of_type, records, run_in};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

/// Segments of one connection as a capture; each comes 10 ms after the one before.
struct Wire {
    octets: Vec<u8>,
    packets: u32,
}

impl Wire {
    fn new() -> Wire {
        let mut octets = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
        octets.extend(101_u32.to_le_bytes());
        Wire { octets, packets: 0 }
    }

    fn connected(server_port: u16) -> Wire {
        let mut wire = Wire::new();
        wire.send(server_port, true, SYN, (0, 0), b"");
        wire.send(server_port, false, SYN | ACK, (0, 1), b"");
        wire.send(server_port, true, ACK, (1, 1), b"");
        wire
    }

    fn segment(server_port: u16, up: bool, flags: TcpFlags, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
        let (client, server) = (([192, 0, 2, 1], 40_000).into(), ([192, 0, 2, 2], server_port).into());
        let (source, destination) = if up { (client, server) } else { (server, client) };
        let packet = TcpPacket {
            source,
            destination,
            sequence: SequenceNumber(numbers.0),
            acknowledgement: SequenceNumber(numbers.1),
            flags,
            window: 60_000,
            options: &[],
            payload,
        };
        packet.build().unwrap()
    }

    fn send(&mut self, server_port: u16, up: bool, flags: TcpFlags, numbers: (u32, u32), payload: &[u8]) {
        self.put(&Wire::segment(server_port, up, flags, numbers, payload));
    }

    fn put(&mut self, packet: &[u8]) {
        let length = u32::try_from(packet.len()).unwrap();
        for word in [1_800_000_000, self.packets * 10_000, length, length] {
            self.octets.extend(word.to_le_bytes());
        }
        self.octets.extend(packet);
        self.packets += 1;
    }

    /// The records that the program makes of it.
    fn read(&self, arguments: &[&str]) -> Vec<Value> {
        let folder = folder(&[("a.pcap", &self.octets)]);
        let run = run_in(folder.path(), &[&["read", "a.pcap", "--eve", "-"], arguments].concat());
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        records(&run)
    }
}

fn anomalies(records: &[Value]) -> Vec<(&str, &str)> {
    let fields = |record: &'_ Value, key: &str| -> Option<String> {
        record["anomaly"]["portcullis"][key].as_str().map(str::to_owned)
    };
    of_type(records, "anomaly")
        .into_iter()
        .map(|record| {
            let own = &record["anomaly"]["portcullis"];
            assert!(fields(record, "name").is_some());
            (own["name"].as_str().unwrap_or(""), own["reason"].as_str().or(own["verdict"].as_str()).unwrap_or(""))
        })
        .collect()
}

fn action(records: &[Value]) -> &str {
    of_type(records, "flow")[0]["flow"]["action"].as_str().unwrap_or("none")
}

fn met<'a>(records: &'a [Value], bound: &str) -> &'a Value {
    &of_type(records, "stats")[0]["stats"]["limits"][bound]
}

#[test]
fn the_guide_lists_every_bound_as_it_is() {
    let settings = Settings::default();
    let rows = Bound::ALL.iter().map(|bound| {
        let verdict = if bound.is_judged() { "yes" } else { "" };
        let value = bound.show(&settings);
        format!("| `{bound}` | {value} | {} | {} | {verdict} |\n", bound.what(), bound.told())
    });
    let table: String = rows.collect();
    let guide = std::fs::read_to_string(project().join("docs/operators-guide.md")).unwrap();
    assert!(guide.contains(&table), "docs/operators-guide.md does not list the bounds; its table has to be\n{table}");
    assert_eq!(
        guide.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 6).count(),
        Bound::COUNT
    );
}

#[test]
fn bounds_are_listed_as_they_are_set() {
    let run = portcullis(["limits"]);
    assert!(run.status == 0 && run.stdout.contains("1,000,000  flows  "), "{}", run.stdout);
    for bound in Bound::ALL {
        assert!(run.stdout.contains(&format!("  {bound} ")), "{bound}");
    }
    let run = portcullis(["limits", "--limit", "flows=5", "--limit", "queue-time=1min", "--on-failure", "closed"]);
    assert!(run.stdout.contains("   5  flows  ") && run.stdout.contains("60 s  queue-time  "), "{}", run.stdout);
    assert!(run.stdout.contains("`memory_limit`; verdict: drop"), "{}", run.stdout);
}

#[test]
fn the_cost_of_all_flows_is_added_up() {
    let total = |arguments: &[&str]| {
        let run = portcullis([&["check", "--cost"], arguments].concat());
        assert_eq!(run.status, 0, "{}", run.stderr);
        let line = run.stdout.lines().find(|line| line.ends_with("  together")).unwrap().trim();
        let (number, unit) = line.strip_suffix("  together").unwrap().split_once(' ').unwrap();
        let number: u64 = number.replace(',', "").parse().unwrap();
        (number << if unit == "GiB" { 10 } else { 0 }, run.stdout)
    };
    let (all, said) = total(&[]);
    assert!(said.contains("128 octets each") && said.contains("1 GiB  conversation-memory"), "{said}");
    let (fewer, _) = total(&["--limit", "flows=1000", "--limit", "conversation-memory=64MiB"]);
    // A thousand flows take less than two; what is left are the bounds on buffers.
    assert_eq!(fewer, 256 + 64 + 16 + 16 + 9 + 2, "{all} {fewer}");
    assert!(all > 1000 + fewer);
}

#[test]
fn wrong_limits_are_told_with_a_way_out() {
    let folder = folder(&[("limits.txt", b"# mine\nflows = 10\nqueue-bytes = 1M\n"), ("a.pcap", &Wire::new().octets)]);
    for (arguments, status, said) in [
        (&["--limit", "queue-byte=1MiB"][..], 2, "there is no limit `queue-byte`; did you mean `queue-bytes`?"),
        (&["--limit", "queue-bytes"], 2, "a limit is set by NAME=VALUE, such as `queue-bytes=1MiB`"),
        (&["--limit", "queue-time=30"], 2, "which is a time such as `200ms`, `30s`"),
        (&["--limit", "stream-memory=1KiB"], 2, "which lies between 64 KiB and 1,024 GiB"),
        (&["--on-limit", "queue-bytes=pass"], 2, "`pass` is no verdict"),
        (&["--on-limit", "closed-time=drop"], 2, "no verdict belongs to it; those that have one are `stream-memory`"),
        (&["--limits", "limits.txt"], 2, "cannot use line 3 of \"limits.txt\": `1M` cannot be the limit `queue-bytes`"),
        (&["--limits", "none.txt"], 2, "cannot read \"none.txt\": there is no such file"),
    ] {
        for command in [&["read", "a.pcap"][..], &["check", "--cost"], &["limits"]] {
            let run = run_in(folder.path(), &[command, arguments].concat());
            assert_eq!(run.status, status, "{arguments:?}");
            assert!(run.stderr.contains(said), "{arguments:?}: {}", run.stderr);
        }
    }
}

#[test]
fn a_bound_on_what_is_held_out_of_order_is_told_and_judged() {
    let mut wire = Wire::connected(9999);
    for hole in 0..20 {
        wire.send(9999, true, ACK, (100 + 100 * hole, 1), b"out of order");
    }
    assert_eq!(anomalies(&wire.read(&[])), [("stream.gap", "end"); 20], "all are held to the end");
    let all = wire.read(&["--limit", "queue-segments=10"]);
    assert_eq!(anomalies(&all)[0], ("stream.gap", "segment_limit"));
    assert_eq!((action(&all), met(&all, "queue-segments")), ("none", &Value::from(10)));
    let all = wire.read(&["--limit", "queue-bytes=1KiB", "--on-limit", "queue-bytes=drop"]);
    assert_eq!(anomalies(&all)[0], ("stream.gap", "byte_limit"));
    assert_eq!(action(&all), "drop");
    let all = wire.read(&["--limit", "queue-segments=10", "--on-failure", "closed"]);
    assert_eq!(action(&all), "drop");
    let arguments = ["--limit", "queue-segments=10", "--on-failure", "closed", "--on-limit", "queue-segments=accept"];
    assert_eq!(action(&wire.read(&arguments)), "none");
}

#[test]
fn a_flow_that_is_not_inspected_any_more_says_so() {
    let mut wire = Wire::connected(25);
    wire.send(25, false, ACK, (1, 1), b"220 mx\r\n");
    // A command that never ends: 200 octets a packet, up to the longest that the grammar takes.
    for part in 0..60 {
        wire.send(25, true, ACK, (1 + 200 * part, 9), &[b'x'; 200]);
    }
    let least = ["--limit", "conversation-memory=64KiB"];
    let calm = wire.read(&least);
    assert!(!anomalies(&calm).iter().any(|(name, _)| name.starts_with("limit.")), "one flow is no flood");
    // Many such flows are: their commands together are more than may be held.
    let mut wire = Wire::new();
    for flow in 0..30_u16 {
        for (up, flags, numbers, payload) in [
            (true, SYN, (0, 0), &b""[..]),
            (false, SYN | ACK, (0, 1), b""),
            (true, ACK, (1, 1), b""),
            (false, ACK, (1, 1), b"220 mx\r\n"),
            (true, ACK, (1, 9), &[b'x'; 1400]),
            (true, ACK, (1401, 9), &[b'x'; 1400]),
        ] {
            let mut packet = Wire::segment(25, up, flags, numbers, payload);
            // Another port of the client; nothing is verified yet, so that the checksum does not matter.
            let at = if up { 20 } else { 22 };
            packet[at..at + 2].copy_from_slice(&(41_000 + flow).to_be_bytes());
            wire.put(&packet);
        }
    }
    let all = wire.read(&least);
    let limits: Vec<_> = anomalies(&all).into_iter().filter(|(name, _)| name.starts_with("limit.")).collect();
    assert!(!limits.is_empty() && limits.iter().all(|limit| *limit == ("limit.conversation-memory", "accept")));
    assert_eq!(met(&all, "conversation-memory"), &Value::from(limits.len()));
    let all = wire.read(&[&least[..], &["--on-limit", "conversation-memory=drop"]].concat());
    let dropped = of_type(&all, "flow").iter().filter(|record| record["flow"]["action"] == "drop").count();
    assert_eq!(met(&all, "conversation-memory"), &Value::from(dropped));
    assert_eq!(dropped, limits.len());
}

#[test]
fn a_server_that_speaks_for_too_long_is_told_not_to_be_recognised() {
    let mut wire = Wire::connected(9999);
    for part in 0..5 {
        wire.send(9999, false, ACK, (1 + 1000 * part, 1), &[b'z'; 1000]);
    }
    let all = wire.read(&[]);
    assert_eq!(anomalies(&all), [("limit.recognise-bytes", WhenMet::Accept.name())]);
    assert_eq!(met(&all, "recognise-bytes"), &Value::from(1));
    assert_eq!(anomalies(&wire.read(&["--limit", "recognise-bytes=64KiB"])), []);
}

#[test]
fn evicted_flows_are_counted() {
    let mut wire = Wire::new();
    for server_port in 1..=8 {
        wire.send(server_port, true, SYN, (0, 0), b"");
    }
    let all = wire.read(&["--limit", "flows=3"]);
    assert_eq!(met(&all, "flows"), &Value::from(5));
    let ends: Vec<&Value> = of_type(&all, "flow").iter().map(|record| &record["flow"]["portcullis"]["end"]).collect();
    assert_eq!(ends.iter().filter(|end| **end == "evicted").count(), 5, "{ends:?}");
    assert_eq!(of_type(&all, "stats")[0]["stats"]["flow"]["evicted"], 5);
}

#[test]
fn offloaded_checksums_are_told_once_and_taken() {
    let mut wire = Wire::new();
    let spoil = |mut packet: Vec<u8>| {
        packet[36] ^= 0x55;
        packet
    };
    // The client is the host on which it was captured: none of its checksums is right, those of the server are.
    wire.put(&spoil(Wire::segment(25, true, SYN, (0, 0), b"")));
    wire.send(25, false, SYN | ACK, (0, 1), b"");
    wire.put(&spoil(Wire::segment(25, true, ACK, (1, 1), b"")));
    wire.send(25, false, ACK, (1, 1), b"220 mx\r\n");
    wire.put(&spoil(Wire::segment(25, true, ACK, (1, 9), b"EHLO client\r\n")));
    let all = wire.read(&[]);
    assert_eq!(anomalies(&all), [("packet.unverified_checksums", "")], "once");
    let decoder = &of_type(&all, "stats")[0]["stats"]["decoder"];
    assert_eq!((&decoder["checksum_unverified"], &decoder["checksum_wrong"]), (&Value::from(3), &Value::from(0)));
    // A server whose other checksums are right has sent none that is wrong: its receiver drops it.
    wire.put(&spoil(Wire::segment(25, false, ACK, (9, 14), b"250 no\r\n")));
    wire.send(25, false, ACK, (9, 14), b"250 mx\r\n");
    let all = wire.read(&[]);
    assert_eq!(anomalies(&all), [("packet.unverified_checksums", ""), ("packet.tcp_checksum", "")]);
    let folder = folder(&[("a.pcap", &wire.octets)]);
    let screen = run_in(folder.path(), &["read", "a.pcap"]).stdout;
    let told = screen.lines().filter(|line| line.contains("captured before they had one")).count();
    assert!(told == 1 && screen.contains("3 packets were captured"), "{screen}");
}

#[test]
fn a_capture_made_on_the_sending_host_is_read_as_any_other() {
    // Ethernet, IPv4 and TCP without options of IP: as the client's own host would have captured it.
    let mut spoiled = capture("postfix-plain.pcap");
    let client = [10, 25, 0, 2];
    let (mut at, mut packets) = (24, 0);
    while let Some(header) = spoiled.get(at..at + 16) {
        let length = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let frame = &mut spoiled[at + 16..at + 16 + length];
        if frame[12..15] == [8, 0, 0x45] && frame[23] == 6 && frame[26..30] == client {
            frame[50..52].copy_from_slice(&[0xba, 0xad]);
            packets += 1;
        }
        at += 16 + length;
    }
    assert!(packets > 5);
    let folder = folder(&[("good.pcap", &capture("postfix-plain.pcap")), ("spoiled.pcap", &spoiled)]);
    let read = |name: &str| {
        let run = run_in(folder.path(), &["read", name, "--eve", "-"]);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        records(&run)
    };
    let (good, spoiled) = (read("good.pcap"), read("spoiled.pcap"));
    assert_eq!(of_type(&good, "smtp"), of_type(&spoiled, "smtp"));
    assert_eq!(anomalies(&good), []);
    assert_eq!(anomalies(&spoiled), [("packet.unverified_checksums", "")]);
    assert_eq!(of_type(&spoiled, "stats")[0]["stats"]["decoder"]["checksum_unverified"], packets);
}

#[test]
fn what_records_keep_of_a_mail_counts_too() {
    let mut wire = Wire::connected(25);
    let (mut up, mut down) = (1, 1);
    let mut say = |from_client: bool, line: &str| {
        let numbers = if from_client { (up, down) } else { (down, up) };
        wire.send(25, from_client, ACK, numbers, line.as_bytes());
        *(if from_client { &mut up } else { &mut down }) += u32::try_from(line.len()).unwrap();
    };
    say(false, "220 mx\r\n");
    for line in ["EHLO a.example", "MAIL FROM:<a@a.example>"] {
        say(true, &format!("{line}\r\n"));
        say(false, "250 ok\r\n");
    }
    for number in 0..900 {
        say(true, &format!("RCPT TO:<{number}-{}@b.example>\r\n", "x".repeat(50)));
        say(false, "250 ok\r\n");
    }
    let all = wire.read(&[]);
    assert_eq!((anomalies(&all), of_type(&all, "smtp").len()), (vec![], 1));
    let all = wire.read(&["--limit", "conversation-memory=64KiB"]);
    assert_eq!(anomalies(&all), [("limit.conversation-memory", "accept")]);
    let mails = of_type(&all, "smtp");
    assert_eq!(mails.len(), 1, "the mail is told as far as it came");
    assert!(mails[0].to_string().contains("<100-xxx"), "{}", mails[0]);
    assert_eq!(of_type(&all, "flow")[0]["flow"]["tx_cnt"], 1);
}
