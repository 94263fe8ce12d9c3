//! Plays generated evasions to a Linux receiver and compares what it reads with what the flow table reports.
//!
//! `evasion [--cases N] [--seed S] [--case NUMBER] [--way capture|gate] [--calibrate] [--verbose]`, as root. Exit status 0: no
//! disagreement; 1: there were some; 2: it could not be run; 77: this machine lacks what it needs, which is printed.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use portcullis_tests::evasion::lab::Lab;
use portcullis_tests::evasion::receiver;
use portcullis_tests::evasion::run::{Run, Settings, Way};

const CASES: u64 = 10_000;
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["receive"] => {
            receiver::serve()?;
            Ok(ExitCode::SUCCESS)
        }
        ["play", server, rest @ ..] => {
            let settings = settings(rest)?;
            let fine = Run::start(server)?.all(&settings)?;
            Ok(ExitCode::from(u8::from(!fine)))
        }
        rest => {
            // What is wrong with it is said before anything is made.
            let settings = settings(rest)?;
            let lab = match Lab::new() {
                Ok(lab) => lab,
                Err(reason) => {
                    println!("skipped: {reason}");
                    return Ok(ExitCode::from(SKIPPED));
                }
            };
            let program = std::env::current_exe()?;
            let mut command = Lab::command(&lab.client, &program);
            command.arg("play").arg(&lab.server).args(rest).arg("--seed").arg(settings.seed.to_string());
            let status = command.status().context("cannot start the player")?;
            Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)))
        }
    }
}

fn settings(words: &[&str]) -> Result<Settings> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let mut settings = Settings {
        cases: CASES,
        seed: now % 1_000_000_000,
        only: None,
        calibrate: false,
        ways: vec![Way::Capture, Way::Gate],
        verbose: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().with_context(|| format!("{word} needs a value"));
        let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is no number"));
        match *word {
            "--cases" => settings.cases = number(value()?)?,
            "--seed" => settings.seed = number(value()?)?,
            "--case" => settings.only = Some(number(value()?)?),
            "--way" => {
                settings.ways = match value()? {
                    "capture" => vec![Way::Capture],
                    "gate" => vec![Way::Gate],
                    other => bail!("`{other}` is no way: capture or gate"),
                }
            }
            "--calibrate" => settings.calibrate = true,
            "--verbose" => settings.verbose = true,
            other => bail!(
                "what is `{other}`? evasion [--cases N] [--seed S] [--case NUMBER] [--way capture|gate] [--calibrate] [--verbose]"
            ),
        }
    }
    Ok(settings)
}
