//! `portcullis inline`: packets from the queues of the kernel through gates, and back with verdicts.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use portcullis_capture::Injector;
use portcullis_capture::limits::messages_in;
use portcullis_capture::queue::{self, QueueSettings};
use portcullis_capture::sandbox::{self, Identity, SandboxSettings};
use portcullis_engine::{Blocks, Failure, Gate, Grammars};
use portcullis_lang::{Direction, suggest};
use portcullis_report::{FileSink, Sink, StdoutSink};

use crate::arguments::SandboxChoice;
use crate::gateway::control::{self, ControlSocket};
use crate::gateway::director::{self, Director, RuleChoice};
use crate::gateway::evidence::EvidenceWriter;
use crate::gateway::guard::{self, Guard};
use crate::gateway::marks;
use crate::gateway::notify::ServiceManager;
use crate::gateway::records::Writer;
use crate::gateway::watchdog::{Pulse, Watchdog};
use crate::gateway::worker::{Desk, Orders, Worker};
use crate::grammars::{self, Reloading};
use crate::plan::{Colour, ControlTask, Destination, GuardTask, InlineTask};
use crate::read::reporter::Reporter;
use crate::{Outcome, policies};

/// How often the guard is told that all is well.
const BEAT: Duration = Duration::from_millis(250);

pub(crate) fn run(task: &InlineTask, colour: Colour) -> anyhow::Result<Outcome> {
    // Everything that can be wrong is said before the first queue is bound: what a queue is sent and nobody reads waits.
    let mut settings = task.settings.clone();
    task.limits.apply(&mut settings)?;
    let least = messages_in(task.receive_buffer);
    if task.gate.on_failure == Failure::Open && task.queue_length < least {
        anyhow::bail!(
            "a queue of {} packets is full before its receive buffer of {} octets, and what passes then nothing counts; \
             use --queue-length {least} or more, a smaller --receive-buffer, or --on-failure closed",
            task.queue_length,
            task.receive_buffer,
        );
    }
    let grammars = grammars::load_all(&task.grammars, colour.stderr)?;
    let policies = policies::load_all(&task.policies, &grammars, colour.stderr)?;
    task.gate.serialise.iter().try_for_each(|name| serialisable(&grammars, name))?;
    let mut signals = director::signals()?;
    let control = task.control.as_deref().map(ControlSocket::bind).transpose()?;
    let sink = task.records.as_ref().map(open_records).transpose()?;
    if let Some(folder) = &task.evidence {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {} for evidence", folder.display()))?;
    }
    let orders = Arc::new(Orders::new(Arc::clone(&grammars), Arc::clone(&policies), task.gate.mode));
    let mut guard = task.guard.then(|| Guard::start(task.patience)).transpose().context("cannot start the guard")?;
    let mut doors = Vec::new();
    for number in task.queues.clone() {
        doors.push((number, queue::open(&queue_settings(task, number))?, Injector::open(marks::OWN)?));
    }
    let manager = ServiceManager::find();
    // From here on nothing is opened but what the sandbox leaves; threads begin in it.
    if let Some(settings) = sandbox_settings(task)? {
        sandbox::enter(&settings)?.lines().iter().for_each(|line| tracing::info!("sandbox: {line}"));
    }
    let writer = sink.map(Writer::start).transpose()?;
    let evidence =
        task.evidence.as_deref().map(|folder| EvidenceWriter::start(folder, task.evidence_quota)).transpose()?;
    let (mut desks, mut pulses, mut workers) = (Vec::new(), Vec::new(), Vec::new());
    // An address that is blocked in one queue is blocked in all.
    let blocks = Blocks::default();
    for (number, queue, injector) in doors {
        let name = format!("queue {number}");
        let (desk, pulse) = (Arc::new(Desk::default()), Pulse::default());
        let worker = Worker::new(
            queue,
            Gate::new(Arc::clone(&grammars), Arc::clone(&policies), settings.clone(), task.gate.clone())
                .sharing(&blocks),
            reporter(writer.as_ref(), &grammars, evidence.is_some()),
            injector,
            evidence.as_ref().and_then(EvidenceWriter::keeper),
            marks::BYPASS,
            Arc::clone(&orders),
            Arc::clone(&desk),
            pulse.clone(),
        );
        desks.push((name.clone(), desk));
        pulses.push((name.clone(), pulse));
        workers.push((name, worker));
    }

    let director = Arc::new(Director {
        orders: Arc::clone(&orders),
        desks,
        rules: RuleChoice {
            grammars: Reloading::new(task.grammars.clone(), colour.stderr, &grammars),
            policies: task.policies.clone(),
            colour: colour.stderr,
        },
        writer,
        started: Instant::now(),
        evidence: evidence.as_ref().map(EvidenceWriter::losses),
        manager,
    });
    let over = AtomicBool::new(false);
    let failure = std::thread::scope(|scope| -> anyhow::Result<Option<String>> {
        let watchdog = Watchdog::new(pulses, task.patience, Instant::now());
        for (name, worker) in workers {
            std::thread::Builder::new().name(name).spawn_scoped(scope, || worker.run())?;
        }
        let (over, manager) = (&over, &director.manager);
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn_scoped(scope, move || watchdog.run(over, manager))?;
        if let Some(control) = &control {
            let handler = director::handler(&director);
            let serve = move || control.serve(over, &handler);
            std::thread::Builder::new().name("control".to_owned()).spawn_scoped(scope, serve)?;
        }
        if let Some(guard) = &mut guard {
            let beat = move || {
                while !over.load(Ordering::Relaxed) && guard.beat() {
                    std::thread::sleep(BEAT);
                }
            };
            std::thread::Builder::new().name("guard".to_owned()).spawn_scoped(scope, beat)?;
        }
        director.manager.say("READY=1");
        tell_start(task);
        let failure = director.direct(&mut signals, task.statistics_interval);
        orders.stop();
        // Workers come to an end within a step; then the others may.
        over.store(true, Ordering::Relaxed);
        Ok(failure)
    })?;
    director.last_statistics();
    if let Some(mut evidence) = evidence {
        evidence.finish();
    }
    if let Some(guard) = guard {
        guard.dismiss();
    }
    drop(control);
    if let Some(mut director) = Arc::into_inner(director)
        && let Some(error) = director.writer.as_mut().and_then(Writer::finish)
        && !error.is_closed()
    {
        return Err(error.into());
    }
    match failure {
        Some(failure) => anyhow::bail!("{failure}"),
        None => Ok(Outcome::Fine),
    }
}

