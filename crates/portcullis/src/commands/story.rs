//! `portcullis explain`: what happened in a flow of a capture or of a running gate, and why.

use std::io::Write;

use portcullis_capture::CaptureSet;
use portcullis_engine::Engine;
use serde_json::Value;

use crate::gateway::control;
use crate::plan::{Colour, GateStoryTask, StoryTask};
use crate::trace::{ALL_TEXT, Story};
use crate::{Outcome, grammars, messages, policies};

pub(crate) fn run(task: &StoryTask, colour: Colour) -> anyhow::Result<Outcome> {
    let mut settings = task.settings.clone();
    task.limits.apply(&mut settings)?;
    let grammars = grammars::load_all(&task.grammars, colour.stderr)?;
    let policies = policies::load_all(&task.policies, &grammars, colour.stderr)?;
    let mut captures = CaptureSet::open(&task.captures)?;
    let mut engine = Engine::new(grammars, policies, settings);
    let mut story = Story::of(task.wanted.clone());
    let mut outcome = Outcome::Fine;
    let mut told = 0_u64;
    let mut out = std::io::stdout().lock();
    let mut write = |story: &mut Story| {
        story.done().try_for_each(|text| {
            told = told.saturating_add(1);
            writeln!(out, "{text}")
        })
    };
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
        write(&mut story)?;
    }
    engine.finish(&mut story);
    write(&mut story)?;
    if story.untold() > 0 {
        let untold = story.untold();
        messages::error(
            &format!(
                "{untold} flows are not told: the stories of open flows took {} MiB (stories_octets); name one with --flow",
                ALL_TEXT >> 20
            ),
            colour.stderr,
        );
        outcome = Outcome::Bad;
    }
    if let (0, Some(wanted)) = (told, &task.wanted) {
        anyhow::bail!(
            "no flow is \"{wanted}\": name it by the flow_id of its records or by a part of its addresses, as 192.0.2.1:40000"
        );
    }
    Ok(outcome)
}

/// The same of a running gate, which is asked over its control socket.
pub(crate) fn of_gate(task: &GateStoryTask) -> anyhow::Result<Outcome> {
    let command = match &task.wanted {
        Some(wanted) => format!("explain {wanted}"),
        None => "explain".to_owned(),
    };
    let answer = control::ask(&task.socket, &command)
        .map_err(|error| anyhow::anyhow!("{error} A capture is explained by its file: portcullis explain FILE"))?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        anyhow::bail!("{error}");
    }
    let mut out = std::io::stdout().lock();
    for flow in answer.get("flows").and_then(Value::as_array).into_iter().flatten() {
        let lines = flow.get("story").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for line in lines {
            writeln!(out, "{line}")?;
        }
        writeln!(out)?;
    }
    if let Some(note) = answer.get("note").and_then(Value::as_str) {
        writeln!(out, "{note}")?;
    }
    Ok(Outcome::Fine)
}
