//! How a gate is set up.

use std::time::Duration;

use portcullis_stream::NormaliserSettings;

/// What a gate does about what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Lets everything pass as it is and records what it would have done.
    #[default]
    Observe,
    /// Does what the rules say, and normalises.
    Enforce,
}

impl Mode {
    /// The mode as the command line and records write it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        }
    }
}

/// What becomes of what cannot be inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// It passes, counted and told: mail goes on, unread.
    #[default]
    Open,
    /// It is stopped, counted and told: nothing passes unread.
    Closed,
}

impl Failure {
    /// The choice as the command line and records write it.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Open => "open",
            Failure::Closed => "closed",
        }
    }
}

/// How a gate is set up.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// Whether anything is done at all.
    pub mode: Mode,
    /// What becomes of packets that were cut, and of what waited for longer than [`GateSettings::hold_time`].
    pub on_failure: Failure,
    /// How long octets are held for an answer that decides what they are, default 30 seconds.
    pub hold_time: Duration,
    /// Most octets of one direction of a flow that are held for an answer, default 128 KiB: twice the window that clients
    /// fill before they wait, and more than a grammar lets wait.
    pub hold_octets: usize,
    /// What the normaliser does.
    pub normaliser: NormaliserSettings,
    /// Most octets of a packet of our own, with its IP header; default 1,500.
    pub mtu: u16,
}

impl Default for GateSettings {
    fn default() -> GateSettings {
        GateSettings {
            mode: Mode::Observe,
            on_failure: Failure::Open,
            hold_time: Duration::from_secs(30),
            hold_octets: 128 << 10,
            normaliser: NormaliserSettings::default(),
            mtu: 1500,
        }
    }
}
