//! The receiver: a listening socket of Linux that says what it has read.
//!
//! It runs in a namespace of its own and speaks through its standard input and output: a line `collect PORT` asks what came from
//! a port of the client, the answer is a line with one word for each connection, in the order in which they were accepted:
//! `HEX:END`, END being `open`, `closed` or `reset`.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

/// The port of the server that reads when it is asked, after everything was sent.
pub const PATIENT: u16 = 25;
/// The port of the server that reads at once.
pub const EAGER: u16 = 26;

/// How many connections may wait, finished or not.
const BACKLOG: i32 = 4096;

/// How a connection ended for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There may be more to come.
    Open,
    /// The client has closed.
    Closed,
    /// The client has reset, or something else is wrong.
    Reset,
}

/// What `recv()` gave for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What came behind them.
    pub end: End,
}

/// A connection that is read at once.
#[derive(Debug)]
struct Eager {
    stream: TcpStream,
    reading: Reading,
}

type Readers = Arc<Mutex<HashMap<u16, Vec<Eager>>>>;

/// Serves until standard input ends.
pub fn serve() -> Result<()> {
    // Handshakes that cases leave open must not add up to what the kernel takes for a flood (T36).
    for (name, value) in [("tcp_synack_retries", "0"), ("tcp_syncookies", "0"), ("tcp_max_syn_backlog", "65536")] {
        std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).with_context(|| format!("cannot set {name}"))?;
    }
    let patient = listen(PATIENT).context("cannot listen")?;
    let eager = listen(EAGER).context("cannot listen")?;
    patient.set_nonblocking(true)?;
    eager.set_nonblocking(true)?;
    let readers = Readers::default();
    let eager = Arc::new(eager);
    let (at_work, listener) = (Arc::clone(&readers), Arc::clone(&eager));
    std::thread::spawn(move || {
        loop {
            read_eagerly(&listener, &at_work);
            // As an event loop would be woken now and then; not so seldom that a case is over first.
            std::thread::sleep(Duration::from_micros(50));
        }
    });
    let mut waiting: HashMap<u16, Vec<TcpStream>> = HashMap::new();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let Some(port) = line.strip_prefix("collect ").and_then(|port| port.parse::<u16>().ok()) else {
            bail!("what is `{line}`?");
        };
        while let Ok((stream, peer)) = patient.accept() {
            waiting.entry(peer.port()).or_default().push(stream);
        }
        let mut answer = String::new();
        for mut stream in waiting.remove(&port).unwrap_or_default() {
            stream.set_nonblocking(true)?;
            let mut reading = Reading { bytes: Vec::new(), end: End::Open };
            read(&mut stream, &mut reading);
            answer.push_str(&word(&reading));
            end(&stream);
        }
        // The thread may not have been given a turn since.
        read_eagerly(&eager, &readers);
        let read = readers.lock().map(|mut readers| readers.remove(&port)).unwrap_or_default();
        for mut eager in read.unwrap_or_default() {
            self::read(&mut eager.stream, &mut eager.reading);
            answer.push_str(&word(&eager.reading));
            end(&eager.stream);
        }
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([0_u16; 8], port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn read_eagerly(listener: &TcpListener, readers: &Readers) {
    let Ok(mut readers) = readers.lock() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            let reading = Reading { bytes: Vec::new(), end: End::Open };
            readers.entry(peer.port()).or_default().push(Eager { stream, reading });
        }
    }
    for Eager { stream, reading } in readers.values_mut().flatten() {
        read(stream, reading);
    }
}

/// Reads all there is.
fn read(stream: &mut TcpStream, reading: &mut Reading) {
    let mut buffer = [0; 4096];
    while reading.end == End::Open {
        match stream.read(&mut buffer) {
            Ok(0) => reading.end = End::Closed,
            Ok(length) => reading.bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => reading.end = End::Reset,
        }
    }
}

/// Ends a connection for good: a reset leaves nothing behind that would be sent again.
fn end(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn word(reading: &Reading) -> String {
    let hex: String = reading.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let end = match reading.end {
        End::Open => "open",
        End::Closed => "closed",
        End::Reset => "reset",
    };
    format!("{hex}:{end} ")
}

/// The receiver as its asker sees it.
#[derive(Debug)]
pub struct Receiver {
    child: Child,
    questions: ChildStdin,
    answers: std::io::Lines<std::io::BufReader<ChildStdout>>,
}

impl Receiver {
    /// Starts it in a namespace.
    pub fn start(namespace: &str) -> Result<Receiver> {
        let program = std::env::current_exe()?;
        let mut child = super::lab::Lab::command(namespace, &program)
            .arg("receive")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .context("cannot start the receiver")?;
        let (Some(questions), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the receiver has no pipes");
        };
        let mut answers = std::io::BufReader::new(stdout).lines();
        let ready = answers.next().transpose()?;
        if ready.as_deref() != Some("ready") {
            bail!("the receiver did not start: {ready:?}");
        }
        Ok(Receiver { child, questions, answers })
    }

    /// What it has read from a port of the client, by connection.
    pub fn collect(&mut self, port: u16) -> Result<Vec<Reading>> {
        writeln!(self.questions, "collect {port}")?;
        let line = self.answers.next().transpose()?.context("the receiver has ended")?;
        line.split_whitespace().map(|word| parse(word).context("what the receiver says makes no sense")).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(word: &str) -> Option<Reading> {
    let (hex, end) = word.split_once(':')?;
    let end = match end {
        "open" => End::Open,
        "closed" => End::Closed,
        "reset" => End::Reset,
        _ => return None,
    };
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
    Some(Reading { bytes, end })
}
