//! Checked policies, ready to judge events.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_lang::scheme::event_slots;
use portcullis_lang::{EventId, Formula, Host, Place, ProtocolScheme, Scope, Value};
use smallvec::SmallVec;

use crate::answers::Block;
use crate::decision::{Action, Decision, RuleId, RuleInfo, Severity};
use crate::demand::{Demand, reads, reads_connection_alone, reads_found};
use crate::edits::{Changes, Edit, Edited};
use crate::holds::Hold;
use crate::index::{self, FieldIndex, Hits};
use crate::memory::{Memory, Threshold};
use crate::streams::{Hit, Scan, Scans, StreamCost, StreamPatterns, StreamPlan};
use crate::testing::PolicyTest;
use crate::text::AlertText;

/// The number of a protocol: its place among the schemes that the policies were compiled against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolId(pub u16);

/// All policies of a run, checked and arranged so that an event costs as little as possible.
///
/// For each event there is one list of rules, of all policies in the order in which they were given and of each policy
/// from top to bottom. Three things keep the work down: what depends on addresses and ports alone is settled once per
/// flow ([`PolicySet::applicable`]); rules that test one field for equality share one look-up per event; and
/// [`PolicySet::demand`] tells what nobody reads.
///
/// What remains is evaluated as a tree of [`Formula`]s. As closures a test that is visited would take half the time
/// (`examples/rules_speed.rs`: 16 ns against 31 ns for two comparisons); the look-ups, which decide how many are visited,
/// bring more than that from the second rule on, and a tree can be looked into, for [`PolicySet::demand`] and for merging.
///
/// It is never changed once it is made, so that all workers share one.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    pub(crate) protocols: Vec<ProtocolPlan>,
    pub(crate) rules: Vec<Arc<RuleInfo>>,
    pub(crate) policies: Vec<Arc<str>>,
    pub(crate) tests: Vec<PolicyTest>,
}

/// What the rules of one protocol are.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProtocolPlan {
    /// `smtp`.
    pub(crate) name: String,
    /// Conditions on addresses and ports; [`Applicable`] has a bit for each.
    gates: Vec<Formula>,
    /// The sets of gates that rules have, each once.
    ways: Vec<SmallVec<[u32; 2]>>,
    /// By [`EventId`].
    events: Vec<EventPlan>,
    /// The streams that rules look through.
    streams: Vec<StreamPlan>,
}

/// The rules on one event, in the order in which they are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventPlan {
    rules: Vec<PlannedRule>,
    /// The event, for those who are told of it.
    name: String,
    /// Those that no index answers for.
    always: Vec<u32>,
    indexes: Vec<FieldIndex>,
    /// What is looked for in the stream whose end the event is.
    patterns: StreamPatterns,
    /// The stream that the event is of, if rules look through it.
    stream: Option<u16>,
}

/// One rule on one event. A rule on several events is planned for each of them.
#[derive(Clone, Debug)]
pub(crate) struct PlannedRule {
    pub(crate) info: Arc<RuleInfo>,
    /// Bits of [`Applicable`] that all have to be set.
    pub(crate) gates: SmallVec<[u32; 2]>,
    /// All of them have to hold.
    pub(crate) conditions: Vec<Formula>,
    /// The condition that the index has settled when the rule is visited.
    answered: Option<usize>,
    actions: Actions,
    /// On a stream: whether it asks what was found in it, and can act before its end.
    early: bool,
}

/// What a rule does on one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions {
    /// Acts only from the N+1st time on.
    pub(crate) after: Option<Threshold>,
    pub(crate) alert: Option<Alert>,
    pub(crate) logs: Vec<AlertText>,
    /// What ends the reading.
    pub(crate) verdict: Option<Action>,
    pub(crate) block: Option<Block>,
    pub(crate) hold: Option<Hold>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) observe: bool,
}

/// `alert SEVERITY "text" at most ...`
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    pub(crate) severity: Severity,
    pub(crate) text: AlertText,
    pub(crate) at_most: Option<Threshold>,
}

