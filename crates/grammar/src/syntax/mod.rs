//! Grammar files as text: the tree, the parser that makes it, the formatter that writes it back.

pub mod tree;
