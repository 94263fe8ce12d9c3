//! `portcullis read`: captures through the engine, to records and to a screen for people.

use portcullis_capture::{CaptureSet, FilterSet};
use portcullis_engine::Engine;

use crate::plan::{Colour, ReadTask};
use crate::read::progress::Bar;
use crate::read::reporter::Reporter;
use crate::{Outcome, grammars, messages, policies};

pub(crate) fn run(task: &ReadTask, colour: Colour) -> anyhow::Result<Outcome> {
    // Everything that can be wrong with what was typed is said before the first packet, and before a file is written to.
    let mut settings = task.settings.clone();
    task.limits.apply(&mut settings)?;
    let grammars = grammars::load_all(&task.grammars, colour.stderr)?;
    let policies = policies::load_all(&task.policies, &grammars, colour.stderr)?;
    let mut captures = CaptureSet::open(&task.captures)?;
    let mut filter = match &task.filter {
        Some(expression) => Some(FilterSet::compile(expression, &captures.link_types())?),
        None => None,
    };
    let mut reporter = Reporter::open(task, &grammars)?;
    let mut engine = Engine::new(grammars, policies, settings);

    let mut bar = Bar::new(task.progress);
    let mut outcome = Outcome::Fine;
    loop {
        match captures.next() {
            Ok(Some(packet)) => {
                let matches = filter.as_mut().map_or(Ok(true), |filter| filter.matches(&packet));
                let matches = match matches {
                    Ok(matches) => matches,
                    Err(error) => {
                        // The first packet of a link type for which the filter makes no sense.
                        messages::error(&error.to_string(), colour.stderr);
                        outcome = Outcome::Bad;
                        break;
                    }
                };
                if matches {
                    reporter.packet(packet.file, packet.timestamp, packet.data.len(), packet.original_length);
                    engine.packet(
                        // With the name of the file that records tell, the number that Wireshark shows for it.
                        packet.number_in_file,
                        packet.timestamp,
                        packet.link,
                        packet.data,
                        packet.original_length,
                        &mut reporter,
                    );
                }
            }
            Ok(None) => break,
            Err(error) => {
                // What was read before the damage is as good as ever; other files, and other interfaces, go on.
                bar.suspend(|| messages::error(&error.to_string(), colour.stderr));
                outcome = Outcome::Bad;
            }
        }
        if reporter.is_closed() {
            break;
        }
        bar.packet(|| captures.progress());
    }
    bar.finish();
    engine.finish(&mut reporter);
    if captures.uninspected() > 0 {
        let packets = captures.uninspected();
        messages::warning(&format!("{packets} packets of unknown link types were not looked at"), colour.stderr);
    }
    let worst = reporter.finish(engine.statistics(), colour.stdout)?;
    if outcome == Outcome::Fine && task.fail_on.is_some_and(|least| worst.is_some_and(|worst| worst >= least)) {
        outcome = Outcome::Found;
    }
    Ok(outcome)
}
