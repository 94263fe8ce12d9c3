//! `portcullis live`: packets of an interface through the engine, to records, without touching any.

use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_capture::sandbox::{self, Identity, SandboxSettings};
use portcullis_capture::{Captured, LiveInterface, LiveSettings};
use portcullis_engine::Engine;
use portcullis_report::{Sink, open_sink};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::arguments::SandboxChoice;
use crate::gateway::director::{self, RuleChoice};
use crate::gateway::notify::ServiceManager;
use crate::gateway::worker::wall_clock;
use crate::grammars::{self, Reloading};
use crate::plan::{Colour, Destination, LiveTask};
use crate::read::reporter::Reporter;
use crate::{Outcome, policies};

/// How long it waits for a packet before it looks at its clock and for signals.
const STEP: Duration = Duration::from_millis(100);

/// How often lost packets are asked for and told.
const TELL: Duration = Duration::from_secs(1);

pub(crate) fn run(task: &LiveTask, colour: Colour) -> anyhow::Result<Outcome> {
    let grammars = grammars::load_all(&task.grammars, colour.stderr)?;
    let policies = policies::load_all(&task.policies, &grammars, colour.stderr)?;
    let rules = RuleChoice {
        grammars: Reloading::new(task.grammars.clone(), colour.stderr, &grammars),
        policies: task.policies.clone(),
        colour: colour.stderr,
    };
    let mut settings = task.settings.clone();
    task.limits.apply(&mut settings)?;
    let mut signals = director::signals()?;
    let sink: Option<Box<dyn Sink>> = match &task.records {
        Some(Destination::StandardOutput) => Some(open_sink(Path::new("-"))?),
        Some(Destination::File(path)) => Some(open_sink(path)?),
        None => None,
    };
    let source = LiveSettings {
        filter: task.filter.clone(),
        promiscuous: task.promiscuous,
        ..LiveSettings::new(&task.interface)
    };
    let mut interface = LiveInterface::open(&source)?;
    let manager = ServiceManager::find();
    if task.sandbox != SandboxChoice::Off {
        let identity = task.user.as_deref().map(Identity::named).transpose()?;
        let (read, write) = director::places(&task.grammars, &task.policies, task.records.as_ref());
        let strict = task.sandbox == SandboxChoice::Strict;
        let given_up = SandboxSettings {
            identity,
            keep_network_administration: false,
            read,
            write,
            strict,
            ..SandboxSettings::default()
        };
        sandbox::enter(&given_up)?.lines().iter().for_each(|line| tracing::info!("sandbox: {line}"));
    }
    let mut reporter = Reporter::new(sink, Vec::new(), &grammars).with_screen(task.screen);
    let mut engine = Engine::new(grammars, policies, settings);
    manager.say("READY=1");
    tracing::warn!("capturing on {}; end with Ctrl-C", task.interface);

    let began = Instant::now();
    let (mut told, mut counted, mut alive) = (began, began, began);
    let mut lost = 0;
    let failure = loop {
        match interface.next_until(Some(Instant::now() + STEP)) {
            Ok(Captured::Packet(packet)) => {
                reporter.packet(0, packet.timestamp, packet.data.len(), packet.original_length);
                let (time, length) = (packet.timestamp, packet.original_length);
                engine.packet(packet.number, time, packet.link, packet.data, length, &mut reporter);
            }
            Ok(Captured::Deadline | Captured::Woken) => {
                engine.advance(wall_clock(), &mut reporter);
                reporter.flush();
            }
            Err(error) => break Some(error),
        }
        let now = Instant::now();
        if now.duration_since(told) >= TELL {
            told = now;
            let statistics = interface.statistics();
            let all = statistics.dropped.saturating_add(statistics.dropped_by_interface);
            let more = all.wrapping_sub(lost) & u64::from(u32::MAX);
            if more > 0 {
                lost = all;
                reporter.missed(more, wall_clock());
            }
            reporter.flush();
        }
        if !task.statistics_interval.is_zero() && now.duration_since(counted) >= task.statistics_interval {
            counted = now;
            reporter.statistics(engine.statistics(), engine.flows(), began.elapsed(), wall_clock());
        }
        if manager.interval().is_some_and(|interval| now.duration_since(alive) >= interval) {
            alive = now;
            manager.say("WATCHDOG=1");
        }
        let mut ends = reporter.is_closed();
        for signal in signals.pending() {
            match signal {
                SIGHUP => {
                    reporter.reopen();
                    if let Ok((grammars, policies)) = rules.load(&manager) {
                        engine.replace_rules(grammars.clone(), policies);
                        reporter.rules_replaced(engine.rules().generation, &grammars);
                    }
                }
                SIGUSR1 => reporter.reopen(),
                SIGINT | SIGTERM => ends = true,
                _ => {}
            }
        }
        if ends {
            break None;
        }
    };
    manager.say("STOPPING=1");
    engine.finish(&mut reporter);
    reporter.finish(engine.statistics(), colour.stdout)?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(Outcome::Fine),
    }
}
