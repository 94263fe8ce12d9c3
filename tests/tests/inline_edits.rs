//! A gate that puts lines in and puts right what deviates, between real clients and a real server.

use std::net::IpAddr;

use portcullis_tests::clients::dotted_mail;
use portcullis_tests::gate::{Gate, number};
use portcullis_tests::mail::{Host, Programs, body};
use portcullis_tests::namespace::{Line, Need, Offloads, lacking};

const POLICY: &str = r#"
use smtp

policy edits for smtp {
    rule seen      id 1 { on smtp.content.start                     edit insert "X-Seen: {client.address}" at start }
    rule footer    id 2 { on smtp.content                           edit insert ".\r\n-- \r\nseen by the gate" at end }
    rule offers    id 3 { on smtp.reply when asked.verb == EHLO     edit insert "X-GATE" after lines }
    rule declares  id 4 { on smtp.command when verb == MAIL         edit insert " BODY=8BITMIME" at end }
    rule newlines  id 5 { on smtp.bare_lf, smtp.bare_cr             edit fix }
    rule blanks    id 6 { on smtp.leading_blanks, smtp.odd_separator, smtp.trailing_text    edit fix }
}
"#;

/// What the rules put at the end of a body, as a server stores it.
const FOOTER: &str = ".\n-- \nseen by the gate\n";

#[test]
fn lines_are_put_in_and_what_deviates_is_put_right_before_a_strict_server() {
    let needs =
        [Need::Namespaces, Need::Queue, Need::Program("ethtool"), Need::Program("curl"), Need::Program("python3")];
    if lacking(&needs) {
        return;
    }
    let Some(programs) = Programs::fetch() else { return };
    let line = Line::routed(Offloads::On);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    let address: IpAddr = line.addresses.server_v4(0).into();
    // A server that would hang up at the first newline that is not CR LF.
    let settings = [("smtpd_forbid_bare_newline", "reject"), ("smtpd_forbid_unauth_pipelining", "no")];
    let postfix = inside.postfix(address, &settings);
    let policy = outside.write("edits.policy", POLICY).display().to_string();
    let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &policy]);

    let (mail, text) = dotted_mail(20_000);
    outside.send(address, &mail, &[]);
    let mails = postfix.wait_for_mails(1);
    let [stored] = mails.as_slice() else { panic!("{}\n{}", postfix.log(), gate.log()) };
    let stored_text = String::from_utf8_lossy(stored);
    assert!(stored_text.contains("\nX-Seen: "), "{}", stored_text.get(..2_000).unwrap_or_default());
    assert!(body(stored) == [text.as_bytes(), FOOTER.as_bytes()].concat(), "{}", gate.ask("stats"));

    // Each octet for itself, with newlines that other servers take for the end of the mail, and a command behind them.
    let said = outside.talk(
        address,
        r#"
hello()
for line in [b"  MAIL \t FROM : <a@outside.test>\n", b"RCPT TO:<bob@inside.test>\n", b"DATA now\r\n"]: slowly(line); reply()
smuggled = b"MAIL FROM:<evil@outside.test>\r\nRCPT TO:<bob@inside.test>\r\nDATA\r\nsmuggled\r\n"
mail = b"Subject: odd\r\n\r\none\n.\n" + smuggled + b"two\n.\r\n" + smuggled + b"three\r.\r" + smuggled + b"four\r\n..\n.five\r\n"
slowly(mail); say(b".\r\n"); reply()
say(b"QUIT\n"); reply()
"#,
    );
    assert!(said.contains("250 X-GATE") && said.contains("queued as"), "{said}\n{}\n{}", postfix.log(), gate.log());
    let mails = postfix.wait_for_mails(2);
    assert_eq!(mails.len(), 2, "{}", postfix.log());
    let smuggled = "MAIL FROM:<evil@outside.test>\nRCPT TO:<bob@inside.test>\nDATA\nsmuggled\n";
    let expected = format!("one\n.\n{smuggled}two\n.\n{smuggled}three\n.\n{smuggled}four\n.\n.five\n{FOOTER}");
    assert_eq!(String::from_utf8_lossy(body(&mails[1])), expected, "{said}");

    let counters = gate.counters();
    assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
    assert_eq!(number(&counters, &["edits", "failed"]), 0, "{counters}");
    assert_eq!(number(&counters, &["edits", "refused"]), 0, "{counters}");
    assert!(number(&counters, &["edits", "begun"]) >= 12, "{counters}");
    // No rule alerts, and yet each edit has left a record with its rule.
    let records = gate.records("gate");
    for rule in 1..=6 {
        let of_rule = |record: &&serde_json::Value| record["gate"]["signature_id"] == rule;
        let first = records.iter().find(of_rule).unwrap_or_else(|| panic!("nothing of rule {rule}: {records:?}"));
        assert_eq!(first["gate"]["action"], "edited", "{first}");
        assert!(first["flow_id"].is_number() && first["app_proto"] == "smtp", "{first}");
    }
    assert!(gate.records("alert").is_empty());
}
