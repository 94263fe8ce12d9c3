//! Every bound and timeout of an engine that can be set, under one name each.
//!
//! The limits themselves lie where they are kept: [`Limits`](portcullis_stream::Limits),
//! [`FragmentLimits`](portcullis_wire::FragmentLimits), [`EngineLimits`]. Here is what people set them by, how it is told
//! that one was met, and what then becomes of the flow.

use std::fmt;
use std::time::Duration;

use portcullis_lang::suggest;
use portcullis_stream::GapReason;

use crate::engine::Settings;

/// Declares the bounds: the variants of [`Bound`], and what is known of each.
macro_rules! bounds {
    ($(
        $variant:ident $name:literal $unit:ident $least:literal..=$most:literal $($field:ident).+;
        $what:literal;
        $told:literal $($judged:ident)?;
    )*) => {
        /// A bound or timeout that can be set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Bound {
            $(#[doc = $what] $variant,)*
        }

        impl Bound {
            /// All of them, in the order in which they are listed.
            pub const ALL: &[Bound] = &[$(Bound::$variant),*];

            fn card(self) -> Card {
                match self {
                    $(Bound::$variant => Card {
                        name: $name,
                        unit: Unit::$unit,
                        range: ($least, $most),
                        what: $what,
                        told: $told,
                        judged: bounds!(@judged $($judged)?),
                    },)*
                }
            }

            /// Its value in some settings, in its [`Unit`].
            pub fn value(self, settings: &Settings) -> u64 {
                match self {
                    $(Bound::$variant => Scalar::get(&settings.$($field).+),)*
                }
            }

            fn put(self, settings: &mut Settings, value: u64) {
                match self {
                    $(Bound::$variant => Scalar::put(&mut settings.$($field).+, value),)*
                }
            }
        }
    };
    (@judged judged) => { true };
    (@judged) => { false };
}

