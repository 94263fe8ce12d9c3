//! `smtp`: a transaction of SMTP has ended.

use portcullis_lang::ProtocolScheme;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::encode::Body;
use crate::limits::MAX_REPLY_TEXT;
use crate::mail::{Mail, MailReply};
use crate::text::Text;
use crate::time::IsoTime;

/// A transaction of SMTP.
#[derive(Clone, Copy, Debug)]
pub struct MailRecord<'a> {
    /// The transaction.
    pub mail: &'a Mail,
    /// The scheme of the protocol, in which the names of anomalies are.
    pub scheme: &'a ProtocolScheme,
}

impl Body for MailRecord<'_> {
    fn event_type(&self) -> &'static str {
        "smtp"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("smtp", &Fields(self))
    }
}

struct Fields<'a>(&'a MailRecord<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        envelope(self.0.mail, &mut map)?;
        map.serialize_entry("portcullis", &Own(self.0))?;
        map.end()
    }
}

/// The envelope alone, as an alert about a mail has it.
pub(crate) struct Envelope<'a>(pub(crate) &'a Mail);

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        envelope(self.0, &mut map)?;
        map.end()
    }
}

fn envelope<M: SerializeMap>(mail: &Mail, map: &mut M) -> Result<(), M::Error> {
    if let Some(helo) = &mail.helo {
        map.serialize_entry("helo", &Text::new(helo))?;
    }
    if let Some(sender) = &mail.sender {
        map.serialize_entry("mail_from", &Text::new(sender))?;
    }
    if !mail.recipients.is_empty() {
        map.serialize_entry("rcpt_to", &Recipients(mail))?;
    }
    Ok(())
}

struct Recipients<'a>(&'a Mail);

impl Serialize for Recipients<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.recipients.iter().map(|recipient| Text::new(&recipient.address)))
    }
}

/// One number for each recipient, 0 where no reply was seen: an array of objects is out of reach of some readers.
struct Replies<'a>(&'a Mail);

impl Serialize for Replies<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recipients = &self.0.recipients;
        let mut list = serializer.serialize_seq(Some(recipients.len()))?;
        for recipient in recipients {
            list.serialize_element(&recipient.reply.unwrap_or(0))?;
        }
        list.end()
    }
}

struct Own<'a>(&'a MailRecord<'a>);

impl Serialize for Own<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let MailRecord { mail, scheme } = *self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("start", &IsoTime(mail.begun.time))?;
        if mail.begun.packet != 0 {
            map.serialize_entry("first_packet", &mail.begun.packet)?;
        }
        if let Some(outcome) = mail.outcome() {
            map.serialize_entry("outcome", outcome.name())?;
        }
        map.serialize_entry("complete", &mail.complete)?;
        map.serialize_entry("size", &mail.size)?;
        if let Some(size) = mail.declared_size {
            map.serialize_entry("declared_size", &size)?;
        }
        if let Some(reply) = &mail.reply {
            map.serialize_entry("reply", &Reply(reply))?;
        }
        if let Some(code) = mail.sender_reply {
            map.serialize_entry("mail_from_reply", &code)?;
        }
        if !mail.recipients.is_empty() {
            map.serialize_entry("rcpt_replies", &Replies(mail))?;
        }
        if mail.recipients_left_out > 0 {
            map.serialize_entry("rcpt_left_out", &mail.recipients_left_out)?;
        }
        map.serialize_entry("chunking", &mail.chunking)?;
        map.serialize_entry("tls", &mail.tls)?;
        if let Some(mechanism) = &mail.auth_mechanism {
            let mechanism = Text::bounded(mechanism, MAX_REPLY_TEXT);
            map.serialize_entry("auth", &Auth { mechanism, accepted: mail.auth_accepted })?;
        }
        if !mail.anomalies.is_empty() {
            let names = mail.anomalies.iter().filter_map(|id| scheme.anomalies.get(usize::from(id.0)));
            map.serialize_entry("anomalies", &names.map(|anomaly| anomaly.name.as_str()).collect::<Vec<_>>())?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Auth<'a> {
    mechanism: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<bool>,
}

struct Reply<'a>(&'a MailReply);

impl Serialize for Reply<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("code", &self.0.code)?;
        map.serialize_entry("text", &Text::bounded(&self.0.text, MAX_REPLY_TEXT))?;
        map.end()
    }
}
