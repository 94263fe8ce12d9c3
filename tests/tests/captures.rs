//! Our own captures beside what servers and clients say happened in them (`pcaps/expect.json`).

use portcullis_tests::{portcullis, project};
use serde_json::Value;

fn expectations() -> Value {
    let text = std::fs::read_to_string(project().join("pcaps/expect.json")).expect("pcaps/expect.json");
    serde_json::from_str(&text).expect("it is JSON")
}

fn records(file: &str, kind: &str) -> Vec<Value> {
    let run = portcullis(["read", &format!("pcaps/{file}"), "--eve", "-"]);
    assert_eq!(run.status, 0, "{file}: {}", run.stderr);
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    lines.filter(|record| record["event_type"] == kind).collect()
}

fn bare(address: &Value) -> String {
    let text = address.as_str().unwrap_or("-");
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text).to_owned()
}

fn addresses(list: &Value) -> String {
    list.as_array().into_iter().flatten().map(bare).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_mail_is_reported_as_it_was_sent_and_answered() {
    let expectations = expectations();
    let files = expectations["files"].as_object().expect("files");
    let mut mails = 0;
    for (file, expected) in files {
        let Some(told) = expected["mails"].as_array() else { continue };
        let mut wanted: Vec<String> = told
            .iter()
            .map(|mail| {
                let size = mail["size"].as_u64().filter(|_| mail["final_reply"].is_u64());
                let (from, to) = (bare(&mail["mail_from"]), addresses(&mail["rcpt_to"]));
                format!("{} {from} [{to}] {size:?} {} {}", mail["helo"], mail["accepted"], mail["final_reply"])
            })
            .collect();
        let mut found: Vec<String> = records(file, "smtp")
            .iter()
            .map(|record| &record["smtp"])
            // A recipient outside of any mail makes a record too; `stray_rcpt_to` tells of it.
            .filter(|smtp| smtp["mail_from"].is_string())
            .zip(told.iter().chain(std::iter::repeat(&Value::Null)))
            .map(|(smtp, mail)| {
                let ours = &smtp["portcullis"];
                // Where no whole message was sent, or its size is not known, ours is not compared.
                let known = mail["size"].is_u64() && mail["final_reply"].is_u64();
                let size = ours["size"].as_u64().filter(|_| known);
                let (from, to) = (bare(&smtp["mail_from"]), addresses(&smtp["rcpt_to"]));
                let accepted = ours["outcome"] == "accepted";
                format!("{} {from} [{to}] {size:?} {accepted} {}", smtp["helo"], ours["reply"]["code"])
            })
            .collect();
        if ["demo.pcap", "concurrent.pcap"].contains(&file.as_str()) {
            // Sessions overlap there: mails end in another order than they begin.
            let without_size = |line: &String| line.replace(|c: char| c.is_ascii_digit(), "").replace("Some()", "None");
            wanted = wanted.iter().map(without_size).collect();
            found = found.iter().map(without_size).collect();
            wanted.sort();
            found.sort();
        }
        assert_eq!(found, wanted, "{file}");
        mails += wanted.len();
    }
    println!("{mails} mails in {} files", files.len());
    assert!(mails > 60, "only {mails} mails");
}

#[test]
fn every_answer_of_a_name_server_is_reported_as_dig_read_it() {
    let expectations = expectations();
    let mut answers = 0;
    for (file, expected) in expectations["files"].as_object().expect("files") {
        let Some(told) = expected["dns"].as_array().filter(|told| !told.is_empty()) else { continue };
        let wanted: Vec<String> = told
            .iter()
            .map(|answer| {
                let name = answer["name"].as_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
                format!(
                    "{} {name} {} {} aa={} tc={} {}",
                    answer["id"],
                    answer["type"],
                    answer["rcode"],
                    answer["authoritative"],
                    answer["truncated"],
                    answer["answers"]
                )
            })
            .collect();
        let found: Vec<String> = records(file, "dns")
            .iter()
            .map(|record| &record["dns"])
            .filter(|dns| dns["type"] == "response")
            .map(|dns| {
                let question = &dns["queries"][0];
                let name = question["rrname"].as_str().unwrap_or_default().to_ascii_lowercase();
                let count = dns["answers"].as_array().map_or(0, Vec::len);
                let flag = |name: &str| dns[name].as_bool().unwrap_or(false);
                format!(
                    "{} {name} {} {} aa={} tc={} {count}",
                    dns["id"],
                    question["rrtype"],
                    dns["rcode"],
                    flag("aa"),
                    flag("tc")
                )
            })
            .collect();
        for line in &wanted {
            assert!(found.contains(line), "{file}: no record says {line}; there are\n{}", found.join("\n"));
        }
        answers += wanted.len();
    }
    assert!(answers > 20, "only {answers} answers");
}

#[test]
fn the_shipped_policies_alert_on_what_is_wrong_and_on_nothing_else() {
    let suspicious = ["banned-sender", "demo", "early-data", "long-command", "smuggling", "injection", "vrfy"];
    for file in expectations()["files"].as_object().expect("files").keys() {
        let alerts = records(file, "alert");
        let expected = suspicious.iter().any(|part| file.contains(part));
        assert_eq!(!alerts.is_empty(), expected, "{file}: {alerts:?}");
    }
}

#[test]
fn no_password_leaves_in_any_record() {
    for file in
        ["postfix-auth-plain.pcap", "postfix-auth-login.pcap", "auth-login-line-data.pcap", "auth-cancelled.pcap"]
    {
        let run = portcullis(["read", &format!("pcaps/{file}"), "--eve", "-"]);
        let capture = std::fs::read(project().join("pcaps").join(file)).expect("a capture");
        // The base64 lines that the client said are the secrets: none of them may be in the output.
        let text = String::from_utf8_lossy(&capture);
        let secrets = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
        let secrets: Vec<&str> = secrets.filter(|word| word.len() >= 12 && word.ends_with('=')).collect();
        for secret in secrets {
            assert!(!run.stdout.contains(secret), "{file}: {secret} is in the output");
        }
    }
}
