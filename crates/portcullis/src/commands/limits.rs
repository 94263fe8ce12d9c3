//! `portcullis limits`: every bound of the program.
//!
//! A bound is a promise to operators; one that is not in this list is one that nobody can plan with. The numbers are
//! those of the code, not copies.

use std::io::Write;
use std::time::Duration;

use portcullis_capture::limits as capture;
use portcullis_engine::{Bound, Settings, Unit};
use portcullis_grammar::limits as grammar;
use portcullis_report::limits as report;
use portcullis_wire::limits as wire;

use crate::Outcome;
use crate::plan::LimitsTask;

pub(crate) fn run(task: &LimitsTask) -> anyhow::Result<Outcome> {
    let mut settings = task.settings.clone();
    task.limits.apply(&mut settings)?;
    let mut out = std::io::stdout().lock();
    write_bounds(&mut out, &settings)?;
    for (title, bounds) in sections() {
        writeln!(out, "\n{title}")?;
        for Fixed { value, what } in bounds {
            writeln!(out, "{value:>14}  {what}")?;
        }
    }
    Ok(Outcome::Fine)
}

/// A line for a bound that can be set.
pub(crate) fn write_bound(out: &mut impl Write, bound: Bound, settings: &Settings) -> std::io::Result<()> {
    let (name, value, what) = (bound.name(), bound.show(settings), bound.what());
    writeln!(out, "{value:>14}  {name:<21} {what}")
}

/// The bounds that can be set, with what tells that one was met, and what becomes of a flow then.
fn write_bounds(out: &mut impl Write, settings: &Settings) -> std::io::Result<()> {
    writeln!(out, "bounds and timeouts that can be set (--limit NAME=VALUE), and what tells that one was met")?;
    for bound in Bound::ALL.iter().copied() {
        write_bound(out, bound, settings)?;
        let verdict = match (bound.is_judged(), settings.failures.when_met(bound)) {
            (false, _) => String::new(),
            (true, when_met) => format!("; verdict: {}", when_met.name()),
        };
        writeln!(out, "{:>14}  {:<21}   {}{verdict}", "", "", bound.told())?;
    }
    Ok(())
}

/// A bound that cannot be set.
struct Fixed {
    value: String,
    what: &'static str,
}

fn sections() -> Vec<(&'static str, Vec<Fixed>)> {
    vec![
        ("fixed: capture files", capture_files()),
        ("queues and interfaces (unless an option says otherwise)", queues()),
        ("fixed: packets", packets()),
        ("fixed: conversations (beside what `check --cost` says)", conversations()),
        ("fixed: grammar and policy files", languages()),
        ("fixed: policies", policies()),
        ("fixed: records", records()),
        ("fixed: stories (`explain`); a story says where something was left out", stories()),
    ]
}

fn capture_files() -> Vec<Fixed> {
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

fn queues() -> Vec<Fixed> {
    vec![
        octets(capture::RECEIVE_BUFFER_BYTES, "receive buffer of a queue"),
        count(capture::QUEUE_PACKETS, "packets of a queue that wait in the kernel for a verdict"),
        octets(capture::COPY_BYTES, "packet of a queue; of a longer one the rest is not inspected"),
        octets(capture::REPLACEMENT_BYTES, "packet that takes the place of another"),
        count(capture::BATCH_PACKETS, "packets received from a queue with one system call"),
        octets(capture::LIVE_BUFFER_BYTES, "buffer of the kernel for an interface"),
    ]
}

fn packets() -> Vec<Fixed> {
    vec![
        count(wire::VLAN_TAGS, "VLAN tags of a packet"),
        count(wire::VLAN_IDENTIFIERS, "VLAN identifiers that are kept"),
        count(wire::EXTENSION_HEADERS, "IPv6 extension headers"),
        octets(wire::TCP_OPTIONS, "TCP options"),
        octets(wire::DATAGRAM, "datagram put together from fragments"),
    ]
}

fn conversations() -> Vec<Fixed> {
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

fn languages() -> Vec<Fixed> {
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

fn policies() -> Vec<Fixed> {
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
        time(Duration::from_nanos(policy::MAX_BLOCK_TIME), "longest time of `block`"),
        octets(policy::MAX_REFUSAL, "text of `refuse`"),
        count(policy::MAX_EDITS, "`edit` clauses of a rule"),
        octets(policy::MAX_EDIT_BYTES, "what one `edit` puts in the place of a field"),
        count(policy::MAX_STREAM_PATTERNS, "patterns that rules look for in one stream"),
        octets(policy::MAX_STREAM_EXPRESSION_BYTES, "automaton of a regular expression looked for in streams"),
        octets(policy::MAX_STREAM_EXPRESSIONS_BYTES, "automaton of several together; beyond, each has its own"),
        count(policy::MAX_TEST_STEPS, "steps of a `test`"),
    ]
}

fn records() -> Vec<Fixed> {
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

fn stories() -> Vec<Fixed> {
    use crate::gateway::{control, stories, witness};
    use crate::trace;

    vec![
        octets(trace::FLOW_TEXT, "story of a flow of a capture (story_octets)"),
        octets(trace::ALL_TEXT, "stories of all open flows of captures (stories_octets); further ones are not told"),
        octets(stories::FOLLOWED_OCTETS, "story of a flow that a gate follows (story_octets)"),
        octets(stories::ALERTED_OCTETS, "story of a flow with an alert that it does not follow (story_octets)"),
        octets(stories::ALL_OCTETS, "stories of a queue, also of flows that have ended; the oldest give way, counted"),
        count(stories::MOST_FOLLOWED, "flows of a queue that are followed at once; others are counted"),
        count(stories::MOST_WISHES, "orders to follow that are in force at once"),
        count(control::MOST_NEXT, "greatest N of `ctl follow next N`"),
        count(witness::MOST_STORIES, "stories of a queue in one answer"),
    ]
}

fn count(value: impl TryInto<u64>, what: &'static str) -> Fixed {
    Fixed { value: Unit::Count.show(value.try_into().unwrap_or(u64::MAX)), what }
}

fn octets(value: impl TryInto<u64>, what: &'static str) -> Fixed {
    Fixed { value: Unit::Octets.show(value.try_into().unwrap_or(u64::MAX)), what }
}

fn time(value: Duration, what: &'static str) -> Fixed {
    Fixed { value: Unit::Time.show(u64::try_from(value.as_millis()).unwrap_or(u64::MAX)), what }
}
