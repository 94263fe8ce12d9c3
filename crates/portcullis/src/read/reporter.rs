//! The engine's output: what it finds, as records and on the screen.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_engine::{
    Bound, EditOutcome, Flow, GateAction, Grammars, Judgement, Output, PacketInfo, Statistics as EngineStatistics,
    Verdict, WhenMet,
};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId, EventKind, ProtocolScheme};
use portcullis_policy::{Action, RuleId, RuleInfo, Severity};
use portcullis_report::{
    Alert, Anomaly, AnomalyKind, Body, DnsRecord, Encoder, EventIdentity, FlowIdentity, FlowRecord, GateRecord, Head,
    Mail, MailRecord, MailSession, Moment, Outcome, Sink, SinkError, Statistics, StatisticsRecord, Style, Summary,
    open_sink,
};
use portcullis_stream::{EndReason, FlowId, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{Timestamp, WireAnomaly};

use super::interest::{Interests, Transactions, is_anomaly};
use super::log_record::LogRecord;
use super::packet;
use super::totals::Totals;
use crate::plan::{Destination, ReadTask};

/// Takes what the engine finds.
pub(crate) struct Reporter {
    interests: Interests,
    /// By slot of the flow table.
    flows: Vec<Option<Box<FlowReport>>>,
    out: Out,
    totals: Totals,
    worst: Option<Severity>,
    /// The time of the first and the last packet.
    span: Option<(Timestamp, Timestamp)>,
    screen: bool,
    /// Packets that could not be inspected and were not told of, and when the last were.
    missed: u64,
    missed_told: Option<Timestamp>,
    /// What was found and which flows have ended, for whoever keeps evidence.
    leads: Option<Vec<Lead>>,
}

/// Something that whoever keeps evidence wants to know.
#[derive(Debug)]
pub(crate) enum Lead {
    /// A rule has alerted about a flow, or the gate has done something about it.
    Found {
        flow: FlowId,
        /// The flow's name, as records have it.
        name: u64,
        /// What was found, for people.
        comment: String,
    },
    /// A flow has ended.
    Ended(FlowId),
}

/// How often it is told that packets could not be inspected.
const TELL_MISSED: Duration = Duration::from_secs(1);

/// The number of the alert about packets that could not be inspected. Numbers below 100 are the program's own.
const UNINSPECTED: u32 = 1;

/// Octets of memory that are kept of every flow of which there is something to tell, with its place in a list.
pub(crate) const OCTETS_PER_FLOW: u64 = (size_of::<FlowReport>() + 16 + size_of::<usize>()) as u64;

/// What is kept of a flow while it lasts.
struct FlowReport {
    identity: FlowIdentity,
    session: Option<Box<MailSession>>,
    /// Transactions so far; of mails, their session counts.
    messages: u64,
}

impl FlowReport {
    fn transactions(&self) -> u64 {
        self.session.as_ref().map_or(self.messages, |session| session.transactions())
    }
}

/// Where records go, and the screen.
struct Out {
    sink: Option<Box<dyn Sink>>,
    encoder: Encoder,
    summary: Summary,
    /// Names of the captures, if there are several.
    files: Vec<String>,
    file: usize,
    /// Why nothing more can be written.
    failed: Option<SinkError>,
}

impl Out {
    fn record<B: Body>(&mut self, head: Head<'_>, body: &B) {
        let Some(sink) = &mut self.sink else { return };
        if self.failed.is_some() {
            return;
        }
        let head = Head { file: self.files.get(self.file).map(String::as_str), ..head };
        self.failed = sink.line(self.encoder.line(&head, body)).err();
    }

    fn anomaly(&mut self, head: Head<'_>, anomaly: Anomaly<'_>) {
        self.summary.anomaly(&anomaly.kind.name());
        self.record(head, &anomaly);
    }
}

impl Reporter {
    /// Opens what `portcullis read` writes to.
    pub(crate) fn open(task: &ReadTask, grammars: &Grammars) -> Result<Reporter, SinkError> {
        let sink = match &task.records {
            Some(Destination::StandardOutput) => Some(open_sink(Path::new("-"))?),
            Some(Destination::File(path)) => Some(open_sink(path)?),
            None => None,
        };
        let files = match task.captures.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
        };
        Ok(Reporter { screen: task.screen, ..Reporter::new(sink, files, grammars) })
    }

    /// Writes records to a sink; `files` are the names of the captures, if there are several.
    pub(crate) fn new(sink: Option<Box<dyn Sink>>, files: Vec<String>, grammars: &Grammars) -> Reporter {
        let (encoder, summary) = (Encoder::new(), Summary::new());
        Reporter {
            interests: Interests::new(grammars),
            flows: Vec::new(),
            out: Out { sink, encoder, summary, files, file: 0, failed: None },
            totals: Totals::default(),
            worst: None,
            span: None,
            screen: false,
            missed: 0,
            missed_told: None,
            leads: None,
        }
    }

    /// Takes other grammars, for flows of another generation of rules.
    pub(crate) fn rules_replaced(&mut self, generation: u32, grammars: &Grammars) {
        self.interests.add(generation, grammars);
    }

    /// Says whether a screen for people is written at the end.
    pub(crate) fn with_screen(mut self, screen: bool) -> Reporter {
        self.screen = screen;
        self
    }

    /// Opens the file of records again, so that one that was renamed is written no longer.
    pub(crate) fn reopen(&mut self) {
        if let Some(sink) = &mut self.out.sink
            && let Err(error) = sink.reopen()
        {
            tracing::error!("{error}");
        }
    }

    /// Writes a `stats` record.
    pub(crate) fn statistics(&mut self, engine: &EngineStatistics, flows: usize, uptime: Duration, time: Timestamp) {
        let mut statistics = self.counted(engine);
        statistics.flow.active = u64::try_from(flows).unwrap_or(u64::MAX);
        let body = StatisticsRecord { uptime, statistics: &statistics };
        self.out.record(Head::of_capture(Moment { time, packet: 0 }), &body);
    }

    /// Remembers what is found from now on, for whoever keeps evidence.
    pub(crate) fn with_leads(mut self) -> Reporter {
        self.leads = Some(Vec::new());
        self
    }

    /// What was found since the last time.
    pub(crate) fn leads(&mut self) -> impl Iterator<Item = Lead> + '_ {
        self.leads.iter_mut().flat_map(|leads| leads.drain(..))
    }

    /// What a flow is called in records, as long as it lasts.
    pub(crate) fn identity(&self, flow: FlowId) -> Option<&FlowIdentity> {
        self.flows.get(flow.slot())?.as_deref().map(|report| &report.identity)
    }

    /// Writes what was collected.
    pub(crate) fn flush(&mut self) {
        if let (Some(sink), None) = (&mut self.out.sink, &self.out.failed) {
            self.out.failed = sink.flush().err();
        }
    }

    /// Raises an alert because packets could not be inspected: at most one a second, which tells of all since the last.
    pub(crate) fn missed(&mut self, packets: u64, time: Timestamp) {
        self.missed = self.missed.saturating_add(packets);
        if self.missed_told.is_some_and(|told| time.since(told) < TELL_MISSED) {
            return;
        }
        self.missed_told = Some(time);
        let packets = std::mem::take(&mut self.missed);
        let text = format!("{packets} packets were not inspected: the gate cannot keep up, or they are too long");
        tracing::warn!("{text}");
        let rule = RuleInfo {
            policy: "portcullis".into(),
            name: "uninspected".to_owned(),
            id: RuleId(UNINSPECTED),
            about: Vec::new(),
        };
        let alert = Alert {
            rule: &rule,
            severity: Severity::High,
            text: &text,
            event: "gate.uninspected",
            place: None,
            outcome: Outcome::Allowed,
            decided: &[],
            mail: None,
        };
        self.out.record(Head::of_capture(Moment { time, packet: 0 }), &alert);
    }

    /// All counters up to now, with those of the engine.
    pub(crate) fn counted(&self, engine: &EngineStatistics) -> Statistics {
        self.totals.clone().with(engine)
    }

    /// Takes note of a packet before the engine sees it: its capture, its time, its octets on the wire.
    pub(crate) fn packet(&mut self, file: u32, time: Timestamp, captured: usize, original: u32) {
        self.out.file = usize::try_from(file).unwrap_or(usize::MAX);
        self.out.summary.packet(time, u64::from(original));
        self.span = Some(self.span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        if u64::from(original) > captured as u64 {
            self.totals.cut_packet();
        }
    }

    /// Whether there is no use in going on, because nothing more can be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.out.failed.is_some()
    }

    /// Writes the statistics and the screen; the severity of the worst alert.
    pub(crate) fn finish(mut self, engine: &EngineStatistics, colour: bool) -> anyhow::Result<Option<Severity>> {
        let (first, last) = self.span.unwrap_or_default();
        let statistics = self.totals.with(engine);
        self.out.summary.unverified_checksums(engine.unverified_checksum);
        let body = StatisticsRecord { uptime: last.since(first), statistics: &statistics };
        self.out.files.clear();
        self.out.record(Head::of_capture(Moment { time: last, packet: 0 }), &body);
        if let (Some(sink), None) = (&mut self.out.sink, &self.out.failed) {
            self.out.failed = sink.flush().err();
        }
        match self.out.failed {
            Some(error) if !error.is_closed() => return Err(error.into()),
            _ => {}
        }
        if self.screen {
            let screen = self.out.summary.render(Style { colour });
            std::io::Write::write_all(&mut std::io::stdout().lock(), screen.as_bytes())?;
        }
        Ok(self.worst)
    }
}

