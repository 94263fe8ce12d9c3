//! Mail through the rules that `portcullis rules` makes, with the kernel's connection tracking in front of the queue: the
//! kernel sees both sides of a connection as they are, and not as a gate that edits has translated them.

use std::net::IpAddr;

use portcullis_tests::gate::{Gate, number};
use portcullis_tests::mail::{Host, Programs, body};
use portcullis_tests::namespace::{Line, Need, Offloads, lacking};
use portcullis_tests::project;

const NEEDS: &[Need] = &[
    Need::Namespaces,
    Need::Iptables,
    Need::Queue,
    Need::Conntrack,
    Need::Program("ethtool"),
    Need::Program("curl"),
    Need::Program("python3"),
];

/// What the client says becomes longer.
const LONGER: &str = r#"use smtp
policy longer for smtp {
    rule name id 1 { on smtp.command when verb == EHLO   edit set domain = "a.much.longer.name.of.the.client.outside.test" }
}
"#;

/// Says EHLO so many times, in a connection that a policy edits, and then sends a mail, with connection tracking that is
/// liberal or not; whether it came through.
fn edited(policy: Option<&str>, times: usize, liberal: bool) -> Option<bool> {
    if lacking(NEEDS) {
        return None;
    }
    let programs = Programs::fetch()?;
    let line = Line::routed(Offloads::On);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    let address: IpAddr = line.addresses.server_v4(0).into();
    let postfix = inside.postfix(address, &[("smtpd_junk_command_limit", "1000000")]);
    let value = u8::from(liberal);
    line.gateway.shell(&format!("echo {value} > /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"));
    let policy = match policy {
        Some(text) => outside.write("edits.policy", text),
        None => project().join("policies/smtp-no-chunking.policy"),
    };
    let policy = policy.display().to_string();
    let rules = ["--setup", "router", "--port", "25", "--backend", "iptables-legacy"];
    let gate = Gate::behind_rules(&line.gateway, &rules, &["--mode", "enforce", "--policy", &policy]);
    let said = outside.talk(
        address,
        &format!(
            r#"
hello(); sys.stdout = open("/dev/null", "w")
for _ in range({times}): say(b"EHLO client.outside.test\r\n"); reply()
sys.stdout = sys.__stdout__
for line in [b"MAIL FROM:<a@outside.test>", b"RCPT TO:<bob@inside.test>", b"DATA"]: say(line + b"\r\n"); wait()
say(b"Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"); wait(2)
"#
        ),
    );
    let dropped = line.gateway.shell("iptables-legacy -t mangle -vxnL | grep INVALID || true");
    println!("liberal: {liberal}, {said}dropped as invalid: {dropped}");
    let counters = gate.counters();
    assert!(number(&counters, &["own_packets", "sent"]) > 0, "{counters}");
    assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
    if !said.contains("queued as") {
        return Some(false);
    }
    let mails = postfix.wait_for_mails(1);
    assert!(mails.len() == 1 && mails.iter().all(|mail| body(mail) == b"hi\n"), "{}", gate.log());
    Some(true)
}

#[test]
fn small_edits_pass_strict_connection_tracking() {
    // It sees what the gate sends, too.
    assert_ne!(edited(Some(LONGER), 10, false), Some(false), "the mail did not come through");
    assert_ne!(edited(None, 10, false), Some(false), "the mail did not come through");
}

#[test]
fn a_connection_that_became_shorter_by_more_than_64_kilobytes_passes_too() {
    // Each of the replies is 14 octets shorter.
    assert_ne!(edited(None, 5_000, false), Some(false), "the mail did not come through");
    assert_ne!(edited(None, 10, true), Some(false), "the mail did not come through");
}
