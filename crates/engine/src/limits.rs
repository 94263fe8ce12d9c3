//! The bounds of the engine beside those of flows and fragments.

use std::time::Duration;

/// Bounds of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Most octets of the server that are held until the client's first octets tell which protocol it is, on ports that
    /// no grammar names, default 4 KiB. Behind this bound the flow is not inspected.
    pub recognise_octets: usize,
    /// Most octets that the conversations of all flows hold together, with their own state, default 1 GiB. A flow that
    /// asks for more is not inspected any more.
    ///
    /// One flow alone is bounded by its grammar; but what one may hold is too much for a million of them.
    pub memory: usize,
    /// Most segments with a wrong checksum that are set aside of one flow until it is known whether their receiver took
    /// them, default 32; the oldest gives way and counts as dropped.
    pub doubtful_segments: usize,
    /// Most octets of such segments of all flows together, default 16 MiB; one more counts as dropped.
    pub doubtful_octets: usize,
    /// How long a gate holds octets for an answer that decides what they are, default 30 seconds.
    pub hold_time: Duration,
    /// Most octets of one direction of a flow that a gate holds for an answer, default 128 KiB: twice the window that
    /// clients fill before they wait, and more than a grammar lets wait. What lies beyond is dropped, and comes again.
    pub hold_octets: usize,
    /// How long a gate that serialises keeps back what stands behind an unanswered command, default 10 minutes: the longest
    /// that a client waits for an answer (RFC 5321, section 4.5.3.2.6).
    pub serialise_time: Duration,
    /// Most addresses that rules block at a time, default 65,536; beyond, the block that ends soonest gives way.
    pub blocks: usize,
}

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits {
            recognise_octets: 4096,
            memory: 1 << 30,
            doubtful_segments: 32,
            doubtful_octets: 16 << 20,
            hold_time: Duration::from_secs(30),
            hold_octets: 128 << 10,
            serialise_time: Duration::from_secs(600),
            blocks: 65_536,
        }
    }
}
