//! The bounds of everything that a conversation holds beyond what its grammar says.

/// Most calls within calls while a record is parsed: elements of lists, values, jumps of `follow`. A record that nests
/// deeper is a parse error.
pub const MAX_CALLS: usize = 200;

/// Most octets of a text that a flow keeps of a record (`asked: last command keeping verb`); longer texts are cut, and
/// are then unlike any keyword.
pub const MAX_KEPT_TEXT: usize = 64;

/// Most slots of one record with all elements of its lists. A record that needs more is a parse error.
pub const MAX_SLOTS: usize = 1 << 18;

/// Most anomalies reported of one record.
pub const MAX_RECORD_ANOMALIES: usize = 16;

/// Most ends of data that only look like one reported of one stream.
pub const MAX_LOOKALIKES: u32 = 16;

/// Most room that a direction keeps for octets to be held while none are, so that it need not be had again for each
/// record; the room for one long record is given back.
pub const MAX_SPARE_OCTETS: usize = 4096;

/// Most records parsed ahead of the answers to those before them; a side that runs farther ahead waits.
pub const MAX_AHEAD: usize = 1000;

/// Most octets searched for a record after a gap, as long as they are not more than a quarter of all octets seen.
pub const RESYNC_OCTETS: u64 = 64 * 1024;

/// Most gaps after which a direction is searched for a record.
pub const MAX_RESYNCS: u32 = 8;

/// Most questions without an answer that are kept, whatever the grammar says.
pub const MAX_QUESTIONS: usize = 4096;

/// Most octets of a reason in an event; longer ones are cut.
pub const MAX_REASON: usize = 256;

/// Most records, groups that are elements of lists, lines and values of one grammar.
pub const MAX_RULES: usize = 4096;

/// Most fields and literals of all records of a grammar together, groups counted wherever they are named.
pub const MAX_ITEMS: usize = 50_000;

/// Most slots that the fields of one record take, those of its lists' elements not counted.
pub const MAX_RECORD_SLOTS: u16 = 4096;

/// Most names of one kind in a grammar: anomalies, events, states.
pub const MAX_NAMES: usize = 4096;

/// Most octets that a grammar may have held of one record.
pub const MAX_RECORD_OCTETS: u32 = 64 << 20;

/// Most octets that a grammar may have held of one line.
pub const MAX_LINE_OCTETS: u32 = 16 << 20;

/// Most groups within groups that a record may be made of.
pub const MAX_GROUP_DEPTH: usize = 64;

/// Most fields, groups and lists within each other, definitions counted wherever they are named.
pub const MAX_ELEMENT_DEPTH: usize = 96;

/// How often a value that jumps back (`follow X at N, backwards`) may jump if its grammar does not say. A domain of 255
/// octets (RFC 1035 section 2.3.4) has at most 127 labels, and a jump without a label between two of them gains nothing.
pub const FOLLOW_DEPTH: u8 = 127;

/// Most branches by first octets that a choice may have: each is compared with each.
pub const MAX_BRANCHES: usize = 1000;

/// Most guards of a machine that are compared with others; rules beyond are taken to apply.
pub const MAX_COMPARISONS: usize = 100_000;

/// Most alternatives that guards are taken apart into; more are taken to be possible.
pub const MAX_ALTERNATIVES: usize = 64;

/// Octets of an input that are looked at to tell what can begin with them.
pub const HEAD_OCTETS: usize = 8;

/// Most ways in which an input can begin that are kept apart.
pub const MAX_HEADS: usize = 64;

/// Rules within rules that are looked into for their size; deeper ones count as having none.
pub const MAX_RULE_DEPTH: usize = 24;
