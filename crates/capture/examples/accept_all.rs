//! Accepts every packet of one or several queues: the most that an inline program can reach on a machine, to compare with.
//!
//! `cargo run --release -p portcullis-capture --example accept_all -- QUEUE[-LAST] [--backend netlink|nfq] [--batch N] [--no-gso]
//! [--fail-open] [--receive-buffer BYTES] [--length PACKETS] [--seconds N]`
//!
//! It prints `ready` when the queues are bound, so that the firewall rule can be made, and what was counted at the end.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_capture::queue::{self, Disposition, PacketQueue, QueueSettings, QueueStatistics, Received};

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = QueueSettings::new(0);
    let mut last = 0;
    let mut time = Duration::from_secs(10);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--backend" => settings.backend = value()?.parse()?,
            "--batch" => settings.batch = value()?.parse()?,
            "--no-gso" => settings.segmentation_offload = false,
            "--fail-open" => settings.fail_open = true,
            "--receive-buffer" => settings.receive_buffer = value()?.parse()?,
            "--length" => settings.length = value()?.parse()?,
            "--seconds" => time = Duration::from_secs(value()?.parse()?),
            queues => {
                let (first, end) = queues.split_once('-').unwrap_or((queues, queues));
                settings.number = first.parse()?;
                last = end.parse()?;
            }
        }
    }
    let end = Instant::now() + time;
    let queues: Vec<Box<dyn PacketQueue>> = (settings.number..=last.max(settings.number))
        .map(|number| queue::open(&QueueSettings { number, ..settings.clone() }))
        .collect::<Result<_, _>>()?;
    println!("ready");
    let workers: Vec<_> = queues.into_iter().map(|queue| thread::spawn(move || accept(queue, end))).collect();
    let mut sum = QueueStatistics::default();
    for worker in workers {
        sum = sum.plus(worker.join().map_err(|_| "a worker failed")??);
    }
    println!("{sum:?}");
    Ok(())
}

fn accept(mut queue: Box<dyn PacketQueue>, end: Instant) -> Result<QueueStatistics, queue::QueueError> {
    while Instant::now() < end {
        if let Received::Packet(packet) = queue.receive(Some(end))? {
            let id = packet.id;
            queue.verdict(id, Disposition::Accept { mark: None })?;
        }
    }
    queue.flush()?;
    Ok(queue.statistics())
}
