//! The harness that the cases of this workspace member share: the program as its users run it.
//!
//! ```no_run
//! let run = portcullis_tests::portcullis(["read", "pcaps/demo.pcap"]);
//! assert_eq!(run.status, 0, "{}", run.stderr);
//! ```
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What came of a run of the program.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit status; -1 if a signal ended it.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// The folder of the project.
pub fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Material beside the checkout that is no part of the product; none if it is not there.
pub fn shared() -> Option<PathBuf> {
    let shared = project().join("../shared");
    let found = shared.is_dir();
    if !found {
        println!("skipped: ../shared is not there");
    }
    found.then_some(shared)
}

/// Runs the program in the folder of the project.
pub fn portcullis<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    portcullis_in(&project(), arguments, b"")
}

/// Runs the program in a folder, with octets on its standard input.
///
/// # Panics
///
/// If it cannot be built or started.
#[expect(clippy::expect_used, reason = "without the program there is nothing to test")]
pub fn portcullis_in<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Run {
    let mut child = command()
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("standard input was asked for");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that has seen enough closes its input.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("the program ends")
    });
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program, built, with an environment that changes nothing of what it says.
pub fn command() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(build));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PORTCULLIS_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Cargo builds the programs of a package for the tests of that package only, and this is another. It lies beside the
/// tests, in the same profile.
#[expect(clippy::expect_used, reason = "without the program there is nothing to test")]
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("tests lie in TARGET/PROFILE/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--package", "portcullis"]).current_dir(project());
    cargo.arg("--target-dir").arg(profile.parent().expect("profiles lie in TARGET"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo starts").success(), "the program cannot be built");
    profile.join("portcullis")
}

pub mod between;
pub mod clients;
pub mod edits;
pub mod evasion;
pub mod findings;
pub mod floods;
pub mod gate;
pub mod grammars;
pub mod hosts;
pub mod mail;
pub mod namespace;
pub mod passage;
pub mod properties;
pub mod script;
pub mod sniff;
pub mod streams;