bounds! {
    Flows "flows" Count 1..=100_000_000 streams.flows;
        "flows at a time";
        "the oldest flow that matters least ends, `flow.portcullis.end` is `evicted`";
    StreamMemory "stream-memory" Octets 65_536..=1_099_511_627_776 streams.memory;
        "all buffers of all streams together";
        "`stream.gap`, reason `memory_limit`" judged;
    QueueSegments "queue-segments" Count 1..=1_000_000 streams.queue_segments;
        "segments held out of order, per direction of a flow";
        "`stream.gap`, reason `segment_limit`; by a gate `out_of_order_limit`: the segment does not pass" judged;
    QueueBytes "queue-bytes" Octets 1_024..=1_073_741_824 streams.queue_bytes;
        "held out of order, per direction of a flow";
        "`stream.gap`, reason `byte_limit`; by a gate `out_of_order_limit`: the segment does not pass" judged;
    QueueTime "queue-time" Time 1..=86_400_000 streams.queue_time;
        "until octets that nobody acknowledged are a gap";
        "`stream.gap`, reason `time_limit`" judged;
    QueueTimeOneSided "queue-time-one-sided" Time 1..=86_400_000 streams.queue_time_one_sided;
        "the same where one side alone was captured";
        "`stream.gap`, reason `time_limit`, with the verdict of `queue-time`";
    ReorderTime "reorder-time" Time 0..=86_400_000 streams.reorder_time;
        "until acknowledged octets that were not captured are a gap";
        "`stream.gap`, reason `lost`";
    ReorderPackets "reorder-packets" Count 0..=1_000_000 streams.reorder_packets;
        "packets of the flow until then, at most";
        "`stream.gap`, reason `lost`";
    CompareBytes "compare-bytes" Octets 0..=16_777_216 streams.compare_bytes;
        "delivered octets kept to compare repetitions with, per direction of a flow";
        "counted: what lies farther back is not compared";
    RecordBytes "record-bytes" Octets 1_024..=1_073_741_824 streams.record_bytes;
        "let through and not acknowledged, kept by a gate to compare repetitions with, per direction of a flow";
        "the gate's reason `record_limit`: the segment does not pass, and its sender repeats it";
    SynBytes "syn-bytes" Octets 0..=65_535 streams.syn_bytes;
        "data of a SYN held until it is accepted";
        "what lies beyond comes again when the connection is open";
    EmbryonicTime "embryonic-time" Time 100..=2_592_000_000 streams.embryonic;
        "silence of an unfinished handshake";
        "the flow ends, `flow.portcullis.end` is `timeout`";
    EstablishedTime "established-time" Time 100..=2_592_000_000 streams.established;
        "silence of a connection";
        "the flow ends, `flow.portcullis.end` is `timeout`";
    ClosingTime "closing-time" Time 100..=2_592_000_000 streams.closing;
        "silence of a connection that one side has closed";
        "the flow ends, `flow.portcullis.end` is `timeout`";
    ClosedTime "closed-time" Time 100..=2_592_000_000 streams.closed;
        "until a closed or reset connection is forgotten (TIME_WAIT)";
        "the flow ends, `flow.portcullis.end` is `fin` or `reset`";
    DatagramTime "datagram-time" Time 100..=2_592_000_000 streams.datagram;
        "silence of a UDP flow";
        "the flow ends, `flow.portcullis.end` is `timeout`";
    FragmentDatagrams "fragment-datagrams" Count 1..=10_000_000 fragments.datagrams;
        "datagrams in parts at a time";
        "`packet.fragment_limit`: the oldest is given up";
    FragmentBytes "fragment-bytes" Octets 65_536..=1_099_511_627_776 fragments.bytes;
        "all datagrams in parts together";
        "`packet.fragment_limit`: the oldest is given up";
    FragmentCount "fragments" Count 2..=8_192 fragments.fragments;
        "fragments of a datagram";
        "`packet.fragment_limit`: the datagram is given up";
    FragmentTimeIpv4 "fragment-time-ipv4" Time 1..=86_400_000 fragments.timeout_ipv4;
        "until an IPv4 datagram in parts is given up";
        "`packet.fragment_timeout`";
    FragmentTimeIpv6 "fragment-time-ipv6" Time 1..=86_400_000 fragments.timeout_ipv6;
        "until an IPv6 datagram in parts is given up";
        "`packet.fragment_timeout`";
    RecogniseBytes "recognise-bytes" Octets 1..=1_048_576 engine.recognise_octets;
        "of the server held until the client's first octets tell the protocol, where no grammar names the port";
        "`limit.recognise-bytes`: the flow is not inspected" judged;
    ConversationMemory "conversation-memory" Octets 65_536..=1_099_511_627_776 engine.memory;
        "everything that conversations of all flows, and records of them, hold together";
        "`limit.conversation-memory`: the flow that asks for more is not inspected any more" judged;
    DoubtfulSegments "doubtful-segments" Count 0..=100_000 engine.doubtful_segments;
        "segments of a flow with a wrong checksum set aside until it is known whether their receiver took them";
        "`packet.tcp_checksum`: the oldest counts as dropped by its receiver";
    DoubtfulBytes "doubtful-bytes" Octets 0..=1_073_741_824 engine.doubtful_octets;
        "such segments of all flows together";
        "`packet.tcp_checksum`: the segment counts as dropped by its receiver";
    HoldTime "hold-time" Time 1..=86_400_000 engine.hold_time;
        "until octets that a gate holds for an answer or for a rule are let go, unread, or their flow is reset";
        "`hold_timeout`" judged;
    HoldBytes "hold-bytes" Octets 1_024..=1_073_741_824 engine.hold_octets;
        "held by a gate for an answer, per direction of a flow";
        "counted: what lies beyond is dropped, and its sender repeats it";
    SerialiseTime "serialise-time" Time 1..=86_400_000 engine.serialise_time;
        "until commands that a gate keeps back for the answer to the one before are let go together, or their flow is reset";
        "`serialise_timeout`" judged;
    Blocks "blocks" Count 1..=10_000_000 engine.blocks;
        "addresses that rules block at a time";
        "`limit.blocks` of the flow whose rule blocks one more: the block that ends soonest gives way";
}

struct Card {
    name: &'static str,
    unit: Unit,
    range: (u64, u64),
    what: &'static str,
    told: &'static str,
    judged: bool,
}

/// What a bound counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Octets.
    Octets,
    /// Milliseconds.
    Time,
}

/// What becomes of a flow when a bound is met that lets it not be inspected as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenMet {
    /// It goes on, and it is told that something was not inspected.
    #[default]
    Accept,
    /// Nothing more of it gets through.
    Drop,
}

impl WhenMet {
    /// The word that people write.
    pub fn name(self) -> &'static str {
        match self {
            WhenMet::Accept => "accept",
            WhenMet::Drop => "drop",
        }
    }
}

/// What becomes of flows when bounds are met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Where nothing else was said: [`WhenMet::Accept`] is "fail open", [`WhenMet::Drop`] "fail closed".
    pub general: WhenMet,
    particular: Vec<(Bound, WhenMet)>,
}

