//! `portcullis limits`: every bound of the program.
//!
//! A bound is a promise to operators; one that is not in this list is one that nobody can plan with. The numbers are
//! those of the code, not copies.

use std::io::Write;
use std::time::Duration;

use portcullis_capture::limits as capture;
use portcullis_engine::EngineLimits;
use portcullis_grammar::limits as grammar;
use portcullis_report::limits as report;
use portcullis_stream::Limits;
use portcullis_wire::FragmentLimits;
use portcullis_wire::limits as wire;

use crate::Outcome;

pub(crate) fn run() -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    for (index, (title, bounds)) in sections().into_iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{title}")?;
        for Bound { value, what } in bounds {
            writeln!(out, "{value:>12}  {what}")?;
        }
    }
    Ok(Outcome::Fine)
}

struct Bound {
    value: String,
    what: &'static str,
}

fn sections() -> Vec<(&'static str, Vec<Bound>)> {
    vec![
        ("capture files", capture_files()),
        ("packets and fragments", packets()),
        ("flows and streams", streams()),
        ("protocols on ports that no grammar names", recognition()),
        ("conversations (beside what `check --cost` says)", conversations()),
        ("grammar and policy files", languages()),
        ("policies", policies()),
        ("records", records()),
    ]
}

fn capture_files() -> Vec<Bound> {
    vec![
        octets(capture::READ_BUFFER_BYTES, "buffer that a file is read through"),
        octets(capture::COMPRESSED_BUFFER_BYTES, "buffer that compressed data are read through"),
        octets(capture::PACKET_BYTES, "longest packet, unless the capture announces longer ones"),
        octets(capture::PACKET_BYTES_MAXIMUM, "longest packet, whatever the capture announces"),
        octets(capture::BLOCK_BYTES, "longest pcapng block that is held"),
        count(capture::INTERFACES, "interfaces of a pcapng section"),
        octets(1u64 << capture::ZSTD_WINDOW_LOG, "window of zstd data"),
    ]
}

fn packets() -> Vec<Bound> {
    let fragments = FragmentLimits::default();
    vec![
        count(wire::VLAN_TAGS, "VLAN tags of a packet"),
        count(wire::VLAN_IDENTIFIERS, "VLAN identifiers that are kept"),
        count(wire::EXTENSION_HEADERS, "IPv6 extension headers"),
        octets(wire::TCP_OPTIONS, "TCP options"),
        octets(wire::DATAGRAM, "datagram put together from fragments"),
        count(fragments.datagrams, "datagrams in parts at a time"),
        octets(fragments.bytes, "all datagrams in parts together"),
        count(fragments.fragments, "fragments of a datagram"),
        time(fragments.timeout_ipv4, "until an IPv4 datagram in parts is given up"),
        time(fragments.timeout_ipv6, "until an IPv6 datagram in parts is given up"),
    ]
}

fn streams() -> Vec<Bound> {
    let limits = Limits::default();
    vec![
        count(limits.flows, "flows at a time"),
        octets(limits.memory, "all buffers of all flows together"),
        octets(limits.bytes_per_flow(), "buffers of one flow"),
        count(limits.queue_segments, "segments held out of order, per direction"),
        octets(limits.queue_bytes, "held out of order, per direction"),
        time(limits.queue_time, "until octets that nobody acknowledged are a gap"),
        time(limits.queue_time_one_sided, "the same where one side alone was captured"),
        time(limits.reorder_time, "until acknowledged octets that were not captured are a gap"),
        count(limits.reorder_packets, "packets until then, at most"),
        octets(limits.compare_bytes, "delivered octets kept to compare repetitions with, per direction"),
        octets(limits.syn_bytes, "data of a SYN"),
        time(limits.embryonic, "silence of an unfinished handshake"),
        time(limits.established, "silence of a connection"),
        time(limits.closing, "silence of a connection that one side has closed"),
        time(limits.closed, "until a closed connection is forgotten"),
        time(limits.datagram, "silence of a UDP flow"),
    ]
}

fn recognition() -> Vec<Bound> {
    vec![octets(
        EngineLimits::default().recognise_octets,
        "of the server held until the client's first octets tell the protocol",
    )]
}

fn conversations() -> Vec<Bound> {
    vec![
        count(grammar::MAX_CALLS, "calls within calls while a record is parsed"),
        count(grammar::MAX_SLOTS, "values of one record with all its lists"),
        octets(grammar::MAX_KEPT_TEXT, "text that a flow keeps of a record"),
        count(grammar::MAX_RECORD_ANOMALIES, "anomalies told of one record"),
        count(grammar::MAX_LOOKALIKES, "ends of data that only look like one, told of one stream"),
        count(grammar::MAX_AHEAD, "records parsed ahead of the answers to those before them"),
        count(grammar::MAX_QUESTIONS, "questions without an answer"),
        octets(grammar::RESYNC_OCTETS, "searched for a record after a gap"),
        count(grammar::MAX_RESYNCS, "gaps after which a direction is searched"),
        octets(grammar::MAX_REASON, "reason in an event"),
        count(grammar::FOLLOW_DEPTH, "jumps of one `follow` whose grammar does not say"),
    ]
}

