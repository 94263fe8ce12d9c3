//! One screen for a person: what a capture holds.
//!
//! [`Summary`] collects while a capture is read, within bounds; [`Summary::render`] gives the screen.
//!
//! | file | is |
//! |---|---|
//! | `table` | columns of text |
//! | `screen` | what the screen says |

mod screen;
mod table;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use portcullis_policy::Severity;
use portcullis_wire::Timestamp;

use crate::identity::FlowIdentity;
use crate::limits::{MAX_SUMMARY_HOSTS, MAX_SUMMARY_KINDS, MAX_SUMMARY_MAILS, MAX_SUMMARY_TEXT};
use crate::mail::{Mail, MailOutcome};
use crate::text::Text;

/// How the screen is to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colour, by the escape sequences of ECMA-48.
    pub colour: bool,
}

/// What is collected for the screen.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    span: Option<(Timestamp, Timestamp)>,
    packets: u64,
    octets: u64,
    flows: u64,
    hosts: HashSet<IpAddr>,
    more_hosts: bool,
    protocols: Kinds,
    mails: Vec<MailLine>,
    /// Mails beyond those that are listed.
    more_mails: u64,
    outcomes: BTreeMap<MailOutcome, u64>,
    alerts: BTreeMap<Severity, Kinds>,
    anomalies: Kinds,
    gaps: u64,
    unverified_checksums: u64,
    missing: u64,
}

/// How often each of several kinds was seen; those beyond the bound are counted together.
#[derive(Clone, Debug, Default)]
struct Kinds {
    counts: BTreeMap<String, u64>,
    others: u64,
}

impl Kinds {
    fn count(&mut self, name: &str) {
        if let Some(counter) = self.counts.get_mut(name) {
            *counter = counter.saturating_add(1);
            return;
        }
        let name = Text::bounded(name.as_bytes(), MAX_SUMMARY_TEXT).to_string();
        let counter = match self.counts.contains_key(&name) || self.counts.len() < MAX_SUMMARY_KINDS {
            true => self.counts.entry(name).or_default(),
            false => &mut self.others,
        };
        *counter = counter.saturating_add(1);
    }

    fn total(&self) -> u64 {
        self.counts.values().fold(self.others, |sum, count| sum.saturating_add(*count))
    }

    /// The most frequent first, then by name.
    fn by_count(&self) -> Vec<(&str, u64)> {
        let mut kinds: Vec<(&str, u64)> = self.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        kinds.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        kinds
    }
}

/// One mail as it is listed; its texts are safe to show.
#[derive(Clone, Debug)]
struct MailLine {
    time: Timestamp,
    client: IpAddr,
    server: IpAddr,
    from: String,
    to: String,
    size: u64,
    outcome: MailOutcome,
}

impl Summary {
    /// A summary of nothing.
    pub fn new() -> Summary {
        Summary::default()
    }

    /// Takes note of a packet of so many octets.
    pub fn packet(&mut self, time: Timestamp, octets: u64) {
        self.packets = self.packets.saturating_add(1);
        self.octets = self.octets.saturating_add(octets);
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(time), last.max(time)),
            None => (time, time),
        });
    }

    /// Takes note of a flow that has ended, and of the protocol that it spoke, if that is known.
    pub fn flow(&mut self, flow: &FlowIdentity, protocol: Option<&str>) {
        self.flows = self.flows.saturating_add(1);
        self.host(flow.key.client.ip());
        self.host(flow.key.server.ip());
        let transport = flow.key.protocol;
        match protocol {
            Some(name) => self.protocols.count(name),
            None => self.protocols.count(&format!("unknown over {transport}")),
        }
    }

    /// Takes note of a transaction of SMTP; one in which no mail was tried is not listed.
    pub fn mail(&mut self, flow: &FlowIdentity, mail: &Mail) {
        let Some(outcome) = mail.outcome() else { return };
        let count = self.outcomes.entry(outcome).or_default();
        *count = count.saturating_add(1);
        if self.mails.len() >= MAX_SUMMARY_MAILS {
            self.more_mails = self.more_mails.saturating_add(1);
            return;
        }
        let others = mail.recipients_left_out.saturating_add(mail.recipients.len() as u64).saturating_sub(1);
        let first = mail.recipients.first().map(|recipient| address(&recipient.address));
        self.mails.push(MailLine {
            time: mail.begun.time,
            client: flow.key.client.ip(),
            server: flow.key.server.ip(),
            from: mail.sender.as_deref().map_or_else(|| "-".into(), address),
            to: match (first, others) {
                (None, _) => "-".into(),
                (Some(first), 0) => first,
                (Some(first), others) => format!("{first} +{others}"),
            },
            size: mail.size,
            outcome,
        });
    }

    /// Takes note of an alert: how bad it is, and the rule with its policy, `smtp-gate/banned`.
    pub fn alert(&mut self, severity: Severity, rule: &str) {
        self.alerts.entry(severity).or_default().count(rule);
    }

    /// Takes note of an anomaly, by the name that [`AnomalyKind::name`](crate::AnomalyKind::name) gives.
    pub fn anomaly(&mut self, name: &str) {
        self.anomalies.count(name);
    }

    /// Takes note of how many packets had no right checksum and were taken all the same.
    pub fn unverified_checksums(&mut self, packets: u64) {
        self.unverified_checksums = packets;
    }

    /// Takes note of a gap of so many octets.
    pub fn gap(&mut self, octets: u64) {
        self.gaps = self.gaps.saturating_add(1);
        self.missing = self.missing.saturating_add(octets);
    }

    /// The screen: lines of at most 100 columns, each with its newline.
    pub fn render(&self, style: Style) -> String {
        screen::render(self, style)
    }

    fn host(&mut self, host: IpAddr) {
        if self.hosts.len() < MAX_SUMMARY_HOSTS {
            self.hosts.insert(host);
        } else if !self.hosts.contains(&host) {
            self.more_hosts = true;
        }
    }
}

/// An address without the brackets around it, safe to show and bounded.
fn address(octets: &[u8]) -> String {
    let inner = octets.strip_prefix(b"<").unwrap_or(octets);
    let inner = inner.strip_suffix(b">").unwrap_or(inner);
    if inner.is_empty() {
        return "<>".into();
    }
    Text::bounded(inner, MAX_SUMMARY_TEXT).to_string()
}

#[cfg(test)]
mod tests;
