//! Policy files: from text to a tree.

mod clauses;
mod parser;
mod tests_of_policies;
mod tree;

pub use parser::parse;
pub use tree::{
    AlertClause, BlockClause, EditClause, EditKind, Expectation, ExpectationKind, HoldClause, InsertSpot, Item,
    ListItem, ListSource, NetworkEntry, NetworkItem, PolicyFile, PolicyItem, RuleItem, TestItem, TestStep, Threshold,
    Trigger, VerdictClause,
};