impl Failures {
    /// What becomes of a flow that meets this bound.
    pub fn when_met(&self, bound: Bound) -> WhenMet {
        if !bound.is_judged() {
            return WhenMet::Accept;
        }
        let found = self.particular.iter().rev().find(|(other, _)| *other == bound);
        found.map_or(self.general, |(_, when_met)| *when_met)
    }

    /// Says it of one bound; the last word counts.
    ///
    /// # Errors
    ///
    /// [`BoundError::NotJudged`] for bounds that take nothing from the inspection of a flow.
    pub fn set(&mut self, bound: Bound, when_met: WhenMet) -> Result<(), BoundError> {
        if !bound.is_judged() {
            return Err(BoundError::NotJudged { bound });
        }
        self.particular.retain(|(other, _)| *other != bound);
        self.particular.push((bound, when_met));
        Ok(())
    }
}

impl Bound {
    /// How many there are.
    pub const COUNT: usize = Bound::ALL.len();

    /// The name to set it by: `queue-bytes`.
    pub fn name(self) -> &'static str {
        self.card().name
    }

    /// What it counts.
    pub fn unit(self) -> Unit {
        self.card().unit
    }

    /// The least and the greatest value that it can be set to.
    pub fn range(self) -> (u64, u64) {
        self.card().range
    }

    /// What it bounds, to be read behind its value.
    pub fn what(self) -> &'static str {
        self.card().what
    }

    /// How it is told that it was met: the event or counter, with code in backquotes.
    pub fn told(self) -> &'static str {
        self.card().told
    }

    /// Whether it can be said what becomes of a flow when it is met. It cannot where nothing escapes inspection by it: a
    /// silent flow that is forgotten, an old datagram in parts that its receiver gives up as well.
    pub fn is_judged(self) -> bool {
        self.card().judged
    }

    /// The bound with a name.
    ///
    /// # Errors
    ///
    /// [`BoundError::Unknown`], with the name that may have been meant.
    pub fn parse(name: &str) -> Result<Bound, BoundError> {
        let found = Bound::ALL.iter().copied().find(|bound| bound.name() == name);
        found.ok_or_else(|| BoundError::Unknown {
            name: name.to_owned(),
            near: suggest(name, Bound::ALL.iter().map(|bound| bound.name())).map(str::to_owned),
        })
    }

    /// The bound that makes a gap for this reason, if it is one that can be judged.
    pub fn of_gap(reason: GapReason) -> Option<Bound> {
        match reason {
            GapReason::SegmentLimit => Some(Bound::QueueSegments),
            GapReason::ByteLimit => Some(Bound::QueueBytes),
            GapReason::MemoryLimit => Some(Bound::StreamMemory),
            GapReason::TimeLimit => Some(Bound::QueueTime),
            _ => None,
        }
    }

    /// Sets it in some settings, from a text such as `4MiB`, `30s` or `1000000`.
    ///
    /// # Errors
    ///
    /// [`BoundError::Value`] if the text is no value of this kind, [`BoundError::Range`] if it is too small or too great.
    pub fn set(self, settings: &mut Settings, text: &str) -> Result<(), BoundError> {
        let value = self.unit().parse(text);
        let value = value.ok_or_else(|| BoundError::Value { bound: self, text: text.to_owned() })?;
        let (least, most) = self.range();
        if !(least..=most).contains(&value) {
            return Err(BoundError::Range { bound: self, text: text.to_owned() });
        }
        self.put(settings, value);
        Ok(())
    }

    /// Its value in some settings, as people read and write it: `4 MiB`.
    pub fn show(self, settings: &Settings) -> String {
        self.unit().show(self.value(settings))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Unit {
    /// A value as people read it: `1,000,000`, `4 MiB`, `200 ms`.
    pub fn show(self, value: u64) -> String {
        let (number, unit) = match self {
            Unit::Count => return grouped(value),
            Unit::Octets if value > 0 && value.is_multiple_of(1 << 30) => (value >> 30, "GiB"),
            Unit::Octets if value > 0 && value.is_multiple_of(1 << 20) => (value >> 20, "MiB"),
            Unit::Octets if value > 0 && value.is_multiple_of(1 << 10) => (value >> 10, "KiB"),
            Unit::Octets => (value, "octets"),
            Unit::Time if value.is_multiple_of(1000) => (value / 1000, "s"),
            Unit::Time => (value, "ms"),
        };
        format!("{} {unit}", grouped(number))
    }

    /// Reads what [`Unit::show`] writes, with or without the comma and the space, and without a unit plain octets.
    fn parse(self, text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text.find(|one: char| !one.is_ascii_digit() && one != ',' && one != '_').unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(end)?;
        let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
        let number: u64 = digits.parse().ok()?;
        let factor = match (self, unit.trim().to_ascii_lowercase().as_str()) {
            (Unit::Count | Unit::Octets, "") => 1,
            (Unit::Octets, "octet" | "octets" | "b" | "byte" | "bytes") => 1,
            (Unit::Octets, "kib") => 1 << 10,
            (Unit::Octets, "mib") => 1 << 20,
            (Unit::Octets, "gib") => 1 << 30,
            (Unit::Time, "ms") => 1,
            (Unit::Time, "s" | "second" | "seconds") => 1_000,
            (Unit::Time, "min" | "minute" | "minutes") => 60_000,
            (Unit::Time, "h" | "hour" | "hours") => 3_600_000,
            (Unit::Time, "d" | "day" | "days") => 86_400_000,
            _ => return None,
        };
        number.checked_mul(factor)
    }

    fn wanted(self) -> &'static str {
        match self {
            Unit::Count => "a number such as `1000000`",
            Unit::Octets => "a number of octets such as `1460`, `64KiB`, `4MiB` or `1GiB`",
            Unit::Time => "a time such as `200ms`, `30s`, `4min`, `2h` or `1d`",
        }
    }
}

