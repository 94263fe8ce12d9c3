//! The subcommands, one module each, in the order of `--help`.

pub(crate) mod read;

pub(crate) mod inline;

pub(crate) mod rules;

pub(crate) mod doctor;

pub(crate) mod live;

pub(crate) mod story;

pub(crate) mod check;
pub(crate) mod explain;

pub(crate) mod format;

pub(crate) mod graph;

pub(crate) mod test;

pub(crate) mod limits;

pub(crate) mod generate;
