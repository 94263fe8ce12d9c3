//! Which events of which protocols records are made of. Events that nobody reads are never made.

use std::sync::Arc;

use portcullis_engine::Grammars;
use portcullis_lang::{EventId, EventKind, ProtocolScheme};
use portcullis_policy::ProtocolId;
use portcullis_report::{DnsFields, Mails};

/// What the reporter knows of each protocol.
pub(super) struct Interests(Vec<Interest>);

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
        Interests(grammars.schemes().iter().map(Interest::new).collect())
    }

    pub(super) fn of(&self, protocol: ProtocolId) -> Option<&Interest> {
        self.0.get(usize::from(protocol.0))
    }

    pub(super) fn wants(&self, protocol: ProtocolId, event: EventId) -> bool {
        let wanted = self.of(protocol).and_then(|interest| interest.wanted.get(usize::from(event.0)));
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
