//! Directs the workers: loads rules, answers signals and requests, writes statistics.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis_engine::{Gate, Grammars};
use portcullis_policy::PolicySet;
use portcullis_report::{Encoder, Head, Moment, Sink, Statistics, StatisticsRecord};
use portcullis_stream::{Change, DropReason};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::control::{Followed, Handler, Request};
use super::notify::ServiceManager;
use super::records::{Lines, Writer};
use super::stories::{MOST_FOLLOWED, Wish};
use super::witness::{MOST_STORIES, Witness};
use super::worker::{Desk, Orders, Told, wall_clock};
use crate::grammars::{GrammarChoice, Reloading};
use crate::plan::Destination;
use crate::policies::{self, PolicyChoice};
use crate::trace::Wanted;

/// How long a worker may take to answer a question about its flows.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where rules come from, so that they can be loaded again.
#[derive(Debug)]
pub(crate) struct RuleChoice {
    pub(crate) grammars: Reloading,
    pub(crate) policies: PolicyChoice,
    pub(crate) colour: bool,
}

impl RuleChoice {
    /// Loads grammars and policies again. What is wrong with them is said.
    pub(crate) fn load(&self, manager: &ServiceManager) -> Result<(Arc<Grammars>, Arc<PolicySet>), String> {
        manager.say("RELOADING=1");
        let loaded = self.grammars.load().and_then(|grammars| {
            let policies = policies::load_all(&self.policies, &grammars, self.colour)?;
            Ok((grammars, policies))
        });
        manager.say("READY=1");
        match &loaded {
            Ok((_, policies)) => {
                let rules = policies.rules().len();
                tracing::warn!(rules, "rules were loaded again");
            }
            Err(error) => tracing::error!("rules were not loaded again, the old ones stay in force: {error}"),
        }
        loaded.map_err(|error| error.to_string())
    }
}

/// The folders that a sandbox has to leave: those of rules, to read them again, and that of records, to write them.
pub(crate) fn places(
    grammars: &GrammarChoice,
    policies: &PolicyChoice,
    records: Option<&Destination>,
) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut read = Vec::new();
    if let GrammarChoice::Folder(folder) = grammars {
        read.push(folder.clone());
    }
    if let PolicyChoice::Named(paths) = policies {
        // Lists lie beside the policies that name them.
        read.extend(paths.iter().filter(|path| path.exists()).map(|path| folder_of(path)));
    }
    let write = match records {
        Some(Destination::File(path)) => vec![folder_of(path)],
        _ => Vec::new(),
    };
    (read, write)
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What is known to whoever directs.
pub(crate) struct Director {
    pub(crate) orders: Arc<Orders>,
    pub(crate) desks: Vec<(String, Arc<Desk>)>,
    pub(crate) rules: RuleChoice,
    pub(crate) writer: Option<Writer>,
    /// Counts captures that were not written.
    pub(crate) evidence: Option<Arc<AtomicU64>>,
    pub(crate) started: Instant,
    pub(crate) manager: ServiceManager,
}

impl Director {
    /// Loads grammars and policies again. What is wrong with them is said, and the old ones stay in force.
    pub(crate) fn reload(&self) -> Result<usize, String> {
        let (grammars, policies) = self.rules.load(&self.manager)?;
        let rules = policies.rules().len();
        self.orders.replace_rules(grammars, policies);
        Ok(rules)
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: &Request) -> Value {
        match request {
            Request::Status => self.status(),
            Request::Stats => self.statistics(),
            Request::Reload => match self.reload() {
                Ok(rules) => json!({ "reloaded": true, "rules": rules }),
                Err(error) => {
                    json!({ "reloaded": false, "error": error, "hint": "the gate has said more on its standard error" })
                }
            },
            Request::Reopen => {
                self.reopen();
                json!({ "reopened": self.writer.is_some() })
            }
            Request::Mode(mode) => {
                self.orders.set_mode(*mode);
                tracing::warn!(mode = mode.name(), "the mode was changed");
                json!({ "mode": mode.name() })
            }
            Request::Flows => json!({ "flows": self.ask(|gate, witness| witness.flows(gate)) }),
            Request::Explain(wanted) => self.explain(wanted.as_ref()),
            Request::Follow(Some(followed)) => self.follow(followed),
            Request::Follow(None) => {
                let orders = self
                    .ask(|_, witness| witness.stories.wishes().iter().map(|wish| json!(wish.to_string())).collect());
                let counts = self.told().0.stories;
                json!({ "orders": unlike(orders), "followed": counts.followed, "most": MOST_FOLLOWED })
            }
            Request::Unfollow(wanted) => {
                let wanted = wanted.clone();
                self.ask(move |_, witness| {
                    witness.stories.unfollow(wanted.as_ref());
                    Vec::new()
                });
                json!({ "unfollowed": true })
            }
        }
    }

