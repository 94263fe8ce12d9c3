//! What systemd is told: that the gate is ready, that it is alive, that it stops (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The socket of the service manager, if there is one.
pub(crate) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Looks for `NOTIFY_SOCKET` and `WATCHDOG_USEC`. To be done before a sandbox is entered, where no socket can be made.
    pub(crate) fn find() -> ServiceManager {
        let address = std::env::var_os("NOTIFY_SOCKET").and_then(|name| match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            [] => None,
            _ => SocketAddr::from_pathname(&name).ok(),
        });
        let socket = address.and_then(|address| Self::connect(address).ok());
        let watchdog =
            std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
        ServiceManager { socket, watchdog }
    }

    /// A sandbox lets an abstract socket of others only be used if it was connected before.
    fn connect(address: SocketAddr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Ok((socket, address))
    }

    /// How often it wants to hear that the gate is alive: half of the time after which it acts (sd_watchdog_enabled(3)).
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.socket.as_ref()?;
        self.watchdog.map(|time| time / 2)
    }

    /// Says something: `READY=1`, `WATCHDOG=1`, `RELOADING=1`, `STOPPING=1`, `STATUS=...`.
    pub(crate) fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // One that was started again may listen anew; one that does not listen is none.
            let _ = socket.send(text.as_bytes()).or_else(|_| socket.send_to_addr(text.as_bytes(), address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_arrives() {
        let name = format!("portcullis-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let service = ServiceManager {
            socket: Some(ServiceManager::connect(address).unwrap()),
            watchdog: Some(Duration::from_secs(4)),
        };
        service.say("READY=1");
        let mut octets = [0; 64];
        let length = manager.recv(&mut octets).unwrap();
        assert_eq!(&octets[..length], b"READY=1");
        assert_eq!(service.interval(), Some(Duration::from_secs(2)));
        assert_eq!(ServiceManager { socket: None, watchdog: Some(Duration::from_secs(4)) }.interval(), None);
    }
}
