//! Writes `fuzz/corpus/`: small inputs for the fuzz targets, from our own grammars, policies and captures.
//!
//! ```text
//! cargo run -p portcullis-tests --example fuzz_corpus
//! ```
//!
//! Files of the same name are replaced, others (what the fuzzer has found) stay.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "who runs it wants to know where it fails")]

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_capture::{CaptureSet, CaptureWriter, Packet};
use portcullis_grammar::model::Protocol;
use portcullis_stream::Protocol as Transport;
use portcullis_tests::properties::encode;
use portcullis_tests::script::{Step, scripts};
use portcullis_wire::LinkType;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpus = Corpus { folder: root.join("fuzz/corpus") };
    corpus.captures(&root);
    corpus.conversations(&root);
    corpus.grammars(&root);
    corpus.policies(&root);
    corpus.expressions();
    corpus.decisions();
}

struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    fn write(&self, target: &str, name: &str, octets: &[u8]) {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).expect("a folder of the corpus");
        fs::write(folder.join(name), octets).expect("a file of the corpus");
        println!("{target}/{name}: {} octets", octets.len());
    }

    /// The first packets of small captures, as packets and as captures of each kind.
    fn captures(&self, root: &Path) {
        for name in ["postfix-plain", "ipv6", "dns-udp", "client-aborts"] {
            let path = root.join("pcaps").join(format!("{name}.pcap"));
            let mut set = CaptureSet::open(&[&path]).expect("one of our own captures");
            let mut packets: Vec<(LinkType, Vec<u8>)> = Vec::new();
            let mut pcapng = CaptureWriter::pcapng(Vec::new()).unwrap();
            let mut pcap = None;
            while let Some(packet) = set.next().expect("our own captures are whole") {
                let pcap = pcap.get_or_insert_with(|| CaptureWriter::pcap(Vec::new(), packet.link).unwrap());
                if packets.len() < 4 {
                    let packet: Packet<'_> = packet;
                    pcapng.write(&packet, Some("of our own")).unwrap();
                    pcap.write(&packet, None).unwrap();
                }
                if packets.len() < 8 {
                    packets.push((packet.link, packet.data.to_vec()));
                }
            }
            self.write("captures", &format!("{name}.pcapng"), &pcapng.finish().unwrap());
            self.write("captures", &format!("{name}.pcap"), &pcap.unwrap().finish().unwrap());
            for (number, (link, data)) in packets.iter().enumerate().step_by(3) {
                let kind = LinkType::ALL.iter().position(|other| other == link).unwrap();
                let mut octets = vec![u8::try_from(kind).unwrap()];
                octets.extend(data);
                self.write("packets", &format!("{name}-{number}"), &octets);
            }
        }
    }

    fn conversations(&self, root: &Path) {
        let mut seed = 0;
        for protocol in ["smtp", "dns"] {
            let path = root.join("grammars").join(format!("{protocol}.grammar"));
            let program = portcullis_tests::grammars::program(&path);
            let model: &Protocol = program.protocol();
            for (number, example) in model.examples.iter().enumerate() {
                let steps = example.lines.iter().map(|(direction, octets)| match protocol {
                    "dns" => Step::Datagram(*direction, octets.to_vec()),
                    _ => Step::Octets(*direction, octets.to_vec()),
                });
                seed += 1;
                self.write(protocol, &format!("example-{number}"), &encode(seed, false, &steps.collect::<Vec<_>>()));
            }
        }
        let captures = [
            "auth-cancelled",
            "dns-tcp",
            "dns-udp",
            "early-data",
            "exim-bdat",
            "lmtp-mixed-replies",
            "rejected-data",
            "smuggling-lf-dot-lf",
            "starttls-injection",
            "timeout-421",
        ];
        for name in captures {
            let path = root.join("pcaps").join(format!("{name}.pcap"));
            for (number, script) in scripts(&path, &[25, 587, 2525, 24, 53]).iter().take(2).enumerate() {
                let target = if script.key.server.port() == 53 { "dns" } else { "smtp" };
                seed += 1;
                let mut octets = encode(seed, script.midstream, &script.steps);
                octets.truncate(2_000);
                let transport = if script.key.protocol == Transport::Udp { "udp" } else { "tcp" };
                self.write(target, &format!("{name}-{transport}-{number}"), &octets);
            }
        }
    }

    /// Pieces of the shipped grammars, and a small one with every construct.
    fn grammars(&self, root: &Path) {
        for name in ["smtp", "dns"] {
            let text = fs::read_to_string(root.join("grammars").join(format!("{name}.grammar"))).expect("a grammar");
            let mut pieces: Vec<String> = vec![String::new()];
            for block in text.split("\n\n") {
                if pieces.last().is_some_and(|piece| piece.len() + block.len() > 3_000) {
                    pieces.push(String::new());
                }
                let piece = pieces.last_mut().unwrap();
                piece.push_str(block);
                piece.push_str("\n\n");
            }
            for (number, piece) in pieces.iter().enumerate() {
                self.write("layout", &format!("{name}-{number}.grammar"), piece.as_bytes());
            }
            if name == "dns" {
                self.write("grammars", "dns.grammar", text.as_bytes());
            }
        }
        for (name, text) in GRAMMARS {
            self.write("grammars", &format!("{name}.grammar"), text.as_bytes());
        }
    }

    fn policies(&self, root: &Path) {
        let mut rules = 0;
        for name in ["smtp", "smtp-strict", "dns"] {
            let text = fs::read_to_string(root.join("policies").join(format!("{name}.policy"))).expect("a policy");
            for block in text.split("\n\n").filter(|block| block.contains("rule ") && block.len() < 1_500) {
                rules += 1;
                if rules % 4 > 0 {
                    continue;
                }
                let policy = match block.contains("policy ") {
                    true => block.to_owned(),
                    false => format!("list banned = [\"a.example\"]\npolicy p for smtp {{\n{block}\n}}\n"),
                };
                self.write("policies", &format!("{name}-{rules}.policy"), policy.as_bytes());
            }
        }
        for (name, text) in POLICIES {
            self.write("policies", &format!("{name}.policy"), text.as_bytes());
        }
    }

    fn expressions(&self) {
        for (number, text) in EXPRESSIONS.iter().enumerate() {
            self.write("expressions", &format!("{number}"), text.as_bytes());
        }
    }

    /// Targets whose inputs are decisions.
    fn decisions(&self) {
        let text: Vec<u8> = (0..600_u16).map(|number| u8::try_from(number % 251).unwrap()).collect();
        for (number, version) in [0_u8, 2].into_iter().enumerate() {
            let mut octets = vec![version, 3, 7, 1, 5, 9, 20, 40, 41];
            octets.extend(&text);
            self.write("fragments", &format!("whole-{number}"), &octets);
        }
        let mut any = vec![1];
        for (flags, offset, length) in [(1, 0, 16), (1, 2, 16), (0, 4, 9), (3, 0, 24), (2, 3, 5), (1, 1, 16)] {
            any.extend([flags, 1, offset, length]);
            any.extend(&text[..usize::from(length)]);
        }
        self.write("fragments", "any", &any);

        for (number, isn) in [[0_u8; 8], [0xff; 8], [0x7f, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff, 0x10]].iter().enumerate()
        {
            let mut octets = isn.to_vec();
            octets.extend([0, 0, 0, u8::try_from(number).unwrap()]);
            octets.extend(text.iter().cycle().take(3_000 + 400 * number));
            self.write("reassembly", &format!("{number}"), &octets);
        }
        // Control, flags, offset, acknowledgement, length: a handshake, data in and out of order, an overlap, an end.
        let mut talk = vec![0];
        for (control, flags, offset, acknowledgement, length) in [
            (0, 2, 7, 0, 0),
            (1, 18, 7, 8, 0),
            (0, 16, 8, 8, 5),
            (0, 24, 18, 8, 6),
            (1, 24, 8, 13, 7),
            (0, 24, 11, 8, 10),
            (128, 17, 24, 15, 0),
            (1, 4, 15, 24, 0),
        ] {
            talk.extend([control, flags, offset, acknowledgement, length]);
            talk.extend(&text[..usize::from(length)]);
        }
        self.write("segments", "talk", &talk);
    }
}