/// Whether clients of a protocol can be made to wait for answers.
fn serialisable(grammars: &Grammars, name: &str) -> anyhow::Result<()> {
    let program = grammars.by_name(name).and_then(|id| grammars.program(id));
    let Some(program) = program else {
        let known: Vec<&str> = grammars.iter().map(|(id, _)| grammars.name(id)).collect();
        let near = suggest(name, known.iter().copied()).map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
        anyhow::bail!("--serialise {name}: there is no grammar of that name, only {}{near}", known.join(", "));
    };
    let protocol = program.protocol();
    if !protocol.transports.iter().any(|transport| !transport.datagrams && !transport.ports.is_empty()) {
        anyhow::bail!("--serialise {name}: it has no TCP port, and only connections can be serialised");
    }
    if program.runs_ahead(Direction::Up).is_none() {
        anyhow::bail!(
            "--serialise {name}: in no state of its grammar a client waits for an answer (`up waits`), so that there is \
             nothing to wait for"
        );
    }
    Ok(())
}

/// `portcullis guard`, which `portcullis inline` starts.
pub(crate) fn guard(task: &GuardTask) -> anyhow::Result<Outcome> {
    guard::run(task.process, task.patience)?;
    Ok(Outcome::Fine)
}

/// `portcullis ctl`
pub(crate) fn control(task: &ControlTask) -> anyhow::Result<Outcome> {
    let answer = control::ask(&task.socket, &task.command)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&answer)?)?;
    let bad = answer.get("error").is_some_and(|error| !error.is_null());
    Ok(if bad { Outcome::Bad } else { Outcome::Fine })
}

/// What the sandbox leaves: reading rules again, writing records and captures, removing the socket.
fn sandbox_settings(task: &InlineTask) -> anyhow::Result<Option<SandboxSettings>> {
    if task.sandbox == SandboxChoice::Off {
        return Ok(None);
    }
    let (read, mut write) = director::places(&task.grammars, &task.policies, task.records.as_ref());
    write.extend(task.evidence.clone());
    write.extend(task.control.as_deref().map(director::folder_of));
    let identity = task.user.as_deref().map(Identity::named).transpose()?;
    let strict = task.sandbox == SandboxChoice::Strict;
    Ok(Some(SandboxSettings { identity, read, write, strict, ..SandboxSettings::default() }))
}

fn queue_settings(task: &InlineTask, number: u16) -> QueueSettings {
    QueueSettings {
        fail_open: task.gate.on_failure == Failure::Open,
        length: task.queue_length,
        receive_buffer: task.receive_buffer,
        backend: task.backend,
        ..QueueSettings::new(number)
    }
}

fn open_records(destination: &Destination) -> anyhow::Result<Box<dyn Sink>> {
    Ok(match destination {
        Destination::StandardOutput => Box::new(StdoutSink::new()),
        Destination::File(path) => Box::new(FileSink::open(Path::new(path))?),
    })
}

fn reporter(writer: Option<&Writer>, grammars: &Grammars, leads: bool) -> Reporter {
    let sink = writer.map(|writer| Box::new(writer.lines()) as Box<dyn Sink>);
    let reporter = Reporter::new(sink, Vec::new(), grammars);
    if leads { reporter.with_leads() } else { reporter }
}

fn tell_start(task: &InlineTask) {
    let (first, last) = (task.queues.start(), task.queues.end());
    let queues = if first == last { format!("queue {first}") } else { format!("queues {first} to {last}") };
    tracing::warn!(mode = task.gate.mode.name(), on_failure = task.gate.on_failure.name(), "the gate stands: {queues}");
}