fn languages() -> Vec<Bound> {
    vec![
        octets(portcullis_lang::MAX_SOURCE_BYTES, "file"),
        count(portcullis_lang::MAX_NESTING, "brackets and blocks within each other"),
        count(portcullis_lang::MAX_EXPRESSION_HEIGHT, "operators within each other"),
        count(portcullis_lang::MAX_DIAGNOSTICS, "messages about one file"),
        count(grammar::MAX_RULES, "records, groups, lines and values of a grammar"),
        count(grammar::MAX_ITEMS, "fields of a grammar, groups counted wherever they are named"),
        count(grammar::MAX_RECORD_SLOTS, "values of a record without its lists"),
        count(grammar::MAX_NAMES, "names of one kind in a grammar"),
        count(grammar::MAX_GROUP_DEPTH, "groups within groups"),
        octets(grammar::MAX_RECORD_OCTETS, "greatest `max` of a record"),
        octets(grammar::MAX_LINE_OCTETS, "greatest `max` of a line"),
    ]
}

fn policies() -> Vec<Bound> {
    use portcullis_policy as policy;

    vec![
        count(policy::MAX_POLICIES, "policies"),
        count(policy::MAX_RULES, "rules of all policies"),
        count(policy::MAX_TRIGGERS, "events of a rule"),
        count(policy::MAX_ABOUT, "pairs behind `about`"),
        count(policy::MAX_LIST_ENTRIES, "entries of a list"),
        octets(policy::MAX_ENTRY_BYTES, "entry of a list"),
        octets(policy::MAX_STEM_BYTES, "entry that stands for the names below it"),
        octets(policy::MAX_LIST_BYTES, "file of a list"),
        count(policy::MAX_NETWORKS, "networks under one name"),
        octets(policy::MAX_ALERT_TEXT, "text of an alert"),
        octets(policy::MAX_ALERT_VALUE, "value in the text of an alert"),
        count(policy::MAX_THRESHOLD, "greatest N of `after N` and `at most N`"),
        time(Duration::from_nanos(policy::MAX_THRESHOLD_WINDOW), "longest time of `after` and `at most`"),
        count(policy::MAX_COUNTED_KEYS, "keys that are counted at a time, over all rules"),
        count(policy::MAX_COUNTED_TIMES, "times that are kept for counting, over all rules"),
        octets(policy::MAX_KEY_BYTES, "key that is counted"),
        count(policy::MAX_TEST_STEPS, "steps of a `test`"),
    ]
}

fn records() -> Vec<Bound> {
    vec![
        octets(report::MAX_TEXT, "name or address in a record"),
        octets(report::MAX_REPLY_TEXT, "text of a reply in a record"),
        count(report::MAX_RECIPIENTS, "recipients of a mail in a record; more are counted"),
        octets(report::MAX_RECIPIENT_OCTETS, "all recipients of a mail in a record"),
        count(report::MAX_MAIL_ANOMALIES, "kinds of anomalies of a mail in a record"),
        count(report::MAX_PENDING_COMMANDS, "commands of a session that wait for their reply"),
        count(report::MAX_WAITING_MAILS, "mails of a session that wait for their last reply"),
        octets(report::MAX_WAITING_OCTETS, "texts of the mails that wait, per session"),
        count(report::MAX_RESOURCE_RECORDS, "resource records of a section of a DNS message"),
        octets(report::MAX_RESOURCE_DATA, "data of a resource record"),
        count(report::MAX_EDNS_OPTIONS, "options of EDNS"),
        count(report::MAX_SUMMARY_MAILS, "mails that the screen lists; more are counted"),
        count(report::MAX_SUMMARY_HOSTS, "hosts that the screen tells apart"),
        count(report::MAX_SUMMARY_KINDS, "kinds of alerts, of anomalies and of protocols that the screen tells apart"),
        octets(report::MAX_SUMMARY_TEXT, "text on the screen"),
        count(report::MAX_STATISTICS_PROTOCOLS, "protocols that the statistics tell apart"),
        octets(report::SINK_BUFFER, "records that are collected before they are written"),
        octets(report::MAX_SINK_BACKLOG, "records that wait while nothing can be written"),
    ]
}

fn count(value: impl TryInto<u64>, what: &'static str) -> Bound {
    Bound { value: grouped(value.try_into().unwrap_or(u64::MAX)), what }
}

fn octets(value: impl TryInto<u64>, what: &'static str) -> Bound {
    let value = value.try_into().unwrap_or(u64::MAX);
    let (number, unit) = match value {
        0..1024 => (value, "octets"),
        _ if value % (1 << 20) == 0 => (value >> 20, "MiB"),
        _ if value % (1 << 10) == 0 => (value >> 10, "KiB"),
        _ => (value, "octets"),
    };
    Bound { value: format!("{} {unit}", grouped(number)), what }
}

fn time(value: Duration, what: &'static str) -> Bound {
    let value = match value.as_secs() {
        0 => format!("{} ms", value.as_millis()),
        seconds => format!("{} s", grouped(seconds)),
    };
    Bound { value, what }
}

/// `1,000,000`
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(1_000_000, "").value, "1,000,000");
        assert_eq!(count(999, "").value, "999");
        assert_eq!(octets(1u64 << 20, "").value, "1 MiB");
        assert_eq!(octets(1460, "").value, "1,460 octets");
        assert_eq!(time(Duration::from_millis(200), "").value, "200 ms");
        assert_eq!(time(Duration::from_secs(7440), "").value, "7,440 s");
    }
}
