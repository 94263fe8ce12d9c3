//! `portcullis test`: the `test` blocks of policies, run through the engine.

mod dialogue;
mod findings;

use std::io::Write;
use std::sync::Arc;

use portcullis_engine::{Engine, Grammars, Settings};
use portcullis_lang::{Diagnostics, SourceId, Sources, Span};
use portcullis_policy::syntax::Item;
use portcullis_policy::{Expected, PolicySet, PolicyTest, PolicyTestStep};

use crate::messages::{self, FileError};
use crate::plan::{Colour, TestTask};
use crate::policies::{self, PolicyText};
use crate::{Outcome, grammars, shipped};

use self::dialogue::Dialogue;
use self::findings::Findings;

pub(crate) fn run(task: &TestTask, colour: Colour) -> anyhow::Result<Outcome> {
    let grammars = grammars::load_all(&task.grammars, colour.stderr)?;
    let texts: Vec<PolicyText> = match task.policies.as_slice() {
        [] => shipped::POLICIES.iter().map(PolicyText::of_shipped).collect(),
        paths => paths.iter().map(|path| PolicyText::named(path)).collect::<Result<_, _>>()?,
    };
    let (mut passed, mut failed) = (0usize, 0usize);
    let mut out = std::io::stdout().lock();
    for text in texts {
        let name = text.name.clone();
        let mut sources = Sources::new();
        let compiled = match policies::compile(&mut sources, vec![text], &grammars.schemes()) {
            Ok(compiled) => compiled,
            Err(diagnostics) => {
                messages::diagnostics(&diagnostics, &sources, colour.stderr);
                return Err(FileError::Rejected { what: name, errors: diagnostics.error_count() }.into());
            }
        };
        messages::diagnostics(&compiled.warnings, &sources, colour.stderr);
        let policies = Arc::new(compiled.policies);
        let spoken = Spoken::of(&sources, &name);
        for test in policies.tests() {
            let failures = run_one(test, &policies, &grammars, &spoken);
            writeln!(out, "{name}: {} ... {}", test.name, if failures.is_empty() { "ok" } else { "FAILED" })?;
            for failure in &failures {
                let place = sources.place(failure.span.source, failure.span.start);
                writeln!(out, "    {}:{}:{}: {}", name, place.line, place.column, failure.text)?;
            }
            match failures.is_empty() {
                true => passed = passed.saturating_add(1),
                false => failed = failed.saturating_add(1),
            }
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed > 0 { Outcome::Found } else { Outcome::Fine })
}

/// An expectation that was not met.
struct Failure {
    span: Span,
    text: String,
}

/// Runs a test in an engine of its own. A test ends at the first expectation that is not met: what follows is a
/// consequence.
fn run_one(test: &PolicyTest, policies: &Arc<PolicySet>, grammars: &Arc<Grammars>, spoken: &Spoken) -> Vec<Failure> {
    let protocol = spoken.protocol_of(test);
    let Some(mut dialogue) = Dialogue::new(grammars, protocol) else {
        let text = format!("no port is known for the protocol `{protocol}`");
        return vec![Failure { span: test.span, text }];
    };
    let mut engine = Engine::new(Arc::clone(grammars), Arc::clone(policies), Settings::default());
    let mut findings = Findings::of(&test.policies);
    let mut judged = false;
    for step in &test.steps {
        match step {
            PolicyTestStep::Send(direction, octets) => {
                // What was found before the last expectations does not count for the next ones.
                if std::mem::take(&mut judged) {
                    findings.clear();
                }
                if let Err(error) = dialogue.send(*direction, octets, &mut engine, &mut findings) {
                    return vec![Failure { span: test.span, text: error.to_string() }];
                }
            }
            PolicyTestStep::Expect(expected, span) => {
                judged = true;
                if !findings.meet(expected) {
                    let text = format!("expected {}; there is {findings}", words(expected));
                    return vec![Failure { span: *span, text }];
                }
            }
        }
    }
    Vec::new()
}

fn words(expected: &Expected) -> String {
    match expected {
        Expected::Alert(rule) => format!("an alert of rule {rule}"),
        Expected::NoAlert(Some(rule)) => format!("no alert of rule {rule}"),
        Expected::NoAlert(None) => "no alert".to_owned(),
        Expected::Pass => "a rule that passes".to_owned(),
        Expected::Drop => "a rule that drops".to_owned(),
        Expected::Reset => "a rule that resets".to_owned(),
        Expected::Bypass => "a rule that bypasses".to_owned(),
        Expected::Block => "a rule that blocks".to_owned(),
        Expected::Refuse(text) => format!("a rule that refuses with \"{}\"", text.escape_ascii()),
        Expected::Edit(None) => "a rule that edits".to_owned(),
        Expected::Edit(Some(record)) => format!(
            "a record that becomes \"{0}\", or a stream that is edited so that it has it",
            record.escape_ascii()
        ),
    }
}

/// Which protocol each policy of a file is for: a test names policies, and the dialogue needs a port.
struct Spoken {
    /// Name of the policy and its protocol, in the order of the file.
    policies: Vec<(String, String)>,
}

impl Spoken {
    fn of(sources: &Sources, name: &str) -> Spoken {
        let source = (0..).map(SourceId).find(|id| sources.name(*id) == name).unwrap_or(SourceId(0));
        // It was parsed without errors a moment ago.
        let file = portcullis_policy::syntax::parse(source, sources.text(source), &mut Diagnostics::new());
        let policies = file.items.into_iter().filter_map(|item| match item {
            Item::Policy(policy) => Some((policy.name.text, policy.protocol.text)),
            _ => None,
        });
        Spoken { policies: policies.collect() }
    }

    /// That of the first policy under test.
    fn protocol_of(&self, test: &PolicyTest) -> &str {
        let wanted = test.policies.first();
        let found = self.policies.iter().find(|(name, _)| wanted.is_none_or(|wanted| **wanted == **name));
        found.map_or("", |(_, protocol)| protocol)
    }
}
