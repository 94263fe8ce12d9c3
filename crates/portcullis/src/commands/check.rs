//! `portcullis check`: what is wrong with grammars and policies, what they cost and what they give.

mod cost;
mod examples;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use portcullis_engine::Settings;
use portcullis_grammar::{CostCard, describe};
use portcullis_lang::{Diagnostics, ProtocolScheme, Sources, render_json};
use portcullis_policy::StreamCost;

use crate::grammars::{self, GrammarChoice, NamedText};
use crate::messages::{self, FileError};
use crate::plan::{CheckTask, Colour};
use crate::policies::{self, PolicyText};
use crate::{Outcome, shipped};

pub(crate) fn run(task: &CheckTask, colour: Colour) -> anyhow::Result<Outcome> {
    let mut settings = Settings::default();
    task.limits.apply(&mut settings)?;
    let (grammar_texts, policy_texts) = texts(task)?;
    let mut check = Check { task, colour, outcome: Outcome::Fine, schemes: Vec::new() };
    for text in grammar_texts {
        check.grammar(text)?;
    }
    if !policy_texts.is_empty() {
        check.add_schemes_of_choice()?;
    }
    for text in policy_texts {
        check.policy(text)?;
    }
    // Of files that somebody is writing, what all flows together may take is not the question.
    if task.cost && !task.json && task.files.is_empty() {
        let mut out = std::io::stdout().lock();
        writeln!(out)?;
        cost::write(&mut out, &settings)?;
    }
    Ok(check.outcome)
}

/// The files that were named, or all shipped ones.
fn texts(task: &CheckTask) -> Result<(Vec<NamedText>, Vec<PolicyText>), FileError> {
    if task.files.is_empty() {
        let policies = shipped::POLICIES.iter().map(PolicyText::of_shipped).collect();
        return Ok((grammars::texts(&task.grammars)?, policies));
    }
    let (mut grammar_texts, mut policy_texts) = (Vec::new(), Vec::new());
    for path in &task.files {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("grammar") => grammar_texts.push(grammars::of_file(path)?),
            Some("policy") => policy_texts.push(PolicyText::of_file(path)?),
            _ if path.is_dir() => return Err(FileError::Directory { path: path.clone() }),
            _ if !path.exists() && path != Path::new("-") => return Err(FileError::Missing { path: path.clone() }),
            _ => return Err(FileError::UnknownKind { path: path.clone() }),
        }
    }
    Ok((grammar_texts, policy_texts))
}

struct Check<'a> {
    task: &'a CheckTask,
    colour: Colour,
    outcome: Outcome,
    /// What policies are checked against: grammars of the command line, and those that are loaded anyway.
    schemes: Vec<Arc<ProtocolScheme>>,
}

impl Check<'_> {
    fn grammar(&mut self, text: NamedText) -> anyhow::Result<()> {
        let name = text.name.clone();
        let mut sources = Sources::new();
        let (protocol, mut diagnostics) = match grammars::load(&mut sources, text) {
            Ok(loaded) => (Arc::new(loaded.protocol), loaded.warnings),
            Err(diagnostics) => return self.report(&name, &diagnostics, &sources),
        };
        examples::check(&protocol, &mut diagnostics);
        self.report(&name, &diagnostics, &sources)?;
        let mut out = std::io::stdout().lock();
        if self.task.cost {
            writeln!(out, "{}", CostCard::of(&protocol))?;
        }
        if self.task.list {
            writeln!(out, "{}", describe(&protocol.scheme).trim_end())?;
        }
        self.schemes.push(Arc::clone(&protocol.scheme));
        Ok(())
    }

    fn policy(&mut self, text: PolicyText) -> anyhow::Result<()> {
        let name = text.name.clone();
        let mut sources = Sources::new();
        match policies::compile(&mut sources, vec![text], &self.schemes) {
            Ok(compiled) => {
                self.report(&name, &compiled.warnings, &sources)?;
                if self.task.cost && !self.task.json {
                    let mut out = std::io::stdout().lock();
                    for cost in compiled.policies.stream_costs() {
                        let StreamCost { stream, texts, expressions, automata, steps, per_flow } = cost;
                        writeln!(
                            out,
                            "  stream {stream}: {texts} texts and {expressions} regular expressions, automata of {automata} octets, \
                             {steps} steps an octet, {per_flow} octets a flow"
                        )?;
                    }
                }
                Ok(())
            }
            Err(diagnostics) => self.report(&name, &diagnostics, &sources),
        }
    }

    fn report(&mut self, name: &str, diagnostics: &Diagnostics, sources: &Sources) -> anyhow::Result<()> {
        if diagnostics.has_errors() {
            self.outcome = Outcome::Bad;
        }
        if self.task.json {
            let mut out = std::io::stdout().lock();
            for diagnostic in diagnostics.sorted() {
                writeln!(out, "{}", render_json(diagnostic, sources))?;
            }
            return Ok(());
        }
        messages::diagnostics(diagnostics, sources, self.colour.stderr);
        writeln!(std::io::stdout(), "{name}: {}", verdict(diagnostics))?;
        Ok(())
    }

    /// A grammar of the command line stands for the loaded one of the same protocol.
    fn add_schemes_of_choice(&mut self) -> anyhow::Result<()> {
        if self.task.files.is_empty() && self.task.grammars == GrammarChoice::Shipped {
            return Ok(());
        }
        let loaded = grammars::load_all(&self.task.grammars, self.colour.stderr)?;
        for scheme in loaded.schemes() {
            if self.schemes.iter().all(|known| known.name != scheme.name) {
                self.schemes.push(scheme);
            }
        }
        Ok(())
    }
}

fn verdict(diagnostics: &Diagnostics) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let errors = diagnostics.error_count();
    let warnings = diagnostics.len().saturating_add(diagnostics.omitted()).saturating_sub(errors);
    match (errors, warnings) {
        (0, 0) => "ok".to_owned(),
        (0, warnings) => format!("ok, {}", counted(warnings, "warning")),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}