/// Which event it is that is judged, and when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The protocol of the flow.
    pub protocol: ProtocolId,
    /// The event.
    pub event: EventId,
    /// The time of the packet that completed it, in nanoseconds since 1970.
    pub time: i64,
}

/// Which policies and rules apply to a flow at all, as far as addresses and ports tell.
///
/// A few machine words that belong to the flow; made by [`PolicySet::applicable`] and only good for the set that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applicable {
    bits: SmallVec<[u64; 2]>,
}

impl Applicable {
    fn has(&self, bit: u32) -> bool {
        self.bits.get((bit >> 6) as usize).is_some_and(|word| word & (1 << (bit & 63)) != 0)
    }
}

impl PolicySet {
    /// The number of a protocol of this name, if its scheme was given.
    pub fn protocol(&self, name: &str) -> Option<ProtocolId> {
        let index = self.protocols.iter().position(|protocol| protocol.name == name)?;
        u16::try_from(index).ok().map(ProtocolId)
    }

    /// Which policies and rules apply to a flow of a protocol.
    ///
    /// `connection` has to know [`Scope::Connection`](portcullis_lang::Scope). What it does not know does not apply.
    pub fn applicable(&self, protocol: ProtocolId, connection: &dyn Host) -> Applicable {
        let gates = self.protocols.get(usize::from(protocol.0)).map_or(&[][..], |plan| &plan.gates);
        let words = gates.chunks(64).map(|gates| {
            let bits = gates.iter().enumerate().filter(|(_, gate)| gate.test(connection).holds());
            bits.fold(0, |word: u64, (bit, _)| word | 1 << bit)
        });
        Applicable { bits: words.collect() }
    }

    /// Whether any rule of the protocol applies to a flow: without one nothing of it needs to be judged.
    pub fn concerns(&self, protocol: ProtocolId, applicable: &Applicable) -> bool {
        let plan = self.protocols.get(usize::from(protocol.0));
        plan.is_some_and(|plan| plan.ways.iter().any(|gates| gates.iter().all(|gate| applicable.has(*gate))))
    }

    /// Whether any rule is on an event: without one there is nothing to judge.
    pub fn reads(&self, protocol: ProtocolId, event: EventId) -> bool {
        self.plan(protocol, event).is_some_and(|plan| !plan.rules.is_empty() || plan.stream.is_some())
    }

    /// Whether an event is of a stream that rules look through: then [`PolicySet::scan`] takes it first.
    pub fn scans(&self, protocol: ProtocolId, event: EventId) -> bool {
        self.plan(protocol, event).is_some_and(|plan| plan.stream.is_some())
    }

