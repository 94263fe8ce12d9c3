//! The bounds of the engine beside those of flows, fragments and conversations.

/// Bounds of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Most octets of the server that are held until the client's first octets tell which protocol it is, on ports that
    /// no grammar names. Behind this bound the flow is not inspected.
    pub recognise_octets: usize,
}

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits { recognise_octets: 4096 }
    }
}
