//! A running gate tells why: `portcullis explain` over its control socket, in namespaces with a real server.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_tests::gate::Gate;
use portcullis_tests::mail::{Host, Programs};
use portcullis_tests::namespace::{Line, Need, Offloads, lacking, until};
use portcullis_tests::{Run, portcullis};
use serde_json::Value;

/// Servers inside, clients outside, a gateway between them; none where something is missing.
fn with_hosts(test: impl FnOnce(&Line, &Host<'_>, &Host<'_>)) {
    let needs = [Need::Namespaces, Need::Queue, Need::Program("ethtool"), Need::Program("python3")];
    if lacking(&needs) {
        return;
    }
    let Some(programs) = Programs::fetch() else { return };
    let line = Line::routed(Offloads::Off);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    test(&line, &inside, &outside);
}

/// What a client does; `wait` takes lines of the server, `hello` greets it.
fn client(server: IpAddr, script: &str) -> String {
    format!(
        r#"
import os, socket, sys, time
s = socket.create_connection(("{server}", 25)); s.settimeout(8)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
f = s.makefile("rb")
def wait(n=1):
    for _ in range(n):
        try: line = f.readline()
        except Exception as e: line = b"! " + type(e).__name__.encode()
        sys.stdout.write(line.decode("latin-1") if line else "(closed)\n"); sys.stdout.flush()
def say(octets): s.sendall(octets)
def hello():
    wait(); say(b"EHLO client.outside.test\r\n")
    while True:
        line = f.readline()
        if line[3:4] == b" ": break
{script}
"#
    )
}

fn talk(outside: &Host<'_>, server: IpAddr, script: &str) -> String {
    let run = outside.run("python3", ["-c", &client(server, script)]);
    format!("{}{}", run.stdout, run.stderr)
}

/// `portcullis explain` of a running gate.
fn explain(gate: &Gate<'_>, what: &[&str]) -> Run {
    let socket = gate.path("control.sock").display().to_string();
    portcullis(["explain", "--control", &socket].iter().copied().chain(what.iter().copied()))
}

/// The lines of a story hold these texts, in this order.
fn tells(story: &str, parts: &[&str]) {
    let mut lines = story.lines();
    for part in parts {
        assert!(lines.any(|line| line.contains(part)), "{part:?} is not in its place in\n{story}");
    }
}

const BANNED: &str = r#"use smtp
policy gate for smtp {
    rule banned id 1701 {
        on smtp.command
        when verb == MAIL and sender.domain == "banned.test"
        alert high "mail from {sender.domain}"
        refuse "550 5.7.1 sender refused by the gate"
    }
    rule other id 1702 {
        on smtp.command
        when verb == RCPT and recipient.domain == "nowhere.test"
        alert low "mail to {recipient.domain}"
    }
}
"#;

const MAIL_FROM_BANNED: &str = r#"
hello(); say(b"MAIL FROM:<x@banned.test>\r\n"); wait(2)
"#;

