//! One queue and the gate behind it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_capture::Injector;
use portcullis_capture::queue::{Disposition, PacketQueue, QueueError, QueueStatistics, Received};
use portcullis_engine::{Arriving, Fate, Gate, GateStatistics, Grammars, Mode};
use portcullis_policy::PolicySet;
use portcullis_report::Statistics;
use portcullis_stream::NormaliserStatistics;
use portcullis_wire::Timestamp;

use super::evidence::Keeper;
use super::stories::StoryCounts;
use super::watchdog::Pulse;
use super::witness::Witness;
use crate::read::reporter::{Lead, Reporter};

/// How long a worker waits for a packet before it looks at its clock.
const STEP: Duration = Duration::from_millis(50);

/// How often it tells what it has counted.
const TELL: Duration = Duration::from_millis(250);

/// What the workers have from those who direct them.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Counts what was ordered, so that a worker sees at a glance whether there is anything new.
    issued: AtomicU64,
    stop: AtomicBool,
    current: Mutex<Order>,
}

/// What holds at the moment.
#[derive(Clone, Debug)]
struct Order {
    grammars: Arc<Grammars>,
    policies: Arc<PolicySet>,
    /// How often the rules were replaced.
    rules: u64,
    mode: Mode,
}

impl Orders {
    pub(crate) fn new(grammars: Arc<Grammars>, policies: Arc<PolicySet>, mode: Mode) -> Orders {
        let current = Mutex::new(Order { grammars, policies, rules: 0, mode });
        Orders { issued: AtomicU64::new(0), stop: AtomicBool::new(false), current }
    }

    /// Replaces grammars and policies.
    pub(crate) fn replace_rules(&self, grammars: Arc<Grammars>, policies: Arc<PolicySet>) {
        self.change(|order| {
            (order.grammars, order.policies) = (grammars, policies);
            order.rules += 1;
        });
    }

    /// Observes or enforces.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.change(|order| order.mode = mode);
    }

    /// Whether workers observe or enforce.
    pub(crate) fn mode(&self) -> Mode {
        self.order().mode
    }

    /// Rules that are in force, and how often they were replaced.
    pub(crate) fn rules(&self) -> (usize, u64) {
        let order = self.order();
        (order.policies.rules().len(), order.rules)
    }

    /// Lets workers come to an end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    fn change(&self, change: impl FnOnce(&mut Order)) {
        change(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
        self.issued.fetch_add(1, Ordering::Release);
    }

    fn order(&self) -> Order {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a worker has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) gate: GateStatistics,
    pub(crate) normaliser: NormaliserStatistics,
    pub(crate) queue: QueueStatistics,
    pub(crate) counted: Statistics,
    pub(crate) flows: usize,
    pub(crate) stories: StoryCounts,
    pub(crate) memory: usize,
    /// Packets of the gate's own that could not be sent.
    pub(crate) unsent: u64,
    /// Why the worker has ended, if it should not have.
    pub(crate) failure: Option<String>,
}

/// What is asked of a worker about its flows, or whether to follow some.
pub(crate) type Question = Box<dyn FnOnce(&Gate, &mut Witness) + Send>;

/// What a worker shares with those who ask it.
#[derive(Default)]
pub(crate) struct Desk {
    told: Mutex<Told>,
    questions: Mutex<Vec<Question>>,
    asked: AtomicBool,
}

impl Desk {
    /// What the worker has counted, at most [`TELL`] ago.
    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the worker look at its flows.
    pub(crate) fn ask(&self, question: Question) {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        self.asked.store(true, Ordering::Release);
    }
}

/// One queue and the gate behind it.
pub(crate) struct Worker {
    queue: Box<dyn PacketQueue>,
    gate: Gate,
    witness: Witness,
    injector: Injector,
    keeper: Option<Keeper>,
    /// The mark of packets whose flow need not be shown any more.
    bypass_mark: u32,
    orders: Arc<Orders>,
    desk: Arc<Desk>,
    pulse: Pulse,
    /// How many orders were obeyed.
    obeyed: u64,
    done: u64,
    missed: u64,
    unsent: u64,
    send: Vec<Vec<u8>>,
    /// When the last packet came, which is the same for all that were received together.
    last: Timestamp,
}

impl Worker {
    #[expect(clippy::too_many_arguments, reason = "everything that a worker owns or is directed by")]
    pub(crate) fn new(
        queue: Box<dyn PacketQueue>,
        gate: Gate,
        reporter: Reporter,
        injector: Injector,
        keeper: Option<Keeper>,
        bypass_mark: u32,
        orders: Arc<Orders>,
        desk: Arc<Desk>,
        pulse: Pulse,
    ) -> Worker {
        Worker {
            queue,
            gate,
            witness: Witness::new(reporter),
            injector,
            keeper,
            bypass_mark,
            orders,
            desk,
            pulse,
            obeyed: 0,
            done: 0,
            missed: 0,
            unsent: 0,
            send: Vec::new(),
            last: Timestamp::MIN,
        }
    }

