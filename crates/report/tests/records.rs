//! One line of each kind, as a reader of EVE sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test cannot set up ends it")]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use portcullis_lang::scheme::AnomalyInfo;
use portcullis_lang::{AnomalyId, Direction, ProtocolScheme};
use portcullis_policy::{Action, Decision, FlowEnd, RuleId, RuleInfo, Severity};
use portcullis_report::*;
use portcullis_stream::{
    AnomalySet, DirectionStatistics, EndReason, Envelope, FlowKey, FlowState, FlowStatistics, FlowSummary, FlowTable,
    Limits, Protocol, StreamAnomaly, StreamEvents,
};
use portcullis_wire::{TcpFlags, Timestamp, UdpDatagram, WireAnomaly};
use proptest::prelude::*;
use serde_json::Value;

fn time() -> Timestamp {
    Timestamp::from_micros(1_795_176_000_123_456)
}

fn moment() -> Moment {
    Moment { time: time(), packet: 17 }
}

fn key(protocol: Protocol) -> FlowKey {
    let (client, server) = match protocol {
        Protocol::Tcp => ("192.0.2.1:40000", "192.0.2.25:25"),
        Protocol::Udp => ("[2001:db8::1]:5353", "[2001:db8::53]:53"),
    };
    FlowKey { protocol, client: client.parse().unwrap(), server: server.parse().unwrap(), vlan: 0 }
}

fn flow() -> FlowIdentity {
    FlowIdentity::new(key(Protocol::Tcp), time())
}

fn scheme() -> ProtocolScheme {
    let named = |name: &str, text: &str| AnomalyInfo { name: name.into(), text: text.into() };
    ProtocolScheme {
        name: "smtp".into(),
        anomalies: vec![named("bare_lf", "a line feed without carriage return"), named("early_data", "early")],
        ..ProtocolScheme::default()
    }
}

/// A mail with this HELO name, sender and recipients, which the server takes.
fn mail(helo: &[u8], from: &[u8], to: &[&[u8]]) -> Mail {
    let mut session = MailSession::new();
    let mut mails = Vec::new();
    let mut take = |said: Said<'_>| session.take(said, moment(), &mut |mail| mails.push(mail.clone()));
    let command = |verb, argument| Command { verb, argument, ..Command::default() };
    let reply = |code| Said::Reply { code, text: b"2.0.0 Ok: queued as \x1b1A2B", place: Place::Answer, asked: None };
    take(Said::Command(command(Verb::Hello, helo)));
    take(reply(250));
    take(Said::Command(command(Verb::Auth, b"PLAIN")));
    take(reply(235));
    take(Said::Command(Command { declared_size: Some(2_000), ..command(Verb::Mail, from) }));
    take(reply(250));
    for (index, to) in to.iter().enumerate() {
        take(Said::Command(command(Verb::Rcpt, to)));
        take(reply(if index == 0 { 250 } else { 550 }));
    }
    take(Said::Command(command(Verb::Data, b"")));
    take(reply(354));
    take(Said::Anomaly(AnomalyId(0)));
    take(Said::Octets(1_234));
    take(Said::End { complete: true });
    take(reply(250));
    mails.pop().expect("the mail was answered")
}

fn line<B: Body>(head: &Head<'_>, body: &B) -> String {
    String::from_utf8(Encoder::new().line(head, body).to_vec()).expect("lines are UTF-8")
}

fn mail_line(mail: &Mail) -> String {
    let (flow, scheme) = (flow(), scheme());
    let head = Head { transaction: Some(mail.number), ..Head::of_flow(&flow, mail.ended) };
    line(&head, &MailRecord { mail, scheme: &scheme })
}

fn rule() -> RuleInfo {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    RuleInfo {
        policy: "smtp-gate".into(),
        name: "smuggling".into(),
        id: RuleId(9_001_005),
        about: vec![
            pair("attack", "T1566"),
            pair("category", "mail smuggling"),
            pair("attack", "T1190"),
            pair("severity", "forged"),
        ],
    }
}

