//! The gate between real clients and real servers, in namespaces: NFQUEUE, iptables, Postfix, Exim, swaks, curl.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_tests::clients::dotted_mail;
use portcullis_tests::gate::{Gate, number};
use portcullis_tests::hosts::{enforced, policy, unharmed, with_hosts};
use portcullis_tests::mail::{PASSWORD, USER, body};
use portcullis_tests::namespace::{Line, Offloads};

fn start<'a>(line: &'a Line, arguments: &[String], more: &[&str]) -> Gate<'a> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Gate::start(&line.gateway, &arguments)
}

#[test]
fn mail_of_all_kinds_passes_unharmed() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let (mail, text) = dotted_mail(16_000);
        let (first, second) = (line.addresses.server_v4(0).into(), line.addresses.server_v4(1).into());
        let postfix = inside.postfix(first, &[]);
        let exim = inside.exim(second, &[]);
        let gate = start(line, &enforced(), &[]);
        for (server, address) in [(&postfix, first), (&exim, second)] {
            outside.send(address, &mail, &[]);
            outside.send(address, &mail, &["--insecure", "--ssl-reqd", "--user", &format!("{USER}:{PASSWORD}")]);
            let mails = server.wait_for_mails(2);
            assert_eq!(mails.len(), 2, "{}\n{}", server.log(), gate.log());
            assert!(mails.iter().all(|mail| body(mail) == text.as_bytes()), "a body was changed on its way");
        }
        let arguments = ["--to", "bob@inside.test", "--from", "a@outside.test", "--helo", "client.outside.test"];
        let run = outside.run("swaks", ["--pipeline", "--server", &first.to_string()].into_iter().chain(arguments));
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        // Four sessions at once, ten mails in each; what a sink and a real server take.
        let third = line.addresses.server_v4(2);
        let _sink = inside.sink(third.into(), &[]);
        for (place, mails) in [(third.to_string(), "200"), (first.to_string(), "40")] {
            let options =
                ["-s", "4", "-m", mails, "-l", "20000", "-d", "-f", "a@outside.test", "-t", "bob@inside.test"];
            let place = format!("inet:{place}:25");
            let run = outside.run("smtp-source", options.into_iter().chain([place.as_str()]));
            assert_eq!(run.status, 0, "{}{}", run.stderr, gate.log());
        }
        assert_eq!(postfix.wait_for_mails(43).len(), 43, "{}", postfix.log());
        // BDAT (RFC 3030) in two chunks, pipelined.
        let said = outside.talk(first,
            r#"
hello()
say(b"MAIL FROM:<a@outside.test>\r\nRCPT TO:<bob@inside.test>\r\nBDAT 12\r\nSubject: x\r\nBDAT 6 LAST\r\n\r\nhi\r\nQUIT\r\n")
wait(5)
"#,
        );
        assert!(said.contains("queued as"), "{said}");
        unharmed(&gate);
        assert!(gate.records("smtp").len() >= 5, "{}", gate.log());
    });
}

#[test]
fn ipv6_and_octet_by_octet() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v6(0).into();
        let postfix = inside.postfix(address, &[]);
        let gate = start(line, &enforced(), &[]);
        let (large, text) = dotted_mail(2_000);
        outside.send(address, &large, &[]);
        let said = outside.talk(
            address,
            r#"
hello(slowly)
for line in [b"MAIL FROM:<a@outside.test>", b"RCPT TO:<bob@inside.test>", b"DATA"]: slowly(line + b"\r\n"); wait()
slowly(b"Subject: slow\r\n\r\n..one\r\ntwo\r\n.\r\nQUIT\r\n"); wait(2)
"#,
        );
        assert!(said.contains("queued as"), "{said}\n{}", gate.log());
        let mails = postfix.wait_for_mails(2);
        assert!(mails.iter().any(|mail| body(mail) == text.as_bytes()));
        assert!(mails.iter().any(|mail| body(mail) == b".one\ntwo\n"), "{said}");
        unharmed(&gate);
    });
}

#[test]
fn a_mail_of_a_hundred_megabytes_passes() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[("message_size_limit", "200000000"), ("mailbox_size_limit", "0")]);
        let gate = start(line, &enforced(), &[]);
        let (mail, text) = dotted_mail(1_700_000);
        assert!(mail.len() > 100 << 20);
        outside.send(address, &mail, &[]);
        let mails = postfix.wait_for_mails(1);
        assert_eq!(mails.len(), 1, "{}", gate.log());
        assert!(mails.iter().all(|mail| body(mail) == text.as_bytes()), "a body was changed on its way");
        unharmed(&gate);
    });
}

