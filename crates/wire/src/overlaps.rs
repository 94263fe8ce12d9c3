//! What a receiver makes of fragments that cover the same octets.

/// What a receiver makes of fragments of IPv4 that cover the same octets of a datagram and are no plain repetitions (attack
/// T7).
///
/// Fragments of IPv6 that overlap always discard their datagram (RFC 5722). Whatever is chosen, fragments that disagree about
/// the end of their datagram discard it, what has been put together is not taken back, and each overlap is told
/// ([`FragmentOverlap`](crate::WireAnomaly::FragmentOverlap), and
/// [`FragmentDuplicateDiffers`](crate::WireAnomaly::FragmentDuplicateDiffers) where the octets differ).
///
/// The readings are those of Novak, "Target-Based Fragmentation Reassembly" (2005), and Shankar and Paxson, "Active Mapping"
/// (2003).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FragmentOverlaps {
    /// The datagram is discarded, as Linux has done since 2018.
    #[default]
    Discard,
    /// Each octet is the one that came first, as with Windows and Solaris.
    First,
    /// A fragment keeps its octets, except where a later one begins before it, as with the BSDs (`ip_reass` of FreeBSD).
    BeginsFirst,
    /// Each octet is the one that came last before the datagram was complete, as with Cisco IOS.
    Last,
}