    fn reopen(&self) {
        if let Some(writer) = &self.writer {
            writer.reopen();
        }
    }

    fn status(&self) -> Value {
        let stories = self.told().0.stories;
        let (rules, reloads) = self.orders.rules();
        let queues: Vec<Value> = self
            .desks
            .iter()
            .map(|(name, desk)| {
                let told = desk.told();
                json!({ "queue": name, "flows": told.flows, "seen": told.gate.seen, "failure": told.failure })
            })
            .collect();
        json!({
            "mode": self.orders.mode().name(),
            "uptime": self.started.elapsed().as_secs(),
            "rules": rules,
            "reloads": reloads,
            "queues": queues,
            "stories": {
                "followed": stories.followed,
                "kept": stories.kept,
                "octets": stories.octets,
                "not_followed": stories.not_followed,
                "given_up": stories.given_up,
            },
            "records_lost": self.writer.as_ref().map(Writer::lost),
            "evidence_lost": self.evidence.as_ref().map(|lost| lost.load(Ordering::Relaxed)),
        })
    }

    fn statistics(&self) -> Value {
        let (told, all) = self.told();
        let gate = &told.gate;
        let normaliser = |name: &str, number: u64| (number > 0).then(|| (name.to_owned(), json!(number)));
        let changes =
            Change::ALL.iter().filter_map(|change| normaliser(change.name(), told.normaliser.changed(*change)));
        let drops =
            DropReason::ALL.iter().filter_map(|reason| normaliser(reason.name(), told.normaliser.dropped(*reason)));
        json!({
            "packets": {
                "seen": gate.seen,
                "accepted": gate.accepted,
                "dropped": gate.dropped,
                "refused": gate.refused,
                "bypassed": gate.bypassed,
                "uninspected": gate.uninspected,
                "reconciled": gate.reconcile(),
            },
            "accepted": { "rewritten": gate.rewritten },
            "dropped": { "by_rules": gate.dropped_by_rules, "normalised": gate.normalised_away, "held": gate.held },
            "uninspected": { "passed": gate.passed_uninspected, "missed": gate.missed },
            "normaliser": {
                "changed": Value::Object(changes.collect()),
                "dropped": Value::Object(drops.collect()),
            },
            "own_packets": { "sent": gate.sent, "unsent": told.unsent },
            "flows": { "now": told.flows, "refused": gate.refusals, "reset": gate.resets },
            "edits": { "begun": gate.edits, "refused": gate.refused_edits, "failed": gate.failed_edits },
            "holds": { "timeouts": gate.hold_timeouts, "overruns": gate.hold_overruns },
            "queue": {
                "received": told.queue.received,
                "overruns": told.queue.overruns,
                "cut": told.queue.cut,
                "offloaded": told.queue.offloaded,
                "refused_verdicts": told.queue.refused_verdicts,
            },
            "memory": told.memory,
            "engine": serde_json::to_value(&all).unwrap_or_default(),
        })
    }

    /// The sum of what all workers have told.
    fn told(&self) -> (Told, Statistics) {
        let mut sum = Told::default();
        let mut counted = Statistics::default();
        for (_, desk) in &self.desks {
            let told = desk.told();
            counted += &told.counted;
            sum.gate += told.gate;
            sum.normaliser += &told.normaliser;
            sum.queue = sum.queue.plus(told.queue);
            sum.flows += told.flows;
            sum.stories = sum.stories.plus(told.stories);
            sum.memory += told.memory;
            sum.unsent += told.unsent;
        }
        counted.flow.active = u64::try_from(sum.flows).unwrap_or(u64::MAX);
        (sum, counted)
    }

    /// Asks all workers; what they have answered in time.
    fn ask(&self, question: impl FnOnce(&Gate, &mut Witness) -> Vec<Value> + Clone + Send + 'static) -> Vec<Value> {
        let (sender, receiver) = channel();
        for (_, desk) in &self.desks {
            let (sender, question) = (sender.clone(), question.clone());
            desk.ask(Box::new(move |gate: &Gate, witness: &mut Witness| {
                let _ = sender.send(question(gate, witness));
            }));
        }
        drop(sender);
        collect(&receiver, self.desks.len())
    }

