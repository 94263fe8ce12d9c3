//! The gate's rules over time, between real clients and servers: rules and lists that are loaded again while a session goes on, blocks.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_tests::gate::Gate;
use portcullis_tests::hosts::with_hosts;
use portcullis_tests::namespace::{Offloads, until};
use portcullis_tests::portcullis;

/// Rules under which the domains of a list are refused.
const LISTED: &str = r#"use smtp
list banned from "banned.txt"
policy gate for smtp {
    rule banned id 1801 {
        on smtp.command
        when verb == MAIL and sender.domain in banned
        alert high "mail from {sender.domain}"
        refuse "550 5.7.1 refused by the list"
    }
}
"#;

#[test]
fn a_list_that_has_changed_holds_for_the_second_mail_of_a_session_that_began_before() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        outside.write("rules/banned.txt", "other.test\n");
        let rules = outside.write("rules/listed.policy", LISTED).display().to_string();
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &rules]);
        let (began, goes_on) = (outside.path().join("began"), outside.path().join("goes-on"));
        let script = format!(
            r#"
import os
hello()
for line in [b"MAIL FROM:<a@banned.test>", b"RCPT TO:<bob@inside.test>", b"DATA"]: say(line + b"\r\n"); wait()
say(b"Subject: first\r\n\r\nfirst\r\n.\r\n"); wait()
open("{}", "w").close()
for _ in range(100):
    if os.path.exists("{}"): break
    time.sleep(0.1)
say(b"MAIL FROM:<a@banned.test>\r\n"); wait(2)
"#,
            began.display(),
            goes_on.display()
        );
        let said = std::thread::scope(|scope| {
            let session = scope.spawn(|| outside.talk(address, &script));
            assert!(until(Duration::from_secs(20), || began.exists()), "{}", gate.log());
            outside.write("rules/banned.txt", "other.test\nbanned.test\n");
            let answer = gate.ask("reload");
            assert_eq!(answer["reloaded"], true, "{answer} {}", gate.log());
            // A worker looks for orders every 50 ms.
            std::thread::sleep(Duration::from_millis(300));
            outside.write("goes-on", "");
            session.join().unwrap_or_default()
        });
        assert!(said.contains("queued as"), "{said}");
        assert!(said.contains("550 5.7.1 refused by the list"), "{said}\n{}", gate.log());
        assert_eq!(postfix.wait_for_mails(1).len(), 1);
        assert_eq!(gate.counters()["packets"]["reconciled"], true);
        // A list that cannot be read leaves the old one in force.
        let _ = std::fs::remove_file(outside.path().join("rules/banned.txt"));
        assert_eq!(gate.ask("reload")["reloaded"], false);
        let said = outside.talk(address, "hello()\nsay(b\"MAIL FROM:<a@banned.test>\\r\\n\"); wait()");
        assert!(said.contains("refused by the list"), "{said}");
    });
}

#[test]
fn a_blocked_client_gets_no_second_connection_and_another_client_does() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        line.client.shell("ip addr add 192.0.2.11/24 dev c0");
        let rules = outside.write(
            "block.policy",
            r#"use smtp
policy gate for smtp {
    rule asking id 1711 {
        on smtp.command
        when verb == VRFY
        alert medium "somebody asks for users"
        block client.address for 1 min
    }
}
"#,
        );
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &rules.display().to_string()]);
        let said = outside.talk(address, "hello()\nsay(b\"VRFY root\\r\\n\"); wait()");
        assert!(said.lines().last().is_some_and(|line| line.starts_with('2') || line.starts_with('5')), "{said}");
        // Its next connection is never greeted.
        let said = outside.talk(address, "s.settimeout(3); wait()");
        assert!(said.contains("! ") && !said.contains("220"), "{said}\n{}", gate.log());
        outside.send(address, "Subject: other\r\n\r\nother\r\n", &["--interface", "192.0.2.11"]);
        assert_eq!(postfix.wait_for_mails(1).len(), 1, "{}", postfix.log());
        let blocked = gate.records("gate");
        assert!(blocked.iter().any(|record| record["gate"]["action"] == "blocked"), "{blocked:?}");
        assert_eq!(gate.counters()["packets"]["reconciled"], true);
    });
}

#[test]
fn a_queue_that_would_be_full_in_silence_is_refused() {
    let run = portcullis(["inline", "--queue", "0", "--queue-length", "100", "--policy", "none"]);
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("use --queue-length 43690 or more"), "{}", run.stderr);
}
