//! Every bound of policies: what a file may hold, and what a rule may write.

/// Most policies in one set.
pub const MAX_POLICIES: usize = 1_000;

/// Most rules in one set, over all its policies.
pub const MAX_RULES: usize = 50_000;

/// Most events that one rule may name after `on`.
pub const MAX_TRIGGERS: usize = 64;

/// Most pairs after `about` in one rule.
pub const MAX_ABOUT: usize = 32;

/// Most steps of one `test`.
pub const MAX_TEST_STEPS: usize = 4_096;

/// Most entries of one list, from a file or in brackets.
pub const MAX_LIST_ENTRIES: usize = 1_000_000;

/// Longest entry of a list, in octets.
pub const MAX_ENTRY_BYTES: usize = 1_024;

/// Longest entry that stands for the names below it (`.example.com`), in octets: that of a domain.
pub const MAX_STEM_BYTES: usize = 256;

/// Largest file of a list, in octets.
pub const MAX_LIST_BYTES: usize = 32 << 20;

/// Most networks under one name.
pub const MAX_NETWORKS: usize = 10_000;

/// Longest text of an alert or a log record once its values are filled in, in octets. What is longer ends in `...`.
pub const MAX_ALERT_TEXT: usize = 2_048;

/// Most octets of one value that an alert or a log record shows. What is longer ends in `...`.
pub const MAX_ALERT_VALUE: usize = 512;

/// Widest range of numbers (`in 200..299`) whose members are entered into the hash index of an event one by one.
pub(crate) const MAX_INDEXED_RANGE: i64 = 256;

/// Fewest rules that have to test one field before it gets a hash index. One test is as fast as a look-up
/// (`examples/rules_speed.rs`).
pub(crate) const MIN_INDEXED_RULES: usize = 2;

/// Greatest N of `after N per KEY in TIME` and `at most N per KEY in TIME`: the times of so many occurrences are kept.
pub const MAX_THRESHOLD: u32 = 1_000;

/// Longest TIME of a threshold, in nanoseconds: 7 days.
pub const MAX_THRESHOLD_WINDOW: u64 = 7 * 86_400 * 1_000_000_000;

/// Most keys that the thresholds of all rules count at one time. Beyond, those that were quiet for longest are forgotten.
pub const MAX_COUNTED_KEYS: usize = 65_536;

/// Most times that the thresholds of all rules keep at one time, 8 octets each. Beyond, keys are forgotten as above.
pub const MAX_COUNTED_TIMES: usize = 1 << 20;

/// Most octets of a key that tell it from others.
pub const MAX_KEY_BYTES: usize = 256;

/// Longest TIME of `block KEY for TIME`, in nanoseconds: 7 days.
pub const MAX_BLOCK_TIME: u64 = 7 * 86_400 * 1_000_000_000;

/// Longest text of `refuse`, in octets, without the end of its line: a reply line has 512 (RFC 5321, section 4.5.3.1.5).
pub const MAX_REFUSAL: usize = 510;

/// Most `edit` clauses of one rule.
pub const MAX_EDITS: usize = 16;

/// Most octets that one `edit` puts in the place of a field.
pub const MAX_EDIT_BYTES: usize = 4_096;

/// Largest automaton of one regular expression that is looked for in a stream, in octets.
pub const MAX_STREAM_EXPRESSION_BYTES: usize = 2 << 20;

/// Largest automaton of several of them together, in octets; beyond, each has its own.
pub const MAX_STREAM_EXPRESSIONS_BYTES: usize = 4 << 20;

/// Most patterns that rules look for in one stream.
pub const MAX_STREAM_PATTERNS: usize = 16_384;

/// Most octets of `hold ... max SIZE`: a gate acknowledges what it keeps back, and lets it go at once when it is judged.
pub const MAX_HOLD: u32 = 512 << 10;

/// Most holds of the rules on one protocol.
pub const MAX_HOLDS: usize = 32;