fn alert_line(outcome: Outcome) -> String {
    let drop = Decision { rule: Arc::new(rule()), action: Action::Drop, observe: outcome == Outcome::WouldBlock };
    let decided = if outcome == Outcome::Allowed { Vec::new() } else { vec![drop] };
    alert_line_with(outcome, &decided)
}

fn alert_line_with(outcome: Outcome, decided: &[Decision]) -> String {
    let (flow, rule, mail) = (flow(), rule(), mail(b"client.example", b"<a@x>", &[b"<b@y>"]));
    let alert = Alert {
        rule: &rule,
        severity: Severity::Critical,
        text: "end of data that only some servers see",
        event: "smtp.ambiguous_end",
        place: Some(EventIdentity { flow_id: flow.flow_id(), direction: Direction::Up, offset: 57 }),
        outcome,
        decided,
        mail: Some(&mail),
    };
    let head = Head {
        app_proto: Some("smtp"),
        direction: Some(Direction::Up),
        transaction: Some(0),
        vlans: &[7, 100],
        file: Some("mail.pcap"),
        ..Head::of_packet(&flow, Direction::Up, moment())
    };
    line(&head, &alert)
}

fn anomaly_lines() -> String {
    let flow = flow();
    let head = Head { direction: Some(Direction::Down), ..Head::of_packet(&flow, Direction::Down, moment()) };
    let protocol = |name, text| AnomalyKind::Protocol {
        protocol: "smtp",
        name,
        text,
        record: "command",
        state: "data_transmission",
    };
    let kinds = [
        (protocol("bare_lf", "a line feed without carriage return"), Some(1_024)),
        (protocol("bdat_size", ""), None),
        (AnomalyKind::Stream("overlap_diff"), Some(7)),
        (AnomalyKind::Gap { length: 1_448, reason: "lost" }, Some(99)),
    ];
    let mut lines: String = kinds.into_iter().map(|(kind, offset)| line(&head, &Anomaly { kind, offset })).collect();
    let bare = Head::of_capture(moment());
    for kind in [AnomalyKind::Packet(WireAnomaly::VlanNesting), AnomalyKind::Checksum { header: "tcp" }] {
        lines += &line(&bare, &Anomaly { kind, offset: None });
    }
    lines
}

fn flow_line() -> String {
    let direction = |packets, bytes, flags| DirectionStatistics { packets, bytes, flags, ..Default::default() };
    let flow = flow();
    let mut table = FlowTable::new(Limits::default(), Some(1));
    let envelope = Envelope {
        time: time(),
        vlan: 0,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 25].into(),
        length: 40,
        missing: 0,
        ttl: 64,
    };
    let datagram = [0x9c, 0x40, 0, 25, 0, 9, 0, 0, 1];
    let id = table
        .udp(&envelope, &UdpDatagram::parse(&datagram, 0).unwrap(), &mut StreamEvents::new())
        .expect("a flow begins");
    let mut up = direction(12, 1_500, TcpFlags::SYN | TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN);
    up.missing = 10;
    up.gaps = 1;
    let mut anomalies = AnomalySet::default();
    anomalies.insert(StreamAnomaly::OverlapDiff);
    let summary = FlowSummary {
        flow: id,
        key: flow.key,
        statistics: FlowStatistics {
            start: time(),
            last: time().saturating_add(Duration::from_millis(61_500)),
            state: FlowState::Closed,
            midstream: false,
            anomalies,
            directions: [up, direction(9, 900, TcpFlags::SYN | TcpFlags::ACK)],
        },
    };
    let record =
        FlowRecord { summary: &summary, reason: EndReason::Fin, alerted: true, dropped: true, transactions: 2 };
    let head =
        Head { app_proto: Some("smtp"), ..Head::of_flow(&flow, Moment { time: summary.statistics.last, packet: 0 }) };
    line(&head, &record)
}

fn dns_line(message: &DnsMessage<'_>) -> String {
    let flow = FlowIdentity::new(key(Protocol::Udp), time());
    line(&Head::of_packet(&flow, Direction::Down, moment()), &DnsRecord { message, transaction: 1 })
}