const GRAMMARS: [(&str, &str); 3] = [
    (
        "lines",
        r#"protocol toy over tcp port 7
keywords ignore case
newline CRLF, and LF as anomaly bare_lf
line request max 200 { verb: upto [^A-Za-z] max 16  choose verb { GET, PUT => { " " name: until ":" quoted by '"' max 50 } else => { argument: rest trimmed } }  rest should be empty as trailing }
line answer max 100 { code: digit x 3 as number must be in 100..599  mark: optional "-"  text: rest }
record answers max 4 KB { lines: many answer while mark max 20  let code = lines.last.code  should every lines.code == code as mixed }
stream body { lines until "." and lookalikes as anomaly odd_end long lines over 70 as anomaly long | remove leading "." | store }
flow { asked: last request keeping verb  store: channel  count: u8 = 0 }
machine {
    start talk
    join talk on request
    state talk { up request  down waits max 1 KB  on request when verb == PUT -> sending  on request { count = 1 } -> answering }
    state sending { up body  on body { close store } -> answering }
    state answering { down answers  up waits max 4 KB  on answers when code == 500 -> fail "no {code}"  on answers -> talk }
    any state { on gap resync at answers, request  on timeout 1 min -> finish }
}
example "put" { up "PUT a:\r\n" up "x\r\n..y\r\n.\r\n" down "200-a\r\n200 b\r\n" gives request PUT, body, store, answers 200 }
"#,
    ),
    (
        "records",
        r#"protocol toy over udp port 7, tcp port 7 framed by u16
enum kind u4 { A = 1  B = 2 }
record message max 2 KB {
    kind: kind   flag: bit   _: u3
    size: u8 measures name   count: u8 counts items   name: bytes
    items: many item max 100
    choose kind { A => { value: u16 little  must value > 3 }  B => texts: many text max 9  else => raw_data: rest }
    tail: optional { "T" more: u8 }
    rest should be empty as trailing
}
group item { id: u24  let double = id * 2 }
group text { size: u8 measures octets  octets: bytes }
value label max 60 { parts: many part until size == 0 max 20 } = join parts.text with "."
group part { kind: u2  choose kind { 0 => { size: u6 measures text  text: bytes }  3 => { at: u14  text: follow label at at, backwards } else => error "odd" } }
record named max 1 KB { "N" name: label  within 4 { a: u16 b: u16 } }
machine { start talk state talk { up message as query down message as answer matches query by count max 8 for 10 s on query when flag == 1 { anomaly odd } on timeout 60 s -> finish } }
"#,
    ),
    (
        "streams",
        r#"protocol toy over tcp port 7
record header max 100 { "H" length: u16  kind: u8 }
stream payload { bytes asked.length }
stream text { until "END" }
stream all { bytes to end }
record hello max 5 { type: u8 version: u16 rest_of: u16 }
flow { asked: last header keeping length, kind }
machine {
    start begin
    state begin { up choose { "\x16" => hello  else => header }  on hello -> finish, then tls  on header -> body }
    state body { up choose asked.kind { 1 => payload  2 => text  else => all }  on payload, text, all -> begin  on timeout 5 s -> finish }
}
"#,
    ),
];