    /// Takes the beginning and the chunks of streams that rules look through, and adds what the rules on the stream decide
    /// at once: where what they look for ends. Gives the event that these decisions are about, that of the stream.
    ///
    /// A rule acts at most once in a stream. One that could be passed over by a `pass` before it, asks for the size of the
    /// stream, or what is *not* in it, waits for the end, which [`PolicySet::judge_stream`] takes.
    pub fn scan(
        &self,
        occurrence: Occurrence,
        host: &dyn Host,
        applicable: &Applicable,
        memory: &mut Memory,
        scans: &mut Scans,
        decisions: &mut Vec<Decision>,
    ) -> Option<EventId> {
        let protocol = self.protocols.get(usize::from(occurrence.protocol.0))?;
        let number = self.plan(occurrence.protocol, occurrence.event)?.stream?;
        let stream = protocol.streams.get(usize::from(number))?;
        let rules = protocol.events.get(usize::from(stream.end.0))?.rules.as_slice();
        if occurrence.event == stream.start {
            let place = Place { scope: Scope::Event, slot: event_slots::OFFSET };
            let offset = host.read(place).as_number().and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0);
            let asks = |rule: &PlannedRule| rule.conditions.iter().any(reads_found) && rule.applies(applicable);
            if rules.iter().any(asks) {
                scans.begin(number, stream, offset, rules.len());
            }
            return None;
        }
        if occurrence.event != stream.chunk {
            return None;
        }
        let scan = scans.get_mut(number)?;
        let data = host.read(Place { scope: Scope::Event, slot: event_slots::DATA });
        let hits = scan.scan(stream, data.as_bytes()?);
        let mut judging = Judging { time: occurrence.time, applicable, memory, decisions };
        for together in hits.chunk_by(Hit::with) {
            together.iter().for_each(|hit| scan.note(hit));
            if let Some(hit) = together.first().filter(|_| !scan.closed) {
                judge_early(rules, scan, hit, host, &mut judging);
            }
        }
        Some(stream.end)
    }

    /// As [`PolicySet::judge`], for the end of a stream that rules look through.
    pub fn judge_stream(
        &self,
        occurrence: Occurrence,
        host: &dyn Host,
        applicable: &Applicable,
        memory: &mut Memory,
        scans: &mut Scans,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(plan) = self.plan(occurrence.protocol, occurrence.event) else { return };
        let protocol = self.protocols.get(usize::from(occurrence.protocol.0));
        let stream = plan.stream.and_then(|number| Some((number, protocol?.streams.get(usize::from(number))?)));
        let ended = stream.filter(|(_, stream)| stream.end == occurrence.event);
        let scan = ended.and_then(|(number, stream)| Some((scans.take(number)?, stream)));
        let Some((mut scan, stream)) = scan else {
            return self.judge(occurrence, host, applicable, memory, decisions);
        };
        let place = Place { scope: Scope::Event, slot: event_slots::COMPLETE };
        let complete = host.read(place) == Value::Boolean(true);
        if complete {
            scan.finish(stream);
        }
        if scan.closed {
            return;
        }
        let host = scan.at_end(host, complete);
        let mut judging = Judging { time: occurrence.time, applicable, memory, decisions };
        let waiting = plan.rules.iter().enumerate().filter(|(number, _)| !scan.acted.has(*number));
        for (_, rule) in waiting {
            if rule.judge(&host, false, &mut Changes::default(), &mut judging) == Outcome::Ended {
                return;
            }
        }
    }

    /// What looking through streams costs.
    pub fn stream_costs(&self) -> Vec<StreamCost> {
        let mut costs = Vec::new();
        for protocol in &self.protocols {
            for stream in &protocol.streams {
                let Some(plan) = protocol.events.get(usize::from(stream.end.0)) else { continue };
                let name = format!("{}.{}", protocol.name, plan.name);
                costs.push(stream.cost(name, plan.rules.len()));
            }
        }
        costs
    }

    /// Whether any rule changes records of a protocol, so that its connections have to be edited from their beginning.
    pub fn edits(&self, protocol: ProtocolId) -> bool {
        let plan = self.protocols.get(usize::from(protocol.0));
        plan.is_some_and(|plan| plan.events.iter().flat_map(|event| &event.rules).any(PlannedRule::edits))
    }

    /// The most octets that a rule on a protocol holds back; `None` if none does.
    pub fn most_held(&self, protocol: ProtocolId) -> Option<u32> {
        let plan = self.protocols.get(usize::from(protocol.0))?;
        plan.events.iter().flat_map(|event| &event.rules).filter_map(PlannedRule::holds).map(|hold| hold.max).max()
    }

    /// Whether any rule changes records or holds octets at all.
    pub fn has_edits(&self) -> bool {
        let changes = |protocol| self.edits(protocol) || self.most_held(protocol).is_some();
        (0..).map(ProtocolId).take(self.protocols.len()).any(changes)
    }

    /// Adds what the rules decide about an event, in the order in which they are read.
    ///
    /// A rule that acts gives its alert, its log records, its block, its edits and then its verdict. A verdict that is not
    /// only observed is the last decision. A test whose outcome depends on something that was not seen does not make a rule act.
    pub fn judge(
        &self,
        occurrence: Occurrence,
        host: &dyn Host,
        applicable: &Applicable,
        memory: &mut Memory,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(plan) = self.plan(occurrence.protocol, occurrence.event) else { return };
        let mut judging = Judging { time: occurrence.time, applicable, memory, decisions };
        let Some(edited) = plan.judge(host, &mut judging) else { return };
        // A rule has changed the record: those behind it are read for what it is now, without the look-ups.
        let (position, mut changes) = edited;
        for rule in plan.rules.get(position.saturating_add(1)..).unwrap_or_default() {
            if rule.judge(host, false, &mut changes, &mut judging) == Outcome::Ended {
                return;
            }
        }
    }

    /// What the rules read at all.
    pub fn demand(&self) -> Demand {
        let mut demand = Demand::default();
        for (protocol, plan) in (0..).map(ProtocolId).zip(&self.protocols) {
            for (event, plan) in (0..).map(EventId).zip(&plan.events) {
                if plan.rules.is_empty() && plan.stream.is_none() {
                    continue;
                }
                let demand = demand.entry(protocol, event);
                if let Some(slot) = plan.slot_of_part() {
                    demand.facts.insert(slot);
                }
                for rule in &plan.rules {
                    rule.formulas().for_each(|formula| demand.add(formula));
                }
            }
        }
        demand
    }

    /// All rules, in the order of the policies.
    pub fn rules(&self) -> &[Arc<RuleInfo>] {
        &self.rules
    }

    /// The rule of this number.
    pub fn rule(&self, id: RuleId) -> Option<&Arc<RuleInfo>> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Names of the policies, in order.
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }

    /// The `test` blocks of the policies. They are run above this crate, where a grammar turns octets into events.
    pub fn tests(&self) -> &[PolicyTest] {
        &self.tests
    }

    /// The rules on an event, in the order in which they are read.
    pub(crate) fn planned(&self, protocol: ProtocolId, event: EventId) -> &[PlannedRule] {
        self.plan(protocol, event).map_or(&[], |plan| plan.rules.as_slice())
    }

    fn plan(&self, protocol: ProtocolId, event: EventId) -> Option<&EventPlan> {
        self.protocols.get(usize::from(protocol.0))?.events.get(usize::from(event.0))
    }
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Its tests do not hold.
    Fails,
    /// They do, and the reading goes on.
    Holds,
    /// They do, and no further rule is read.
    Ended,
}

