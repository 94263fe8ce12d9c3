//! A server that takes mail, and clients that send as much as they can: for `make bench-inline`; and what the tests of
//! survival need: one large mail whose stalls are measured, and a flood of datagrams.
//!
//!     mail_load sink ADDRESS:PORT
//!     mail_load send ADDRESS:PORT CLIENTS SECONDS OCTETS MAILS
//!     mail_load deliver ADDRESS:PORT FILE SECONDS
//!     mail_load flood ADDRESS:PORT SECONDS PACKETS
//!
//! MAILS is how many a connection brings, one after the other.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: mail_load sink ADDRESS:PORT | mail_load send ADDRESS:PORT CLIENTS SECONDS OCTETS MAILS | \
                     mail_load deliver ADDRESS:PORT FILE SECONDS | mail_load flood ADDRESS:PORT SECONDS PACKETS";

/// The send buffer of a delivery, in octets: small, so that what was written is soon what was acknowledged.
const SEND_BUFFER: usize = 256 << 10;

/// Sockets that a flood comes from, and so flows that it consists of.
const FLOOD_SOCKETS: usize = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["sink", place] => sink(place),
        ["send", place, numbers @ ..] => {
            let numbers: Result<Vec<usize>, _> = numbers.iter().map(|number| number.parse()).collect();
            match numbers.as_deref() {
                Ok([clients, seconds, octets, mails]) => {
                    send(place, *clients, Duration::from_secs(*seconds as u64), *octets, *mails)
                }
                _ => Err(std::io::Error::other(USAGE)),
            }
        }
        ["deliver", place, file, seconds] => match seconds.parse() {
            Ok(seconds) => deliver(place, file, Duration::from_secs(seconds)),
            Err(_) => Err(std::io::Error::other(USAGE)),
        },
        ["flood", place, seconds, packets] => match (seconds.parse(), packets.parse()) {
            (Ok(seconds), Ok(packets)) => flood(place, Duration::from_secs(seconds), packets),
            _ => Err(std::io::Error::other(USAGE)),
        },
        _ => Err(std::io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn sink(place: &str) -> std::io::Result<()> {
    for stream in TcpListener::bind(place)?.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::with_capacity(64 << 10, stream.try_clone()?);
    let mut output = stream;
    let mut line = Vec::new();
    output.write_all(b"220 sink.example ESMTP\r\n")?;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).map(<[u8]>::to_ascii_uppercase).as_deref() {
            Some(b"EHLO") => output.write_all(b"250-sink.example\r\n250 8BITMIME\r\n")?,
            Some(b"QUIT") => return output.write_all(b"221 bye\r\n"),
            Some(b"DATA") => {
                output.write_all(b"354 go\r\n")?;
                loop {
                    line.clear();
                    if input.read_until(b'\n', &mut line)? == 0 {
                        return Ok(());
                    }
                    if line == b".\r\n" {
                        break;
                    }
                }
                output.write_all(b"250 2.0.0 queued\r\n")?;
            }
            _ => output.write_all(b"250 ok\r\n")?,
        }
    }
}

/// Each client sends so many mails a connection, as fast as they are answered, until the time is over.
fn send(place: &str, clients: usize, time: Duration, octets: usize, mails: usize) -> std::io::Result<()> {
    let line = "a line of a mail of some length, as they are written by people and programs\r\n";
    let body = format!("Subject: load\r\n\r\n{}.\r\n", line.repeat(octets / line.len()));
    let end = Instant::now() + time;
    let began = Instant::now();
    let times: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    while Instant::now() < end {
                        if let Err(error) = connection(place, &body, mails, &mut times) {
                            eprintln!("a connection failed: {error}");
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                    times
                })
            })
            .collect();
        clients.into_iter().filter_map(|client| client.join().ok()).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let mut all: Vec<Duration> = times.into_iter().flatten().collect();
    all.sort_unstable();
    let at = |part: usize| all.get(all.len().saturating_sub(1) * part / 100).copied().unwrap_or_default();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{} mails in {seconds:.3} s, p50 {:.3} ms, p99 {:.3} ms",
        all.len(),
        milliseconds(at(50)),
        milliseconds(at(99))
    );
    Ok(())
}

