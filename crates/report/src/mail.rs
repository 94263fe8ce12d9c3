//! Mails: the transactions of SMTP, put together from the events of a flow.
//!
//! A transaction is one envelope and what became of it. The first one of a flow begins with the first command; later
//! ones with the first MAIL, RCPT, DATA or BDAT after the end of the one before. It ends
//!
//! * when its text is complete and the server has answered to that,
//! * when RSET, or an EHLO or HELO that the server accepts, discards an envelope,
//! * when the server refuses a chunk, after which RFC 3030 leaves nothing to do but RSET,
//! * when the flow ends.
//!
//! So there is one record per mail that was tried, whether or not it went through, and one for a session in which none
//! was. Commands that are pipelined come before the replies to those before them: the replies are told apart by their
//! order, and by what the machine says that it waits for.
//!
//! | file | is |
//! |---|---|
//! | `fields` | the events of a grammar, by names that are looked up once |
//! | `said` | what matters of an event, as plain values |
//! | `session` | the assembler of one flow |

mod fields;
mod said;
mod session;
#[cfg(test)]
mod tests;

pub use fields::Mails;
pub use said::{Command, Place, Said, Verb};
pub use session::MailSession;

use portcullis_lang::AnomalyId;

use crate::limits::{MAX_MAIL_ANOMALIES, MAX_RECIPIENT_OCTETS, MAX_RECIPIENTS};
use crate::time::Moment;

/// One transaction of SMTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Which of the flow's transactions, from 0.
    pub number: u64,
    /// The first packet of it.
    pub begun: Moment,
    /// The packet that ended it; meaningless before.
    pub ended: Moment,
    /// The name that the client gave itself.
    pub helo: Option<Box<[u8]>>,
    /// The sender as the client wrote it, with its angle brackets.
    pub sender: Option<Box<[u8]>>,
    /// The code of the reply to the sender.
    pub sender_reply: Option<u16>,
    /// The recipients, also those that the server refused, in order.
    pub recipients: Vec<Recipient>,
    /// Recipients beyond the bounds [`MAX_RECIPIENTS`] and [`MAX_RECIPIENT_OCTETS`].
    pub recipients_left_out: u64,
    /// The size that the client announced (RFC 1870).
    pub declared_size: Option<u64>,
    /// Octets of the text, without the dots that protected its lines.
    pub size: u64,
    /// Whether the text came to its end.
    pub complete: bool,
    /// Whether the text came in chunks (RFC 3030).
    pub chunking: bool,
    /// Whether the server had accepted STARTTLS before.
    pub tls: bool,
    /// The mechanism of the last AUTH.
    pub auth_mechanism: Option<Box<[u8]>>,
    /// What came of it.
    pub auth_accepted: Option<bool>,
    /// The reply that decided about the mail: the one to its text, or else the one that refused it.
    pub reply: Option<MailReply>,
    /// The anomalies seen in it, each once, in order.
    pub anomalies: Vec<AnomalyId>,
    progress: Progress,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address as the client wrote it, with its angle brackets.
    pub address: Box<[u8]>,
    /// The code of the reply, if one was seen.
    pub reply: Option<u16>,
}

/// A reply, as far as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailReply {
    /// Its code; 0 if it had none.
    pub code: u16,
    /// The text of its last line.
    pub text: Box<[u8]>,
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MailOutcome {
    /// The server took it.
    Accepted,
    /// The server refused it, its sender, or all of its recipients.
    Rejected,
    /// The client gave up, or the flow ended, before the text was complete.
    Aborted,
    /// What the server said was not seen.
    Unknown,
}

impl MailOutcome {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            MailOutcome::Accepted => "accepted",
            MailOutcome::Rejected => "rejected",
            MailOutcome::Aborted => "aborted",
            MailOutcome::Unknown => "unknown",
        }
    }
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// A MAIL, RCPT, DATA or BDAT was said.
    envelope: bool,
    /// Any reply to any of its commands was seen.
    heard: bool,
    /// The server has said something to the text as a whole.
    decided: bool,
    /// It said so before the text had ended.
    early: bool,
    /// The server has refused DATA or a chunk.
    refused: bool,
    /// The server took the sender that is kept.
    sender_accepted: bool,
    /// Recipients that the server took.
    accepted: u64,
    /// Octets of the flow are missing since it began.
    gap: bool,
    /// Replies to the text, of which LMTP has one for each recipient.
    replies: u64,
}

impl Mail {
    /// What became of it; none if no mail was tried.
    pub fn outcome(&self) -> Option<MailOutcome> {
        let Progress { envelope, heard, decided, refused, gap, .. } = self.progress;
        if !envelope {
            return None;
        }
        let code = self.reply.as_ref().map_or(0, |reply| reply.code);
        let no_recipient = !self.recipients.is_empty() && self.recipients.iter().all(|one| one.reply >= Some(400));
        Some(match code {
            200..=299 if decided => MailOutcome::Accepted,
            400.. if decided => MailOutcome::Rejected,
            _ if decided => MailOutcome::Unknown,
            _ if refused || self.sender_reply >= Some(400) || no_recipient => MailOutcome::Rejected,
            _ if self.complete || gap || !heard => MailOutcome::Unknown,
            _ => MailOutcome::Aborted,
        })
    }

    /// Whether anything of a mail was said: a MAIL, RCPT, DATA or BDAT.
    pub fn has_envelope(&self) -> bool {
        self.progress.envelope
    }

    fn add_recipient(&mut self, address: &[u8]) -> Option<usize> {
        let octets: usize = self.recipients.iter().map(|recipient| recipient.address.len()).sum();
        let fits = octets.saturating_add(address.len()) <= MAX_RECIPIENT_OCTETS;
        if self.recipients.len() >= MAX_RECIPIENTS || !fits {
            self.recipients_left_out = self.recipients_left_out.saturating_add(1);
            return None;
        }
        self.recipients.push(Recipient { address: address.into(), reply: None });
        self.recipients.len().checked_sub(1)
    }

    fn add_anomaly(&mut self, anomaly: AnomalyId) {
        if self.anomalies.len() < MAX_MAIL_ANOMALIES && !self.anomalies.contains(&anomaly) {
            self.anomalies.push(anomaly);
        }
    }

    /// Octets of memory that it takes beside itself.
    fn memory(&self) -> usize {
        self.weight().saturating_add(self.recipients.capacity().saturating_mul(size_of::<Recipient>()))
    }

    /// Octets of all its texts.
    fn weight(&self) -> usize {
        let texts = [&self.helo, &self.sender, &self.auth_mechanism];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let recipients: usize = self.recipients.iter().map(|recipient| recipient.address.len()).sum();
        texts.saturating_add(recipients).saturating_add(self.reply.as_ref().map_or(0, |reply| reply.text.len()))
    }
}
