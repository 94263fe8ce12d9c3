//! The checks: models made by hand, for what no text can say any more, and grammar texts with the messages they raise.

mod model;