/// Sends the mail of a file, with CR LF at the ends of its lines, spread over so many seconds at least; says how long the
/// longest time was in which nothing of it got on, and how long the server took to answer its end.
fn deliver(place: &str, file: &str, spread: Duration) -> std::io::Result<()> {
    let text = std::fs::read(file)?;
    let mut body = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if line.first() == Some(&b'.') {
            body.push(b'.');
        }
        body.extend_from_slice(line);
    }
    let mut stream = TcpStream::connect(place)?;
    socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER)?;
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    expect(&mut input, "220")?;
    for (said, code) in [
        ("EHLO client.outside.test\r\n", "250"),
        ("MAIL FROM:<alice@outside.test>\r\n", "250"),
        ("RCPT TO:<bob@inside.test>\r\n", "250"),
        ("DATA\r\n", "354"),
    ] {
        stream.write_all(said.as_bytes())?;
        expect(&mut input, code)?;
    }
    let began = Instant::now();
    let mut stall = Duration::ZERO;
    let total = body.len();
    let mut sent = 0;
    for chunk in body.chunks(64 << 10) {
        let due = spread.mul_f64(sent as f64 / total as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let one = Instant::now();
        stream.write_all(chunk)?;
        stall = stall.max(one.elapsed());
        sent += chunk.len();
    }
    let end = Instant::now();
    stream.write_all(b".\r\n")?;
    expect(&mut input, "250")?;
    println!("stall {} ms, answer {} ms, all {} ms", millis(stall), millis(end.elapsed()), millis(began.elapsed()));
    stream.write_all(b"QUIT\r\n")?;
    expect(&mut input, "221")
}

fn millis(time: Duration) -> u128 {
    time.as_millis()
}

/// Sends datagrams for so many seconds, so many a second at most, and says how many.
fn flood(place: &str, time: Duration, rate: u32) -> std::io::Result<()> {
    let sockets: Vec<UdpSocket> = (0..FLOOD_SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(place)?;
            Ok(socket)
        })
        .collect::<std::io::Result<_>>()?;
    let payload = [0_u8; 32];
    let began = Instant::now();
    let mut sent = 0_u64;
    while began.elapsed() < time {
        for socket in &sockets {
            // Nobody listens: the next call of a socket is told so.
            sent += u64::from(socket.send(&payload).is_ok());
        }
        let due = Duration::from_secs_f64(sent as f64 / f64::from(rate.max(1)));
        let early = due.saturating_sub(began.elapsed());
        if early > Duration::from_millis(1) {
            std::thread::sleep(early);
        }
    }
    println!("{sent} datagrams");
    Ok(())
}

/// Brings mails over one connection and notes how long each took; the first with the beginning of the connection, the last
/// with its end.
fn connection(place: &str, body: &str, mails: usize, times: &mut Vec<Duration>) -> std::io::Result<()> {
    let mut began = Instant::now();
    let mut stream = TcpStream::connect(place)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut input = BufReader::new(stream.try_clone()?);
    expect(&mut input, "220")?;
    let mut ask = |said: &str, code| {
        stream.write_all(said.as_bytes())?;
        expect(&mut input, code)
    };
    ask("EHLO load.example\r\n", "250")?;
    for number in 1..=mails {
        ask("MAIL FROM:<a@load.example>\r\n", "250")?;
        ask("RCPT TO:<b@sink.example>\r\n", "250")?;
        ask("DATA\r\n", "354")?;
        ask(body, "250")?;
        if number == mails {
            ask("QUIT\r\n", "221")?;
        }
        times.push(began.elapsed());
        began = Instant::now();
    }
    Ok(())
}

fn expect(input: &mut BufReader<TcpStream>, code: &str) -> std::io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        input.read_line(&mut line)?;
        if !line.starts_with(code) {
            return Err(std::io::Error::other(format!("{code} was expected, and came {line:?}")));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