fn answer() -> DnsMessage<'static> {
    let resource = |kind: &'static str, data| Resource {
        name: Cow::Borrowed(b"www.example.com"),
        kind: Cow::Borrowed(kind),
        ttl: 300,
        data,
    };
    let text = |octets: &'static [u8]| ResourceData::Text(Cow::Borrowed(octets));
    DnsMessage {
        id: 4711,
        flags: 0x8583,
        rcode: Cow::Borrowed("NXDOMAIN"),
        questions: vec![Question { name: Cow::Borrowed(b"www.example.com"), kind: Cow::Borrowed("A") }],
        answers: vec![
            resource("CNAME", text(b"host.example.com")),
            resource("A", ResourceData::Address([192, 0, 2, 80].into())),
            resource("A", ResourceData::Address([192, 0, 2, 81].into())),
            resource("AAAA", ResourceData::Address("2001:db8::80".parse().unwrap())),
            resource("TXT", text(b"v=spf1 \x03\xc5 -all")),
            resource("SRV", ResourceData::Service { numbers: [10, 1, 5060], name: Cow::Borrowed(b"sip.example.com") }),
            resource(
                "SSHFP",
                ResourceData::Fingerprint { algorithm: 3, kind: 1, fingerprint: Cow::Borrowed(&[0x7a, 0x66]) },
            ),
            resource("RRSIG", ResourceData::Opaque),
        ],
        authorities: vec![resource(
            "SOA",
            ResourceData::Authority {
                mname: Cow::Borrowed(b"ns.example.com"),
                rname: Cow::Borrowed(b"hostmaster.example.com"),
                numbers: [1, 7200, 900, 1_209_600, 86_400],
            },
        )],
        additionals: vec![Resource {
            name: Cow::Borrowed(b""),
            kind: Cow::Borrowed("OPT"),
            ttl: 0,
            data: ResourceData::Options(vec![(10, Cow::Borrowed(&[0xab, 0xcd]))]),
        }],
        cut: false,
    }
}

fn query() -> DnsMessage<'static> {
    DnsMessage {
        id: 1,
        flags: 0x0100,
        rcode: Cow::Borrowed("NOERROR"),
        questions: vec![Question { name: Cow::Borrowed(b"example.com"), kind: Cow::Borrowed("65534") }],
        ..DnsMessage::default()
    }
}

fn stats_line() -> String {
    let mut statistics = Statistics::default();
    statistics.decoder.pkts = 12;
    statistics.flow.total = 2;
    statistics.app_layer.count_flow("smtp");
    statistics.app_layer.count_transaction("smtp");
    statistics.detect.alert = 1;
    line(
        &Head::of_capture(moment()),
        &StatisticsRecord { uptime: Duration::from_millis(3_999), statistics: &statistics },
    )
}

#[test]
fn a_mail() {
    insta::assert_snapshot!(mail_line(&mail(b"client.example", b"<alice@example.com>", &[b"<bob@x>", b"<eve@x>"])));
}

#[test]
fn an_alert() {
    let lines = [Outcome::Allowed, Outcome::Blocked, Outcome::WouldBlock].map(alert_line);
    insta::assert_snapshot!(lines.concat());
}

