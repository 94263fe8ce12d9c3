//! Addresses as records write them.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

/// An address without abbreviation, as EVE has it: `2001:0db8:0000:0000:0000:0000:0000:0001`.
///
/// Readers compare addresses as text, so there has to be one form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullAddress(pub IpAddr);

impl fmt::Display for FullAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => {
                for (index, group) in address.segments().iter().enumerate() {
                    let separator = if index == 0 { "" } else { ":" };
                    write!(f, "{separator}{group:04x}")?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for FullAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_6_is_written_in_full() {
        let shown = |text: &str| FullAddress(text.parse().unwrap()).to_string();
        assert_eq!(shown("192.0.2.1"), "192.0.2.1");
        assert_eq!(shown("2001:db8::a:1"), "2001:0db8:0000:0000:0000:0000:000a:0001");
        assert_eq!(shown("::ffff:192.0.2.1"), "0000:0000:0000:0000:0000:ffff:c000:0201");
    }
}