/// Why a bound cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundError {
    /// There is none of that name.
    Unknown {
        /// The name.
        name: String,
        /// The one that may have been meant.
        near: Option<String>,
    },
    /// The text is not a value.
    Value {
        /// The bound.
        bound: Bound,
        /// The text.
        text: String,
    },
    /// The value is too small or too great.
    Range {
        /// The bound.
        bound: Bound,
        /// The value.
        text: String,
    },
    /// No verdict belongs to it.
    NotJudged {
        /// The bound.
        bound: Bound,
    },
}

impl fmt::Display for BoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundError::Unknown { name, near: Some(near) } => {
                write!(f, "there is no limit `{name}`; did you mean `{near}`?")
            }
            BoundError::Unknown { name, near: None } => {
                write!(f, "there is no limit `{name}` that can be set; `portcullis limits` lists them")
            }
            BoundError::Value { bound, text } => {
                write!(f, "`{text}` cannot be the limit `{bound}`, which is {}", bound.unit().wanted())
            }
            BoundError::Range { bound, text } => {
                let (least, most) = bound.range();
                let [least, most] = [least, most].map(|value| bound.unit().show(value));
                write!(f, "`{text}` cannot be the limit `{bound}`, which lies between {least} and {most}")
            }
            BoundError::NotJudged { bound } => {
                write!(
                    f,
                    "nothing escapes inspection when the limit `{bound}` is met, so that no verdict belongs to it; those \
                     that have one are {}",
                    listed(Bound::ALL.iter().filter(|bound| bound.is_judged()).map(|bound| bound.name())),
                )
            }
        }
    }
}

impl std::error::Error for BoundError {}

/// "`a`, `b` and `c`"
fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
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

/// A field of some limits, as a number of its unit.
trait Scalar {
    fn get(&self) -> u64;
    fn put(&mut self, value: u64);
}

impl Scalar for usize {
    fn get(&self) -> u64 {
        *self as u64
    }

    fn put(&mut self, value: u64) {
        *self = usize::try_from(value).unwrap_or(usize::MAX);
    }
}

impl Scalar for u32 {
    fn get(&self) -> u64 {
        u64::from(*self)
    }

    fn put(&mut self, value: u64) {
        *self = u32::try_from(value).unwrap_or(u32::MAX);
    }
}

impl Scalar for Duration {
    fn get(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }

