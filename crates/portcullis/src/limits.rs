//! `--limit`, `--limits` and `--on-limit`: how bounds and timeouts are set, for every command that has an engine.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use portcullis_engine::{Bound, BoundError, Settings, WhenMet};

use crate::messages::{FileError, read_text};

/// The options, to be flattened into those of a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LimitArguments {
    /// Set a bound or timeout, such as `queue-bytes=1MiB`; `portcullis limits` lists them
    ///
    /// Can be given several times. Values are written as they are listed: `1000000`, `64KiB`, `4MiB`, `200ms`, `30s`.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    limit: Vec<Setting>,

    /// Read bounds from a file: a line `NAME = VALUE` each, or `on-limit NAME = VERDICT`; `#` begins a comment
    ///
    /// What --limit and --on-limit say counts more.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    limits: Option<PathBuf>,

    /// What becomes of a flow that meets a bound: `queue-bytes=accept` or `queue-bytes=drop`
    ///
    /// Can be given several times. With `accept` it goes on, and it is told that a part was not inspected. Only bounds
    /// that let something escape inspection have a verdict; `portcullis limits` marks them.
    #[arg(long, value_name = "NAME=VERDICT", value_parser = on_limit)]
    on_limit: Vec<OnLimit>,
}

/// `NAME=VALUE`, checked.
#[derive(Clone, Debug)]
struct Setting {
    bound: Bound,
    value: String,
}

/// `NAME=VERDICT`, checked.
#[derive(Clone, Copy, Debug)]
struct OnLimit {
    bound: Bound,
    when_met: WhenMet,
}

/// What can be wrong with a file of limits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitsError {
    #[error(transparent)]
    File(#[from] FileError),

    #[error("cannot use line {line} of {path:?}: {reason}")]
    Line { path: PathBuf, line: usize, reason: String },

    #[error(transparent)]
    Bound(#[from] BoundError),
}

impl LimitArguments {
    /// Sets what was asked for, what the file says first.
    pub(crate) fn apply(&self, settings: &mut Settings) -> Result<(), LimitsError> {
        if let Some(path) = &self.limits {
            file(path, &read_text(path)?, settings)?;
        }
        self.limit.iter().try_for_each(|one| one.bound.set(settings, &one.value))?;
        self.on_limit.iter().try_for_each(|one| settings.failures.set(one.bound, one.when_met))?;
        Ok(())
    }
}

fn file(path: &Path, text: &str, settings: &mut Settings) -> Result<(), LimitsError> {
    for (index, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if line.is_empty() {
            continue;
        }
        let done = match line.strip_prefix("on-limit ") {
            Some(rest) => on_limit(rest).and_then(|OnLimit { bound, when_met }| {
                settings.failures.set(bound, when_met).map_err(|error| error.to_string())
            }),
            None => setting(line)
                .and_then(|Setting { bound, value }| bound.set(settings, &value).map_err(|error| error.to_string())),
        };
        let line = index.saturating_add(1);
        done.map_err(|reason| LimitsError::Line { path: path.to_owned(), line, reason })?;
    }
    Ok(())
}

fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = halves(text).ok_or("a limit is set by NAME=VALUE, such as `queue-bytes=1MiB`")?;
    let bound = Bound::parse(name).map_err(|error| error.to_string())?;
    bound.set(&mut Settings::default(), value).map_err(|error| error.to_string())?;
    Ok(Setting { bound, value: value.to_owned() })
}

fn on_limit(text: &str) -> Result<OnLimit, String> {
    let wanted = "it is said by NAME=accept or NAME=drop, such as `queue-bytes=drop`";
    let (name, verdict) = halves(text).ok_or(wanted)?;
    let bound = Bound::parse(name).map_err(|error| error.to_string())?;
    let verdicts = [WhenMet::Accept, WhenMet::Drop];
    let when_met = verdicts.into_iter().find(|one| one.name() == verdict);
    let when_met = when_met.ok_or_else(|| format!("`{verdict}` is no verdict; {wanted}"))?;
    match bound.is_judged() {
        true => Ok(OnLimit { bound, when_met }),
        false => Err(BoundError::NotJudged { bound }.to_string()),
    }
}

fn halves(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        file(Path::new("limits.txt"), text, &mut settings).map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn a_file_sets_what_its_lines_say() {
        let text = "# for a small machine\nflows = 10,000   # enough\n\nqueue-time=5s\non-limit queue-bytes = drop\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.streams.flows, 10_000);
        assert_eq!(settings.streams.queue_time.as_secs(), 5);
        assert_eq!(settings.failures.when_met(Bound::QueueBytes), WhenMet::Drop);
        assert_eq!(settings.failures.when_met(Bound::QueueSegments), WhenMet::Accept);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        assert_eq!(
            read("flows = 1\nflwos = 2\n").unwrap_err(),
            "cannot use line 2 of \"limits.txt\": there is no limit `flwos`; did you mean `flows`?"
        );
        assert!(read("flows 10").unwrap_err().contains("NAME=VALUE"));
        assert!(read("on-limit flows = drop").unwrap_err().contains("no verdict belongs to it"));
        assert!(read("on-limit queue-bytes = alert").unwrap_err().contains("`alert` is no verdict"));
    }
}