#[test]
fn smuggled_mail_does_not_arrive() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        // As it was before the mends of CVE-2023-51764.
        let settings = [("smtpd_forbid_bare_newline", "no"), ("smtpd_forbid_unauth_pipelining", "no")];
        let postfix = inside.postfix(address, &settings);
        let smuggle = |end: &str| {
            outside.talk(address,
                &format!(
                    r#"
hello()
for line in [b"MAIL FROM:<a@outside.test>", b"RCPT TO:<bob@inside.test>", b"DATA"]: say(line + b"\r\n"); wait()
say(b"Subject: first\r\n\r\nhello" + {end} + b"MAIL FROM:<boss@inside.test>\r\nRCPT TO:<bob@inside.test>\r\nDATA\r\nSubject: forged\r\n\r\nforged\r\n.\r\n")
wait(4)
"#
                ),
            )
        };
        // The server is one that can be deceived: without the gate two mails come.
        smuggle(r#"b"\n.\n""#);
        let mails = postfix.wait_for_mails(2);
        let forged =
            |mails: &[Vec<u8>]| mails.iter().filter(|mail| mail.windows(6).any(|six| six == b"forged")).count();
        assert_eq!((mails.len(), forged(&mails)), (2, 1), "{}", postfix.log());
        let gate = start(line, &enforced(), &[]);
        for end in [r#"b"\n.\n""#, r#"b"\n.\r\n""#, r#"b"\r\n.\n""#, r#"b"\r.\r""#] {
            smuggle(end);
        }
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(forged(&postfix.mails()), 1, "{}\n{}", postfix.log(), gate.log());
        let alerts = gate.records("alert");
        assert!(alerts.iter().filter(|alert| alert["alert"]["signature_id"] == 1501).count() >= 3, "{alerts:?}");
        assert_eq!(gate.counters()["packets"]["reconciled"], true);
    });
}

#[test]
fn clear_text_behind_starttls_does_not_arrive() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[("smtpd_forbid_unauth_pipelining", "no")]);
        let gate = start(line, &enforced(), &[]);
        let said = outside.talk(
            address,
            r#"
hello()
say(b"STARTTLS\r\nMAIL FROM:<injected@outside.test>\r\n"); wait(2)
"#,
        );
        let alerts = gate.records("alert");
        assert!(
            alerts.iter().any(|alert| alert["alert"]["signature_id"] == 1502),
            "{said}\n{alerts:?}\n{}",
            gate.log()
        );
        assert!(!postfix.log().contains("injected@"), "{}", postfix.log());
    });
}

#[test]
fn a_banned_sender_is_refused_with_our_words_and_bounces() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let server = inside.postfix(address, &[]);
        let client = outside.postfix_client(address, &[]);
        let rules = outside.write(
            "banned.policy",
            r#"use smtp
policy gate for smtp {
    rule banned id 1701 {
        on smtp.command
        when verb == MAIL and sender.domain == "banned.test"
        alert high "mail from {sender.domain}"
        refuse "550 5.7.1 sender refused by the gate"
    }
    rule marker id 1702 {
        on smtp.content
        when contains "PROJECT-NIGHTFALL"
        alert high "confidential text leaves"
        refuse "550 5.7.1 content refused by the gate"
    }
}
"#,
        );
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &rules.display().to_string()]);
        let (mail, text) = dotted_mail(200);
        let local = IpAddr::from([127, 0, 0, 1]);
        outside.send(local, &mail, &["--mail-from", "x@banned.test"]);
        assert!(client.logs("sender refused by the gate"), "{}\n{}", client.log(), gate.log());
        assert!(client.logs("status=bounced"), "{}", client.log());
        // A marker in the last line of a large mail: the server has not got its end.
        let marked = format!("{mail}{}PROJECT-NIGHTFALL\r\n", "a line of a large mail\r\n".repeat(20_000));
        outside.send(local, &marked, &[]);
        assert!(client.logs("content refused by the gate"), "{}\n{}", client.log(), gate.log());
        outside.send(local, &mail, &[]);
        let mails = server.wait_for_mails(1);
        assert_eq!(mails.len(), 1, "{}", server.log());
        assert!(mails.iter().all(|mail| body(mail) == text.as_bytes()));
        let counters = gate.counters();
        assert_eq!(number(&counters, &["flows", "refused"]), 2, "{counters}");
        assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
        let refused: Vec<_> = gate.records("gate");
        assert!(refused.iter().all(|record| record["gate"]["action"] == "refused"), "{refused:?}");
    });
}