#[test]
fn a_refused_mail_is_told_by_the_gate_and_by_its_evidence() {
    with_hosts(|line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let client_address = line.addresses.client_v4.to_string();
        let _postfix = inside.postfix(address, &[]);
        let rules = outside.write("banned.policy", BANNED).display().to_string();
        let evidence = outside.path().join("evidence").display().to_string();
        let arguments = ["--mode", "enforce", "--policy", &rules, "--evidence", &evidence, "--sandbox", "off"];
        let mut gate = Gate::start(&line.gateway, &arguments);

        let unknown = explain(&gate, &["203.0.113.9"]);
        assert_eq!(unknown.status, 2, "{}", unknown.stdout);
        assert!(unknown.stderr.contains("no flow is \"203.0.113.9\""), "{}", unknown.stderr);
        let none = explain(&gate, &[]);
        assert!(none.stdout.contains("no story is kept"), "{}{}", none.stdout, none.stderr);

        // Nobody follows it: a short story, from its alert on.
        let said = talk(outside, address, MAIL_FROM_BANNED);
        assert!(said.contains("550 5.7.1 sender refused by the gate"), "{said}");
        let alerts = gate.records("alert");
        let [alert] = alerts.as_slice() else { panic!("one alert: {alerts:?}") };
        let event = alert["alert"]["metadata"]["event_id"][0].as_str().unwrap_or_default().to_owned();
        let short = explain(&gate, &[&event]);
        assert_eq!(short.status, 0, "{}", short.stderr);
        let refusal = [
            r#"verb="MAIL""#,
            "rule 1701 gate/banned holds",
            "rules that do not: 1702 (test",
            r#"=> rule 1701: alert high "mail from banned.test""#,
            r#"=> rule 1701: refuse "550 5.7.1 sender refused by the gate""#,
            r#"=> gate: refused "550 5.7.1 sender refused by the gate""#,
            "gate: packet of the client dropped: the gate answers it",
        ];
        tells(&short.stdout, &["the story begins later than the flow"]);
        tells(&short.stdout, &refusal);
        let to_client = r#"gate to client, in the server's name: FIN ACK: "550 5.7.1 sender refused by the gate\r\n""#;
        tells(&short.stdout, &["gate: refused", to_client]);
        tells(&short.stdout, &["gate: refused", "gate to server, in the client's name: RST"]);
        assert!(!short.stdout.contains("EHLO"), "nobody has followed it by then:\n{}", short.stdout);

        // A flow that is followed from its beginning: all of it.
        let followed = gate.ask("follow next 1");
        assert_eq!(followed["follow"], "next 1", "{followed}");
        talk(outside, address, MAIL_FROM_BANNED);
        talk(outside, address, MAIL_FROM_BANNED);
        std::thread::sleep(Duration::from_millis(600));
        let all = explain(&gate, &[&client_address]);
        let stories: Vec<&str> = all.stdout.split("\n\n").filter(|story| story.contains("flow ")).collect();
        assert_eq!(stories.len(), 3, "{}", all.stdout);
        let whole: Vec<&&str> = stories.iter().filter(|story| !story.contains("later than the flow")).collect();
        let [whole] = whole.as_slice() else { panic!("one was followed:\n{}", all.stdout) };
        tells(
            whole,
            &["-- session_initiation", "server smtp.reply", r#"verb="EHLO""#, "rules that do not: 1701 (test 1)"],
        );
        tells(whole, &refusal);
        let listed = explain(&gate, &[]);
        assert!(listed.stdout.contains("3 stories"), "{}", listed.stdout);
        assert_eq!(gate.ask("status")["stories"]["kept"], 3);

        // The same event in the evidence, with what the gate did as a comment; and the gate is gone.
        gate.process().signal("TERM");
        assert!(until(Duration::from_secs(10), || !gate.process().runs()), "{}", gate.log());
        let file = format!("{evidence}/{}.pcapng", alert["flow_id"]);
        let kept = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}\n{}", gate.log()));
        let comment = b"gate refused: 550 5.7.1 sender refused by the gate";
        assert!(kept.windows(comment.len()).any(|octets| octets == comment), "the comment is not in {file}");
        let read = portcullis(["explain", &event, &file, "--policy", &rules]);
        assert_eq!(read.status, 0, "{}", read.stderr);
        tells(
            &read.stdout,
            &[&event, r#"verb="MAIL""#, "rule 1701 gate/banned holds", "=> rule 1701: refuse", "-- end"],
        );
        let gone = explain(&gate, &[&event]);
        assert_eq!(gone.status, 2, "{}", gone.stdout);
        assert!(gone.stderr.contains("is one running") && gone.stderr.contains("explain FILE"), "{}", gone.stderr);
    });
}

