//! How a gate is set up.

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
    /// What becomes of packets that were cut. [`Failure::Closed`] also says what becomes of flows that meet a bound, unless
    /// [`Failures`](crate::Failures) say it of that bound; the bounds of what is held are [`EngineLimits`](crate::EngineLimits).
    pub on_failure: Failure,
    /// What the normaliser does.
    pub normaliser: NormaliserSettings,
    /// Most octets of a packet of our own, with its IP header; default 1,500.
    pub mtu: u16,
    /// Names of protocols whose servers get one record at a time, and the next when the one before is answered, though
    /// their clients send several at once.
    pub serialise: Vec<String>,
}

impl Default for GateSettings {
    fn default() -> GateSettings {
        GateSettings {
            mode: Mode::Observe,
            on_failure: Failure::Open,
            normaliser: NormaliserSettings::default(),
            mtu: 1500,
            serialise: Vec::new(),
        }
    }
}
