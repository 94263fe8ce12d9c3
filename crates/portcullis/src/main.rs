//! The command line of Portcullis.
//!
//! From what was typed to what is done it goes this way: [`arguments`] is what was typed; [`plan`] is what it means, and
//! all that the rest of the program sees; each subcommand is a module of [`commands`]. Grammars and policies come from
//! [`shipped`], which holds those in the binary, or from files, through [`grammars`] and [`policies`].
//!
//! Records and answers go to standard output, everything else to standard error.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod doctor;
mod firewall;
mod gateway;
mod grammars;
mod limits;
mod messages;
mod plan;
mod policies;
mod read;
mod shipped;
mod trace;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::plan::{Plan, Task};

/// How a run of the program ends. Scripts rely on the numbers; the text of `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All was done, and nothing was found that would have to stop a script: 0.
    Fine,
    /// What was asked about was found: an alert of the severity of `--fail-on`, a file that is not in the common layout,
    /// a test that fails: 1.
    Found,
    /// The command line, a grammar, a policy or (a part of) a capture cannot be used: 2.
    Bad,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Found => 1,
            Outcome::Bad => 2,
        })
    }
}

fn main() -> ExitCode {
    // clap itself ends the process for `--help` (0) and for a command line that it does not understand (2).
    let plan = Plan::new(Arguments::parse());
    messages::start_log(plan.verbosity, plan.colour.stderr);
    let outcome = run(&plan);
    outcome
        .unwrap_or_else(|error| {
            if is_broken_pipe(&error) {
                // Whoever reads our output has seen enough: `portcullis read --eve - x.pcap | head` is no failure.
                return Outcome::Fine;
            }
            messages::error(&told(&error), plan.colour.stderr);
            Outcome::Bad
        })
        .into()
}

fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    match &plan.task {
        Task::Read(task) => commands::read::run(task, plan.colour),
        Task::Inline(task) => commands::inline::run(task, plan.colour),
        Task::Live(task) => commands::live::run(task, plan.colour),
        Task::Control(task) => commands::inline::control(task),
        Task::Guard(task) => commands::inline::guard(task),
        Task::Rules(task) => commands::rules::run(task),
        Task::Doctor(task) => commands::doctor::run(task),
        Task::Check(task) => commands::check::run(task, plan.colour),
        Task::Story(task) => commands::story::run(task, plan.colour),
        Task::GateStory(task) => commands::story::of_gate(task),
        Task::Explain(code) => commands::explain::run(*code),
        Task::Format(task) => commands::format::run(task, plan.colour),
        Task::Graph(task) => commands::graph::run(task, plan.colour),
        Task::Test(task) => commands::test::run(task, plan.colour),
        Task::Limits(limits) => commands::limits::run(limits),
        Task::Generate(what) => commands::generate::run(*what),
    }
}

/// An error with its causes. Most of ours name their cause themselves; what was said is not said again.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |told, cause| match told.contains(&cause) {
        true => told,
        false => format!("{told}: {cause}"),
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}
