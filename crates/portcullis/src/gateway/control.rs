//! The control socket: one line with a command in, one line with a JSON object out.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;

use crate::trace::Wanted;

/// Most octets of a command.
const MAX_COMMAND: u64 = 4096;

/// How long a client may take to say what it wants, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most flows that `follow next N` may name.
pub(crate) const MOST_NEXT: u32 = 1000;

/// What can be asked of a running gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// How it is.
    Status,
    /// All counters.
    Stats,
    /// Load grammars and policies again.
    Reload,
    /// Open the file of records again.
    Reopen,
    /// Observe or enforce from now on.
    Mode(portcullis_engine::Mode),
    /// Flows at the moment.
    Flows,
    /// The stories of the flows, or of the event, that are meant; nothing: which there are.
    Explain(Option<Wanted>),
    /// Write down the stories of flows; nothing: which are followed.
    Follow(Option<Followed>),
    /// Follow them no longer; nothing: none any more.
    Unfollow(Option<Wanted>),
}

/// Which flows are to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Those that are meant by a name.
    Named(Wanted),
    /// So many that begin from now on.
    Next(u32),
}

impl Request {
    /// Reads a command.
    pub(crate) fn parse(line: &str) -> Result<Request, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["status"] => Ok(Request::Status),
            ["stats"] => Ok(Request::Stats),
            ["reload"] => Ok(Request::Reload),
            ["reopen"] => Ok(Request::Reopen),
            ["mode", "observe"] => Ok(Request::Mode(portcullis_engine::Mode::Observe)),
            ["mode", "enforce"] => Ok(Request::Mode(portcullis_engine::Mode::Enforce)),
            ["flows"] => Ok(Request::Flows),
            ["explain"] => Ok(Request::Explain(None)),
            ["explain", flow] => Ok(Request::Explain(Some(Wanted::parse(flow)))),
            ["follow"] => Ok(Request::Follow(None)),
            ["follow", "next", number] => match number.parse() {
                Ok(number @ 1..=MOST_NEXT) => Ok(Request::Follow(Some(Followed::Next(number)))),
                _ => Err(format!("{number:?} is no number of flows, from 1 to {MOST_NEXT}")),
            },
            ["follow", flow] => Ok(Request::Follow(Some(Followed::Named(Wanted::parse(flow))))),
            ["unfollow"] => Ok(Request::Unfollow(None)),
            ["unfollow", flow] => Ok(Request::Unfollow(Some(Wanted::parse(flow)))),
            _ => Err(format!(
                "{line:?} is no command; there are status, stats, reload, reopen, mode observe|enforce, flows, \
                 follow [FLOW|HOST|next N], unfollow [FLOW|HOST], explain [FLOW|EVENT]"
            )),
        }
    }
}

/// Answers requests; gives a JSON object.
pub(crate) type Handler = dyn FnMut(Request) -> serde_json::Value + Send;

/// The socket, for as long as it is there.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket. One that nobody listens on is what a process has left that was killed, and is replaced.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<ControlSocket> {
        if UnixStream::connect(path).is_ok() {
            anyhow::bail!(
                "another gate listens on {}; end it, or choose another socket with --control",
                path.display()
            );
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace the old socket {}", path.display()));
            }
            _ => {}
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {} for the control socket", folder.display()))?;
        }
        let listener = UnixListener::bind(path).with_context(|| {
            format!("cannot make the control socket {}; choose another place with --control", path.display())
        })?;
        // Who may turn inspection off is root, and the group that the file is given to.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        Ok(ControlSocket { listener, path: path.to_owned() })
    }

    /// Answers whoever asks, until it is told to stop.
    pub(crate) fn serve(&self, stop: &AtomicBool, handler: &Arc<Mutex<Box<Handler>>>) {
        while !stop.load(Ordering::Relaxed) {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = answer(stream, handler) {
                        tracing::debug!("control socket: {error}");
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => {
                    tracing::warn!("control socket: {error}");
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // In a sandbox it may not be removed; the next start replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(stream: UnixStream, handler: &Arc<Mutex<Box<Handler>>>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(MAX_COMMAND)).read_line(&mut line)?;
    let reply = match Request::parse(line.trim()) {
        Ok(request) => match handler.lock() {
            Ok(mut handler) => handler(request),
            Err(_) => serde_json::json!({ "error": "the gate cannot answer any more" }),
        },
        Err(error) => serde_json::json!({ "error": error }),
    };
    (&stream).write_all(format!("{reply}\n").as_bytes())
}

/// Asks a running gate: `portcullis ctl COMMAND`.
pub(crate) fn ask(path: &Path, command: &str) -> anyhow::Result<serde_json::Value> {
    let stream = UnixStream::connect(path).with_context(|| {
        format!(
            "cannot reach a gate at {}: is one running, with this --control, and may you use the socket?",
            path.display()
        )
    })?;
    stream.set_read_timeout(Some(PATIENCE.saturating_mul(6)))?;
    (&stream).write_all(format!("{command}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the gate at {} gave no answer", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood_or_explained() {
        assert_eq!(Request::parse("mode enforce"), Ok(Request::Mode(portcullis_engine::Mode::Enforce)));
        assert_eq!(Request::parse(" explain  1 "), Ok(Request::Explain(Some(Wanted::Flow(1)))));
        assert_eq!(Request::parse("explain"), Ok(Request::Explain(None)));
        assert_eq!(Request::parse("follow next 3"), Ok(Request::Follow(Some(Followed::Next(3)))));
        let host = Wanted::Host([192, 0, 2, 1].into());
        assert_eq!(Request::parse("follow 192.0.2.1"), Ok(Request::Follow(Some(Followed::Named(host.clone())))));
        assert_eq!(Request::parse("unfollow 192.0.2.1"), Ok(Request::Unfollow(Some(host))));
        for none in ["follow next 0", "follow next x", "follow next 9999"] {
            assert!(Request::parse(none).unwrap_err().contains("is no number of flows"), "{none}");
        }
        assert!(Request::parse("mode").unwrap_err().contains("there are status"));
    }

    #[test]
    fn who_asks_is_answered_and_the_socket_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let handler: Box<Handler> = Box::new(|request| serde_json::json!({ "asked": format!("{request:?}") }));
        let handler = Arc::new(Mutex::new(handler));
        let server = {
            let (stop, handler) = (Arc::clone(&stop), Arc::clone(&handler));
            std::thread::spawn(move || socket.serve(&stop, &handler))
        };
        assert_eq!(ask(&path, "status").unwrap()["asked"], "Status");
        assert!(ask(&path, "nonsense").unwrap()["error"].as_str().unwrap().contains("is no command"));
        let second = ControlSocket::bind(&path).unwrap_err().to_string();
        assert!(second.contains("another gate listens"), "{second}");
        stop.store(true, Ordering::Relaxed);
        server.join().unwrap();
        assert!(!path.exists());
        let none = ask(&path, "status").unwrap_err().to_string();
        assert!(none.contains("is one running"), "{none}");
    }

    #[test]
    fn what_a_killed_gate_has_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        ControlSocket::bind(&path).unwrap();
    }
}
