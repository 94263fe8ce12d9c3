//! Event and alert records, their EVE encoding, sinks and statistics.
//!
//! This layer turns what the ones below found into what people and machines read. It makes no findings of its own, but for
//! one: a mail is more than any one event, and [`Mails`] puts the events together.
//!
//! * [`Head`] is what all records have in common, and a [`Body`] is what one kind adds: [`MailRecord`], [`DnsRecord`],
//!   [`Alert`], [`Anomaly`], [`FlowRecord`], [`StatisticsRecord`]. They borrow; [`Encoder`] writes them straight to a line
//!   of JSON in the form that readers of EVE take (`docs/siem.md`).
//! * [`Mails`] and [`DnsFields`] look up the names of a grammar once, and read its events: to [`Mail`]s by a
//!   [`MailSession`] per flow, and to [`DnsMessage`]s.
//! * [`Sink`]s take lines: a file, standard output.
//! * [`Summary`] is one screen for a person; [`Statistics`] are the counters.
//!
//! What comes from the wire is shown as [`Text`]: valid UTF-8 without control characters, from which the octets can be had
//! back. Every line is valid JSON, whatever was sent. All bounds are in [`limits`].
//!
//! ```
//! use portcullis_report::{Command, Encoder, FlowIdentity, Head, MailRecord, MailSession, Moment, Place, Said, Verb};
//! use portcullis_lang::ProtocolScheme;
//! use portcullis_stream::{FlowKey, Protocol};
//! use portcullis_wire::Timestamp;
//!
//! let key = FlowKey {
//!     protocol: Protocol::Tcp,
//!     client: "192.0.2.1:40000".parse()?,
//!     server: "192.0.2.25:25".parse()?,
//!     vlan: 0,
//! };
//! let time = Timestamp::from_seconds(1_795_176_000);
//! let flow = FlowIdentity::new(key, time);
//! let scheme = ProtocolScheme::default();
//! let mut encoder = Encoder::new();
//! let mut session = MailSession::new();
//! let mut lines = String::new();
//! for (packet, argument, verb) in [(1, "client.example", Verb::Hello), (3, "<me@example.com>", Verb::Mail)] {
//!     let command = Command { verb, argument: argument.as_bytes(), ..Command::default() };
//!     session.take(Said::Command(command), Moment { time, packet }, &mut |_| {});
//! }
//! session.close(Moment { time, packet: 4 }, &mut |mail| {
//!     let head = Head { transaction: Some(mail.number), ..Head::of_flow(&flow, mail.ended) };
//!     let line = encoder.line(&head, &MailRecord { mail, scheme: &scheme });
//!     lines.push_str(&String::from_utf8_lossy(line));
//! });
//! assert!(lines.starts_with(r#"{"timestamp":"2026-11-20T12:00:00.000000+0000","flow_id":"#));
//! assert!(lines.contains(r#""smtp":{"helo":"client.example","mail_from":"<me@example.com>","portcullis":{"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod address;
mod dns;
mod encode;
mod fields;
mod head;
mod identity;
pub mod limits;
mod mail;
mod record;
mod sink;
mod statistics;
mod summary;
mod text;
mod time;

pub use address::FullAddress;
pub use dns::{DnsFields, DnsMessage, Question, Resource, ResourceData};
pub use encode::{Body, Encoder};
pub use head::{Ends, Head};
pub use identity::{EventIdentity, FlowIdentity, community_id};
pub use mail::{Command, Mail, MailOutcome, MailReply, MailSession, Mails, Place, Recipient, Said, Verb};
pub use record::alert::{Alert, GENERATOR, Outcome};
pub use record::anomaly::{Anomaly, AnomalyKind};
pub use record::dns::DnsRecord;
pub use record::flow::FlowRecord;
pub use record::gate::GateRecord;
pub use record::mail::MailRecord;
pub use sink::{FileSink, Sink, SinkError, StdoutSink, WriterSink, open_sink};
pub use statistics::{
    DecoderCounters, DefragCounters, DetectionCounters, FlowCounters, ProtocolCounters, Statistics, StatisticsRecord,
    TcpCounters, VerdictCounters,
};
pub use summary::{Style, Summary};
pub use text::Text;
pub use time::{IsoTime, Moment};
