//! `portcullis doctor`: one thing after the other is broken in a namespace, and has to be named, with what mends it; what
//! it says mends it is then done.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use portcullis_tests::Run;
use portcullis_tests::namespace::{Namespace, Need, lacking, run_of, until};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Namespaces, Need::Iptables, Need::Queue, Need::Conntrack, Need::Program("unshare")];

fn run(namespace: &Namespace, before: &[&str], arguments: &[&str]) -> Run {
    let program = portcullis_tests::command();
    let mut command = namespace.command("timeout");
    command.arg("50").args(before).arg(program.get_program()).args(arguments);
    run_of(&command.output().unwrap())
}

/// What was found, by check: the worst level, and what mends it.
#[derive(Debug)]
struct Diagnosis {
    status: i32,
    errors: u64,
    findings: BTreeMap<String, (String, String)>,
}

impl Diagnosis {
    fn of(run: &Run) -> Diagnosis {
        let all: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
        let order = ["ok", "unknown", "warning", "error"];
        let rank = |level: &str| order.iter().position(|known| *known == level).unwrap();
        let mut findings = BTreeMap::new();
        for finding in all["findings"].as_array().unwrap() {
            let word = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
            let (check, level) = (word("check"), word("level"));
            assert_eq!(finding["mend"].is_string(), rank(&level) >= 2, "{finding}");
            assert_eq!(finding["why"].is_string(), rank(&level) >= 2, "{finding}");
            let worst: &mut (String, String) = findings.entry(check).or_insert((level.clone(), word("mend")));
            if rank(&level) > rank(&worst.0) {
                *worst = (level, word("mend"));
            }
        }
        Diagnosis { status: run.status, errors: all["errors"].as_u64().unwrap(), findings }
    }

    fn level(&self, check: &str) -> &str {
        self.findings.get(check).map_or("not looked at", |(level, _)| level)
    }

    fn mend(&self, check: &str) -> &str {
        self.findings.get(check).map_or("", |(_, mend)| mend)
    }
}

fn examine(namespace: &Namespace, options: &[&str]) -> Diagnosis {
    Diagnosis::of(&run(namespace, &[], &[&["doctor", "--json", "--backend", "iptables-legacy"], options].concat()))
}

/// A namespace where all is well for a router.
fn healthy() -> Namespace {
    let namespace = Namespace::new("doctor");
    namespace.shell(
        "ip link add d0 type veth peer name d1; ip link set d0 up
         echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
         for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $file; done
         iptables-legacy -w -A FORWARD -m conntrack --ctstate INVALID -j DROP
         echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal",
    );
    namespace
}