impl Output for Reporter {
    fn wants(&self, flow: &Flow, event: EventId) -> bool {
        self.interests.wants(flow, event)
    }

    fn flow_started(&mut self, flow: &Flow, _packet: &PacketInfo<'_>) {
        let report = FlowReport { identity: FlowIdentity::new(flow.key, flow.start), session: None, messages: 0 };
        let slot = flow.id.slot();
        if self.flows.len() <= slot {
            self.flows.resize_with(slot.saturating_add(1), || None);
        }
        if let Some(entry) = self.flows.get_mut(slot) {
            *entry = Some(Box::new(report));
        }
    }

    fn event(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>) {
        let Reporter { interests, flows, out, totals, .. } = self;
        let interest = interests.of(flow);
        let (Some(report), Some(interest)) = (report_of(flows, flow), interest) else { return };
        let moment = moment_of(packet);
        let FlowReport { identity, session, messages, .. } = report;
        match &interest.transactions {
            Transactions::None => {}
            Transactions::Mails(mails) => {
                let session = session.get_or_insert_default();
                mails.event(session, event, moment, &mut |mail| {
                    report_mail(out, totals, flow, identity, event.scheme(), mail);
                });
            }
            Transactions::Dns(fields) => {
                if let Some(message) = fields.message(event) {
                    let head = Head {
                        app_proto: Some(flow.protocol_name),
                        direction: Some(event.direction),
                        vlans: packet.vlans,
                        transaction: Some(*messages),
                        ..Head::of_packet(identity, event.direction, moment)
                    };
                    out.record(head, &DnsRecord { message: &message, transaction: *messages });
                    *messages = messages.saturating_add(1);
                    totals.transaction(flow.protocol_name);
                }
            }
        }
        if is_anomaly(event.kind) {
            if matches!(event.kind, EventKind::ParseError | EventKind::Fail) {
                totals.error(flow.protocol_name);
            }
            totals.anomaly();
            out.anomaly(head_of_event(report, flow, packet, event), anomaly_of(flow, event));
        }
    }

