//! How a queue is opened.

use super::QueueError;
use crate::limits;

/// How a queue is opened. The defaults are those that lose nothing unseen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// The number of the queue, as in `-j NFQUEUE --queue-num`.
    pub number: u16,
    /// How many packets the kernel lets wait for a verdict. When there are more, they pass or are dropped as `fail_open`
    /// says, and **nothing counts those that pass**: so it should be more than fit into the receive buffer, which overruns
    /// visibly. Default: [`limits::QUEUE_PACKETS`].
    pub length: u32,
    /// The size of the receive buffer of the socket in bytes, set regardless of the system's maximum
    /// (`net.core.rmem_max`). Default: [`limits::RECEIVE_BUFFER_BYTES`].
    pub receive_buffer: usize,
    /// How many octets of a packet are copied to us, at most [`limits::COPY_BYTES`], which is the default.
    pub copy_range: u32,
    /// What the kernel does with packets it cannot hand over: let them pass (true), or drop them (false). Default: false.
    pub fail_open: bool,
    /// Whether packets come as large as they are in the kernel (up to 65,531 octets) instead of cut to the MTU first, which is ten
    /// times as fast. Default: true.
    pub segmentation_offload: bool,
    /// How many packets are received with one system call at most, and how many verdicts sent with one: 1 to
    /// [`limits::BATCH_PACKETS`]. Default: 16.
    pub batch: usize,
    /// Which code speaks with the kernel.
    pub backend: Backend,
}

impl QueueSettings {
    /// The defaults for the queue of this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self {
            number,
            length: limits::QUEUE_PACKETS,
            receive_buffer: limits::RECEIVE_BUFFER_BYTES,
            copy_range: limits::COPY_BYTES,
            fail_open: false,
            segmentation_offload: true,
            batch: 16,
            backend: Backend::Netlink,
        }
    }

    /// Refuses what the kernel would take in another sense, or not at all.
    pub(super) fn check(&self) -> Result<(), QueueError> {
        let check = |setting, value: u64, least: u64, most: u64| {
            let number = self.number;
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(QueueError::Setting { number, setting, value, least, most })
            }
        };
        check("the length of the queue", self.length.into(), 1, u32::MAX.into())?;
        check("the receive buffer", self.receive_buffer as u64, 1, limits::RECEIVE_BUFFER_BYTES_MAXIMUM as u64)?;
        check("the copy range", self.copy_range.into(), 1, limits::COPY_BYTES.into())?;
        check("the batch", self.batch as u64, 1, limits::BATCH_PACKETS as u64)
    }
}

/// The code that speaks with the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Our own: several packets for each system call, verdicts sent together.
    #[default]
    Netlink,
    /// The crate `nfq`: one packet for each system call. To compare with, and to fall back on.
    Nfq,
}

impl Backend {
    /// The name, as it is written on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::Nfq => "nfq",
        }
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Netlink, Self::Nfq]
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| format!("{name:?} is no queue backend; there are netlink and nfq"))
    }
}
