//! The ports on which servers listen, to tell the sides of a flow whose beginning was not seen.

use std::fmt;

/// A set of server ports, as the grammars name them.
///
/// It is asked only where no SYN tells who opened the flow.
///
/// ```
/// let services: portcullis_stream::ServicePorts = [25, 587, 53].into_iter().collect();
/// assert!(services.contains(25));
/// assert!(!services.contains(40_000));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServicePorts {
    /// One bit per port, empty as long as the set is.
    words: Vec<u64>,
}

impl ServicePorts {
    /// Creates an empty set.
    pub fn new() -> ServicePorts {
        ServicePorts::default()
    }

    /// Adds a port.
    pub fn insert(&mut self, port: u16) {
        if self.words.is_empty() {
            self.words = vec![0; 1024];
        }
        if let Some(word) = self.words.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }

    /// Whether the port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.words.get(usize::from(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 == 1)
    }

    /// Whether the sender of a packet is the server, by its port and the port it sends to.
    ///
    /// A service port is the server's; between two of them or none, the lower port is.
    pub(crate) fn is_server(&self, source: u16, destination: u16) -> bool {
        match (self.contains(source), self.contains(destination)) {
            (true, false) => true,
            (false, true) => false,
            _ => source < destination,
        }
    }
}

impl FromIterator<u16> for ServicePorts {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> ServicePorts {
        let mut services = ServicePorts::new();
        for port in ports {
            services.insert(port);
        }
        services
    }
}

impl fmt::Debug for ServicePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..=u16::MAX).filter(|port| self.contains(*port))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_port_is_the_servers_and_else_the_lower_port_is() {
        let services: ServicePorts = [25, 8025, 65_535].into_iter().collect();
        assert!(services.is_server(8025, 1024));
        assert!(!services.is_server(1024, 8025));
        assert!(services.is_server(1024, 2000));
        assert!(services.is_server(25, 8025));
        assert!(!services.is_server(8025, 25));
        assert!(services.contains(65_535));
        assert_eq!(format!("{services:?}"), "{25, 8025, 65535}");
        assert!(!ServicePorts::new().contains(0));
    }
}
