//! `portcullis doctor`: what this machine lacks for a gate.

use std::io::Write;

use serde_json::json;

use crate::Outcome;
use crate::doctor::{Finding, Level, examine};
use crate::plan::DoctorTask;

pub(crate) fn run(task: &DoctorTask) -> anyhow::Result<Outcome> {
    let findings = examine(&task.purpose);
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let mut out = std::io::stdout().lock();
    if task.json {
        let all = json!({ "errors": errors, "warnings": warnings, "findings": findings });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        for finding in &findings {
            write_finding(&mut out, finding)?;
        }
        writeln!(out, "\n{}, {}", counted(errors, "error"), counted(warnings, "warning"))?;
    }
    Ok(if errors == 0 { Outcome::Fine } else { Outcome::Found })
}

fn write_finding(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    writeln!(out, "{:8} {:18} {}", finding.level.name(), finding.check, finding.found)?;
    if let Some(why) = finding.why {
        writeln!(out, "{:27} why: {why}", "")?;
    }
    if let Some(mend) = &finding.mend {
        writeln!(out, "{:27} mend: {mend}", "")?;
    }
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
