//! Buffers, disk and time.

use std::path::Path;

use super::{FEW_DISK, Finding, LEAST_DISK, ask, number};

/// What a queue's receive buffer should be, in octets.
const RECEIVE_BUFFER: u64 = 16 << 20;

pub(super) fn receive_buffer(may_force: bool) -> Finding {
    let check = "receive_buffer";
    let most = number("/proc/sys/net/core/rmem_max").unwrap_or(0);
    if may_force || most >= RECEIVE_BUFFER {
        return Finding::ok(check, "the queue can have a receive buffer of 16 MiB");
    }
    Finding::warning(
        check,
        format!(
            "receive buffers have {most} octets at most (net.core.rmem_max), and without CAP_NET_ADMIN there is no way round"
        ),
        "when the buffer overflows, packets pass uninspected or are dropped",
        format!("sysctl -w net.core.rmem_max={RECEIVE_BUFFER}"),
    )
}

pub(super) fn disk(records: &Path) -> Finding {
    let check = "disk";
    let folder = match records.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let shown = folder.display();
    if !folder.is_dir() {
        return Finding::error(
            check,
            format!("there is no folder {shown} for records"),
            "the gate does not start if it cannot write its records",
            format!("install -d -m 0750 {shown}"),
        );
    }
    let space = match rustix::fs::statvfs(folder) {
        Ok(space) => space,
        Err(error) => return Finding::unknown(check, format!("{shown} does not tell how much room it has: {error}")),
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let mebibytes = free >> 20;
    let why = "records that cannot be written are lost";
    let mend = "make room, or rotate records more often (logrotate, then portcullis ctl reopen)";
    match free {
        _ if space.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => {
            Finding::error(check, format!("{shown} is read-only"), why, format!("mount -o remount,rw for {shown}"))
        }
        0..LEAST_DISK => Finding::error(check, format!("{shown} has {mebibytes} MiB left"), why, mend),
        LEAST_DISK..FEW_DISK => Finding::warning(check, format!("{shown} has {mebibytes} MiB left"), why, mend),
        _ => Finding::ok(check, format!("{shown} has {mebibytes} MiB left for records")),
    }
}

pub(super) fn clock() -> Finding {
    let check = "clock";
    match ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"]).as_deref().map(str::trim) {
        Some("yes") => Finding::ok(check, "the clock is synchronised"),
        Some("no") => Finding::warning(
            check,
            "the clock is not synchronised",
            "records of the gate cannot be put beside those of the mail server",
            "timedatectl set-ntp true",
        ),
        _ => Finding::unknown(check, "whether the clock is synchronised is not shown (no timedatectl)"),
    }
}
