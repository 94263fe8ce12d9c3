//! The records, one file each.

pub(crate) mod alert;
pub(crate) mod anomaly;
pub(crate) mod dns;
pub(crate) mod flow;
pub(crate) mod gate;
pub(crate) mod mail;
pub(crate) mod names;
