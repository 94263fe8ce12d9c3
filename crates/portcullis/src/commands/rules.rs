//! `portcullis rules`: the firewall rules that send packets to the gate.

use std::io::Write;

use crate::Outcome;
use crate::firewall::{Backend, Machine};
use crate::plan::{RulesAction, RulesTask};

pub(crate) fn run(task: &RulesTask) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    match &task.action {
        RulesAction::Show(rules) => {
            let backends = task.backend.map_or_else(|| Backend::ALL.to_vec(), |backend| vec![backend]);
            for (index, backend) in backends.into_iter().enumerate() {
                if index > 0 {
                    writeln!(out)?;
                }
                // Only root may look; others are shown what is done on a machine that has no rules of ours.
                let machine = Machine::look(backend);
                let state = match &machine {
                    Ok(machine) if machine.has_rules() => "replaces the rules that are there",
                    Ok(_) => "there are no rules of ours yet",
                    Err(_) => "as if there were no rules of ours yet: this machine cannot be asked",
                };
                writeln!(out, "# {}: {rules}; {state}", backend.name())?;
                for step in machine.unwrap_or_else(|_| Machine::untouched(backend)).steps(Some(rules)) {
                    write!(out, "{step}")?;
                }
            }
        }
        RulesAction::Apply(rules) => {
            let backend = Machine::apply(task.backend, rules)?;
            writeln!(out, "rules are set by {}: {rules}", backend.name())?;
        }
        RulesAction::Remove => {
            let removed: Vec<&str> = Machine::remove(task.backend)?.into_iter().map(Backend::name).collect();
            match removed.is_empty() {
                true => writeln!(out, "there were no rules of ours")?,
                false => writeln!(out, "rules of {} are removed", removed.join(" and "))?,
            }
        }
    }
    Ok(Outcome::Fine)
}
