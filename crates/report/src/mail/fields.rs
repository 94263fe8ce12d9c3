//! The events of a grammar of SMTP, by names that are looked up once.

use std::borrow::Cow;

use portcullis_grammar::{Event, Record};
use portcullis_lang::scheme::RAW_SLOT;
use portcullis_lang::{EventId, EventKind, Layout, ProtocolScheme, StateId, Type, Value};

use super::{Command, Mail, MailSession, Place, Said, Verb};
use crate::fields::{Fields, bytes};
use crate::time::Moment;

/// Knows where a grammar of SMTP keeps what makes up a mail, and takes its events to [`MailSession`]s.
#[derive(Clone, Debug)]
pub struct Mails {
    command: CommandFields,
    reply: ReplyFields,
    credentials: Option<EventId>,
    /// The ends of the streams that carry mail.
    texts: [Option<EventId>; 2],
    mail: EventId,
    asked_verb: Option<u16>,
    greeting: Option<StateId>,
    text: Option<StateId>,
    /// The states in which nothing is asked.
    unasked: Vec<StateId>,
}

#[derive(Clone, Debug)]
struct CommandFields {
    event: EventId,
    verb: Fields,
    domain: Fields,
    sender: Fields,
    recipient: Fields,
    options: Fields,
    option_name: Fields,
    option_value: Fields,
    chunk_size: Fields,
    chunk_final: Fields,
    mechanism: Fields,
}

#[derive(Clone, Debug)]
struct ReplyFields {
    event: EventId,
    code: Fields,
    lines: Fields,
    text: Fields,
}

impl Mails {
    /// Looks up the names; none if this is not the scheme of SMTP, or of a grammar that has renamed the events
    /// `command`, `reply` or `mail`, without which there are no mails.
    pub fn new(scheme: &ProtocolScheme) -> Option<Mails> {
        let id = |name: &str| scheme.event(name).map(|(id, _)| id);
        let (command, command_type) = scheme.event("command")?;
        let (reply, reply_type) = scheme.event("reply")?;
        let fields = |path: &str| Fields::of(&command_type.layout, path);
        let options = elements(&command_type.layout, "options");
        let option = |path: &str| options.map(|layout| Fields::of(layout, path)).unwrap_or_default();
        let lines = elements(&reply_type.layout, "lines");
        let unasked = ["client_initiation", "command", "closing", "secured"];
        Some(Mails {
            command: CommandFields {
                event: command,
                verb: fields("verb"),
                domain: fields("domain"),
                sender: fields("sender.address"),
                recipient: fields("recipient.address"),
                options: fields("options"),
                option_name: option("name"),
                option_value: option("value.text"),
                chunk_size: fields("size"),
                chunk_final: fields("final"),
                mechanism: fields("mechanism"),
            },
            reply: ReplyFields {
                event: reply,
                code: Fields::of(&reply_type.layout, "code"),
                lines: Fields::of(&reply_type.layout, "lines"),
                text: lines.map(|layout| Fields::of(layout, "text")).unwrap_or_default(),
            },
            credentials: id("credentials"),
            texts: [id("content"), id("chunk")],
            mail: id("mail")?,
            asked_verb: scheme.flow.field("asked.verb").map(|field| field.slot),
            greeting: scheme.state("session_initiation"),
            text: scheme.state("data_transmission"),
            unasked: unasked.into_iter().filter_map(|name| scheme.state(name)).collect(),
        })
    }

    /// Whether an event matters: one that does not need not be made.
    pub fn wants(&self, id: EventId, kind: EventKind) -> bool {
        let named = [Some(self.command.event), Some(self.reply.event), Some(self.mail), self.credentials];
        named.contains(&Some(id))
            || self.texts.contains(&Some(id))
            || matches!(kind, EventKind::Anomaly(_) | EventKind::Gap | EventKind::Fail | EventKind::Finish)
    }

    /// Takes an event of a flow to its session, and gives `done` each transaction that ends with it.
    pub fn event(&self, session: &mut MailSession, event: &Event<'_>, moment: Moment, done: &mut dyn FnMut(&Mail)) {
        match (event.kind, &event.record) {
            (EventKind::Anomaly(anomaly), _) => session.take(Said::Anomaly(anomaly), moment, done),
            (EventKind::Gap, _) => session.take(Said::Gap(event.direction), moment, done),
            (EventKind::Fail | EventKind::Finish, _) => session.take(Said::Over, moment, done),
            (_, Some(record)) if event.id == self.command.event => {
                self.command.read(record, &mut |command| session.take(Said::Command(command), moment, done));
            }
            (_, Some(record)) if event.id == self.reply.event => {
                let (code, text) = self.reply.read(record);
                let (place, asked) = (self.place(event.state), self.asked(event));
                session.take(Said::Reply { code, text: &text, place, asked }, moment, done);
            }
            _ if Some(event.id) == self.credentials => session.take(Said::Credentials, moment, done),
            _ if event.id == self.mail => session.take(Said::End { complete: event.complete }, moment, done),
            _ if self.texts.contains(&Some(event.id)) => session.take(Said::Octets(event.size), moment, done),
            _ => {}
        }
    }

    fn place(&self, state: StateId) -> Place {
        match Some(state) {
            state if state == self.greeting => Place::Greeting,
            state if state == self.text => Place::InText,
            _ if self.unasked.contains(&state) => Place::Unasked,
            _ => Place::Answer,
        }
    }

