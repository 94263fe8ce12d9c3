//! Floods in processes of their own, so that the kernel's account of their memory can be asked for (`VmHWM`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a flood that cannot be measured ends the test")]

use std::process::Command;

/// Says which flood a process of its own is to make.
pub const FLOOD: &str = "PORTCULLIS_TEST_FLOOD";

/// A field of `/proc/self/status` or that of another process, in bytes.
pub fn memory(process: &str, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}

/// Runs a flood in a process of its own, which is the test `a_flood` of the same program; `bound` are the bytes that it may take.
/// A fifth more is for the allocator.
///
/// # Panics
///
/// If it takes more, or so little that it was no flood.
pub fn measure(name: &str, bound: u64) {
    if memory("self", "VmHWM").is_none() {
        println!("skipped: the system does not say how much memory a process takes");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let run = Command::new(program).args(["--exact", "a_flood", "--nocapture"]).env(FLOOD, name).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    let taken: u64 = said.lines().find_map(|line| line.strip_prefix("taken: ")).unwrap().parse().unwrap();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("{name}: peak of {:.1} MiB, bound of {:.1} MiB", mib(taken), mib(bound));
    assert!(taken * 5 <= bound * 6, "{name}: {taken} of {bound}");
    assert!(taken * 20 > bound, "{name}: the flood was none, or the bound says nothing: {taken} of {bound}");
}

/// Says how much more memory was taken at most since a measurement of `VmRSS`, as [`measure`] reads it.
///
/// # Panics
///
/// If the system does not say it.
pub fn tell(before: u64) {
    println!("taken: {}", memory("self", "VmHWM").unwrap().saturating_sub(before));
}
