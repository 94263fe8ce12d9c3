//! The rules of this machine: what of ours is there, and changing that.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use super::iptables::{self, Family, Present};
use super::{Backend, Rules, Step, TABLE, nft};

/// Why rules cannot be set or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    #[error("there is no program {program}; install it (package {package}), or choose another --backend")]
    Missing { program: String, package: &'static str },

    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: io::Error },

    #[error("{program} refuses{}: {said}", because(*.permitted))]
    Refused { program: String, said: String, permitted: bool },

    #[error("no backend can set the rules; {0}; `portcullis doctor` says what is missing")]
    None(String),
}

fn because(permitted: bool) -> &'static str {
    if permitted { "" } else { " (run it as root: CAP_NET_ADMIN is needed)" }
}

/// What there is of ours, for one backend.
#[derive(Debug)]
pub(crate) struct Machine {
    backend: Backend,
    /// For backends of iptables, by version of IP.
    iptables: [Present; 2],
    /// For nft: the families that have our table.
    nft: Vec<&'static str>,
}

impl Machine {
    /// Asks the machine.
    pub(crate) fn look(backend: Backend) -> Result<Machine, FirewallError> {
        let mut machine = Machine::untouched(backend);
        match backend {
            Backend::Nft => {
                let listed = run(backend, "nft", &["list", "tables"], None)?;
                machine.nft = nft::FAMILIES.into_iter().filter(|family| has_table(&listed, family)).collect();
            }
            Backend::IptablesNft | Backend::IptablesLegacy => {
                for (family, present) in Family::ALL.into_iter().zip(&mut machine.iptables) {
                    *present = Present::read(&run(backend, &family.program(backend, "save"), &[], None)?);
                }
            }
        }
        Ok(machine)
    }

    /// A machine on which there is nothing of ours.
    pub(crate) fn untouched(backend: Backend) -> Machine {
        Machine { backend, iptables: Default::default(), nft: Vec::new() }
    }

    /// Whether there is anything of ours.
    pub(crate) fn has_rules(&self) -> bool {
        !self.nft.is_empty() || self.iptables.iter().any(|present| !present.is_empty())
    }

    /// What has to be done so that exactly these rules are there, or none.
    pub(crate) fn steps(&self, rules: Option<&Rules>) -> Vec<Step> {
        match self.backend {
            Backend::Nft => nft::step(rules, &self.nft).into_iter().collect(),
            backend => Family::ALL
                .into_iter()
                .zip(&self.iptables)
                .filter_map(|(family, present)| {
                    let rules = rules.filter(|rules| family.is_in(rules.families));
                    iptables::step(backend, family, rules, present)
                })
                .collect(),
        }
    }

    /// Does it. Each step takes effect as a whole; if a later one fails, ours is taken away again, so that there is never
    /// one version of IP that is guarded while the other is not.
    pub(crate) fn set(&self, rules: Option<&Rules>) -> Result<(), FirewallError> {
        for step in self.steps(rules) {
            if let Err(error) = perform(self.backend, &step) {
                if let Ok(now) = Machine::look(self.backend) {
                    for step in now.steps(None) {
                        let _ = perform(self.backend, &step);
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sets the rules by the first backend that can, or by the one that was chosen, and takes away what the others have:
    /// packets would go to the queue twice. Which one it was.
    pub(crate) fn apply(choice: Option<Backend>, rules: &Rules) -> Result<Backend, FirewallError> {
        let mut refused = Vec::new();
        let candidates: Vec<Backend> = choice.map_or_else(|| Backend::ALL.to_vec(), |backend| vec![backend]);
        for backend in candidates {
            match Machine::look(backend).and_then(|machine| machine.set(Some(rules))) {
                Ok(()) => {
                    for other in Backend::ALL.into_iter().filter(|other| *other != backend) {
                        // What cannot be asked has nothing of ours.
                        if let Ok(machine) = Machine::look(other) {
                            machine.set(None)?;
                        }
                    }
                    return Ok(backend);
                }
                Err(error) if choice.is_some() => return Err(error),
                Err(error) => refused.push(error.to_string()),
            }
        }
        Err(FirewallError::None(refused.join("; ")))
    }

    /// Takes away what there is, of all backends or of the one that was chosen. Those that had something.
    pub(crate) fn remove(choice: Option<Backend>) -> Result<Vec<Backend>, FirewallError> {
        let mut removed = Vec::new();
        for backend in choice.map_or_else(|| Backend::ALL.to_vec(), |backend| vec![backend]) {
            match Machine::look(backend) {
                Ok(machine) if machine.has_rules() => {
                    machine.set(None)?;
                    removed.push(backend);
                }
                Ok(_) => {}
                // Where a program is not there, it has set nothing; where it may not look, nobody knows.
                Err(FirewallError::Missing { .. }) if choice.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

fn has_table(listed: &str, family: &str) -> bool {
    listed.lines().any(|line| line.split_ascii_whitespace().eq(["table", family, TABLE]))
}

fn perform(backend: Backend, step: &Step) -> Result<(), FirewallError> {
    run(backend, &step.program, &step.arguments, Some(&step.input)).map(|_| ())
}

/// Runs a program; what it wrote.
fn run(backend: Backend, program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, FirewallError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The folders of administrators' programs are not on everybody's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")).env("LC_ALL", "C");
    let mut child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FirewallError::Missing { program: program.to_owned(), package: backend.package() },
        _ => FirewallError::Start { program: program.to_owned(), source },
    })?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that ends before it has read all says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output =
        child.wait_with_output().map_err(|source| FirewallError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said: Vec<String> =
        String::from_utf8_lossy(&output.stderr).lines().take(3).map(|line| line.trim().to_owned()).collect();
    Err(FirewallError::Refused {
        program: program.to_owned(),
        said: said.join(" "),
        permitted: rustix::process::geteuid().is_root(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_table_is_ours() {
        let listed = "table inet filter\ntable inet portcullis\ntable ip portcullis2\n";
        assert!(has_table(listed, "inet"));
        assert!(!has_table(listed, "ip") && !has_table(listed, "bridge"));
    }
}
