//! What becomes of packets on this machine.

use std::fs;
use std::process::{Command, Stdio};

use super::{Finding, Level, Purpose, ask, number};
use crate::firewall::{Backend, Machine, SetUp};

/// Which backends can set the rules: each tries, in a network namespace of its own.
pub(super) fn firewall(purpose: &Purpose) -> Finding {
    let check = "firewall";
    let Ok(program) = std::env::current_exe() else {
        return Finding::unknown(check, "rules cannot be tried: this program does not know where it lies");
    };
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for backend in purpose.backend.map_or_else(|| Backend::ALL.to_vec(), |backend| vec![backend]) {
        let (first, last) = (purpose.queues.start(), purpose.queues.end());
        let output = Command::new("unshare")
            .arg("--net")
            .arg(&program)
            .args(["rules", "apply", "--setup", purpose.set_up.name(), "--backend", backend.name()])
            .args(["--queue", &format!("{first}-{last}")])
            .stdin(Stdio::null())
            .output();
        match output {
            Err(error) => return Finding::unknown(check, format!("rules cannot be tried: unshare: {error}")),
            Ok(output) if output.status.success() => can.push(backend.name()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.trim();
                if said.starts_with("unshare") {
                    return Finding::unknown(check, format!("rules cannot be tried in a namespace: {said}"));
                }
                cannot.push(said.trim_start_matches("error: ").to_owned());
            }
        }
    }
    if !can.is_empty() {
        return Finding::ok(check, format!("rules can be set by {}", can.join(" and ")));
    }
    Finding::error(
        check,
        format!("rules cannot be set: {}", cannot.join("; ")),
        "without them no packet comes to the gate",
        "apt-get install iptables nftables; modprobe -a xt_NFQUEUE xt_conntrack xt_connmark xt_CONNMARK xt_multiport, or nft_queue",
    )
}

/// Whether there are rules of ours.
pub(super) fn rules(purpose: &Purpose) -> Finding {
    let check = "rules";
    let mut set = Vec::new();
    let mut asked = false;
    for backend in Backend::ALL {
        if let Ok(machine) = Machine::look(backend) {
            asked = true;
            if machine.has_rules() {
                set.push(backend.name());
            }
        }
    }
    let (first, last) = (purpose.queues.start(), purpose.queues.end());
    let queues = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match set.as_slice() {
        _ if !asked => Finding::unknown(check, "the rules are not shown to this user"),
        [] => Finding::warning(
            check,
            "there are no rules of ours",
            "no packet comes to the gate",
            format!("portcullis rules apply --setup {} --queue {queues}", purpose.set_up.name()),
        ),
        [one] => Finding::ok(check, format!("rules are set by {one}")),
        several => Finding::warning(
            check,
            format!("rules are set by {} at once", several.join(" and ")),
            "packets come to the gate twice",
            format!("portcullis rules apply --setup {} --queue {queues}", purpose.set_up.name()),
        ),
    }
}

/// Whether a program reads each of the queues, and whether it keeps up.
pub(super) fn bound(purpose: &Purpose) -> Vec<Finding> {
    let check = "queue";
    let Ok(listed) = fs::read_to_string("/proc/net/netfilter/nfnetlink_queue") else { return Vec::new() };
    purpose
        .queues
        .clone()
        .map(|number| match Bound::find(&listed, number) {
            None => Finding::warning(
                check,
                format!("nobody reads queue {number}"),
                "what the rules send there passes uninspected, or is dropped with --no-queue-bypass",
                format!("systemctl start portcullis, or: portcullis inline --queue {number}"),
            ),
            Some(bound) if bound.dropped > 0 => Finding::warning(
                check,
                format!("queue {number} is read by {}, and {} packets were lost", bound.reader(), bound.dropped),
                "they were dropped or passed uninspected: the gate does not keep up",
                "use more queues (--queue 0-3 for both rules and inline), or a longer one (inline --queue-length)",
            ),
            Some(bound) => Finding::ok(check, format!("queue {number} is read by {}", bound.reader())),
        })
        .collect()
}

/// A line of /proc/net/netfilter/nfnetlink_queue: number, netlink port, waiting, copy mode, copy range, dropped by the queue,
/// dropped on the way to the program, last packet.
struct Bound {
    owner: u64,
    dropped: u64,
}

impl Bound {
    /// The netlink port of the reader is the number of its process for its first socket only.
    fn reader(&self) -> String {
        match std::path::Path::new(&format!("/proc/{}", self.owner)).exists() {
            true => format!("process {}", self.owner),
            false => format!("a program (netlink port {})", self.owner),
        }
    }

    fn find(listed: &str, number: u16) -> Option<Bound> {
        listed.lines().find_map(|line| {
            let columns: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
            match columns.as_slice() {
                [queue, owner, _, _, _, full, lost, ..] if *queue == u64::from(number) => {
                    Some(Bound { owner: *owner, dropped: full.saturating_add(*lost) })
                }
                _ => None,
            }
        })
    }
}

