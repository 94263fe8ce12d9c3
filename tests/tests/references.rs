//! Our records beside those that another engine wrote for captures of public test suites, where they are at hand.
//!
//! Each difference is listed with its reason; one that is not listed, or no longer there, fails.

use std::path::{Path, PathBuf};

use portcullis_tests::{portcullis, shared};
use serde_json::Value;

/// Captures whose `smtp` records differ, and why.
const SMTP: [(&str, &str); 4] = [
    ("suricata-verify-smtp-long-command", "they cut the line at 4,096 octets; we give the name as it was said"),
    ("zeek-http-connect-with-smtp", "the mail is inside a CONNECT of HTTP, for which there is no grammar yet"),
    ("zeek-smtp-attachment-msg", "they have no record of this mail; we have"),
    ("zeek-smtp-one-side-only", "they have no record where the server was not captured; we have both mails"),
];

/// Captures whose `dns` records differ in questions or answers, and why.
const DNS: [(&str, &str); 12] = [
    (
        "suricata-verify-dns-dns-corrupt-additionals",
        "a message whose last section is broken is a parse error for us, whole",
    ),
    (
        "suricata-verify-dns-dns-forward-pointer",
        "a name may only point backwards (RFC 1035 4.1.4): a parse error for us",
    ),
    ("suricata-verify-dns-dns-udp-null", "we write control octets of rdata as \\x03, they as they are"),
    ("suricata-verify-dns-reversed-udp-1", "they have no record of an answer whose question was not seen; we have"),
    (
        "suricata-verify-dns-tcp-ts-gap",
        "behind a gap in TCP the lengths before messages cannot be found again; they guess",
    ),
    ("zeek-dns-caa", "we know the type by its name, CAA; they by its number"),
    ("zeek-dns-dns-edns-bad-length", "they refuse the message for an option that is too long; we have it"),
    ("zeek-dns-edns-ecs", "they lose answers without a question in the capture; we have them"),
    ("zeek-dns-loc-29-trunc", "the same"),
    ("zeek-dns-loc-invalid-length", "the same"),
    ("zeek-dns-sshfp-trunc", "the same"),
    ("zeek-dns-svcb-rdlength-mismatch", "the same"),
];

#[test]
fn smtp_records_equal_the_references() {
    compare("smtp", &["smtp", "mime"], &SMTP, |record| {
        let smtp = &record["smtp"];
        let recipients: Vec<String> =
            smtp["rcpt_to"].as_array().into_iter().flatten().map(|recipient| recipient.to_string()).collect();
        format!("{} {} {}", smtp["helo"], smtp["mail_from"], recipients.join(" "))
    });
}

#[test]
fn dns_questions_and_answers_equal_the_references() {
    compare("dns", &["dns"], &DNS, |record| {
        let dns = &record["dns"];
        format!("{} {} {} {} {}", dns["type"], dns["id"], dns["rcode"], dns["queries"], dns["answers"])
    });
}

fn compare(kind: &str, folders: &[&str], known: &[(&str, &str)], key: impl Fn(&Value) -> String) {
    let Some(shared) = shared() else { return };
    let mut compared = 0;
    let mut different = Vec::new();
    for folder in folders {
        let mut references = references(&shared.join("corpus").join(folder));
        references.sort();
        for reference in references {
            let name = reference.file_name().unwrap_or_default().to_string_lossy().replace(".eve.json", "");
            let Some(capture) = capture_of(&reference, &name) else { continue };
            let text = std::fs::read_to_string(&reference).expect("a reference");
            let run = portcullis(["read", &capture.to_string_lossy(), "--eve", "-", "--policy", "none"]);
            let expected = records(&text, kind, &key);
            let found = records(&run.stdout, kind, &key);
            compared += 1;
            if expected != found {
                different.push(name);
            }
        }
    }
    println!("{compared} captures compared, {} differ as listed", different.len());
    assert!(compared > 20, "only {compared} references");
    let listed: Vec<&str> = known.iter().map(|entry| entry.0).collect();
    assert_eq!(different, listed, "differences, and those that are listed with their reason");
}

fn records(text: &str, kind: &str, key: &impl Fn(&Value) -> String) -> Vec<String> {
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["event_type"] == kind).map(|record| key(&record)).collect()
}

fn references(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of references");
    let paths = entries.map(|entry| entry.expect("an entry of it").path());
    paths.filter(|path| path.to_string_lossy().ends_with(".eve.json")).collect()
}

fn capture_of(reference: &Path, name: &str) -> Option<PathBuf> {
    let folder = reference.parent()?;
    ["pcap", "pcapng", "trace", "cap"].iter().map(|end| folder.join(format!("{name}.{end}"))).find(|path| path.exists())
}
