use portcullis_stream::{FlowKey, Protocol};

use super::*;
use crate::mail::{Command, MailSession, Place, Said, Verb};
use crate::time::Moment;

fn flow(client: &str, server: &str) -> FlowIdentity {
    let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
    FlowIdentity::new(FlowKey { protocol: Protocol::Tcp, client, server, vlan: 0 }, start())
}

fn start() -> Timestamp {
    Timestamp::from_seconds(1_795_176_000)
}

/// A mail that the server has answered with `code`.
fn mail(from: &[u8], to: &[&[u8]], size: u64, code: u16) -> Mail {
    let mut session = MailSession::new();
    let moment = Moment { time: start(), packet: 1 };
    let mut mails = Vec::new();
    let mut take = |said: Said<'_>| session.take(said, moment, &mut |mail| mails.push(mail.clone()));
    let reply = |code| Said::Reply { code, text: b"", place: Place::Answer, asked: None };
    let command = |verb, argument| Said::Command(Command { verb, argument, ..Command::default() });
    take(command(Verb::Mail, from));
    take(reply(250));
    for to in to {
        take(command(Verb::Rcpt, to));
        take(reply(250));
    }
    take(command(Verb::Data, b""));
    take(reply(354));
    take(Said::Octets(size));
    take(Said::End { complete: true });
    take(reply(code));
    mails.pop().unwrap()
}

fn full() -> Summary {
    let mut summary = Summary::new();
    summary.packet(start(), 1_500);
    summary.packet(Timestamp::from_seconds(1_795_176_000 + 3_725), 9_000_000);
    let (one, two) = (flow("192.0.2.1:40000", "192.0.2.25:25"), flow("[2001:db8::1]:40000", "[2001:db8::25]:25"));
    for _ in 0..3 {
        summary.flow(&one, Some("smtp"));
    }
    summary.flow(&two, Some("smtp"));
    summary.flow(&flow("192.0.2.7:5000", "192.0.2.8:9999"), None);
    summary.mail(&one, &mail(b"<alice@example.com>", &[b"<bob@example.org>"], 12_345, 250));
    summary.mail(&one, &mail(b"<>", &[b"<postmaster@example.org>", b"<x@example.org>", b"<y@example.org>"], 7, 554));
    let long = [b"<".as_slice(), &[b'x'; 300], b"@example.com>"].concat();
    summary.mail(&two, &mail(&long, &["<müller@bücher.example>".as_bytes()], 1_234_567_890, 250));
    summary.mail(&one, &mail(b"<a\x1b[31m\r\nRCPT@evil.example>", &[b"<\xff@b>"], 1, 451));
    summary.alert(Severity::High, "smtp-gate/smuggling");
    summary.alert(Severity::High, "smtp-gate/smuggling");
    summary.alert(Severity::Low, "smtp-gate/long-command");
    for _ in 0..12_345 {
        summary.anomaly("smtp.bare_lf");
    }
    summary.anomaly("stream.overlap_diff");
    summary.gap(1_448);
    summary
}

#[test]
fn a_screen() {
    insta::assert_snapshot!(full().render(Style::default()));
}

#[test]
fn a_screen_in_colour() {
    insta::assert_snapshot!(full().render(Style { colour: true }).escape_debug().to_string().replace("\\n", "\n"));
}

#[test]
fn a_screen_of_nothing() {
    assert_eq!(Summary::new().render(Style::default()), "capture    no packets\n");
}

#[test]
fn a_quiet_capture_has_no_empty_headings() {
    let mut summary = Summary::new();
    summary.packet(start(), 60);
    summary.flow(&flow("192.0.2.1:1", "192.0.2.2:2"), None);
    insta::assert_snapshot!(summary.render(Style::default()));
}

#[test]
fn mails_beyond_the_bound_are_counted() {
    let mut summary = Summary::new();
    summary.packet(start(), 60);
    let (flow, mail) = (flow("192.0.2.1:1", "192.0.2.2:2"), mail(b"<a@x>", &[b"<b@y>"], 1, 250));
    for _ in 0..MAX_SUMMARY_MAILS + 12_345 {
        summary.mail(&flow, &mail);
    }
    let screen = summary.render(Style::default());
    assert!(screen.contains(&format!("mails      {} accepted\n", screen::number(MAX_SUMMARY_MAILS as u64 + 12_345))));
    assert!(screen.ends_with("  and 12,345 more\n"));
    assert_eq!(screen.lines().filter(|line| line.contains("a@x")).count(), MAX_SUMMARY_MAILS);
}

#[test]
fn hosts_and_kinds_are_bounded() {
    let mut summary = Summary::new();
    for number in 0..MAX_SUMMARY_HOSTS as u32 + 2 {
        summary.host(std::net::Ipv4Addr::from_bits(number).into());
    }
    assert!(summary.more_hosts);
    assert_eq!(summary.hosts.len(), MAX_SUMMARY_HOSTS);
    for number in 0..MAX_SUMMARY_KINDS + 5 {
        summary.anomaly(&format!("kind{number}"));
    }
    assert_eq!((summary.anomalies.counts.len(), summary.anomalies.others), (MAX_SUMMARY_KINDS, 5));
}

#[test]
fn every_line_fits_and_holds_no_control_character() {
    let screen = full().render(Style::default());
    for line in screen.lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