const POLICIES: [(&str, &str); 2] = [
    (
        "everything",
        r#"use smtp, dns
list banned from "banned.txt"
list risky = [".exe", ".scr"]
network inside = [10.0.0.0/8, 192.0.2.1, fd00::/8]
policy gateway for smtp when server in inside and client.port > 1023 {
    mode observe
    rule banned id 1001 {
        on smtp.command when verb == MAIL
        when sender.domain in banned or sender.address ends with any risky or sender.address matches /a[b-d]{2,9}$/
        after 5 per client.address in 10 min
        alert high "mail from {sender.domain} {{ {length of sender.address} \x41" at most 1 per sender.domain in 1 h
        log "x {state}"
        drop
        about attack T1566.001 url "https://wiki.example/banned"
    }
    rule option id 1002 { on smtp.command when verb in (MAIL, RCPT) and any options.value.text contains "+0A" pass }
    rule reply id 1003 { on smtp.reply when code in 400..499 and every lines.code == code and not (code == 421) log "" }
}
"#,
    ),
    (
        "names",
        "policy names for dns { rule many id 2 { on dns.query when count of questions > 1 alert low \"{questions.first.type}\" } }\n",
    ),
];

const EXPRESSIONS: [&str; 12] = [
    "verb == MAIL and sender.domain == \"x.example\"",
    "verb in (MAIL, RCPT) or not (verb == DATA)",
    "length of raw <= 510 or length of verb + 2 * 3 - 1 > 4",
    "verb == BDAT and size in 1..2147483647",
    "any options.name == \"SIZE\"",
    "every options.value.text is not empty",
    "verb == MAIL and sender.address matches /^[a-z]{1,5}@/",
    "lowercase (verb) begins with any [\"a\", \"b\"]",
    "client.address in [10.0.0.0/8, fd00::/8] and client.port > 1023",
    "verb == MAIL and sender.address after last \"@\" == \"b\" and sender.address before first \"@\" contains 'x'",
    "(((verb == \"\\x41\\r\\n\")))",
    "5 min > 30 s and 64 KB == 0x10000 and true",
];
