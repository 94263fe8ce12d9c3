//! A run: cases played, read and compared, and what is said about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use portcullis_lang::Direction;

use super::cases::{Case, calibration, generate, row_names};
use super::judge::{Judge, Report};
use super::player::{Open, Player};
use super::receiver::{End, Reading, Receiver};

/// The ports of the client, one for each case that is not over.
const PORTS: std::ops::Range<u16> = 1024..65_000;
/// How many scripts of disagreements are printed.
const SHOWN: usize = 5;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many cases.
    pub cases: u64,
    /// Of which seed.
    pub seed: u64,
    /// Only the case of this number, with all that was said about it.
    pub only: Option<u64>,
    /// Whether only honest cases are played.
    pub calibrate: bool,
    /// Which ways are compared.
    pub ways: Vec<Way>,
    /// Print so many disagreements of each row.
    pub verbose: bool,
}

/// What the receiver is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the table reads from a capture.
    Capture,
    /// What the table lets through and reports, in between.
    Gate,
}

impl Way {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Way::Capture => "capture",
            Way::Gate => "gate",
        }
    }
}

/// What came of comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has read what was reported.
    Agrees,
    /// It has read what was reported but for octets that the table had named as urgent.
    AgreesButUrgent,
    /// It has not.
    Disagrees(String),
}

/// Compares what `recv()` gave with what the table reported, connection by connection.
///
/// Compared are the bytes, and whether the client's FIN was taken. What follows a gap in the report is left out: the receiver waits
/// for it still. So is what follows a reset that the table takes for exact: the receiver has no connection any more, and the
/// table goes on only in case that the reset was lost behind it. Connections without a byte are left out: whether a server
/// accepts one that was reset in between depends on when it looks.
pub fn compare(readings: &[Reading], reports: &[Report], way: Way) -> Verdict {
    let read: Vec<&Reading> = readings.iter().filter(|reading| !reading.bytes.is_empty()).collect();
    let said: Vec<&Report> = reports.iter().filter(|report| !report.bytes.is_empty()).collect();
    if let Some(report) = reports.iter().find(|report| report.skipped) {
        return Verdict::Disagrees(format!("a hole was given up, with {:?}", report.anomalies));
    }
    if way == Way::Gate && reports.iter().any(|report| report.contradictions > 0) {
        return Verdict::Disagrees("what was let through is not what was reported".to_owned());
    }
    let said: Vec<&Report> = match read.len() == said.len() {
        true => said,
        // Perhaps there was nothing but urgent octets.
        false => {
            said.into_iter().filter(|report| way == Way::Gate || report.bytes.len() > report.urgent.len()).collect()
        }
    };
    if read.len() != said.len() {
        return Verdict::Disagrees(format!("{} connections were read, {} reported", read.len(), said.len()));
    }
    let mut verdict = Verdict::Agrees;
    for (reading, report) in read.iter().zip(&said) {
        if reading.bytes != report.bytes {
            if way == Way::Gate || !differs_by_urgent(reading, report) {
                return Verdict::Disagrees("other bytes".to_owned());
            }
            verdict = Verdict::AgreesButUrgent;
        }
        let expected = match (report.finished, report.reset) {
            // A reader finds the end that came first.
            (true, _) => End::Closed,
            (false, Some(Direction::Up)) => End::Reset,
            (false, None) => End::Open,
            // The server itself has ended it: what its own reader finds then is no matter of the network.
            (false, Some(Direction::Down)) => continue,
        };
        if reading.end != expected {
            return Verdict::Disagrees(format!("end: read {:?}, reported {expected:?}", reading.end));
        }
    }
    verdict
}

/// Whether some of the octets that the table named as urgent are all that the receiver has not.
fn differs_by_urgent(reading: &Reading, report: &Report) -> bool {
    let urgent: Vec<u64> = report.urgent.iter().copied().take(10).collect();
    (0_u32..1 << urgent.len()).any(|subset| {
        let without: Vec<u8> = (0_u64..)
            .zip(&report.bytes)
            .filter(|(at, _)| !urgent.iter().enumerate().any(|(i, place)| subset >> i & 1 == 1 && place == at))
            .map(|(_, byte)| *byte)
            .collect();
        without == reading.bytes
    })
}

/// What was counted.
#[derive(Clone, Debug, Default)]
struct Count {
    cases: u64,
    urgent: u64,
    disagreements: u64,
}

/// A run in progress, in the namespace of the client.
pub struct Run {
    player: Player,
    receiver: Receiver,
    port: u16,
}

impl Run {
    /// Opens the wire, and starts the receiver in its namespace.
    pub fn start(server: &str) -> Result<Run> {
        Ok(Run { receiver: Receiver::start(server)?, player: Player::open()?, port: PORTS.start })
    }

