//! The oracle: a second, naive reading of the model, for tests only.
//!
//! It holds whole inputs, copies every value, parses a record again from its first octet whenever one more has come, and
//! takes no short cut: a side that waits really waits. What the programs and the conversation do in a resumable,
//! bounded and looking-ahead way has to come to the same. Nothing of the product calls it.
//!
//! | file | is |
//! |---|---|
//! | `value` | values that own what they say, and how formulas read them |
//! | `record` | records, by recursion over the items of the model |
//! | `stream` | streams, over all of their octets at once |
//! | `dialogue` | conversations in lock-step |
//! | `stage` | what the machine of a conversation looks at |

mod dialogue;
mod record;
mod stage;
mod stream;
#[cfg(test)]
mod tests;
mod value;

pub use dialogue::{Heard, converse};
pub use record::{Extent, Parsed, Reading, read};
pub use stream::{Flowed, flow};
pub use value::{Fields, Leaf, flow_fields};