#[test]
fn an_offer_is_taken_out_of_an_answer_and_mail_goes_on() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &policy("smtp-no-chunking.policy")]);
        let said = outside.talk(
            address,
            r#"
hello()
for line in [b"MAIL FROM:<a@outside.test>", b"RCPT TO:<bob@inside.test>", b"DATA"]: say(line + b"\r\n"); wait()
say(b"Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"); wait(2)
"#,
        );
        assert!(said.contains("250-PIPELINING") && !said.contains("CHUNKING"), "{said}\n{}", gate.log());
        assert!(said.contains("queued as"), "{said}\n{}", gate.ask("stats"));
        let (mail, text) = dotted_mail(20_000);
        outside.send(address, &mail, &[]);
        outside.send(address, &mail, &["--insecure", "--ssl-reqd", "--user", &format!("{USER}:{PASSWORD}")]);
        let mails = postfix.wait_for_mails(3);
        assert_eq!(mails.iter().filter(|mail| body(mail) == text.as_bytes()).count(), 2, "{}", gate.ask("stats"));
        let counters = gate.counters();
        assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
    });
}

#[test]
fn a_gate_that_observes_stops_nothing_and_says_what_it_would_have() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        let arguments = ["--policy".to_owned(), policy("smtp-strict.policy")];
        let gate = start(line, &arguments, &[]);
        let said = outside.talk(
            address,
            r#"
hello()
for line in [b"MAIL FROM:<a${run}@outside.test>", b"RCPT TO:<bob@inside.test>", b"DATA"]: say(line + b"\r\n"); wait()
say(b"Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"); wait(2)
"#,
        );
        assert!(said.contains("queued as"), "{said}\n{}", postfix.log());
        assert_eq!(postfix.wait_for_mails(1).len(), 1);
        let alerts = gate.records("alert");
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        assert_eq!(alerts[0]["verdict"]["would_refuse"], true, "{alerts:?}");
        // From now on it acts.
        assert_eq!(gate.ask("mode enforce")["mode"], "enforce");
        let said = outside.talk(
            address,
            r#"
hello()
s.settimeout(2); say(b"MAIL FROM:<a${run}@outside.test>\r\n"); wait()
"#,
        );
        assert!(said.contains("550 5.1.7"), "{said}");
    });
}

#[test]
fn a_gate_that_observes_sends_nothing_of_its_own() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[("smtpd_forbid_unauth_pipelining", "no")]);
        let gate = Gate::start(&line.gateway, &["--policy", &policy("smtp-no-chunking.policy")]);
        // A mail that does not wait for the answer to DATA, under rules that edit: a gate that acts holds and re-emits.
        let early = r#"
hello()
say(b"MAIL FROM:<a@outside.test>\r\nRCPT TO:<bob@inside.test>\r\nDATA\r\nSubject: early\r\n\r\nhi\r\n.\r\nQUIT\r\n"); wait(5)
"#;
        let said = outside.talk(address, early);
        assert!(said.contains("CHUNKING") && said.contains("queued as"), "{said}\n{}", postfix.log());
        let counters = gate.counters();
        assert_eq!(number(&counters, &["own_packets", "sent"]), 0, "{counters}");
        assert_eq!(number(&counters, &["dropped", "held"]), 0, "{counters}");
        assert_eq!(gate.ask("mode enforce")["mode"], "enforce");
        // Only connections that begin from now on can be edited, and a worker looks for orders every 50 ms.
        std::thread::sleep(Duration::from_millis(300));
        let said = outside.talk(address, early);
        assert!(!said.contains("CHUNKING") && said.contains("queued as"), "{said}\n{}", postfix.log());
        assert!(number(&gate.counters(), &["own_packets", "sent"]) > 0, "{}", gate.ask("stats"));
        assert_eq!(postfix.wait_for_mails(2).len(), 2);
    });
}
