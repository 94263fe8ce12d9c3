//! Giving up what a running gate does not need: root, files, sockets, other programs.
//!
//! Octets of strangers are read by the process that rules over the network of a server. Should a bug ever let them run, there must be
//! nothing to gain. [`enter`] gives up, for good and in this order:
//!
//! 1. **capabilities and the user**: root becomes `nobody` (or another user), with CAP_NET_ADMIN alone, which verdicts need;
//!    nothing can be gained back by starting a set-uid program (`PR_SET_NO_NEW_PRIVS`), and memory cannot be read by others;
//! 2. **files** (Landlock): only the named paths can be read, and only those named for it written; TCP ports can neither be
//!    bound nor connected to;
//! 3. **system calls** (seccomp): those that a gate uses are allowed, all others fail with "operation not permitted". New
//!    sockets, new processes and other programs are among these.
//!
//! What is open stays open. So queues, injectors, sinks, listeners and the socket to the service manager are opened first, then
//! comes [`enter`], then threads are started: most of this holds only for the calling thread and those it starts.
//!
//! ```no_run
//! use portcullis_capture::sandbox::{self, SandboxSettings};
//!
//! let settings = SandboxSettings {
//!     read: vec!["/etc/portcullis".into()],
//!     write: vec!["/var/log/portcullis".into()],
//!     ..SandboxSettings::default()
//! };
//! let report = sandbox::enter(&settings)?;
//! for line in report.lines() {
//!     eprintln!("sandbox: {line}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calls;
mod files;
mod privileges;

use std::io;
use std::path::PathBuf;

pub use privileges::Identity;

/// What is given up, and what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// The user that root becomes; `None`: root stays root, without the rights of root. A process that is not root stays who it is.
    /// Default: [`Identity::NOBODY`].
    pub identity: Option<Identity>,
    /// Whether CAP_NET_ADMIN is kept, without which the kernel takes no verdicts. Default: true.
    pub keep_network_administration: bool,
    /// The files and directories that can be read, with all that is in them: grammars, policies, lists.
    pub read: Vec<PathBuf>,
    /// The directories in which files can be made, written, renamed and removed, and the files that can be written.
    pub write: Vec<PathBuf>,
    /// Whether files are restricted (Landlock). Default: true.
    pub restrict_files: bool,
    /// Whether system calls are restricted (seccomp). Default: true.
    pub restrict_calls: bool,
    /// Whether new Unix sockets can be made and connected: for sinks that connect again. Default: false.
    pub unix_sockets: bool,
    /// Whether it is an error if the kernel lacks something of this. Default: false, it is told in the report.
    pub strict: bool,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            identity: Some(Identity::NOBODY),
            keep_network_administration: true,
            read: Vec::new(),
            write: Vec::new(),
            restrict_files: true,
            restrict_calls: true,
            unix_sockets: false,
            strict: false,
        }
    }
}

/// Gives up, for good, what the settings do not keep. To be called when everything is open and no thread is started yet.
///
/// # Errors
///
/// Fails if there are threads already, if a path does not exist, if CAP_NET_ADMIN is to be kept and not there, if the kernel refuses a
/// step that it has, and if the settings are strict and the kernel lacks one. The process should end then: part of it may have been
/// given up.
pub fn enter(settings: &SandboxSettings) -> Result<Report, SandboxError> {
    only_thread()?;
    // Paths are opened by root, the user that it becomes may not be allowed to.
    let rules = if settings.restrict_files { Some(files::prepare(&settings.read, &settings.write)?) } else { None };
    let (privileges, mut warnings) = privileges::drop(settings)?;
    warnings.extend(files::unreachable(settings));
    let files = match rules {
        Some(rules) => files::restrict(rules)?,
        None => Outcome::Off,
    };
    let calls = if settings.restrict_calls { calls::restrict(settings.unix_sockets)? } else { Outcome::Off };
    let report = Report { privileges, files, calls, warnings };
    if settings.strict {
        for (what, outcome) in [("files (Landlock)", &report.files), ("system calls (seccomp)", &report.calls)] {
            if let Outcome::Missing(reason) = outcome {
                return Err(SandboxError::Missing { what, reason: reason.clone() });
            }
        }
    }
    Ok(report)
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who the process is now, and which capabilities it has.
    pub privileges: String,
    /// Whether files are restricted.
    pub files: Outcome,
    /// Whether system calls are restricted.
    pub calls: Outcome,
    /// What will not work as it seems to be meant, with what mends it.
    pub warnings: Vec<String>,
}

impl Report {
    /// The report in lines for a log, each a statement; warnings begin with `warning: `.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            self.privileges.clone(),
            format!("files (Landlock): {}", self.files),
            format!("system calls (seccomp): {}", self.calls),
        ];
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines
    }
}

/// What became of a restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force.
    Enforced,
    /// The part of it that the kernel has is in force, and what is missing.
    Partial(String),
    /// The kernel has nothing of it, and why.
    Missing(String),
    /// It was not asked for.
    Off,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Enforced => f.write_str("restricted"),
            Self::Partial(reason) => write!(f, "restricted in part: {reason}"),
            Self::Missing(reason) => write!(f, "NOT restricted: {reason}"),
            Self::Off => f.write_str("not restricted, as configured"),
        }
    }
}

/// Why the sandbox could not be entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Threads were started before.
    #[error(
        "the sandbox cannot be entered: {count} threads run already, and it would not hold for them; enter it before threads are started"
    )]
    Threads {
        /// How many there are.
        count: usize,
    },

    /// A path that is to be kept cannot be opened.
    #[error(
        "the sandbox cannot be entered: {path} cannot be opened: {source}; make it, or leave it out of the configuration"
    )]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// There is no such user.
    #[error(
        "the sandbox cannot be entered: /etc/passwd has no user {name:?}; make it with `useradd --system {name}`, or name another"
    )]
    NoSuchUser {
        /// The name.
        name: String,
    },

    /// The capability that verdicts need is not there.
    #[error(
        "the sandbox cannot be entered: the process lacks CAP_NET_ADMIN, without which the kernel takes no verdicts; run it as root, or give it AmbientCapabilities=CAP_NET_ADMIN"
    )]
    NotPermitted,

    /// A step failed.
    #[error("the sandbox cannot be entered: {step} failed: {reason}")]
    Step {
        /// What was done.
        step: &'static str,
        /// What the system says.
        reason: String,
    },

    /// The kernel lacks something, and the settings are strict.
    #[error("the sandbox cannot be entered as strictly as configured: {what} cannot be restricted: {reason}")]
    Missing {
        /// What cannot be restricted.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl SandboxError {
    fn step(step: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Step { step, reason: reason.to_string() }
    }
}

fn only_thread() -> Result<(), SandboxError> {
    let count = std::fs::read_dir("/proc/self/task")
        .map_err(|error| SandboxError::step("counting threads in /proc/self/task", error))?
        .count();
    if count > 1 { Err(SandboxError::Threads { count }) } else { Ok(()) }
}