#[test]
fn a_flow_that_goes_on_is_followed_from_now_on() {
    with_hosts(|line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let _postfix = inside.postfix(address, &[]);
        let rules = outside.write("banned.policy", BANNED).display().to_string();
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &rules]);
        let go = outside.path().join("go");
        let script = format!(
            r#"
hello()
while not os.path.exists("{}"): time.sleep(0.05)
s.send(b"MAIL FROM:<a@outside.test>\r\n", socket.MSG_OOB); wait()
say(b"RCPT TO:<bob@nowhere.test>\r\n"); wait()
time.sleep(3)
say(b"QUIT\r\n"); wait()
"#,
            go.display()
        );
        let mut process = outside.spawn("talk", "python3", ["-c", &client(address, &script)]);
        let mut flows = Value::Null;
        let there = until(Duration::from_secs(10), || {
            flows = gate.ask("flows");
            flows["flows"][0]["flow_id"].is_u64()
        });
        assert!(there, "{flows}");
        let id = flows["flows"][0]["flow_id"].to_string();
        let before = explain(&gate, &[&id]);
        assert_eq!(before.status, 0, "{}", before.stderr);
        let follow = format!("ctl follow {id}");
        tells(&before.stdout, &["no story is kept of it", "-- goes on; verdict accept"]);
        assert!(before.stdout.contains(&follow), "{}", before.stdout);

        assert_eq!(gate.ask(&format!("follow {id}"))["flows_now"], 1);
        assert_eq!(gate.ask("follow")["followed"].as_u64().map(|count| count <= 1), Some(true));
        let nobody = gate.ask("follow 12345");
        assert!(nobody["error"].as_str().is_some_and(|error| error.contains("no flow is")), "{nobody}");
        std::fs::write(&go, "").unwrap_or_else(|error| panic!("{error}"));
        let mut story = String::new();
        until(Duration::from_secs(10), || {
            story = explain(&gate, &[&id]).stdout;
            story.contains("rule 1702")
        });
        tells(
            &story,
            &[
                "the story begins later than the flow",
                r#"sender.address="a@outside.test""#,
                "gate: packet of the client changed by the normaliser (urgent)",
                r#"=> rule 1702: alert low "mail to nowhere.test""#,
                "-- goes on; verdict accept so far, alerts 1",
            ],
        );
        assert!(!story.contains("EHLO"), "{story}");
        process.wait(Duration::from_secs(15));
        until(Duration::from_secs(10), || {
            story = explain(&gate, &[&id]).stdout;
            story.contains(r#"verb="QUIT""#)
        });
        tells(&story, &[r#"verb="QUIT""#]);
    });
}

#[test]
fn what_is_edited_and_what_is_held_is_told() {
    with_hosts(|line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let _postfix = inside.postfix(address, &[("smtpd_forbid_unauth_pipelining", "no")]);
        let policy = portcullis_tests::project().join("policies/smtp-no-chunking.policy").display().to_string();
        let arguments = ["--mode", "enforce", "--policy", &policy];
        let gate = Gate::start(&line.gateway, &arguments);
        let client_address = line.addresses.client_v4.to_string();
        assert_eq!(gate.ask(&format!("follow {client_address}"))["follow"], client_address);
        let early = r#"
hello()
for line in [b"MAIL FROM:<a@outside.test>", b"RCPT TO:<bob@inside.test>"]: say(line + b"\r\n"); wait()
say(b"DATA\r\nSubject: early\r\n\r\nhi\r\n.\r\n"); wait(2); say(b"QUIT\r\n"); wait()
"#;
        let said = talk(outside, address, early);
        assert!(said.contains("queued as"), "{said}\n{}", gate.ask("stats"));
        std::thread::sleep(Duration::from_millis(600));
        let story = explain(&gate, &[&client_address]).stdout;
        tells(
            &story,
            &[
                "rule 1601 smtp_no_chunking/no_chunking holds",
                "=> rule 1601: edit [at octet ",
                "sent again by the gate",
            ],
        );
        tells(&story, &["gate to client, in the server's name: ACK", r#"verb="QUIT""#]);
        assert_eq!(gate.ask("unfollow")["unfollowed"], true);
        drop(gate);

        let rules = outside.write("banned.policy", BANNED).display().to_string();
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &rules]);
        gate.ask("follow next 1");
        let said = talk(outside, address, early);
        assert!(said.contains("queued as"), "{said}\n{}", gate.ask("stats"));
        std::thread::sleep(Duration::from_millis(600));
        let story = explain(&gate, &[&client_address]).stdout;
        tells(
            &story,
            &[
                r#"verb="DATA""#,
                "gate: packet of the client let through up to what an answer has to tell of; the rest is held",
                "gate to server, in the client's name: ACK (",
            ],
        );
    });
}