    fn asked(&self, event: &Event<'_>) -> Option<Verb> {
        match event.flow_value(self.asked_verb?) {
            Value::Bytes(verb) => Some(Verb::of(&verb)),
            _ => None,
        }
    }
}

impl CommandFields {
    /// Reads a command; what is read may have to be put together, so that it lives no longer than the call.
    fn read(&self, record: &Record<'_>, take: &mut dyn FnMut(Command<'_>)) {
        let word = bytes(self.verb.value(record));
        let verb = Verb::of(&word);
        let argument = match verb {
            Verb::Hello => bytes(self.domain.value(record)),
            Verb::Mail => path(record, &self.sender, b"FROM"),
            Verb::Rcpt => path(record, &self.recipient, b"TO"),
            Verb::Auth => bytes(self.mechanism.value(record)),
            _ => Cow::default(),
        };
        take(Command {
            verb,
            argument: &argument,
            declared_size: if verb == Verb::Mail { self.declared_size(record) } else { None },
            sized: matches!(self.chunk_size.value(record), Value::Number(_)),
            last: matches!(self.chunk_final.value(record), Value::Boolean(true)),
            lmtp: word.eq_ignore_ascii_case(b"LHLO"),
        });
    }

    fn declared_size(&self, record: &Record<'_>) -> Option<u64> {
        let list = self.options.slot(record)?;
        let mut options = (0..record.count(list)).filter_map(|index| record.element_base(list, index));
        let size =
            options.find(|base| bytes(self.option_name.value_at(record, *base)).eq_ignore_ascii_case(b"SIZE"))?;
        std::str::from_utf8(&bytes(self.option_value.value_at(record, size))).ok()?.parse().ok()
    }
}

impl ReplyFields {
    fn read<'a>(&self, record: &Record<'a>) -> (u16, Cow<'a, [u8]>) {
        let code = self.code.value(record).as_number().and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        let last = self.lines.slot(record).and_then(|list| {
            let index = record.count(list).checked_sub(1)?;
            record.element_base(list, index)
        });
        (code, last.map(|base| bytes(self.text.value_at(record, base))).unwrap_or_default())
    }
}

/// The path of a MAIL or RCPT as the client wrote it: with the brackets that the grammar takes off.
fn path<'a>(record: &Record<'a>, address: &Fields, preposition: &[u8]) -> Cow<'a, [u8]> {
    let address = bytes(address.value(record));
    match bytes(record.value(RAW_SLOT)) {
        Cow::Borrowed(raw) => match written(raw, &address, preposition) {
            Some(path) => Cow::Borrowed(path),
            None => address,
        },
        Cow::Owned(_) => address,
    }
}

/// The address with its brackets, if the line has any where the address stands.
fn written<'a>(raw: &'a [u8], address: &[u8], preposition: &[u8]) -> Option<&'a [u8]> {
    let raw = blanks(raw);
    let verb = raw.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
    let mut rest = blanks(raw.get(verb..)?);
    if let Some((word, after)) = rest.split_at_checked(preposition.len())
        && word.eq_ignore_ascii_case(preposition)
    {
        rest = blanks(after);
    }
    let rest = blanks(rest.strip_prefix(b":").unwrap_or(rest));
    let inner = rest.strip_prefix(b"<")?.strip_prefix(address)?;
    let closing = usize::from(inner.starts_with(b">"));
    rest.get(..address.len().checked_add(1)?.checked_add(closing)?)
}

fn blanks(octets: &[u8]) -> &[u8] {
    let blanks = octets.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    octets.get(blanks..).unwrap_or_default()
}

/// The layout of the elements of a list.
fn elements<'a>(layout: &'a Layout, path: &str) -> Option<&'a Layout> {
    match &layout.field(path)?.kind {
        Type::List(elements) => Some(elements),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_given_as_it_was_written() {
        let shown = |raw: &str, address: &str, preposition: &str| {
            written(raw.as_bytes(), address.as_bytes(), preposition.as_bytes())
                .map(|path| String::from_utf8_lossy(path).into_owned())
        };
        assert_eq!(shown("MAIL FROM:<a@b> SIZE=5", "a@b", "FROM").as_deref(), Some("<a@b>"));
        assert_eq!(shown("mail from: <a@b>", "a@b", "FROM").as_deref(), Some("<a@b>"));
        assert_eq!(shown(" MAIL\tFROM : <>", "", "FROM").as_deref(), Some("<>"));
        assert_eq!(shown("RCPT TO:<@r:a@b>", "@r:a@b", "TO").as_deref(), Some("<@r:a@b>"));
        assert_eq!(shown("RCPT TO:<a@b", "a@b", "TO").as_deref(), Some("<a@b"));
        assert_eq!(shown("RCPT TO:a@b", "a@b", "TO"), None);
        assert_eq!(shown("RCPT", "", "TO"), None);
        assert_eq!(shown("MAIL FROM:<\"a b\"@c>", "\"a b\"@c", "FROM").as_deref(), Some("<\"a b\"@c>"));
    }

    #[test]
    fn a_scheme_without_the_events_has_no_mails() {
        assert!(Mails::new(&ProtocolScheme::default()).is_none());
    }
}