/// Reads the rules on a stream where something was found in it.
fn judge_early(rules: &[PlannedRule], scan: &mut Scan, hit: &Hit, host: &dyn Host, judging: &mut Judging<'_>) {
    for (number, rule) in rules.iter().enumerate() {
        if scan.acted.has(number) || !rule.applies(judging.applicable) {
            continue;
        }
        if !rule.early {
            // It may pass the stream at its end, and what stands behind it is not read then.
            if rule.passes() {
                return;
            }
            continue;
        }
        match rule.judge(&scan.at(hit, host), false, &mut Changes::default(), judging) {
            Outcome::Fails => {}
            Outcome::Holds => scan.acted.set(number),
            Outcome::Ended => {
                scan.closed = true;
                return;
            }
        }
    }
}

/// Whether a condition that holds while a stream goes on holds at its end too.
fn stays(condition: &Formula) -> bool {
    match condition {
        Formula::And(parts) | Formula::Or(parts) => parts.iter().all(stays),
        Formula::Not(inner) => !reads_found(inner) && stays(inner),
        other => {
            let event = |slot| Place { scope: Scope::Event, slot };
            ![event_slots::SIZE, event_slots::COMPLETE].into_iter().any(|slot| reads(other, event(slot)))
        }
    }
}

/// What judging an event takes beside the event.
struct Judging<'a> {
    time: i64,
    applicable: &'a Applicable,
    memory: &'a mut Memory,
    decisions: &'a mut Vec<Decision>,
}