    /// Judges packets until it is told to stop. A queue that fails ends the worker, and with it the process.
    pub(crate) fn run(mut self) {
        let mut tick = Instant::now() + STEP;
        let mut tell = Instant::now() + TELL;
        while !self.orders.stop.load(Ordering::Acquire) {
            self.pulse.beat();
            self.obey();
            let more = match self.packet(tick) {
                Ok(more) => more,
                Err(error) => {
                    self.fail(&error);
                    return;
                }
            };
            self.inject();
            if more {
                continue;
            }
            let now = Instant::now();
            if now >= tick {
                tick = now + STEP;
                self.gate.tick(wall_clock(), &mut self.witness, &mut self.send);
                self.follow_leads();
                self.inject();
                self.witness.reporter.flush();
            }
            if now >= tell {
                tell = now + TELL;
                self.answer();
                self.tell(None);
            }
        }
        self.finish();
    }

    /// Takes one packet, if one comes before the deadline, and gives its verdict. Tells whether it came together with the one
    /// before it, so that no time has passed that matters.
    fn packet(&mut self, deadline: Instant) -> Result<bool, QueueError> {
        let before = self.last;
        let (id, fate) = match self.queue.receive(Some(deadline))? {
            Received::Packet(packet) => {
                let original_length = usize::try_from(packet.original_length).unwrap_or(usize::MAX);
                let arriving = Arriving {
                    number: self.done.saturating_add(1),
                    time: packet.time,
                    octets: packet.data,
                    original_length,
                    checksum_ready: packet.checksum_ready,
                    offloaded: packet.offloaded,
                };
                self.last = packet.time;
                self.witness.reporter.packet(0, packet.time, packet.data.len(), packet.original_length);
                let fate = self.gate.packet(&arriving, &mut self.witness, &mut self.send);
                if let (Some(keeper), Some(flow)) = (&mut self.keeper, self.gate.last_flow()) {
                    keeper.packet(flow, packet.time, packet.data);
                }
                (packet.id, fate)
            }
            Received::Deadline | Received::Woken => {
                self.look_for_missed()?;
                return Ok(false);
            }
        };
        self.done = self.done.saturating_add(1);
        self.follow_leads();
        let disposition = match &fate {
            Fate::Accept => Disposition::Accept { mark: None },
            Fate::Replace(octets) => Disposition::Replace { octets, mark: None },
            Fate::Drop => Disposition::Drop,
            Fate::Bypass => Disposition::Accept { mark: Some(self.bypass_mark) },
        };
        match self.queue.verdict(id, disposition) {
            // One packet that cannot leave as it should is no reason for all to stay.
            Err(error @ QueueError::TooLong { .. }) => {
                tracing::warn!("{error}; it is dropped");
                self.queue.verdict(id, Disposition::Drop)?;
            }
            result => result?,
        }
        if !self.send.is_empty() {
            // What is sent in a side's name comes behind the packet that led to it.
            self.queue.flush()?;
        }
        self.look_for_missed()?;
        Ok(self.last == before)
    }

    fn look_for_missed(&mut self) -> Result<(), QueueError> {
        let uninspected = self.queue.statistics().uninspected;
        let missed = uninspected.saturating_sub(self.missed);
        if missed > 0 {
            self.missed = uninspected;
            self.gate.packets_were_missed(missed);
            self.witness.reporter.missed(missed, wall_clock());
        }
        Ok(())
    }

    fn follow_leads(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        for lead in self.witness.reporter.leads() {
            match lead {
                Lead::Found { flow, name, comment } => keeper.found(flow, name, comment),
                Lead::Ended(flow) => keeper.ended(flow),
            }
        }
    }

    fn inject(&mut self) {
        for packet in self.send.drain(..) {
            if let Err(error) = self.injector.send(&packet) {
                self.unsent = self.unsent.saturating_add(1);
                tracing::debug!("{error}");
            }
        }
    }

    fn obey(&mut self) {
        let issued = self.orders.issued.load(Ordering::Acquire);
        if issued == self.obeyed {
            return;
        }
        let order = self.orders.order();
        self.obeyed = issued;
        if self.gate.mode() != order.mode {
            self.gate.set_mode(order.mode, &mut self.send);
        }
        let rules = self.gate.engine().rules();
        if !Arc::ptr_eq(&rules.grammars, &order.grammars) || !Arc::ptr_eq(&rules.policies, &order.policies) {
            self.gate.replace_rules(Arc::clone(&order.grammars), order.policies);
            self.witness.reporter.rules_replaced(self.gate.engine().rules().generation, &order.grammars);
        }
    }

    fn answer(&mut self) {
        if self.desk.asked.swap(false, Ordering::AcqRel) {
            let questions = std::mem::take(&mut *self.desk.questions.lock().unwrap_or_else(PoisonError::into_inner));
            questions.into_iter().for_each(|question| question(&self.gate, &mut self.witness));
        }
    }

    fn tell(&self, failure: Option<String>) {
        let told = Told {
            gate: *self.gate.statistics(),
            normaliser: self.gate.normaliser_statistics().cloned().unwrap_or_default(),
            queue: self.queue.statistics(),
            counted: self.witness.reporter.counted(self.gate.engine_statistics()),
            flows: self.gate.engine().flows(),
            stories: self.witness.stories.counts(),
            memory: self.gate.engine().memory(),
            unsent: self.unsent,
            failure,
        };
        *self.desk.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    fn finish(mut self) {
        self.gate.finish(&mut self.witness, &mut self.send);
        self.follow_leads();
        self.inject();
        if let Err(error) = self.queue.flush() {
            tracing::warn!("{error}");
        }
        self.witness.reporter.flush();
        self.tell(None);
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        tracing::error!("{error}");
        self.witness.reporter.flush();
        self.tell(Some(error.to_string()));
        self.orders.stop();
    }
}

/// Now, as packets have it.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
