//! `portcullis explain`: flows as stories.

use portcullis_tests::{portcullis, portcullis_in};
use serde_json::Value;

use crate::{capture, folder, of_type, records};

#[test]
fn a_flow_is_told_with_its_states_records_rules_and_decisions() {
    let run = portcullis(["explain", "pcaps/demo.pcap", "--policy", "smtp", "--flow", "10.25.0.4"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout.lines().filter(|line| line.starts_with("flow ")).count(), 1, "{}", run.stdout);
    for part in [
        "-- data_transmission",
        "client smtp.command indent=\"\" verb=\"MAIL\"",
        "sender.address=\"spammer@banned.example\"",
        "rule 1001 smtp/banned_sender holds",
        "=> rule 1001: alert high \"mail from banned domain banned.example\"",
        "rules that do not: 1001 (test 1)",
        "complete=true",
        "verdict accept",
    ] {
        assert!(run.stdout.contains(part), "{part:?} is not in\n{}", run.stdout);
    }
    // A record's flow_id names the same flow.
    let read = portcullis(["read", "pcaps/demo.pcap", "--policy", "smtp", "--eve", "-"]);
    let all = records(&read);
    let alerts = of_type(&all, "alert");
    let alert =
        alerts.iter().find(|alert| alert["alert"]["signature_id"] == 1001).map(|alert| alert["flow_id"].clone());
    let id = alert.as_ref().and_then(Value::as_u64).unwrap().to_string();
    let by_id = portcullis(["explain", "pcaps/demo.pcap", "--policy", "smtp", "--flow", &id]);
    assert_eq!(by_id.stdout, run.stdout);
}

#[test]
fn an_event_is_told_by_the_name_that_its_alert_has() {
    let read = portcullis(["read", "pcaps/demo.pcap", "--policy", "smtp", "--eve", "-"]);
    let all = records(&read);
    let alerts = of_type(&all, "alert");
    assert!(alerts.len() > 3, "{alerts:?}");
    for alert in alerts {
        let event = alert["alert"]["metadata"]["event_id"][0].as_str().unwrap();
        assert!(event.starts_with(&format!("{}-", alert["flow_id"])), "{event}");
        // Before or behind the capture.
        let run = portcullis(["explain", event, "pcaps/demo.pcap", "--policy", "smtp"]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        let decided = format!("=> rule {}: alert", alert["alert"]["signature_id"]);
        for part in [decided.as_str(), event, "-- end", "other lines: ask for the flow"] {
            assert!(run.stdout.contains(part), "{part:?} is not in\n{}", run.stdout);
        }
    }
    let (Some(first), [.., last]) = (all.iter().find(|record| record["flow_id"].is_u64()), &all[..]) else { panic!() };
    assert_eq!(last["event_type"], "stats");
    let nowhere = format!("{}-c99999", first["flow_id"]);
    let run = portcullis(["explain", "pcaps/demo.pcap", &nowhere]);
    assert!(run.stdout.contains(&format!("the story says nothing of the event {nowhere}")), "{}", run.stdout);
}

#[test]
fn without_a_capture_a_gate_is_asked_and_one_that_is_not_there_is_said() {
    for words in [&["explain", "4711"][..], &["explain"], &["explain", "--flow", "192.0.2"]] {
        let run = portcullis([words, &["--control", "/nonexistent/control.sock"]].concat());
        assert_eq!((run.status, run.stdout.as_str()), (2, ""));
        assert!(
            run.stderr.contains("cannot reach a gate at /nonexistent/control.sock: is one running"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("A capture is explained by its file"), "{}", run.stderr);
    }
    let forgotten = portcullis(["explain", "4711", "--policy", "smtp"]);
    assert_eq!(forgotten.status, 2);
    assert!(forgotten.stderr.contains("no FILE is named"), "{}", forgotten.stderr);
    let two = portcullis(["explain", "4711", "4712"]);
    assert_eq!(two.status, 2);
    assert!(two.stderr.contains("one flow or event at a time"), "{}", two.stderr);
}

#[test]
fn what_rules_edit_is_told_with_its_place() {
    let policy = "use smtp\npolicy p for smtp {\n\
         rule seen id 1 { on smtp.content.start edit insert \"X-Seen: yes\" at start }\n\
         rule declares id 2 { on smtp.command when verb == MAIL edit insert \" BODY=7BIT\" at end }\n}\n";
    let folder = folder(&[("p.policy", policy.as_bytes()), ("a.pcap", &capture("postfix-plain.pcap"))]);
    let run = portcullis_in(folder.path(), ["explain", "a.pcap", "--policy", "p.policy"], b"");
    assert_eq!(run.status, 0, "{}", run.stderr);
    for part in
        [r#"=> rule 1: edit [at the start of the stream: "X-Seen: yes\r\n"]"#, r#"0 octets become " BODY=7BIT"]"#]
    {
        assert!(run.stdout.contains(part), "{part:?} is not in\n{}", run.stdout);
    }
}

#[test]
fn passwords_are_not_told() {
    for (name, secrets) in [
        ("postfix-auth-plain.pcap", &["initial=(24 octets, not shown)"][..]),
        ("postfix-auth-login.pcap", &["initial=(0 octets, not shown)", "response=("]),
    ] {
        let run = portcullis(["explain", &format!("pcaps/{name}")]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        for part in secrets.iter().chain(&["235", "verb=\"AUTH\""]) {
            assert!(run.stdout.contains(part), "{part:?} is not in\n{}", run.stdout);
        }
        assert!(!run.stdout.contains("response=\""), "{}", run.stdout);
    }
}

#[test]
fn what_a_rule_refuses_ends_the_story() {
    let run = portcullis(["explain", "pcaps/demo.pcap", "--policy", "smtp-strict"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let refused = run.stdout.lines().filter(|line| line.contains("-- end") && line.contains("verdict refuse \"5"));
    assert_eq!(refused.count(), 1, "{}", run.stdout);
}

#[test]
fn a_flow_that_is_not_there_is_said() {
    let run = portcullis(["explain", "pcaps/demo.pcap", "--flow", "203.0.113.9"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("no flow is \"203.0.113.9\": name it by the flow_id"), "{}", run.stderr);
}