impl PlannedRule {
    /// Whether it changes the record.
    fn edits(&self) -> bool {
        !self.actions.edits.is_empty() && !self.actions.observe
    }

    fn holds(&self) -> Option<Hold> {
        self.actions.hold.filter(|_| !self.actions.observe)
    }
}

impl EventPlan {
    /// What looking through a stream reads of the event, if it is a part of one.
    fn slot_of_part(&self) -> Option<u16> {
        let part = self.stream.and_then(|_| self.name.rsplit('.').next())?;
        match part {
            "chunk" => Some(event_slots::DATA),
            "start" => Some(event_slots::OFFSET),
            _ => None,
        }
    }

    /// Reads the rules; up to the first that changes the record, whose position it gives.
    fn judge(&self, host: &dyn Host, judging: &mut Judging<'_>) -> Option<(usize, Changes)> {
        let mut changes = Changes::default();
        if self.indexes.is_empty() {
            for (position, rule) in self.rules.iter().enumerate() {
                if rule.judge(host, true, &mut changes, judging) == Outcome::Ended {
                    return None;
                }
                if !changes.is_empty() {
                    return Some((position, changes));
                }
            }
            return None;
        }
        let mut hits = Hits::new();
        for index in &self.indexes {
            index.collect(host, &mut hits);
        }
        hits.sort_unstable();
        hits.dedup();
        let mut hits = hits.into_iter().peekable();
        let mut always = self.always.iter().copied().peekable();
        loop {
            let next = match (hits.peek(), always.peek()) {
                (Some(hit), Some(unindexed)) if hit < unindexed => hits.next(),
                (Some(_), None) => hits.next(),
                (_, Some(_)) => always.next(),
                (None, None) => return None,
            };
            let position = next? as usize;
            let Some(rule) = self.rules.get(position) else { continue };
            if rule.judge(host, true, &mut changes, judging) == Outcome::Ended {
                return None;
            }
            if !changes.is_empty() {
                return Some((position, changes));
            }
        }
    }
}

impl PlannedRule {
    /// Whether it applies to a flow at all.
    pub(crate) fn applies(&self, applicable: &Applicable) -> bool {
        self.gates.iter().all(|gate| applicable.has(*gate))
    }

    /// Adds what the rule decides.
    ///
    /// `looked_up`: whether the condition that the index answers was answered by it.
    fn judge(&self, host: &dyn Host, looked_up: bool, changes: &mut Changes, judging: &mut Judging<'_>) -> Outcome {
        let Judging { time, applicable, .. } = *judging;
        let acts = self.applies(applicable) && {
            let changed = changes.on(host);
            let host = if changes.is_empty() { host } else { &changed };
            let answered = self.answered.filter(|_| looked_up);
            let mut conditions = self.conditions.iter().enumerate();
            conditions.all(|(number, condition)| answered == Some(number) || condition.test(host).holds())
        };
        if !acts {
            return Outcome::Fails;
        }
        let Judging { memory, decisions, .. } = judging;
        let Actions { after, alert, logs, verdict, block, hold, edits, observe } = &self.actions;
        let mut decide = |action| {
            decisions.push(Decision { rule: Arc::clone(&self.info), action, observe: *observe });
        };
        {
            let host = changes.on(host);
            if after.as_ref().is_some_and(|threshold| !memory.exceeds(threshold, &host, time)) {
                return Outcome::Holds;
            }
            let mut allows = |threshold: &Threshold| memory.allows(threshold, &host, time);
            if let Some(Alert { severity, text, .. }) =
                alert.as_ref().filter(|alert| alert.at_most.as_ref().is_none_or(&mut allows))
            {
                decide(Action::Alert { severity: *severity, text: text.fill(&host) });
            }
            for text in logs {
                decide(Action::Log { text: text.fill(&host) });
            }
            if let Some(action) = block.as_ref().and_then(|block| block.action(&host)) {
                decide(action);
            }
            if let Some(Hold { until, max }) = *hold {
                decide(Action::Hold { until, max });
            }
        }
        if !edits.is_empty() {
            let mut changed = if *observe { changes.clone() } else { std::mem::take(changes) };
            let (mut splices, mut others) = (Vec::new(), Vec::new());
            for edit in edits {
                match changed.edit(edit, host) {
                    Edited::Nothing => {}
                    Edited::Record(more) => splices.extend(more),
                    Edited::Stream(change) => others.push(Action::EditStream(change)),
                    Edited::Refused(why) => others.push(Action::EditRefused(why)),
                }
            }
            if !*observe {
                *changes = changed;
            }
            if !splices.is_empty() {
                decide(Action::Edit(splices));
            }
            others.into_iter().for_each(&mut decide);
        }
        match verdict {
            Some(verdict) => decide(verdict.clone()),
            None => return Outcome::Holds,
        }
        if *observe { Outcome::Holds } else { Outcome::Ended }
    }