    /// Plays a case; what was read, what was reported, and the log of that.
    fn play(&mut self, case: &Case, way: Way) -> Result<(Vec<Reading>, Vec<Report>, String)> {
        self.port = if PORTS.contains(&(self.port + 1)) { self.port + 1 } else { PORTS.start };
        let port = self.port;
        match way {
            Way::Capture => {
                let wire = self.player.play(case, port, &mut Open)?;
                let readings = self.receiver.collect(port)?;
                let (reports, log) = Judge::reading().read(&wire);
                Ok((readings, reports, log))
            }
            Way::Gate => {
                let mut judge = Judge::normalising();
                self.player.play(case, port, &mut judge)?;
                let readings = self.receiver.collect(port)?;
                let (reports, log) = judge.finish();
                Ok((readings, reports, log))
            }
        }
    }

    /// Honest cases without an engine: how many of so many were read as they were said.
    fn calibrate(&mut self, seed: u64, cases: u64) -> Result<u64> {
        let mut right = 0;
        for number in 0..cases {
            let case = calibration(seed, number);
            self.port = if PORTS.contains(&(self.port + 1)) { self.port + 1 } else { PORTS.start };
            self.player.play(&case, self.port, &mut Open)?;
            let readings = self.receiver.collect(self.port)?;
            let expected = case.honest.as_deref().unwrap_or_default();
            let as_said = matches!(readings.as_slice(), [reading] if reading.bytes == expected);
            right += u64::from(as_said);
            if !as_said {
                println!("not read as it was said: {case}{readings:?}");
            }
        }
        Ok(right)
    }

    /// Runs all, prints what came of it, and says whether there was no disagreement.
    pub fn all(&mut self, settings: &Settings) -> Result<bool> {
        let since = Instant::now();
        if settings.only.is_some() {
            for way in &settings.ways {
                self.compare_all(settings, *way)?;
            }
            return Ok(true);
        }
        let honest = (settings.cases / 20).clamp(20, 500);
        let right = self.calibrate(settings.seed, honest)?;
        println!("calibration without an engine: {right} of {honest} honest cases were read as they were said");
        let mut fine = right == honest;
        if settings.calibrate {
            return Ok(fine);
        }
        for way in &settings.ways {
            fine &= self.compare_all(settings, *way)?;
        }
        println!("{:.1} s", since.elapsed().as_secs_f64());
        Ok(fine)
    }

    fn compare_all(&mut self, settings: &Settings, way: Way) -> Result<bool> {
        let mut rows: BTreeMap<&str, Count> = BTreeMap::new();
        let mut all = Count::default();
        let mut shown = 0;
        let numbers = match settings.only {
            Some(number) => number..number + 1,
            None => 0..settings.cases,
        };
        for number in numbers {
            let case = generate(settings.seed, number);
            let (readings, reports, log) = self.play(&case, way)?;
            let verdict = compare(&readings, &reports, way);
            let names = if case.rows.is_empty() { &["honest"][..] } else { &case.rows[..] };
            for name in names {
                add(rows.entry(name).or_default(), &verdict);
            }
            add(&mut all, &verdict);
            let disagrees = matches!(verdict, Verdict::Disagrees(_));
            if settings.only.is_some() || (disagrees && (shown < SHOWN || settings.verbose)) {
                shown += 1;
                println!(
                    "{}",
                    describe(
                        settings,
                        way,
                        &case,
                        &readings,
                        &reports,
                        &verdict,
                        (settings.only.is_some() || settings.verbose).then_some(&log)
                    )
                );
            }
        }
        println!("{}: N = {}, seed = {}", way.name(), all.cases, settings.seed);
        let names = row_names();
        let order = |name: &str| names.iter().position(|row| *row == name);
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(name, _)| order(name));
        println!("  row      cases  urgent octet left out  disagreements");
        for (name, count) in &rows {
            println!("  {name:<7} {:>6}  {:>21}  {:>13}", count.cases, count.urgent, count.disagreements);
        }
        println!("  all     {:>6}  {:>21}  {:>13}", all.cases, all.urgent, all.disagreements);
        Ok(all.disagreements == 0)
    }
}

fn add(count: &mut Count, verdict: &Verdict) {
    count.cases += 1;
    count.urgent += u64::from(*verdict == Verdict::AgreesButUrgent);
    count.disagreements += u64::from(matches!(verdict, Verdict::Disagrees(_)));
}

fn describe(
    settings: &Settings,
    way: Way,
    case: &Case,
    readings: &[Reading],
    reports: &[Report],
    verdict: &Verdict,
    log: Option<&String>,
) -> String {
    let mut text = format!("{verdict:?}\n{case}");
    for reading in readings {
        let _ = writeln!(text, "  recv():   {:?} {:?}", String::from_utf8_lossy(&reading.bytes), reading.end);
    }
    for report in reports {
        let (finished, reset) = (report.finished, report.reset);
        let bytes = String::from_utf8_lossy(&report.bytes);
        let _ = writeln!(text, "  reported: {bytes:?} finished {finished} reset {reset:?} {:?}", report.anomalies);
    }
    if let Some(log) = log {
        text.push_str(log);
    }
    let _ = writeln!(text, "  again: evasion --seed {} --case {} --way {}", settings.seed, case.number, way.name());
    text
}
