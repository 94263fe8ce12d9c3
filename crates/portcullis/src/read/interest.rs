//! Which events of which protocols records are made of. Events that nobody reads are never made.

use std::sync::Arc;

use portcullis_engine::{Flow, Grammars};
use portcullis_lang::{EventId, EventKind, ProtocolScheme};
use portcullis_report::{DnsFields, Mails};

/// What the reporter knows of each protocol, for each generation of rules that flows may still be read by.
pub(super) struct Interests {
    /// The newest last.
    generations: Vec<(u32, Vec<Interest>)>,
}

/// Generations of rules that are kept: flows of older ones are as old as that many reloads, and give alerts no more.
const MOST_GENERATIONS: usize = 64;

/// What the reporter knows of a protocol.
pub(super) struct Interest {
    pub(super) scheme: Arc<ProtocolScheme>,
    /// How transactions are put together; protocols without any give alerts, anomalies and flows.
    pub(super) transactions: Transactions,
    /// By event: whether it is read.
    wanted: Vec<bool>,
}

/// How the events of a protocol become transactions.
pub(super) enum Transactions {
    None,
    Mails(Box<Mails>),
    Dns(Box<DnsFields>),
}

impl Interests {
    pub(super) fn new(grammars: &Grammars) -> Interests {
        let mut interests = Interests { generations: Vec::new() };
        interests.add(0, grammars);
        interests
    }

    /// Takes other grammars, for flows of another generation.
    pub(super) fn add(&mut self, generation: u32, grammars: &Grammars) {
        if self.generations.len() >= MOST_GENERATIONS {
            self.generations.remove(0);
        }
        self.generations.push((generation, grammars.schemes().iter().map(Interest::new).collect()));
    }

    pub(super) fn of(&self, flow: &Flow) -> Option<&Interest> {
        let generation = self.generations.iter().rev().find(|(generation, _)| *generation == flow.generation);
        generation?.1.get(usize::from(flow.protocol?.0))
    }

    pub(super) fn wants(&self, flow: &Flow, event: EventId) -> bool {
        let wanted = self.of(flow).and_then(|interest| interest.wanted.get(usize::from(event.0)));
        wanted.copied().unwrap_or(false)
    }
}

impl Interest {
    fn new(scheme: &Arc<ProtocolScheme>) -> Interest {
        let transactions = match scheme.name.as_str() {
            "smtp" => Mails::new(scheme).map_or(Transactions::None, |mails| Transactions::Mails(Box::new(mails))),
            "dns" => DnsFields::new(scheme).map_or(Transactions::None, |fields| Transactions::Dns(Box::new(fields))),
            _ => Transactions::None,
        };
        let wanted = (0..).map(EventId).zip(&scheme.events).map(|(id, event)| {
            is_anomaly(event.kind)
                || match &transactions {
                    Transactions::None => false,
                    Transactions::Mails(mails) => mails.wants(id, event.kind),
                    Transactions::Dns(fields) => fields.wants(id),
                }
        });
        Interest { wanted: wanted.collect(), transactions, scheme: Arc::clone(scheme) }
    }
}

/// Whether an event becomes a record of type `anomaly`. Gaps do so where the stream is put together.
pub(super) fn is_anomaly(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Anomaly(_)
            | EventKind::ParseError
            | EventKind::MissingGrammar
            | EventKind::Overrun
            | EventKind::Fail
    )
}
