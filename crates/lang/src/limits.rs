//! Every bound of the front ends. A security tool bounds its own parsers too.

/// The largest source text that is read, in bytes.
pub const MAX_SOURCE_BYTES: usize = 4 << 20;

/// How deep brackets, blocks and operators may nest.
pub const MAX_NESTING: usize = 64;

/// How high the tree of one expression may grow: `a + b + c + ...` nests to the left without a bracket.
pub const MAX_EXPRESSION_HEIGHT: usize = 256;

/// How many diagnostics are kept for one run; the rest is counted.
pub const MAX_DIAGNOSTICS: usize = 100;

/// How long a word may be for "did you mean" to look for its neighbours, in characters.
pub(crate) const MAX_SUGGESTION_LENGTH: usize = 64;
