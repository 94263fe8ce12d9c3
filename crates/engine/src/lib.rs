//! One flow from bytes to verdict: ties stream, grammar machine and policy.
#![forbid(unsafe_code)]
