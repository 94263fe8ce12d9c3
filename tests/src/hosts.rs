//! Servers of mail inside, clients outside, and a gateway between them on which a gate can be started.

use crate::gate::{Gate, number};
use crate::mail::{Host, Programs};
use crate::namespace::{Line, Need, Offloads, lacking};
use crate::project;

/// Runs a test with a line and the hosts at its ends; none where something is missing, which is printed.
pub fn with_hosts(offloads: Offloads, test: impl FnOnce(&Line, &Host<'_>, &Host<'_>)) {
    let needs =
        [Need::Namespaces, Need::Queue, Need::Program("ethtool"), Need::Program("curl"), Need::Program("python3")];
    if lacking(&needs) {
        return;
    }
    let Some(programs) = Programs::fetch() else { return };
    let line = Line::routed(offloads);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    test(&line, &inside, &outside);
}

/// The path of a shipped policy.
pub fn policy(name: &str) -> String {
    project().join("policies").join(name).display().to_string()
}

/// The options of a gate that enforces the shipped policies, the strict one first.
pub fn enforced() -> Vec<String> {
    ["--mode", "enforce", "--policy", &policy("smtp-strict.policy"), "--policy", &policy("smtp.policy")]
        .map(str::to_owned)
        .to_vec()
}

/// The options of a gate that enforces the policy which alerts and lets pass. (The strict one drops what it cannot follow,
/// and so connections in which packets went past unseen.)
pub fn lenient() -> Vec<String> {
    ["--mode", "enforce", "--policy", &policy("smtp.policy")].map(str::to_owned).to_vec()
}

/// Nothing was stopped, held or left uninspected, and every packet is accounted for.
///
/// # Panics
///
/// If it was.
pub fn unharmed(gate: &Gate<'_>) {
    let counters = gate.counters();
    assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
    for path in [["packets", "refused"], ["packets", "uninspected"], ["dropped", "by_rules"], ["dropped", "held"]] {
        assert_eq!(number(&counters, &path), 0, "{path:?}: {counters}\n{}", gate.log());
    }
    assert!(number(&counters, &["packets", "seen"]) > 0, "{counters}");
}