    /// Whether it ends the reading without stopping the flow.
    fn passes(&self) -> bool {
        matches!(self.actions.verdict, Some(Action::Pass | Action::Bypass)) && !self.actions.observe
    }

    /// All that it reads.
    fn formulas(&self) -> impl Iterator<Item = &Formula> {
        let Actions { after, alert, logs, edits, .. } = &self.actions;
        let texts = alert.iter().map(|alert| &alert.text).chain(logs);
        let thresholds = alert.iter().filter_map(|alert| alert.at_most.as_ref()).chain(after);
        let keys = thresholds.map(|threshold| &threshold.key);
        let edits = edits.iter().flat_map(Edit::formulas);
        self.conditions.iter().chain(texts.flat_map(AlertText::formulas)).chain(keys).chain(edits)
    }
}

/// Gathers planned rules and makes a [`PolicySet`] of them.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    set: PolicySet,
    thresholds: u32,
}

/// The parts of a rule that differ from event to event.
pub(crate) struct RuleOnEvent {
    pub(crate) info: Arc<RuleInfo>,
    /// Gates of the policy and the rule.
    pub(crate) gates: SmallVec<[u32; 2]>,
    /// All of them have to hold.
    pub(crate) conditions: Vec<Formula>,
    pub(crate) actions: Actions,
}

