//! The user and the capabilities.

use std::collections::HashSet;

use caps::{CapSet, Capability, CapsHashSet};

use super::{SandboxError, SandboxSettings};
use crate::system;

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: u32,
    /// The group. There are no others.
    pub group: u32,
}

impl Identity {
    /// The user who owns nothing.
    pub const NOBODY: Self = Self { user: 65_534, group: 65_534 };

    /// Finds a user of /etc/passwd by name, with its group.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or the file cannot be read.
    pub fn named(name: &str) -> Result<Self, SandboxError> {
        let text =
            std::fs::read_to_string("/etc/passwd").map_err(|error| SandboxError::step("reading /etc/passwd", error))?;
        find(&text, name).ok_or_else(|| SandboxError::NoSuchUser { name: name.to_owned() })
    }
}

/// Finds a user in the text of a passwd(5) file: name, password, user, group, and more.
fn find(text: &str, name: &str) -> Option<Identity> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let user = fields.nth(1)?.parse().ok()?;
        Some(Identity { user, group: fields.next()?.parse().ok()? })
    })
}

/// Becomes the user, and keeps only the capabilities of the settings. Returns what the process is now, and warnings.
pub(super) fn drop(settings: &SandboxSettings) -> Result<(String, Vec<String>), SandboxError> {
    let mut warnings = Vec::new();
    let mut kept: CapsHashSet = HashSet::default();
    if settings.keep_network_administration {
        if !has(CapSet::Permitted, Capability::CAP_NET_ADMIN) {
            return Err(SandboxError::NotPermitted);
        }
        kept.insert(Capability::CAP_NET_ADMIN);
    }
    limit_bounding_set(&kept)?;
    match settings.identity {
        Some(identity) if system::is_root() => {
            caps::securebits::set_keepcaps(true).map_err(failed("keeping capabilities (PR_SET_KEEPCAPS)"))?;
            system::become_user(identity.user, identity.group).map_err(failed("becoming another user"))?;
        }
        None if system::is_root() => {
            warnings
                .push("the process is still root, who owns the files of the system; name a user to become".to_owned());
        }
        _ => {}
    }
    caps::clear(None, CapSet::Inheritable).map_err(failed("clearing inheritable capabilities"))?;
    // Where the kernel has no ambient capabilities, there are none to clear.
    let _ = caps::clear(None, CapSet::Ambient);
    // The effective ones first: they may not exceed the permitted.
    caps::set(None, CapSet::Effective, &kept).map_err(failed("dropping capabilities"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed("dropping capabilities"))?;
    system::no_new_privileges().map_err(failed("setting PR_SET_NO_NEW_PRIVS"))?;
    system::not_dumpable().map_err(failed("setting PR_SET_DUMPABLE"))?;
    let names: Vec<String> = kept.iter().map(ToString::to_string).collect();
    let names = if names.is_empty() { "no capability".to_owned() } else { format!("{} alone", names.join(", ")) };
    let (user, group) = system::identity();
    Ok((format!("user {user}, group {group}, {names}, no new privileges"), warnings))
}

/// Takes the capabilities that are not kept out of the set of those that can ever be had again. It needs CAP_SETPCAP; without
/// it the process was not root, and has nothing to lose by it but what `PR_SET_NO_NEW_PRIVS` prevents.
fn limit_bounding_set(kept: &CapsHashSet) -> Result<(), SandboxError> {
    if !has(CapSet::Effective, Capability::CAP_SETPCAP) {
        return Ok(());
    }
    for capability in caps::read(None, CapSet::Bounding).map_err(failed("reading the bounding set"))? {
        if !kept.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability).map_err(failed("limiting the bounding set"))?;
        }
    }
    Ok(())
}

fn has(set: CapSet, capability: Capability) -> bool {
    caps::has_cap(None, set, capability).unwrap_or(false)
}

fn failed<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> SandboxError {
    move |error| SandboxError::step(step, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let text =
            "root:x:0:0:root:/root:/bin/bash\nmailer:x:8:12::/:\nmail:x:9:13:mail:/var/mail:/bin/false\nbad:x:y:1\n";
        assert_eq!(find(text, "mail"), Some(Identity { user: 9, group: 13 }));
        assert_eq!(find(text, "mai"), None);
        assert_eq!(find(text, "bad"), None);
        assert_eq!(find(text, ""), None);
    }

    #[test]
    fn a_user_who_is_not_there_is_told() {
        let error = Identity::named("no such user").unwrap_err();
        assert!(error.to_string().contains("useradd"), "{error}");
    }
}
