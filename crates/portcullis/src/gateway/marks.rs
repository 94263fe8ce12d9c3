//! Packet marks that the gate sets and the firewall rules know.

/// The mark of packets of our own: rules do not send them to a queue.
pub(crate) const OWN: u32 = 0x2000_0000;

/// The mark of packets whose flow need not be shown any more: rules keep it with the connection, and let that pass.
pub(crate) const BYPASS: u32 = 0x4000_0000;
