//! What is said of wrong arguments, captures and files: the words are part of the product.

use crate::{capture, folder, run_in};

/// The status and everything that was said.
fn said(files: &[(&str, &[u8])], arguments: &[&str]) -> String {
    let folder = folder(files);
    let run = run_in(folder.path(), arguments);
    assert_eq!(run.stdout, "", "messages do not belong on standard output");
    format!("$ portcullis {}\n{}status {}", arguments.join(" "), run.stderr, run.status)
}

/// A pcap header in little endian for a link type.
fn header(link: u32) -> Vec<u8> {
    let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
    header.extend(link.to_le_bytes());
    header
}

#[test]
fn captures_that_cannot_be_read() {
    let mut damaged = capture("postfix-plain.pcap");
    damaged[24 + 8..24 + 12].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let demo = capture("demo.pcap");
    let unknown = header(147);
    let files: [(&str, &[u8]); 7] = [
        ("empty.pcap", b""),
        ("notes.txt", b"these are notes\n"),
        ("folder/x.pcap", b""),
        ("zigbee.pcap", &unknown),
        ("header.pcap", &unknown[..10]),
        ("cut.pcap", &demo[..5000]),
        ("damaged.pcap", &damaged),
    ];
    let names = ["missing.pcap", "folder", "empty.pcap", "notes.txt", "zigbee.pcap", "header.pcap"];
    let all: Vec<String> = names.iter().map(|name| said(&files, &["read", "--quiet", name])).collect();
    insta::assert_snapshot!(all.join("\n\n"));
    // These have a beginning that can be read: it was.
    let all: Vec<String> =
        ["cut.pcap", "damaged.pcap"].iter().map(|name| said(&files, &["read", "--quiet", name])).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn arguments_that_make_no_sense() {
    let plain = capture("postfix-plain.pcap");
    let files: [(&str, &[u8]); 2] = [("a.pcap", &plain), ("none/readme", b"")];
    let all: Vec<String> = [
        &["read"][..],
        &["read", "-", "-"],
        &["read", "a.pcap", "--filter", "port 25 and"],
        &["read", "a.pcap", "--fail-on", "severe"],
        &["read", "a.pcap", "--eve", "no/such/folder/eve.json"],
        &["read", "a.pcap", "--grammars", "nowhere"],
        &["read", "a.pcap", "--grammars", "none"],
        &["read", "a.pcap", "--policy", "nowhere.policy"],
        &["read", "a.pcap", "--policy", "smpt"],
        &["read", "a.pcap", "--policy", "smtp", "--policy", "none"],
        &["check", "--explain", "C99"],
        &["check", "a.pcap"],
        &["fmt", "x.policy"],
        &["fmt", "a.pcap"],
        &["graph", "http"],
        &["frobnicate"],
    ]
    .iter()
    .map(|arguments| said(&files, arguments))
    .collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn files_that_are_no_text() {
    let long = vec![b' '; (4 << 20) + 1];
    let files: [(&str, &[u8]); 2] = [("latin.policy", b"# caf\xe9\n"), ("long.grammar", &long)];
    let all = [said(&files, &["check", "latin.policy"]), said(&files, &["check", "long.grammar"])];
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn policies_and_grammars_with_errors() {
    let plain = capture("postfix-plain.pcap");
    let policy = br#"
use smtp
list banned from "lists/banned.txt"
policy mine for smtp {
    rule sender  id 1 { on smtp.comand  when verb == MAIL and sender.domain in banned  alert high "{sender.domain}" }
}
"#;
    let grammar = br"
protocol echo over tcp port 7
line message max 512 { text: rest }
machine { start talk  state talk { up mesage  down message  on message -> talk  on timeout 5 min -> finish } }
";
    let files: [(&str, &[u8]); 3] = [("a.pcap", &plain), ("mine.policy", policy), ("grammars/echo.grammar", grammar)];
    let all = [
        said(&files, &["read", "a.pcap", "--policy", "mine.policy"]),
        said(&files, &["read", "a.pcap", "--grammars", "grammars"]),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}
