//! Which bytes a receiver reads where segments bring different ones for the same place.

use std::fmt;
use std::str::FromStr;

/// The receiver whose reading of overlapping segments is reported (T1, T2, T3).
///
/// The question is only about bytes that wait behind a hole: what was delivered is never taken back, under any of these,
/// because a receiver has acknowledged it and may have read it. Of a later segment that reaches back behind the next byte, the
/// part before it is dropped first. The FIN counts as one byte behind the last.
///
/// The readings are those of Shankar and Paxson, "Active Mapping" (2003), and Novak and Sturges, "Target-Based TCP Stream
/// Reassembly" (2007); that of Linux was brought up to date by playing segments to a Linux 6 receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reassembly {
    /// Linux since 4.18, which keeps waiting segments in a tree: of two that overlap in part, the bytes of the one that begins
    /// first count; one that lies within another or within a run of segments is dropped; one that covers others replaces them.
    #[default]
    Linux,
    /// Windows since Vista and Server 2008: what is held is never replaced, as with `First`. Windows XP and Server 2003 read as
    /// `Bsd` does.
    Windows,
    /// BSD and what took its network code from it: a held segment keeps its bytes, except where a later one begins before it.
    Bsd,
    /// Each byte is the one that came first.
    First,
    /// Each byte is the one that came last before it was delivered.
    Last,
}

/// Who wins where a new segment overlaps a held one, among the readings that settle it byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Winner {
    Held,
    New,
    BeginsFirst,
}

impl Reassembly {
    /// All readings, in the order in which they are listed to people.
    pub const ALL: [Reassembly; 5] =
        [Reassembly::Linux, Reassembly::Windows, Reassembly::Bsd, Reassembly::First, Reassembly::Last];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Reassembly::Linux => "linux",
            Reassembly::Windows => "windows",
            Reassembly::Bsd => "bsd",
            Reassembly::First => "first",
            Reassembly::Last => "last",
        }
    }

    /// Who wins an overlap; nothing for Linux, where it depends on more than the two segments.
    pub(crate) const fn winner(self) -> Option<Winner> {
        match self {
            Reassembly::Linux => None,
            Reassembly::Windows | Reassembly::First => Some(Winner::Held),
            Reassembly::Bsd => Some(Winner::BeginsFirst),
            Reassembly::Last => Some(Winner::New),
        }
    }
}

impl fmt::Display for Reassembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no [`Reassembly`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReassembly(String);

impl fmt::Display for UnknownReassembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Reassembly::ALL.map(Reassembly::name);
        write!(f, "there is no reassembly `{}`; there are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownReassembly {}

impl FromStr for Reassembly {
    type Err = UnknownReassembly;

    fn from_str(word: &str) -> Result<Reassembly, UnknownReassembly> {
        let found = Reassembly::ALL.into_iter().find(|reassembly| reassembly.name() == word);
        found.ok_or_else(|| UnknownReassembly(word.to_owned()))
    }
}
