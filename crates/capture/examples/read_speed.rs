//! Prints how fast capture files are read, beside a plain read of the same bytes.
//!
//! `cargo run --release -p portcullis-capture --example read_speed -- FILE... [--runs N]`

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use portcullis_capture::{CaptureFile, CaptureSet, PacketSource};

fn main() -> Result<(), Box<dyn Error>> {
    let mut files: Vec<String> = Vec::new();
    let mut runs = 5;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--runs" {
            runs = arguments.next().ok_or("--runs needs a number")?.parse()?;
        } else {
            files.push(argument);
        }
    }
    if files.is_empty() {
        return Err("name at least one capture file".into());
    }
    for file in &files {
        let size = std::fs::metadata(file)?.len();
        let plain = best(runs, || plain_read(file).map(|bytes| (bytes, bytes)))?;
        print("plain read", file, size, plain)?;
        let packets = best(runs, || count(&mut CaptureFile::open(file)?))?;
        print("packets", file, size, packets)?;
    }
    if files.len() > 1 {
        let size = files.iter().map(|file| Ok(std::fs::metadata(file)?.len())).sum::<io::Result<u64>>()?;
        let merged = best(runs, || count(&mut CaptureSet::open(&files)?))?;
        print("merged", "all files", size, merged)?;
    }
    Ok(())
}

/// The best time of several runs, with the number and bytes of packets.
fn best<E: Into<Box<dyn Error>>>(
    runs: u32,
    mut run: impl FnMut() -> Result<(u64, u64), E>,
) -> Result<(Duration, u64, u64), Box<dyn Error>> {
    let mut best = (Duration::MAX, 0, 0);
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        let (packets, bytes) = run().map_err(Into::into)?;
        best = best.min((start.elapsed(), packets, bytes));
    }
    Ok(best)
}

/// Reads all packets and returns their number and bytes.
fn count(source: &mut dyn PacketSource) -> Result<(u64, u64), Box<dyn Error>> {
    let (mut packets, mut bytes) = (0, 0);
    while let Some(packet) = source.next()? {
        packets = packet.number;
        bytes += packet.data.len() as u64;
    }
    Ok((packets, bytes))
}

fn plain_read(path: &str) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

fn print(what: &str, file: &str, size: u64, (time, packets, bytes): (Duration, u64, u64)) -> io::Result<()> {
    let seconds = time.as_secs_f64().max(1e-9);
    writeln!(
        io::stdout(),
        "{what:>10}  {:8.0} MB/s of file  {:8.0} MB/s of packets  {:6.1} ns/packet  {packets} packets  {file}",
        size as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6,
        seconds * 1e9 / (packets.max(1) as f64),
    )
}
