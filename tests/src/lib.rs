//! The harness that the cases of this workspace member share.
#![forbid(unsafe_code)]
