//! What can go wrong with a queue.

use std::io;

use super::PacketId;
use crate::limits;

/// Why a queue cannot be opened, or not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// A setting is out of its range.
    #[error("queue {number} cannot be opened: {setting} is {value}, it must be {least} to {most}")]
    Setting {
        /// The queue.
        number: u16,
        /// What is wrong.
        setting: &'static str,
        /// What it is.
        value: u64,
        /// The least that it may be.
        least: u64,
        /// The most.
        most: u64,
    },

    /// The process may not do this: the kernel said EPERM, and CAP_NET_ADMIN is missing.
    #[error(
        "queue {number} cannot be opened: the process lacks CAP_NET_ADMIN; run it as root, or give the program the capabilities with `setcap cap_net_admin,cap_net_raw+ep PROGRAM`"
    )]
    NotPermitted {
        /// The queue.
        number: u16,
    },

    /// Somebody else owns the queue.
    #[error("queue {number} is in use{}; end that program, or choose another number for --queue and for the firewall rule", by_whom(*.owner))]
    InUse {
        /// The queue.
        number: u16,
        /// The netlink port of the owner, mostly its process number.
        owner: Option<u32>,
    },

    /// The kernel has no queues.
    #[error(
        "queue {number} cannot be opened: this kernel has no NFQUEUE (nfnetlink_queue); load it with `modprobe nfnetlink_queue`, or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE"
    )]
    Unsupported {
        /// The queue.
        number: u16,
    },

    /// The kernel refused a step of opening for another reason.
    #[error("queue {number} cannot be opened: {step} failed: {source}")]
    Open {
        /// The queue.
        number: u16,
        /// What was done.
        step: &'static str,
        /// What the kernel says.
        source: io::Error,
    },

    /// The kernel refuses verdicts: every packet of the queue would be lost.
    #[error(
        "the kernel no longer takes verdicts for queue {number}: CAP_NET_ADMIN was given up; keep it when privileges are dropped"
    )]
    PermissionLost {
        /// The queue.
        number: u16,
    },

    /// Receiving failed.
    #[error("receiving from queue {number} failed: {source}")]
    Receive {
        /// The queue.
        number: u16,
        /// What the kernel says.
        source: io::Error,
    },

    /// Sending verdicts failed.
    #[error("sending verdicts to queue {number} failed: {source}")]
    Send {
        /// The queue.
        number: u16,
        /// What the kernel says.
        source: io::Error,
    },

    /// There is no such packet, or it had its verdict.
    #[error("packet {} of queue {number} waits for no verdict", .id.0)]
    NotWaiting {
        /// The queue.
        number: u16,
        /// The packet.
        id: PacketId,
    },

    /// The octets that are to replace a packet are too many. The packet still waits.
    #[error("packet {} of queue {number} cannot be replaced by {length} octets, at most {} are possible", .id.0, limits::REPLACEMENT_BYTES)]
    TooLong {
        /// The queue.
        number: u16,
        /// The packet.
        id: PacketId,
        /// How many there are.
        length: usize,
    },
}

fn by_whom(port: Option<u32>) -> String {
    port.map_or_else(String::new, |port| {
        format!(" by netlink port {port} (mostly the number of the process: see `ps -p {port}`)")
    })
}