    fn judgement(&mut self, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>, judgement: &Judgement<'_>) {
        let Reporter { flows, out, worst, leads, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        let decision = judgement.decision;
        let name = format!("{}.{}", flow.protocol_name, event.event_name());
        match &decision.action {
            Action::Alert { severity, text } => {
                *worst = (*worst).max(Some(*severity));
                let rule = &decision.rule;
                if let Some(leads) = leads {
                    leads.push(Lead::Found {
                        flow: flow.id,
                        name: report.identity.flow_id(),
                        comment: format!("alert {} {severity}: {text}", rule.id),
                    });
                }
                out.summary.alert(*severity, &format!("{}/{}", rule.policy, rule.name));
                let alert = Alert {
                    rule,
                    severity: *severity,
                    text,
                    event: &name,
                    place: Some(EventIdentity {
                        flow_id: report.identity.flow_id(),
                        direction: event.direction,
                        offset: event.offset,
                    }),
                    decided: judgement.of_rule,
                    outcome: match judgement {
                        Judgement { blocked: true, .. } => Outcome::Blocked,
                        Judgement { would_block: true, .. } => Outcome::WouldBlock,
                        Judgement { .. } => Outcome::Allowed,
                    },
                    mail: report.session.as_ref().and_then(|session| session.current()),
                };
                out.record(head_of_event(report, flow, packet, event), &alert);
            }
            Action::Log { text } => {
                let note = LogRecord { rule: &decision.rule, text, event: &name };
                out.record(head_of_event(report, flow, packet, event), &note);
            }
            // What becomes of the flow, its own record tells.
            _ => {}
        }
    }

    fn flow_ended(&mut self, flow: &Flow, summary: &FlowSummary, reason: EndReason, packet: &PacketInfo<'_>) {
        let Some(mut report) = self.flows.get_mut(flow.id.slot()).and_then(Option::take) else { return };
        let Reporter { interests, out, totals, .. } = self;
        let moment = Moment { time: summary.statistics.last, packet: 0 };
        let interest = interests.of(flow);
        if let (Some(session), Some(interest)) = (&mut report.session, interest) {
            let (identity, scheme) = (&report.identity, &interest.scheme);
            session.close(moment, &mut |mail| report_mail(out, totals, flow, identity, scheme, mail));
        }
        if let Some(leads) = &mut self.leads {
            leads.push(Lead::Ended(flow.id));
        }
        totals.flow(flow, summary, reason);
        let known = Some(flow.protocol_name).filter(|name| !name.is_empty());
        out.summary.flow(&report.identity, known);
        let head = Head { app_proto: known, vlans: packet.vlans, ..Head::of_flow(&report.identity, moment) };
        let record = FlowRecord {
            summary,
            reason,
            alerted: flow.alerts > 0,
            dropped: flow.verdict.stops(),
            transactions: report.transactions(),
        };
        out.record(head, &record);
    }

    fn gate_action(&mut self, flow: &Flow, packet: &PacketInfo<'_>, action: GateAction) {
        let Reporter { flows, out, leads, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        let known = Some(flow.protocol_name).filter(|name| !name.is_empty());
        let head = Head { app_proto: known, ..Head::of_flow(&report.identity, moment_of(packet)) };
        let text = match &flow.verdict {
            Verdict::Refuse(text) => Some(&**text),
            _ => None,
        };
        if let Some(leads) = leads {
            let told = text.map_or_else(String::new, |text| format!(": {text}"));
            leads.push(Lead::Found {
                flow: flow.id,
                name: report.identity.flow_id(),
                comment: format!("gate {}{told}", action.name()),
            });
        }
        out.record(head, &GateRecord { action: action.name(), text, rule: None });
    }

    fn edited(&mut self, flow: &Flow, packet: &PacketInfo<'_>, rule: &Arc<RuleInfo>, outcome: EditOutcome) {
        let Reporter { flows, out, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        let known = Some(flow.protocol_name).filter(|name| !name.is_empty());
        let head = Head { app_proto: known, ..Head::of_flow(&report.identity, moment_of(packet)) };
        let text = match outcome {
            EditOutcome::Refused(why) => Some(why),
            _ => None,
        };
        out.record(head, &GateRecord { action: outcome.name(), text, rule: Some(rule) });
    }

    fn flow_blocked(&mut self, flow: &Flow, packet: &PacketInfo<'_>, rule: &RuleInfo) {
        let Reporter { flows, out, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        let known = Some(flow.protocol_name).filter(|name| !name.is_empty());
        let head = Head { app_proto: known, ..Head::of_flow(&report.identity, moment_of(packet)) };
        out.record(head, &GateRecord { action: "blocked", text: None, rule: Some(rule) });
    }

    fn block_displaced(&mut self, flow: &Flow, packet: &PacketInfo<'_>) {
        let Reporter { flows, out, totals, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        totals.anomaly();
        let known = Some(flow.protocol_name).filter(|name| !name.is_empty());
        let head = Head { vlans: packet.vlans, app_proto: known, ..Head::of_flow(&report.identity, moment_of(packet)) };
        out.anomaly(head, Anomaly { kind: AnomalyKind::BlockDisplaced, offset: None });
    }

    fn uninspected(&mut self, packet: &PacketInfo<'_>, _original_length: usize) {
        self.missed(1, packet.time);
    }

    fn stream_anomaly(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        anomaly: StreamAnomaly,
        offset: u64,
    ) {
        let kind = AnomalyKind::Stream(anomaly.name());
        self.of_stream(flow, packet, direction, Anomaly { kind, offset: Some(offset) });
    }

    fn gap(
        &mut self,
        flow: &Flow,
        packet: &PacketInfo<'_>,
        direction: Direction,
        offset: u64,
        length: u64,
        reason: GapReason,
    ) {
        self.out.summary.gap(length);
        let kind = AnomalyKind::Gap { length, reason: reason.name() };
        self.of_stream(flow, packet, direction, Anomaly { kind, offset: Some(offset) });
    }

    fn wire_anomaly(&mut self, packet: &PacketInfo<'_>, anomaly: WireAnomaly) {
        self.of_packet(packet, AnomalyKind::Packet(anomaly));
    }

    fn wrong_checksum(&mut self, packet: &PacketInfo<'_>) {
        self.of_packet(packet, AnomalyKind::Checksum { header: packet::wrong_checksum(packet) });
    }

    fn unverified_checksums(&mut self, packet: &PacketInfo<'_>) {
        self.of_packet(packet, AnomalyKind::UnverifiedChecksums);
    }

    fn held(&self, flow: &Flow) -> usize {
        let report = self.flows.get(flow.id.slot()).and_then(Option::as_deref);
        report.and_then(|report| report.session.as_deref()).map_or(0, MailSession::memory)
    }

    fn limit(&mut self, flow: &Flow, packet: &PacketInfo<'_>, bound: Bound, when_met: WhenMet) {
        let Reporter { interests, flows, out, totals, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        totals.anomaly();
        let head = Head {
            vlans: packet.vlans,
            app_proto: Some(flow.protocol_name).filter(|name| !name.is_empty()),
            ..Head::of_flow(&report.identity, moment_of(packet))
        };
        let kind = AnomalyKind::Limit { bound: bound.name(), verdict: when_met.name() };
        out.anomaly(head, Anomaly { kind, offset: None });
        // No conversation, no mails: those that were begun are told as far as they came.
        if let (Some(mut session), Some(interest)) = (report.session.take(), interests.of(flow)) {
            let (identity, scheme) = (&report.identity, &interest.scheme);
            session.close(moment_of(packet), &mut |mail| report_mail(out, totals, flow, identity, scheme, mail));
            report.messages = session.transactions();
        }
    }
}

impl Reporter {
    fn of_stream(&mut self, flow: &Flow, packet: &PacketInfo<'_>, direction: Direction, anomaly: Anomaly<'_>) {
        let Reporter { flows, out, totals, .. } = self;
        let Some(report) = report_of(flows, flow) else { return };
        totals.anomaly();
        let head = Head {
            vlans: packet.vlans,
            direction: Some(direction),
            app_proto: Some(flow.protocol_name).filter(|name| !name.is_empty()),
            ..Head::of_packet(&report.identity, direction, moment_of(packet))
        };
        out.anomaly(head, anomaly);
    }

    fn of_packet(&mut self, packet: &PacketInfo<'_>, kind: AnomalyKind<'_>) {
        self.totals.anomaly();
        let ends = if self.out.sink.is_some() { packet::ends(packet) } else { None };
        let head = Head { vlans: packet.vlans, ends, ..Head::of_capture(moment_of(packet)) };
        self.out.anomaly(head, Anomaly { kind, offset: None });
    }
}

fn report_of<'f>(flows: &'f mut [Option<Box<FlowReport>>], flow: &Flow) -> Option<&'f mut FlowReport> {
    flows.get_mut(flow.id.slot())?.as_deref_mut()
}

fn report_mail(
    out: &mut Out,
    totals: &mut Totals,
    flow: &Flow,
    identity: &FlowIdentity,
    scheme: &ProtocolScheme,
    mail: &Mail,
) {
    totals.transaction(flow.protocol_name);
    out.summary.mail(identity, mail);
    let head = Head {
        app_proto: Some(flow.protocol_name),
        transaction: Some(mail.number),
        ..Head::of_flow(identity, mail.ended)
    };
    out.record(head, &MailRecord { mail, scheme });
}

fn head_of_event<'a>(report: &'a FlowReport, flow: &'a Flow, packet: &PacketInfo<'a>, event: &Event<'_>) -> Head<'a> {
    let transaction = match &report.session {
        Some(session) => session.current().map(|mail| mail.number),
        None => report.messages.checked_sub(1),
    };
    Head {
        vlans: packet.vlans,
        direction: Some(event.direction),
        app_proto: Some(flow.protocol_name),
        transaction,
        ..Head::of_packet(&report.identity, event.direction, moment_of(packet))
    }
}

fn anomaly_of<'a>(flow: &'a Flow, event: &Event<'a>) -> Anomaly<'a> {
    let text = match event.kind {
        EventKind::Anomaly(id) => {
            event.scheme().anomalies.get(usize::from(id.0)).map_or("", |anomaly| anomaly.text.as_str())
        }
        _ => event.reason,
    };
    let kind = AnomalyKind::Protocol {
        protocol: flow.protocol_name,
        name: event.event_name(),
        text,
        record: event.name,
        state: event.state_name(),
    };
    Anomaly { kind, offset: Some(event.offset) }
}

fn moment_of(packet: &PacketInfo<'_>) -> Moment {
    Moment { time: packet.time, packet: packet.number }
}