    fn put(&mut self, value: u64) {
        *self = Duration::from_millis(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_set_again_and_lies_in_its_range() {
        let settings = Settings::default();
        for bound in Bound::ALL.iter().copied() {
            let mut other = Settings::default();
            let (least, most) = bound.range();
            bound.put(&mut other, least);
            bound.set(&mut other, &bound.show(&settings)).unwrap();
            assert_eq!(bound.value(&other), bound.value(&settings), "{bound}");
            for end in [least, most] {
                bound.set(&mut other, &bound.unit().show(end)).unwrap();
                assert_eq!(bound.value(&other), end, "{bound}");
            }
            assert_eq!(Bound::parse(bound.name()), Ok(bound));
        }
    }

    /// Whoever adds a limit has to name it here, and to give it a [`Bound`].
    #[test]
    fn there_is_no_limit_without_a_bound() {
        use portcullis_stream::Limits;
        use portcullis_wire::FragmentLimits;

        use crate::limits::EngineLimits;

        let Settings { streams, fragments, engine, .. } = Settings::default();
        let Limits {
            flows: _,
            memory: _,
            queue_segments: _,
            queue_bytes: _,
            queue_time: _,
            queue_time_one_sided: _,
            reorder_time: _,
            reorder_packets: _,
            compare_bytes: _,
            record_bytes: _,
            syn_bytes: _,
            embryonic: _,
            established: _,
            closing: _,
            closed: _,
            datagram: _,
        } = streams;
        let FragmentLimits { datagrams: _, bytes: _, fragments: _, timeout_ipv4: _, timeout_ipv6: _ } = fragments;
        let EngineLimits {
            recognise_octets: _,
            memory: _,
            doubtful_segments: _,
            doubtful_octets: _,
            hold_time: _,
            hold_octets: _,
            serialise_time: _,
            blocks: _,
        } = engine;
        assert_eq!(Bound::COUNT, 16 + 5 + 8);
    }

    #[test]
    fn each_bound_sets_a_limit_of_its_own() {
        for one in Bound::ALL.iter().copied() {
            let mut settings = Settings::default();
            one.put(&mut settings, one.range().0 + 1);
            for other in Bound::ALL.iter().copied().filter(|other| *other != one) {
                assert_eq!(other.value(&settings), other.value(&Settings::default()), "{one} changes {other}");
            }
            assert_eq!(one.value(&settings), one.range().0 + 1);
        }
    }

    #[test]
    fn units_are_understood() {
        for (unit, text, value) in [
            (Unit::Count, "1000000", Some(1_000_000)),
            (Unit::Count, "1,000,000", Some(1_000_000)),
            (Unit::Count, "10s", None),
            (Unit::Octets, "4MiB", Some(4 << 20)),
            (Unit::Octets, " 4 mib ", Some(4 << 20)),
            (Unit::Octets, "1460", Some(1460)),
            (Unit::Octets, "1,460 octets", Some(1460)),
            (Unit::Octets, "4M", None),
            (Unit::Octets, "4MB", None),
            (Unit::Octets, "-1", None),
            (Unit::Octets, "1.5MiB", None),
            (Unit::Octets, "99999999999GiB", None),
            (Unit::Time, "200ms", Some(200)),
            (Unit::Time, "7,440 s", Some(7_440_000)),
            (Unit::Time, "2h", Some(7_200_000)),
            (Unit::Time, "30", None),
            (Unit::Time, "", None),
        ] {
            assert_eq!(unit.parse(text), value, "{unit:?} {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_a_way_out() {
        let mut settings = Settings::default();
        let mut error = |name: &str, text: &str| {
            Bound::parse(name).and_then(|bound| bound.set(&mut settings, text)).unwrap_err().to_string()
        };
        assert_eq!(error("queue-byte", "1"), "there is no limit `queue-byte`; did you mean `queue-bytes`?");
        assert_eq!(
            error("zzzzzzzz", "1"),
            "there is no limit `zzzzzzzz` that can be set; `portcullis limits` lists them"
        );
        assert_eq!(
            error("queue-time", "30"),
            "`30` cannot be the limit `queue-time`, which is a time such as `200ms`, `30s`, `4min`, `2h` or `1d`"
        );
        assert_eq!(
            error("stream-memory", "1KiB"),
            "`1KiB` cannot be the limit `stream-memory`, which lies between 64 KiB and 1,024 GiB"
        );
        let error = Failures::default().set(Bound::ClosedTime, WhenMet::Drop).unwrap_err().to_string();
        assert!(error.contains("those that have one are `stream-memory`"), "{error}");
    }

    #[test]
    fn a_particular_word_counts_more_than_the_general_one() {
        let mut failures = Failures::default();
        assert_eq!(failures.when_met(Bound::QueueBytes), WhenMet::Accept);
        failures.general = WhenMet::Drop;
        failures.set(Bound::QueueBytes, WhenMet::Accept).unwrap();
        assert_eq!(failures.when_met(Bound::QueueBytes), WhenMet::Accept);
        assert_eq!(failures.when_met(Bound::QueueSegments), WhenMet::Drop);
        failures.set(Bound::QueueBytes, WhenMet::Drop).unwrap();
        assert_eq!(failures.when_met(Bound::QueueBytes), WhenMet::Drop);
        assert_eq!(failures.when_met(Bound::EstablishedTime), WhenMet::Accept, "no verdict belongs to it");
    }
}