#[test]
fn what_is_broken_is_named_and_mended_as_it_says() {
    if lacking(NEEDS) {
        return;
    }
    let namespace = healthy();
    let well = examine(&namespace, &[]);
    assert_eq!((well.status, well.errors), (0, 0), "{well:?}");
    for check in
        ["cap_net_admin", "cap_net_raw", "nfqueue", "firewall", "forwarding", "rp_filter", "conntrack", "seccomp"]
    {
        assert_eq!(well.level(check), "ok", "{check}: {well:?}");
    }
    assert!(!well.findings.contains_key("conntrack_liberal"), "{well:?}");

    for (check, level, break_it) in [
        ("forwarding", "error", "echo 0 > /proc/sys/net/ipv4/ip_forward"),
        ("forwarding", "error", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"),
        ("rp_filter", "warning", "echo 1 > /proc/sys/net/ipv4/conf/d0/rp_filter"),
        ("conntrack_checksum", "warning", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_checksum"),
        ("conntrack_liberal", "warning", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"),
    ] {
        namespace.shell(break_it);
        let found = examine(&namespace, &[]);
        assert_eq!(found.level(check), level, "after {break_it}: {found:?}");
        assert_eq!(found.status, i32::from(level == "error"), "after {break_it}");
        // Nothing else may be worse than before.
        for (other, (level, _)) in &found.findings {
            assert!(other == check || level == well.level(other), "after {break_it}: {other} is {level}");
        }
        // What follows the comma is another way.
        let mend = found.mend(check).split(", or").next().unwrap();
        let settings = mend.strip_prefix("sysctl -w ").unwrap_or_else(|| panic!("{mend}"));
        for setting in settings.split(' ') {
            let (name, value) = setting.split_once('=').unwrap();
            namespace.shell(&format!("echo {value} > /proc/sys/{}", name.replace('.', "/")));
        }
        let mended = examine(&namespace, &[]);
        assert_eq!(mended.errors, 0);
        assert!(matches!(mended.level(check), "ok" | "not looked at"), "{mend} does not mend {check}: {mended:?}");
    }
}

#[test]
fn rules_and_queues_are_seen() {
    if lacking(NEEDS) {
        return;
    }
    let namespace = healthy();
    let without = examine(&namespace, &["--queue", "3-4"]);
    assert_eq!((without.level("rules"), without.level("queue"), without.status), ("warning", "warning", 0));
    let mend: Vec<&str> = without.mend("rules").split(' ').skip(1).collect();
    assert_eq!(run(&namespace, &[], &mend).status, 0, "{mend:?}");
    let program = portcullis_tests::command();
    let arguments = ["inline", "--queue", "3-4", "--control", "none", "--policy", "none", "--sandbox", "off"];
    let _gate = namespace.spawn(program.get_program(), arguments, None);
    let both = || namespace.shell("cat /proc/net/netfilter/nfnetlink_queue").lines().count() == 2;
    assert!(until(Duration::from_secs(15), both), "the gate does not start");
    let with = examine(&namespace, &["--queue", "3-4"]);
    assert_eq!((with.level("rules"), with.level("queue"), with.status), ("ok", "ok", 0), "{with:?}");
    assert_eq!(examine(&namespace, &["--queue", "3-5"]).level("queue"), "warning");
}

#[test]
fn missing_rights_disk_and_bridges_are_named() {
    if lacking(NEEDS) || lacking(&[Need::Program("setpriv")]) {
        return;
    }
    let namespace = healthy();
    for (right, check) in [("net_admin", "cap_net_admin"), ("net_raw", "cap_net_raw")] {
        let without = format!("--bounding-set=-{right}");
        let found = Diagnosis::of(&run(&namespace, &["setpriv", &without], &["doctor", "--json"]));
        assert_eq!((found.level(check), found.status), ("error", 1), "{found:?}");
        assert!(found.mend(check).contains("setcap"));
    }
    let bridge = examine(&namespace, &["--setup", "bridge"]);
    if bridge.level("forwarding") == "ok" {
        namespace.shell("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables");
        assert_eq!(examine(&namespace, &["--setup", "bridge"]).level("forwarding"), "error");
    } else {
        assert_eq!(bridge.level("forwarding"), "error");
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/eve.json").display().to_string();
    let found = examine(&namespace, &["--eve", &missing]);
    assert_eq!((found.level("disk"), found.status), ("error", 1));
    // A disk that is nearly full, for this one command.
    let path = folder.path().display().to_string();
    let script = "mount -t tmpfs -o size=1m none $0 && exec \"$@\"";
    let records = folder.path().join("eve.json").display().to_string();
    let arguments = ["doctor", "--json", "--eve", &records];
    let found = Diagnosis::of(&run(&namespace, &["sh", "-c", script, &path], &arguments));
    assert_eq!((found.level("disk"), found.status), ("error", 1), "{found:?}");
    let plenty = examine(&namespace, &["--eve", &records]).level("disk").to_owned();
    assert!(["ok", "warning"].contains(&plenty.as_str()) || fs::metadata(&records).is_err(), "{plenty}");
}

#[test]
fn a_person_reads_what_why_and_how() {
    if lacking(NEEDS) {
        return;
    }
    let namespace = healthy();
    namespace.shell("echo 0 > /proc/sys/net/ipv4/ip_forward");
    let run = run(&namespace, &[], &["doctor", "--backend", "iptables-legacy"]);
    assert_eq!(run.status, 1);
    let expected = "error    forwarding         IPv4 is not forwarded (net.ipv4.ip_forward = 0)\n";
    assert!(run.stdout.contains(expected), "{}", run.stdout);
    assert!(run.stdout.contains("mend: sysctl -w net.ipv4.ip_forward=1\n"), "{}", run.stdout);
    assert!(run.stdout.contains("\n1 error, "), "{}", run.stdout);
}
