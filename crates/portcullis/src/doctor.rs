//! What the kernel or the set-up of this machine lacks for a gate, and the command that mends it.
//!
//! Everything is looked up or tried, nothing is changed: rules are tried in a network namespace of their own.

mod network;
mod resources;
mod rights;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::firewall::{Backend, SetUp};

/// Below this there is an error, and below the next a warning.
const LEAST_DISK: u64 = 100 << 20;
const FEW_DISK: u64 = 1 << 30;

/// The longest that a program may take that is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the gate is to do here.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    pub(crate) set_up: SetUp,
    pub(crate) queues: RangeInclusive<u16>,
    /// Where records go, if they go to a file.
    pub(crate) records: Option<PathBuf>,
    /// The program that is to set the rules; nothing: whichever can.
    pub(crate) backend: Option<Backend>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Ok,
    /// It cannot be told here.
    Unknown,
    /// The gate works, but not as well as it could, or not for every packet.
    Warning,
    /// The gate does not work.
    Error,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Unknown => "unknown",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at. Scripts rely on the name.
    pub(crate) check: &'static str,
    pub(crate) level: Level,
    /// What is so.
    pub(crate) found: String,
    /// Why it matters, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<&'static str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, found: found.into(), why: None, mend: None }
    }

    fn unknown(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: Level::Unknown, ..Finding::ok(check, found) }
    }

    fn warning(check: &'static str, found: impl Into<String>, why: &'static str, mend: impl Into<String>) -> Finding {
        Finding { check, level: Level::Warning, found: found.into(), why: Some(why), mend: Some(mend.into()) }
    }

    fn error(check: &'static str, found: impl Into<String>, why: &'static str, mend: impl Into<String>) -> Finding {
        Finding { level: Level::Error, ..Finding::warning(check, found, why, mend) }
    }
}

/// Looks at everything.
pub(crate) fn examine(purpose: &Purpose) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(rights::capabilities());
    findings.push(rights::kernel_queue());
    findings.push(network::firewall(purpose));
    findings.push(network::rules(purpose));
    findings.extend(network::bound(purpose));
    findings.extend(network::forwarding(purpose.set_up));
    findings.push(network::reverse_path(purpose.set_up));
    findings.extend(network::connections());
    findings.push(network::offloads());
    findings.push(resources::receive_buffer(rights::has(rights::NET_ADMIN)));
    findings.push(rights::landlock());
    findings.push(rights::seccomp());
    findings.extend(purpose.records.as_deref().map(resources::disk));
    findings.push(resources::clock());
    findings
}

/// The number in a file of /proc; none if there is no such file.
fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What a program writes, if it succeeds in time.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(program).args(arguments);
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