/// Whatever a rule does beside alerting is in the verdict, and what it only would do as `would_...`.
#[test]
fn verdicts() {
    let actions = [
        Action::Refuse { text: "550 5.7.1 no".into() },
        Action::Reset,
        Action::Bypass,
        Action::Block { end: FlowEnd::Client, address: [192, 0, 2, 1].into(), time: 3_600_000_000_000 },
        Action::Edit(Vec::new()),
    ];
    for observe in [false, true] {
        let verdicts: Vec<String> = actions
            .iter()
            .map(|action| {
                let decision = Decision { rule: Arc::new(rule()), action: action.clone(), observe };
                let outcome = if action.stops() && !observe { Outcome::Blocked } else { Outcome::Allowed };
                let record: serde_json::Value =
                    serde_json::from_str(&alert_line_with(outcome, &[decision])).expect("a record is JSON");
                record["verdict"].to_string()
            })
            .collect();
        let expected = match observe {
            false => [
                r#"{"action":"drop","refuse":"550 5.7.1 no"}"#,
                r#"{"action":"drop","reset":true}"#,
                r#"{"action":"alert","bypass":true}"#,
                r#"{"action":"alert","block":{"address":"192.0.2.1","end":"client","seconds":3600}}"#,
                r#"{"action":"alert","edit":true}"#,
            ],
            true => [
                r#"{"action":"alert","would_refuse":true}"#,
                r#"{"action":"alert","would_reset":true}"#,
                r#"{"action":"alert","would_bypass":true}"#,
                r#"{"action":"alert","would_block":true}"#,
                r#"{"action":"alert","would_edit":true}"#,
            ],
        };
        assert_eq!(verdicts, expected);
    }
}

#[test]
fn anomalies() {
    insta::assert_snapshot!(anomaly_lines());
}

#[test]
fn a_flow() {
    insta::assert_snapshot!(flow_line());
}

#[test]
fn messages_of_dns() {
    insta::assert_snapshot!(dns_line(&query()) + &dns_line(&answer()));
}

#[test]
fn statistics() {
    insta::assert_snapshot!(stats_line());
}

/// The guide shows lines as they are.
#[test]
fn the_guide_shows_these_lines() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/siem.md")).unwrap();
    let lines = [
        mail_line(&mail(b"client.example", b"<alice@example.com>", &[b"<bob@x>", b"<eve@x>"])),
        dns_line(&query()),
        alert_line(Outcome::Blocked),
        anomaly_lines().lines().next().unwrap().to_owned(),
        flow_line(),
        stats_line(),
    ];
    for line in &lines {
        assert!(guide.contains(line.trim_end()), "docs/siem.md does not show {line}");
    }
    assert_eq!(guide.matches("\n```json\n").count(), lines.len());
}

/// The keys and types that readers of EVE rely on.
#[test]
fn every_line_has_what_readers_need() {
    let lines = [
        mail_line(&mail(b"c", b"<a@x>", &[b"<b@y>"])),
        alert_line(Outcome::Blocked),
        anomaly_lines(),
        flow_line(),
        dns_line(&answer()),
        stats_line(),
    ];
    let mut kinds = Vec::new();
    for line in lines.iter().flat_map(|lines| lines.lines()) {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let text = |pointer: &str| {
            record.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {line}"))
        };
        assert_eq!(text("/timestamp").len(), "2026-11-20T12:00:00.000000+0000".len());
        assert!(text("/timestamp").ends_with("+0000"));
        let kind = text("/event_type").to_owned();
        if kind != "stats" && record.get("flow_id").is_some() {
            assert!(record["flow_id"].as_u64().unwrap() < 1 << 53);
            assert!(record["src_port"].is_u64() && record["dest_port"].is_u64());
            assert!(["TCP", "UDP"].contains(&text("/proto")));
            assert!([4, 6].contains(&record["ip_v"].as_u64().unwrap()));
            text("/src_ip").parse::<std::net::IpAddr>().unwrap();
            text("/dest_ip").parse::<std::net::IpAddr>().unwrap();
            assert!(text("/community_id").starts_with("1:"));
        }
        match kind.as_str() {
            "smtp" => {
                assert!(record["smtp"]["rcpt_to"].as_array().unwrap().iter().all(Value::is_string));
                assert!(["accepted", "rejected", "aborted", "unknown"].contains(&text("/smtp/portcullis/outcome")));
                assert!(record["smtp"]["portcullis"]["size"].is_u64());
            }
            "alert" => {
                let alert = &record["alert"];
                assert!(["allowed", "blocked"].contains(&text("/alert/action")));
                assert_eq!(alert["gid"], 9);
                assert!((1..=3).contains(&alert["severity"].as_u64().unwrap()));
                for values in alert["metadata"].as_object().unwrap().values() {
                    assert!(values.as_array().unwrap().iter().all(Value::is_string));
                }
            }
            "anomaly" => assert!(["decode", "stream", "applayer"].contains(&text("/anomaly/type"))),
            "flow" => {
                for key in ["pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient", "age"] {
                    assert!(record["flow"][key].is_u64(), "{key}");
                }
                assert!(["new", "established", "closed"].contains(&text("/flow/state")));
            }
            "dns" => {
                assert_eq!(record["dns"]["version"], 3);
                assert!(["request", "response"].contains(&text("/dns/type")));
            }
            "stats" => assert!(record["stats"]["uptime"].is_u64()),
            other => panic!("{other}"),
        }
        kinds.push(kind);
    }
    kinds.dedup();
    assert_eq!(kinds, ["smtp", "alert", "anomaly", "flow", "dns", "stats"]);
}

