//! The probes of `../shared/lab/haka-probes`, by name: each was made to show a defect of the system that this one
//! succeeds. Those of TCP are in the `stream` crate's tests; HTTP has no grammar yet and has to go through unharmed.

use std::path::PathBuf;

use portcullis_policy::PolicySet;
use portcullis_tests::findings::{Findings, find};
use portcullis_tests::grammars::shipped;
use portcullis_tests::shared;

fn probe(name: &str) -> Option<Findings> {
    let path: PathBuf = shared()?.join("lab/haka-probes").join(format!("{name}.pcap"));
    assert!(path.exists(), "{} is not there", path.display());
    Some(find(&shipped(), PolicySet::default(), &path))
}

/// Runs a check over a probe, where it is at hand.
fn with(name: &str, check: impl FnOnce(&Findings)) {
    if let Some(found) = probe(name) {
        let shown: Vec<&str> = found.lines.iter().take(60).map(String::as_str).collect();
        println!("{name}:\n{}", shown.join("\n"));
        check(&found);
    }
}

#[test]
fn smtp_probes_are_read_to_their_end() {
    for name in ["net_smtp_ok", "net_smtp_dotdot", "net_smtp_emptybody", "net_smtp_pipeline", "net_smtp_split_code"] {
        with(name, |found| {
            assert_eq!(found.count(" fail "), 0, "{name}");
            assert!(found.count(" up mail at=") >= 1, "{name}: no mail");
        });
    }
}

#[test]
fn lower_case_and_reset_are_commands() {
    for (name, command) in [("net_smtp_lower", "mail from:<a@b.c>"), ("net_smtp_rset", "RSET")] {
        with(name, |found| {
            assert_eq!(found.count(" fail "), 0, "{name}");
            assert_eq!(found.count(&format!(" {command}\\r\\n")), 1, "{name}");
            assert_eq!(found.count("parse_error"), 0, "{name}");
        });
    }
}

#[test]
fn a_login_is_no_failure() {
    with("net_smtp_auth", |found| {
        assert_eq!(found.count(" fail "), 0);
        assert!(found.count("reply at=16 size=8  235 ok") == 1);
    });
}

#[test]
fn a_refused_greeting_is_told_and_nothing_is_dropped() {
    with("net_smtp_554", |found| {
        assert_eq!(found.count("greeting_refused"), 1);
        assert_eq!(found.count(" fail "), 0);
    });
}

#[test]
fn lf_dot_lf_does_not_end_the_mail_and_is_told() {
    with("net_smtp_lf_dot", |found| {
        assert!(found.count("ambiguous_end") >= 1);
        assert!(found.count("bare_lf") >= 1);
    });
}

#[test]
fn starttls_hands_over_to_tls() {
    with("net_smtp_starttls", |found| {
        assert_eq!(found.count(" fail "), 0);
        assert_eq!(found.count("parse_error"), 0);
    });
}

#[test]
fn dns_probes_end_and_say_what_is_wrong() {
    with("net_dns_ok", |found| assert_eq!(found.count("parse_error"), 0));
    with("net_dns_0q", |found| assert!(found.count("odd_qdcount") >= 1));
    with("net_dns_2q", |found| {
        assert!(found.count("odd_qdcount") >= 1);
        assert_eq!(found.count("parse_error"), 0, "both questions are read");
    });
    for name in ["net_dns_loop", "net_dns_selfptr", "net_dns_badptr", "net_dns_trunc", "net_dns_ancount65535"] {
        with(name, |found| assert!(found.count("parse_error") >= 1, "{name}"));
    }
}

#[test]
fn ip_probes_go_through_and_are_named() {
    with("net_ipv6", |found| assert!(found.statistics.ipv6 > 0));
    with("net_qinq", |found| assert!(found.statistics.tcp + found.statistics.udp > 0));
    with("net_vlan", |found| assert!(found.statistics.tcp + found.statistics.udp > 0));
    with("net_ip_fragflood", |found| {
        assert_eq!((found.statistics.fragments, found.statistics.reassembled), (20_000, 0));
        // Ten a second for half a minute are held at a time; the others have been given up for their age.
        assert_eq!(found.statistics.abandoned, 20_000);
        assert!(found.count(" packet fragment_timeout") > 19_600);
    });
    with("net_ip_totlen10", |found| assert_eq!(found.count(" packet ip_total_length"), 1));
    with("net_ip_tcp10bytes", |found| assert_eq!(found.count(" packet tcp_header_truncated"), 1));
    with("net_ip_frag_short", |found| {
        assert_eq!((found.statistics.fragments, found.statistics.reassembled), (2, 0));
        assert_eq!(found.count(" packet ip_total_length"), 1, "a length below that of the header");
        assert_eq!(found.count(" packet fragment_incomplete"), 1, "what is left at the end is told");
    });
    with("net_ip_ihl15", |found| assert_eq!(found.count(" packet ip_total_length"), 1));
    with("empty", |found| assert_eq!(found.statistics.packets, 0));
}

#[test]
fn a_wrong_checksum_is_not_read() {
    with("net_tcp_bad_checksum", |found| {
        assert!(found.count("wrong checksum") >= 1);
    });
}

#[test]
fn every_probe_goes_through() {
    let Some(shared) = shared() else { return };
    let shipped = shipped();
    let mut probes = 0;
    for entry in std::fs::read_dir(shared.join("lab/haka-probes")).expect("the probes") {
        let path = entry.expect("a probe").path();
        find(&shipped, PolicySet::default(), &path);
        probes += 1;
    }
    assert!(probes >= 60, "only {probes} probes");
}
