//! The command line of Portcullis.
#![forbid(unsafe_code)]

fn main() {}
