//! The bounds of everything that this crate keeps or writes.

/// Most octets of a HELO name, an address or another text from the wire that a record holds.
pub const MAX_TEXT: usize = 4096;

/// Most octets of the text of a reply that a record holds.
pub const MAX_REPLY_TEXT: usize = 512;

/// Most recipients of one mail that are kept; more are counted.
pub const MAX_RECIPIENTS: usize = 1000;

/// Most octets of all recipients of one mail that are kept.
pub const MAX_RECIPIENT_OCTETS: usize = 64 * 1024;

/// Most kinds of anomalies that are kept of one mail.
pub const MAX_MAIL_ANOMALIES: usize = 32;

/// Most commands of a session whose replies are waited for; the oldest gives way.
pub const MAX_PENDING_COMMANDS: usize = 1024;

/// Most mails of a session whose last reply is waited for; the oldest is reported without it.
pub const MAX_WAITING_MAILS: usize = 256;

/// Most octets of all texts of the mails of a session whose last reply is waited for.
pub const MAX_WAITING_OCTETS: usize = 256 * 1024;

/// Most mails that the summary for a person lists; more are counted.
pub const MAX_SUMMARY_MAILS: usize = 24;

/// Most hosts that the summary tells apart.
pub const MAX_SUMMARY_HOSTS: usize = 100_000;

/// Most kinds of alerts, of anomalies and of protocols that the summary tells apart, each.
pub const MAX_SUMMARY_KINDS: usize = 1000;

/// Most octets of an address, a HELO name or a protocol's name that the summary keeps.
pub const MAX_SUMMARY_TEXT: usize = 128;

/// Octets that a sink collects before it writes them.
pub const SINK_BUFFER: usize = 64 * 1024;

/// Most octets that a sink holds back while nothing can be written; lines beyond are dropped and counted.
pub const MAX_SINK_BACKLOG: usize = 4 * 1024 * 1024;

/// Most options of EDNS that a record of DNS lists.
pub const MAX_EDNS_OPTIONS: usize = 64;

/// Most octets of the data of a resource record that a record of DNS holds.
pub const MAX_RESOURCE_DATA: usize = 4096;

/// Most resource records that a record of DNS lists per section.
pub const MAX_RESOURCE_RECORDS: usize = 1000;

/// Most protocols that the statistics tell apart.
pub const MAX_STATISTICS_PROTOCOLS: usize = 64;