    /// The stories that are asked for.
    fn explain(&self, wanted: Option<&Wanted>) -> Value {
        let Some(wanted) = wanted else {
            let flows = self.ask(|gate, witness| witness.list(gate));
            let note = match flows.len() {
                0 => "no story is kept: there was no alert, and nothing is followed (portcullis ctl follow)".to_owned(),
                count => format!("{count} stories; portcullis explain FLOW tells one"),
            };
            return json!({ "flows": flows, "note": note });
        };
        let asked = wanted.clone();
        let flows = self.ask(move |gate, witness| witness.explain(gate, &asked));
        if flows.is_empty() {
            let error = format!(
                "no flow is \"{wanted}\", neither now nor among the stories that are kept of flows that have ended: name it by \
                 the flow_id or event_id of a record, or by a part of its addresses, as 192.0.2.1:40000. Evidence of a flow \
                 with an alert may be a capture: portcullis explain FILE"
            );
            return json!({ "flows": flows, "error": error });
        }
        let more = flows.len() >= MOST_STORIES;
        let note = more.then(|| format!("there may be more: a worker tells {MOST_STORIES} stories at most"));
        json!({ "flows": flows, "note": note })
    }

    /// Has workers follow flows.
    fn follow(&self, followed: &Followed) -> Value {
        let wish = match followed {
            Followed::Named(wanted) => Wish::Named(wanted.clone()),
            Followed::Next(number) => Wish::Next(Arc::new(AtomicU32::new(*number))),
        };
        let name = wish.to_string();
        let answers = self.ask(move |gate, witness| {
            vec![match witness.follow(gate, wish, wall_clock()) {
                Ok(count) => json!(count),
                Err(error) => json!(error),
            }]
        });
        if let Some(error) = answers.iter().find(|answer| answer.is_string()) {
            return json!({ "error": error });
        }
        let now: u64 = answers.iter().filter_map(Value::as_u64).sum();
        match followed {
            Followed::Named(wanted) if wanted.flow_id().is_some() && now == 0 => {
                json!({ "error": format!("no flow is \"{name}\" now, or too many are followed ({MOST_FOLLOWED} for each queue)") })
            }
            _ => json!({ "follow": name, "flows_now": now, "most": MOST_FOLLOWED }),
        }
    }

    /// Writes a `stats` record.
    fn write_statistics(&self, lines: &mut Lines, encoder: &mut Encoder) {
        let (_, counted) = self.told();
        let body = StatisticsRecord { uptime: self.started.elapsed(), statistics: &counted };
        let head = Head::of_capture(Moment { time: wall_clock(), packet: 0 });
        // Lines never wait and never fail; what is lost is counted.
        let _ = lines.line(encoder.line(&head, &body));
        let _ = lines.flush();
    }

    /// Answers signals and writes statistics until a signal asks for the end, or a worker has failed.
    pub(crate) fn direct(self: &Arc<Self>, signals: &mut Signals, interval: Duration) -> Option<String> {
        let mut lines = self.writer.as_ref().map(Writer::lines);
        let mut encoder = Encoder::new();
        let mut next = Instant::now() + interval;
        loop {
            for signal in signals.pending() {
                match signal {
                    SIGHUP => {
                        self.reopen();
                        // What is wrong was said.
                        let _ = self.reload();
                    }
                    SIGUSR1 => self.reopen(),
                    SIGTERM | SIGINT => {
                        self.manager.say("STOPPING=1");
                        tracing::warn!("the gate comes to an end: a signal asks for it");
                        self.orders.stop();
                        return None;
                    }
                    _ => {}
                }
            }
            if let Some(failure) = self.desks.iter().find_map(|(_, desk)| desk.told().failure) {
                return Some(failure);
            }
            if let Some(lines) = &mut lines
                && !interval.is_zero()
                && Instant::now() >= next
            {
                next = Instant::now() + interval;
                self.write_statistics(lines, &mut encoder);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last `stats` record, when workers have ended.
    pub(crate) fn last_statistics(&self) {
        if let Some(mut lines) = self.writer.as_ref().map(Writer::lines) {
            self.write_statistics(&mut lines, &mut Encoder::new());
        }
    }
}

/// The signals that a gate answers.
pub(crate) fn signals() -> std::io::Result<Signals> {
    Signals::new([SIGHUP, SIGUSR1, SIGTERM, SIGINT])
}

/// What the control socket does with requests.
pub(crate) fn handler(director: &Arc<Director>) -> Arc<Mutex<Box<Handler>>> {
    let director = Arc::clone(director);
    let handler: Box<Handler> = Box::new(move |request| director.answer(&request));
    Arc::new(Mutex::new(handler))
}

/// Each once, in order.
fn unlike(mut values: Vec<Value>) -> Vec<Value> {
    let mut seen = Vec::new();
    values.retain(|value| {
        let is_new = !seen.contains(value);
        if is_new {
            seen.push(value.clone());
        }
        is_new
    });
    values
}

fn collect(receiver: &Receiver<Vec<Value>>, most: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    for _ in 0..most {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(some) => all.extend(some),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    all
}
