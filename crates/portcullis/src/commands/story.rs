//! `portcullis explain`: what happened in a flow of a capture, and why.

use std::io::Write;

use portcullis_capture::CaptureSet;
use portcullis_engine::Engine;

use crate::plan::{Colour, StoryTask};
use crate::trace::Story;
use crate::{Outcome, grammars, messages, policies};

pub(crate) fn run(task: &StoryTask, colour: Colour) -> anyhow::Result<Outcome> {
    let mut settings = task.settings.clone();
    task.limits.apply(&mut settings)?;
    let grammars = grammars::load_all(&task.grammars, colour.stderr)?;
    let policies = policies::load_all(&task.policies, &grammars, colour.stderr)?;
    let mut captures = CaptureSet::open(&task.captures)?;
    let mut engine = Engine::new(grammars, policies, settings);
    let mut story = Story::of(task.flow.as_deref().unwrap_or_default());
    let mut outcome = Outcome::Fine;
    let mut told = 0_usize;
    let mut out = std::io::stdout().lock();
    loop {
        match captures.next() {
            Ok(Some(packet)) => {
                let (time, length) = (packet.timestamp, packet.original_length);
                engine.packet(packet.number_in_file, time, packet.link, packet.data, length, &mut story);
            }
            Ok(None) => break,
            Err(error) => {
                messages::error(&error.to_string(), colour.stderr);
                outcome = Outcome::Bad;
            }
        }
        told = told.saturating_add(story.done.len());
        story.done.drain(..).try_for_each(|text| writeln!(out, "{text}"))?;
    }
    engine.finish(&mut story);
    told = told.saturating_add(story.done.len());
    story.done.drain(..).try_for_each(|text| writeln!(out, "{text}"))?;
    if let (0, Some(flow)) = (told, &task.flow) {
        anyhow::bail!(
            "no flow is {flow:?}: name it by the flow_id of its records or by a part of its addresses, as 192.0.2.1:40000"
        );
    }
    Ok(outcome)
}