#[test]
fn severities_have_three_numbers_and_four_words() {
    let flow = flow();
    let shown = Severity::ALL.map(|severity| {
        let rule = rule();
        let alert = Alert {
            rule: &rule,
            severity,
            text: "",
            event: "smtp.fail",
            place: None,
            outcome: Outcome::Allowed,
            decided: &[],
            mail: None,
        };
        let record: Value = serde_json::from_str(&line(&Head::of_flow(&flow, moment()), &alert)).unwrap();
        (
            record["alert"]["severity"].as_u64().unwrap(),
            record["alert"]["metadata"]["severity"][0].as_str().unwrap().to_owned(),
        )
    });
    let expected = [(3, "low"), (2, "medium"), (1, "high"), (1, "critical")];
    assert_eq!(shown, expected.map(|(number, word)| (number, word.to_owned())));
}

#[test]
fn an_encoder_leaves_nothing_of_the_line_before() {
    let mut encoder = Encoder::new();
    let mail = mail(b"a-long-name.example", b"<a@x>", &[b"<b@y>"]);
    let scheme = scheme();
    let flow = flow();
    let record = MailRecord { mail: &mail, scheme: &scheme };
    let first = encoder.line(&Head::of_flow(&flow, moment()), &record).to_vec();
    let statistics = Statistics::default();
    let short = StatisticsRecord { uptime: Duration::ZERO, statistics: &statistics };
    let second = encoder.line(&Head::of_capture(moment()), &short).to_vec();
    assert_eq!(second, Encoder::new().line(&Head::of_capture(moment()), &short));
    assert_eq!(first, encoder.line(&Head::of_flow(&flow, moment()), &record));
}

fn wire() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(
            prop_oneof![Just(b'\\'), Just(b'x'), Just(b'"'), Just(b'\n'), Just(0xe2), Just(0x80), Just(0xae)],
            0..40
        ),
        proptest::collection::vec(any::<u8>(), 4_000..6_000),
    ]
}

proptest! {
    /// Whatever is sent: one line, valid JSON, no control characters, and a bounded length.
    #[test]
    fn any_octets_give_a_valid_line(helo in wire(), from in wire(), to in wire()) {
        let line = mail_line(&mail(&helo, &from, &[&to]));
        prop_assert!(line.ends_with('\n'));
        prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        let record: Value = serde_json::from_str(&line).unwrap();
        let shown = record["smtp"]["helo"].as_str().unwrap();
        prop_assert_eq!(shown, Text::new(&helo).to_string());
        prop_assert!(!shown.chars().any(char::is_control));
        prop_assert!(line.len() < 60_000);
    }

    #[test]
    fn any_names_in_dns_give_a_valid_line(name in wire(), data in wire()) {
        let mut message = answer();
        let resource = Resource {
            name: Cow::Borrowed(&name),
            kind: Cow::Borrowed("TXT"),
            ttl: u32::MAX,
            data: ResourceData::Text(Cow::Borrowed(&data)),
        };
        message.answers.push(resource);
        let record: Value = serde_json::from_str(&dns_line(&message)).unwrap();
        prop_assert_eq!(record["dns"]["answers"].as_array().unwrap().len(), 9);
    }
}