impl Planner {
    /// Begins with these protocols.
    pub(crate) fn new<'a>(protocols: impl IntoIterator<Item = &'a ProtocolScheme>) -> Planner {
        let plan = |scheme: &ProtocolScheme| ProtocolPlan {
            name: scheme.name.clone(),
            gates: Vec::new(),
            ways: Vec::new(),
            events: scheme
                .events
                .iter()
                .map(|event| EventPlan { name: event.name.clone(), ..EventPlan::default() })
                .collect(),
            streams: Vec::new(),
        };
        let set = PolicySet { protocols: protocols.into_iter().map(plan).collect(), ..PolicySet::default() };
        Planner { set, thresholds: 0 }
    }

    /// A number that no other threshold of the set has.
    pub(crate) fn next_threshold(&mut self) -> u32 {
        self.thresholds = self.thresholds.saturating_add(1);
        self.thresholds
    }

    /// How many rules on a protocol hold.
    pub(crate) fn holds(&self, protocol: ProtocolId) -> usize {
        let plan = self.set.protocols.get(usize::from(protocol.0));
        let rules = plan.into_iter().flat_map(|plan| &plan.events).flat_map(|event| &event.rules);
        rules.filter(|rule| rule.actions.hold.is_some()).count()
    }

    pub(crate) fn add_policy(&mut self, name: Arc<str>) {
        self.set.policies.push(name);
    }

    pub(crate) fn add_info(&mut self, info: Arc<RuleInfo>) {
        self.set.rules.push(info);
    }

    pub(crate) fn add_test(&mut self, test: PolicyTest) {
        self.set.tests.push(test);
    }

    /// Adds a condition on addresses and ports; its bit.
    pub(crate) fn add_gate(&mut self, protocol: ProtocolId, gate: Formula) -> Option<u32> {
        let gates = &mut self.set.protocols.get_mut(usize::from(protocol.0))?.gates;
        let bit = u32::try_from(gates.len()).ok()?;
        gates.push(gate);
        Some(bit)
    }

    /// Adds a rule to an event; the parts of its condition that only read addresses and ports become gates.
    pub(crate) fn add_rule(&mut self, protocol: ProtocolId, event: EventId, rule: RuleOnEvent) {
        let RuleOnEvent { info, mut gates, conditions: given, actions } = rule;
        let mut conditions = Vec::new();
        for part in given.into_iter().flat_map(conjuncts) {
            match reads_connection_alone(&part) {
                true => gates.extend(self.add_gate(protocol, part)),
                false => conditions.push(part),
            }
        }
        let plan = self.set.protocols.get_mut(usize::from(protocol.0));
        if let Some(plan) = plan.and_then(|plan| plan.events.get_mut(usize::from(event.0))) {
            // What is asked of the stream as a whole becomes what was found in it; the rule was checked for it.
            conditions.iter_mut().for_each(|condition| {
                plan.patterns.take(condition);
            });
            let mut rule = PlannedRule { info, gates, conditions, answered: None, actions, early: false };
            // A line before the end of a stream can only be put in when the end has come.
            let waits = !rule.actions.edits.is_empty();
            rule.early =
                !rule.passes() && !waits && rule.conditions.iter().any(reads_found) && rule.formulas().all(stays);
            plan.rules.push(rule);
        }
    }

    /// Makes the look-ups.
    pub(crate) fn finish(mut self) -> PolicySet {
        for protocol in &mut self.set.protocols {
            let rules = protocol.events.iter().flat_map(|event| &event.rules);
            let ways: BTreeSet<_> = rules.map(|rule| rule.gates.clone()).collect();
            protocol.ways = ways.into_iter().collect();
            protocol.find_streams();
        }
        for plan in self.set.protocols.iter_mut().flat_map(|protocol| &mut protocol.events) {
            let conditions: Vec<&[Formula]> = plan.rules.iter().map(|rule| rule.conditions.as_slice()).collect();
            let (indexes, answered) = index::build(&conditions);
            plan.indexes = indexes;
            for (rule, answered) in plan.rules.iter_mut().zip(answered) {
                rule.answered = answered;
            }
            let unanswered = (0..).zip(&plan.rules).filter(|(_, rule)| rule.answered.is_none());
            plan.always = unanswered.map(|(position, _)| position).collect();
        }
        self.set
    }
}

impl ProtocolPlan {
    /// Makes the automata of the streams that rules look through.
    fn find_streams(&mut self) {
        let find = |name: String| self.events.iter().position(|event| event.name == name);
        let mut found = Vec::new();
        for (end, event) in self.events.iter().enumerate().filter(|(_, event)| !event.patterns.is_empty()) {
            let parts = (find(format!("{}.start", event.name)), find(format!("{}.chunk", event.name)));
            if let (Some(start), Some(chunk)) = parts {
                found.push([start, chunk, end]);
            }
        }
        for events in found {
            let Ok(number) = u16::try_from(self.streams.len()) else { return };
            let [Ok(start), Ok(chunk), Ok(end)] = events.map(u16::try_from) else { return };
            let Some(patterns) = self.events.get(usize::from(end)).map(|event| event.patterns.clone()) else { return };
            self.streams.push(patterns.plan(EventId(start), EventId(chunk), EventId(end)));
            for event in events {
                if let Some(event) = self.events.get_mut(event) {
                    event.stream = Some(number);
                }
            }
        }
    }
}

/// The parts of a condition all of which have to hold.
pub(crate) fn conjuncts(formula: Formula) -> Vec<Formula> {
    match formula {
        Formula::And(parts) => parts.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}
