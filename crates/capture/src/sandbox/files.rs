//! Files, by Landlock.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{Outcome, SandboxError, SandboxSettings};
use crate::system;

/// The newest interface that is asked for; older kernels enforce the part that they know.
const NEWEST: ABI = ABI::V6;

/// Makes the rules, which open the paths.
pub(super) fn prepare(read: &[PathBuf], write: &[PathBuf]) -> Result<RulesetCreated, SandboxError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|error| SandboxError::step("making Landlock rules", error))?;
    let reading: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = AccessFs::from_all(NEWEST) & !AccessFs::Execute & !AccessFs::IoctlDev & !special_files();
    for (paths, access) in [(read, reading), (write, writing)] {
        for path in paths {
            rules = allow(rules, path, access)?;
        }
    }
    Ok(rules)
}

/// Files that are no files: a log directory needs none. Sockets are made before.
fn special_files() -> BitFlags<AccessFs> {
    AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo | AccessFs::MakeSym
}

fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, SandboxError> {
    let failed = |source: io::Error| SandboxError::Path { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let descriptor = PathFd::new(path).map_err(|error| failed(io::Error::other(error)))?;
    // What concerns directories is refused for a file.
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    rules
        .add_rule(PathBeneath::new(descriptor, access))
        .map_err(|error| SandboxError::step("making a Landlock rule", error))
}

/// Enforces the rules.
pub(super) fn restrict(rules: RulesetCreated) -> Result<Outcome, SandboxError> {
    let status = rules.restrict_self().map_err(|error| SandboxError::step("enforcing Landlock rules", error))?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Outcome::Enforced,
        RulesetStatus::PartiallyEnforced => Outcome::Partial(
            "this kernel is older than Landlock's version 6 (Linux 6.12), and restricts files but not all else".to_owned(),
        ),
        RulesetStatus::NotEnforced => Outcome::Missing(
            "this kernel has no Landlock (Linux 5.13), or it is not switched on: add `landlock` to `lsm=` of its command line"
                .to_owned(),
        ),
    })
}

/// Tells of paths that the user the process has become may not use, whatever Landlock says.
pub(super) fn unreachable(settings: &SandboxSettings) -> Vec<String> {
    let (user, _) = system::identity();
    let read = settings.read.iter().map(|path| (path, libc::R_OK, "read", "reloading it will fail"));
    let write = settings.write.iter().map(|path| (path, libc::W_OK, "write", "what is opened there later will fail"));
    read.chain(write)
        .filter(|(path, mode, ..)| system::access(path, *mode).is_err())
        .map(|(path, _, what, consequence)| {
            format!(
                "user {user} may not {what} {}: {consequence}; change its owner or mode, or name another user",
                path.display()
            )
        })
        .collect()
}
