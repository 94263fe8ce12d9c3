//! `portcullis read`: records, the screen, exit statuses, sources.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Stdio;

use portcullis_capture::{CaptureWriter, Packet};
use portcullis_tests::{command, portcullis, portcullis_in, project};
use portcullis_wire::{LinkType, SequenceNumber, TcpFlags, TcpPacket, Timestamp};
use serde_json::Value;

use crate::{capture, folder, of_type, records, run_in};

/// Reads a capture of ours and gives all records.
fn records_of(arguments: &[&str]) -> Vec<Value> {
    let run = portcullis(["read", "--eve", "-"].iter().chain(arguments));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    records(&run)
}

#[test]
fn every_record_has_what_its_readers_need() {
    let all = records_of(&["pcaps/demo.pcap"]);
    let types: BTreeSet<&str> = all.iter().map(|record| record["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, BTreeSet::from(["alert", "anomaly", "dns", "flow", "smtp", "stats"]));
    for record in &all {
        let event_type = record["event_type"].as_str().unwrap();
        let timestamp = record["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with("+0000") && timestamp.len() == 31, "{record}");
        assert!(record[event_type].is_object(), "{record}");
        if event_type == "stats" {
            continue;
        }
        assert!(record["flow_id"].as_u64().unwrap() < 1 << 53, "{record}");
        for key in ["src_ip", "dest_ip", "proto", "community_id", "app_proto"] {
            assert!(record[key].is_string(), "{key}: {record}");
        }
        assert!(record["src_port"].is_u64() && record["dest_port"].is_u64(), "{record}");
        match event_type {
            "alert" => {
                assert!(["allowed", "blocked"].contains(&record["alert"]["action"].as_str().unwrap()), "{record}");
                assert!((1..=3).contains(&record["alert"]["severity"].as_u64().unwrap()), "{record}");
                assert!(record["alert"]["signature_id"].is_u64() && record["alert"]["signature"].is_string());
            }
            "smtp" if record["smtp"]["portcullis"]["outcome"] == "accepted" => {
                assert!(record["smtp"]["helo"].is_string(), "{record}");
                assert!(record["smtp"]["mail_from"].as_str().unwrap().starts_with('<'), "{record}");
                assert!(record["smtp"]["rcpt_to"][0].as_str().unwrap().starts_with('<'), "{record}");
            }
            "flow" => assert!(record["flow"]["pkts_toserver"].is_u64(), "{record}"),
            _ => {}
        }
    }
    // The statistics come last, and agree with the records.
    let stats = &all.last().unwrap()["stats"];
    let count = |event_type: &str| of_type(&all, event_type).len() as u64;
    assert_eq!(stats["detect"]["alert"], count("alert"));
    assert_eq!(stats["detect"]["anomaly"], count("anomaly"));
    assert_eq!(stats["flow"]["total"], count("flow"));
    assert_eq!(stats["app_layer"]["tx"]["smtp"], count("smtp"));
    assert_eq!(stats["app_layer"]["tx"]["dns"], count("dns"));
}

#[test]
fn the_same_input_gives_the_same_output() {
    let read = || portcullis(["read", "--eve", "-", "pcaps/demo.pcap", "pcaps/concurrent.pcap"]).stdout;
    assert!(read() == read());
}

#[test]
fn the_log_is_never_mixed_with_records() {
    let run = portcullis(["read", "-vv", "--eve", "-", "pcaps/demo.pcap"]);
    assert!(run.stderr.contains("policies are loaded"), "{}", run.stderr);
    assert!(!records(&run).is_empty());
}

#[test]
fn a_screen_says_what_was_found() {
    let run = portcullis(["read", "pcaps/multi-mail.pcap"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    for word in ["capture ", "packets ", "hosts ", "protocols  1 smtp", "mails ", "alice@example.org", "accepted"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    assert!(!run.stdout.contains('\u{1b}'), "no colour in a pipe");
    let coloured = portcullis(["read", "pcaps/demo.pcap", "--color", "always"]);
    assert!(coloured.stdout.contains('\u{1b}'));
}

#[test]
fn records_go_to_a_file_and_the_screen_stays() {
    let folder = folder(&[("a.pcap", &capture("postfix-plain.pcap"))]);
    let run = run_in(folder.path(), &["read", "a.pcap", "--eve", "eve.json"]);
    assert!(run.stdout.contains("mails"), "{}", run.stdout);
    let once = std::fs::read_to_string(folder.path().join("eve.json")).unwrap();
    assert!(once.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && once.ends_with('\n'));
    let run = run_in(folder.path(), &["read", "a.pcap", "--eve", "eve.json", "--quiet"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    let twice = std::fs::read_to_string(folder.path().join("eve.json")).unwrap();
    assert_eq!(twice, format!("{once}{once}"), "it is appended to");
}

#[test]
fn compressed_and_piped_captures_are_read_like_plain_ones() {
    let plain = capture("demo.pcap");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 0).unwrap();
    // What a capture is, is told by its content.
    let folder = folder(&[("plain", &plain), ("gzip", &gzip), ("zstd", &zstd)]);
    let expected = run_in(folder.path(), &["read", "--eve", "-", "plain"]).stdout;
    assert!(expected.lines().count() > 100);
    for name in ["gzip", "zstd"] {
        let run = run_in(folder.path(), &["read", "--eve", "-", name]);
        assert_eq!((run.status, run.stdout == expected), (0, true), "{name}: {}", run.stderr);
    }
    for input in [&plain, &gzip, &zstd] {
        let run = portcullis_in(folder.path(), ["read", "--eve", "-", "-"], input);
        assert_eq!((run.status, run.stdout == expected), (0, true), "{}", run.stderr);
    }
}

#[test]
fn several_files_are_one_capture() {
    let names = ["pcaps/dns-udp.pcap", "pcaps/postfix-plain.pcap"];
    let together = records_of(&names);
    let apart: Vec<Value> = names.iter().flat_map(|name| records_of(&[name])).collect();
    assert_eq!(of_type(&together, "stats").len(), 1);
    for event_type in ["smtp", "dns", "flow"] {
        assert_eq!(of_type(&together, event_type).len(), of_type(&apart, event_type).len(), "{event_type}");
    }
    // With several files a number of a packet says nothing without the name of its file.
    let smtp = of_type(&together, "smtp");
    assert_eq!(smtp[0]["pcap_filename"], "pcaps/postfix-plain.pcap");
    assert_eq!(smtp[0]["pcap_cnt"], of_type(&apart, "smtp")[0]["pcap_cnt"]);
    assert!(apart.iter().all(|record| record.get("pcap_filename").is_none()));
}

#[test]
fn what_lies_before_the_damage_is_analysed() {
    let whole = capture("demo.pcap");
    let folder = folder(&[("cut.pcap", &whole[..40_000]), ("next.pcap", &capture("ipv6.pcap"))]);
    let run = run_in(folder.path(), &["read", "--eve", "-", "cut.pcap"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("\"cut.pcap\" ends inside a packet"), "{}", run.stderr);
    let cut = records(&run);
    let packets = of_type(&cut, "stats")[0]["stats"]["decoder"]["pkts"].as_u64().unwrap();
    assert!(run.stderr.contains(&format!("The {packets} packets before were read")), "{}", run.stderr);
    let messages = |records: &[Value]| -> Vec<Value> {
        let before = |record: &&Value| record["pcap_cnt"].as_u64().is_some_and(|number| number <= packets);
        of_type(records, "dns").into_iter().filter(before).cloned().collect()
    };
    let all = records_of(&["pcaps/demo.pcap"]);
    assert!(!messages(&cut).is_empty());
    assert_eq!(messages(&cut), messages(&all));
    // Other files go on.
    let run = run_in(folder.path(), &["read", "--eve", "-", "cut.pcap", "next.pcap"]);
    assert_eq!(run.status, 2);
    assert!(records(&run).iter().any(|record| record["pcap_filename"] == "next.pcap"));
}

#[test]
fn a_severity_decides_about_the_status() {
    let status = |arguments: &[&str]| portcullis(["read", "--quiet"].iter().chain(arguments)).status;
    assert_eq!(status(&["pcaps/demo.pcap"]), 0);
    assert_eq!(status(&["pcaps/demo.pcap", "--fail-on", "critical"]), 1);
    assert_eq!(status(&["pcaps/demo.pcap", "--fail-on", "low"]), 1);
    assert_eq!(status(&["pcaps/banned-sender.pcap", "--fail-on", "high"]), 1);
    assert_eq!(status(&["pcaps/banned-sender.pcap", "--fail-on", "critical"]), 0);
    assert_eq!(status(&["pcaps/demo.pcap", "--fail-on", "low", "--policy", "none"]), 0);
    assert_eq!(status(&["pcaps/postfix-plain.pcap", "--fail-on", "low"]), 0);
}

#[test]
fn a_filter_chooses_packets() {
    let all = records_of(&["pcaps/demo.pcap", "--filter", "port 53"]);
    assert!(of_type(&all, "smtp").is_empty() && !of_type(&all, "dns").is_empty());
    // Their numbers are still those of the capture.
    let smtp = |records: Vec<Value>| -> Vec<Value> { of_type(&records, "smtp").into_iter().cloned().collect() };
    let alone = smtp(records_of(&["pcaps/demo.pcap", "--filter", "port 25"]));
    assert!(alone == smtp(records_of(&["pcaps/demo.pcap"])) && !alone.is_empty());
}

#[test]
fn a_drop_is_what_the_gateway_would_have_done() {
    let all = records_of(&["pcaps/smuggling-lf-dot-lf.pcap", "--policy", "smtp-strict"]);
    let alerts = of_type(&all, "alert");
    let smuggling = alerts.iter().find(|alert| alert["alert"]["signature_id"] == 1501).unwrap();
    assert_eq!(smuggling["alert"]["action"], "blocked");
    assert_eq!(of_type(&all, "flow")[0]["flow"]["action"], "drop");
    assert_eq!(all.last().unwrap()["stats"]["ips"]["blocked"], 1);
}

#[test]
fn policies_are_files_shipped_ones_or_none() {
    let alerts = |arguments: &[&str]| {
        let records = records_of(&[&["pcaps/banned-sender.pcap"], arguments].concat());
        let ids: BTreeSet<u64> =
            of_type(&records, "alert").iter().map(|alert| alert["alert"]["signature_id"].as_u64().unwrap()).collect();
        ids
    };
    assert!(alerts(&[]).contains(&1001), "shipped policies judge unless others are named");
    assert_eq!(alerts(&["--policy", "policies/smtp.policy"]), alerts(&["--policy", "smtp"]));
    assert!(alerts(&["--policy", "none"]).is_empty());
    assert!(alerts(&["--policy", "dns"]).is_empty());
    assert!(alerts(&["--policy", "smtp-strict", "--policy", "smtp"]).contains(&1001));
}

#[test]
fn lists_lie_beside_their_policy() {
    let policy = br#"
use smtp
list strangers from "lists/strangers.txt"
policy mine for smtp {
    rule stranger  id 7 {
        on smtp.command
        when verb == MAIL and sender.domain in strangers
        log "seen {sender.domain}"
        alert medium "from {sender.domain}"
    }
}
"#;
    let folder = folder(&[
        ("a.pcap", &capture("postfix-plain.pcap")),
        ("rules/mine.policy", policy),
        ("rules/lists/strangers.txt", b"example.org\n"),
    ]);
    let run = run_in(folder.path(), &["read", "a.pcap", "--eve", "-", "--policy", "rules/mine.policy"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let all = records(&run);
    assert_eq!(of_type(&all, "alert")[0]["alert"]["signature"], "from example.org");
    assert_eq!(of_type(&all, "log")[0]["log"]["text"], "seen example.org");
}

#[test]
fn grammars_of_a_folder_take_the_place_of_the_shipped_ones() {
    let smtp = std::fs::read(project().join("grammars/smtp.grammar")).unwrap();
    let folder = folder(&[("demo.pcap", &capture("demo.pcap")), ("grammars/smtp.grammar", &smtp)]);
    let run = run_in(folder.path(), &["read", "demo.pcap", "--eve", "-", "--grammars", "grammars"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let all = records(&run);
    assert!(of_type(&all, "dns").is_empty() && !of_type(&all, "smtp").is_empty());
}

#[test]
fn flows_in_progress_are_joined_unless_told_otherwise() {
    let without_handshake = "tcp[tcpflags] & tcp-syn == 0";
    let read = |more: &[&str]| {
        let arguments = [&["pcaps/postfix-plain.pcap", "--filter", without_handshake][..], more].concat();
        records_of(&arguments)
    };
    let joined = read(&[]);
    assert_eq!(joined.last().unwrap()["stats"]["tcp"]["midstream_pickups"], 1);
    assert_eq!(of_type(&joined, "smtp")[0]["smtp"]["mail_from"], "<alice@example.org>");
    assert!(of_type(&read(&["--no-midstream"]), "smtp").is_empty());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = command()
        .args(["read", "--eve", "-"])
        .args(std::iter::repeat_n("pcaps/demo.pcap", 20))
        .current_dir(project())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// A mail whose envelope sender came twice, out of order and differently: `alice`, then `mallo`, which covers it.
fn contradictory_mail() -> Vec<u8> {
    let client: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let server: SocketAddr = "192.0.2.25:25".parse().unwrap();
    let mut writer = CaptureWriter::pcap(Vec::new(), LinkType::RawIp).unwrap();
    let mut time = Timestamp::from_seconds(1_700_000_000);
    let mut send = |up: bool, sequence: u32, flags: TcpFlags, payload: &[u8]| {
        let (source, destination) = if up { (client, server) } else { (server, client) };
        let (sequence, acknowledgement) = (SequenceNumber(sequence), SequenceNumber(if up { 5_001 } else { 1_001 }));
        let segment = TcpPacket::data(source, destination, sequence, acknowledgement, 65_535, payload);
        let data = TcpPacket { flags, ..segment }.build().unwrap();
        time = time.saturating_add(std::time::Duration::from_millis(1));
        writer.write(&Packet::new(time, LinkType::RawIp, &data), None).unwrap();
    };
    let data = TcpFlags::PSH | TcpFlags::ACK;
    send(true, 1_000, TcpFlags::SYN, b"");
    send(false, 5_000, TcpFlags::SYN | TcpFlags::ACK, b"");
    send(true, 1_001, TcpFlags::ACK, b"");
    let start = 1_001 + "EHLO x\r\nMAIL FROM:<".len() as u32;
    send(true, start, data, b"alice@example.org>\r\n");
    send(true, start, data, b"mallo@example.org>\r\nRCPT TO:<bob@example.org>\r\n");
    send(true, 1_001, data, b"EHLO x\r\nMAIL FROM:<");
    send(true, 1_001, TcpFlags::ACK | TcpFlags::FIN, b"");
    writer.finish().unwrap()
}

#[test]
fn overlaps_are_read_as_the_receiver_named_reads_them() {
    let folder = folder(&[("overlap.pcap", &contradictory_mail())]);
    for (arguments, sender) in [
        (&[][..], "<mallo@example.org>"),
        (&["--reassembly", "linux"], "<mallo@example.org>"),
        (&["--reassembly", "windows"], "<alice@example.org>"),
        (&["--reassembly", "bsd"], "<alice@example.org>"),
        (&["--reassembly", "first"], "<alice@example.org>"),
        (&["--reassembly", "last"], "<mallo@example.org>"),
    ] {
        let run = run_in(folder.path(), &[&["read", "overlap.pcap", "--eve", "-"], arguments].concat());
        let all = records(&run);
        assert_eq!(of_type(&all, "smtp")[0]["smtp"]["mail_from"], sender, "{arguments:?}: {}", run.stderr);
        let told = of_type(&all, "anomaly").iter().any(|record| record.to_string().contains("overlap_diff"));
        assert!(told, "{arguments:?}");
    }
    let run = run_in(folder.path(), &["read", "overlap.pcap", "--reassembly", "solaris"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("there is no reassembly `solaris`; there are linux, windows"), "{}", run.stderr);
}