/// Whether packets go through this machine at all, and past the rules.
pub(super) fn forwarding(set_up: SetUp) -> Vec<Finding> {
    let switches: &[(&str, &str, &str, &'static str)] = match set_up {
        SetUp::Host => return Vec::new(),
        SetUp::Router => &[
            (
                "net/ipv4/ip_forward",
                "IPv4 is forwarded",
                "IPv4 is not forwarded",
                "nothing comes through a router that does not forward",
            ),
            (
                "net/ipv6/conf/all/forwarding",
                "IPv6 is forwarded",
                "IPv6 is not forwarded",
                "nothing comes through a router that does not forward",
            ),
        ],
        SetUp::Bridge => &[
            (
                "net/bridge/bridge-nf-call-iptables",
                "iptables sees bridged IPv4",
                "iptables does not see bridged IPv4",
                "packets would pass the gate by, unless nft sets the rules",
            ),
            (
                "net/bridge/bridge-nf-call-ip6tables",
                "iptables sees bridged IPv6",
                "iptables does not see bridged IPv6",
                "packets would pass the gate by, unless nft sets the rules",
            ),
        ],
    };
    let check = "forwarding";
    switches
        .iter()
        .map(|(name, good, bad, why)| {
            let option = name.replace('/', ".");
            match number(&format!("/proc/sys/{name}")) {
                Some(0) => Finding::error(check, format!("{bad} ({option} = 0)"), why, format!("sysctl -w {option}=1")),
                Some(_) => Finding::ok(check, *good),
                None if set_up == SetUp::Bridge => {
                    let mend = format!("modprobe br_netfilter && sysctl -w {option}=1");
                    Finding::error(check, format!("{bad}: br_netfilter is not loaded"), why, mend)
                }
                None => Finding::unknown(check, format!("the kernel does not have {option}")),
            }
        })
        .collect()
}

/// Whether packets are dropped because answers to them would leave another way.
pub(super) fn reverse_path(set_up: SetUp) -> Finding {
    let check = "rp_filter";
    let folder = "/proc/sys/net/ipv4/conf";
    let all = number(&format!("{folder}/all/rp_filter")).unwrap_or(0);
    let mut strict: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "all" && name != "default" && (name != "lo" || set_up == SetUp::Host))
        // The larger of the two counts: 1 is strict, 2 is loose.
        .filter(|name| number(&format!("{folder}/{name}/rp_filter")).unwrap_or(0).max(all) == 1)
        .collect();
    strict.sort();
    if strict.is_empty() {
        return Finding::ok(check, "no interface drops packets for their way back");
    }
    let mend: Vec<String> = strict.iter().map(|name| format!("net.ipv4.conf.{name}.rp_filter=2")).collect();
    Finding::warning(
        check,
        format!("packets are dropped on {} if answers would leave by another interface", strict.join(", ")),
        "where ways there and back differ, or packets of our own come back to this host, connections stall before the gate sees why",
        format!("sysctl -w {}", mend.join(" ")),
    )
}

/// Connection tracking.
pub(super) fn connections() -> Vec<Finding> {
    let check = "conntrack";
    let folder = "/proc/sys/net/netfilter";
    let Some(most) = number(&format!("{folder}/nf_conntrack_max")) else {
        return vec![Finding::error(
            check,
            "the kernel does not track connections",
            "the rules need it: fragments are put together, invalid packets dropped, and connections let go",
            "modprobe nf_conntrack",
        )];
    };
    let mut findings = Vec::new();
    let count = number(&format!("{folder}/nf_conntrack_count")).unwrap_or(0);
    findings.push(match count.saturating_mul(10) >= most.saturating_mul(8) {
        false => Finding::ok(check, format!("{count} of {most} connections are tracked")),
        true => Finding::warning(
            check,
            format!("{count} of {most} connections are tracked: the table is nearly full"),
            "when it is full the kernel drops packets of new connections",
            format!("sysctl -w net.netfilter.nf_conntrack_max={}", most.saturating_mul(2)),
        ),
    });
    if number(&format!("{folder}/nf_conntrack_checksum")) == Some(0) {
        findings.push(Finding::warning(
            "conntrack_checksum",
            "packets with wrong checksums count as valid",
            "the rules leave them to the gate, which does the work then",
            "sysctl -w net.netfilter.nf_conntrack_checksum=1",
        ));
    }
    if number(&format!("{folder}/nf_conntrack_tcp_be_liberal")) == Some(0) {
        findings.push(Finding::warning(
            "conntrack_liberal",
            "connection tracking checks sequence numbers",
            "a connection that edits have made shorter by more than its largest window (64 KiB at least) counts as invalid and stalls",
            "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1, or: portcullis rules apply --keep-invalid",
        ));
    }
    findings
}

/// Merging by the card that loses what the wire had. Merging by the kernel (GRO) is welcome.
pub(super) fn offloads() -> Finding {
    let check = "offloads";
    let interfaces: Vec<String> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "lo")
        .collect();
    let mut lossy = Vec::new();
    let mut asked = interfaces.is_empty();
    for interface in interfaces {
        let Some(features) = ask("ethtool", &["-k", &interface]) else { continue };
        asked = true;
        if features.lines().any(|line| line.trim() == "large-receive-offload: on") {
            lossy.push(interface);
        }
    }
    match lossy.as_slice() {
        _ if !asked => Finding { level: Level::Unknown, ..Finding::ok(check, "offloads are not shown (no ethtool)") },
        [] => Finding::ok(check, "no card merges packets for good (LRO); GRO is welcome"),
        _ => Finding::warning(
            check,
            format!("{} merge packets for good (large receive offload)", lossy.join(", ")),
            "what is merged so cannot be forwarded as it came",
            format!("ethtool -K {} lro off", lossy.join(" lro off; ethtool -K ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_found_by_number() {
        let listed =
            "    0   1234     0 2 65531     0     0       17  1\n    5  99     3 2 65531     4     5       1  1\n";
        let bound = Bound::find(listed, 5).unwrap();
        assert_eq!((bound.owner, bound.dropped), (99, 9));
        assert!(Bound::find(listed, 1).is_none());
        assert!(Bound::find("nonsense\n", 0).is_none());
    }
}
