//! What this process and this kernel allow.

use std::fs;
use std::path::Path;

use super::Finding;

/// Bits of capability sets, as in linux/capability.h.
pub(super) const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;

/// Whether this process has a capability.
pub(super) fn has(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective(&status).is_some_and(|set| set >> capability & 1 == 1)
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

pub(super) fn capabilities() -> [Finding; 2] {
    let one = |check, capability, name: &str, why| match has(capability) {
        true => Finding::ok(check, format!("{name} is there")),
        false => Finding::error(
            check,
            format!("{name} is missing"),
            why,
            "run it as root, or: setcap cap_net_admin,cap_net_raw+ep \"$(command -v portcullis)\"",
        ),
    };
    [
        one(
            "cap_net_admin",
            NET_ADMIN,
            "CAP_NET_ADMIN",
            "the kernel hands out packets and takes verdicts only with it",
        ),
        one("cap_net_raw", NET_RAW, "CAP_NET_RAW", "refusals, resets and edits are packets of our own"),
    ]
}

pub(super) fn kernel_queue() -> Finding {
    let check = "nfqueue";
    if Path::new("/proc/net/netfilter/nfnetlink_queue").exists() {
        return Finding::ok(check, "the kernel has queues (nfnetlink_queue)");
    }
    Finding::error(
        check,
        "the kernel has no queues: nfnetlink_queue is not loaded",
        "packets come to the gate through them",
        "modprobe nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE)",
    )
}

pub(super) fn landlock() -> Finding {
    let check = "landlock";
    match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if list.trim().split(',').any(|name| name == "landlock") => {
            Finding::ok(check, "the kernel can confine files (Landlock)")
        }
        Ok(_) => Finding::warning(
            check,
            "the kernel does not confine files: Landlock is not among its security modules",
            "a gate that was taken over could read and write all that its user can",
            "add landlock to the boot parameter lsm= (CONFIG_SECURITY_LANDLOCK)",
        ),
        Err(_) => Finding::unknown(check, "the security modules are not shown (/sys/kernel/security is not mounted)"),
    }
}

pub(super) fn seccomp() -> Finding {
    let check = "seccomp";
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        return Finding::ok(check, "the kernel can confine system calls (seccomp)");
    }
    Finding::warning(
        check,
        "the kernel does not confine system calls",
        "a gate that was taken over could use all that its user can",
        "use a kernel with CONFIG_SECCOMP_FILTER",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read() {
        assert_eq!(effective("Name:\tx\nCapEff:\t0000000000003000\n"), Some(0x3000));
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
