//! What the screen says.

use std::fmt::Write;
use std::time::Duration;

use portcullis_policy::Severity;

use super::table::{Column, length, lines, shortened};
use super::{Kinds, MailLine, Style, Summary};
use crate::mail::MailOutcome;
use crate::time::{clock, date_and_time};

/// Columns of the screen.
const WIDTH: usize = 100;

/// Columns of the words at its left edge.
const LABEL: usize = 11;

/// Kinds of anomalies and of alerts per severity that are listed; the rest is in the records.
const KINDS: usize = 12;

pub(super) fn render(summary: &Summary, style: Style) -> String {
    let mut screen = Screen { text: String::new(), style };
    screen.capture(summary);
    screen.protocols(summary);
    screen.mails(summary);
    screen.alerts(summary);
    screen.anomalies(summary);
    screen.text
}

struct Screen {
    text: String,
    style: Style,
}

impl Screen {
    fn capture(&mut self, summary: &Summary) {
        let Some((first, last)) = summary.span else {
            return self.labelled("capture", "no packets");
        };
        let span = duration(last.since(first));
        self.labelled("capture", &format!("{} to {} UTC ({span})", date_and_time(first), date_and_time(last)));
        self.labelled("packets", &format!("{} ({})", number(summary.packets), octets(summary.octets)));
        let more = if summary.more_hosts { "more than " } else { "" };
        let hosts = summary.hosts.len() as u64;
        self.labelled("hosts", &format!("{more}{} in {}", number(hosts), counted(summary.flows, "flow")));
    }

    fn protocols(&mut self, summary: &Summary) {
        if summary.protocols.total() > 0 {
            let kinds = listed(&summary.protocols, KINDS);
            self.labelled("protocols", &kinds.join(", "));
        }
    }

    fn mails(&mut self, summary: &Summary) {
        if summary.outcomes.is_empty() {
            return;
        }
        let outcomes = summary.outcomes.iter().map(|(outcome, count)| format!("{} {}", number(*count), outcome.name()));
        self.heading("mails", &outcomes.collect::<Vec<_>>().join(", "));
        let column = |title, max| Column { title, max, right: false };
        let columns = [
            column("time", 8),
            column("client", 39),
            column("server", 39),
            column("from", 40),
            column("to", 40),
            Column { title: "size", max: 14, right: true },
            column("outcome", 8),
        ];
        let rows: Vec<Vec<String>> = summary.mails.iter().map(cells).collect();
        for (index, line) in lines(&columns, &rows, WIDTH.saturating_sub(2)).iter().enumerate() {
            let colour = match index.checked_sub(1).and_then(|index| summary.mails.get(index)) {
                None => Colour::Dim,
                Some(mail) => colour_of_outcome(mail.outcome),
            };
            self.line(&format!("  {line}"), colour);
        }
        if summary.more_mails > 0 {
            self.line(&format!("  and {} more", number(summary.more_mails)), Colour::Dim);
        }
    }

    fn alerts(&mut self, summary: &Summary) {
        let total = summary.alerts.values().fold(0u64, |sum, kinds| sum.saturating_add(kinds.total()));
        if total == 0 {
            return;
        }
        self.heading("alerts", &number(total));
        for (severity, kinds) in summary.alerts.iter().rev() {
            let colour = colour_of_severity(*severity);
            let total = kinds.total();
            self.line(&format!("  {:<9}{:>12}", severity.as_str(), number(total)), colour);
            self.kinds(kinds);
        }
    }

    fn anomalies(&mut self, summary: &Summary) {
        let total = summary.anomalies.total();
        if total > 0 {
            self.heading("anomalies", &number(total));
            self.kinds(&summary.anomalies);
        }
        if summary.unverified_checksums > 0 {
            let packets = number(summary.unverified_checksums);
            self.heading(
                "checksums",
                &format!("{packets} packets were captured before they had one, and taken without"),
            );
        }
        if summary.gaps > 0 {
            self.heading("gaps", &format!("{}, {} missing", number(summary.gaps), octets(summary.missing)));
        }
    }

    fn kinds(&mut self, kinds: &Kinds) {
        let all = kinds.by_count();
        for (name, count) in all.iter().take(KINDS) {
            self.line(&format!("  {:>21}  {name}", number(*count)), Colour::Plain);
        }
        let rest = all.iter().skip(KINDS).fold(kinds.others, |sum, (_, count)| sum.saturating_add(*count));
        if rest > 0 {
            self.line(&format!("  {:>21}  others", number(rest)), Colour::Dim);
        }
    }

    fn heading(&mut self, label: &str, text: &str) {
        self.text.push('\n');
        self.labelled(label, text);
    }

    fn labelled(&mut self, label: &str, text: &str) {
        let text = shortened(text, WIDTH.saturating_sub(LABEL));
        let label = self.coloured(&format!("{label:<LABEL$}"), Colour::Bold);
        self.text.push_str(&label);
        self.text.push_str(&text);
        self.text.push('\n');
    }

    fn line(&mut self, text: &str, colour: Colour) {
        let text = self.coloured(&shortened(text, WIDTH), colour);
        self.text.push_str(&text);
        self.text.push('\n');
    }

    fn coloured(&self, text: &str, colour: Colour) -> String {
        match colour.code().filter(|_| self.style.colour) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

#[derive(Clone, Copy)]
enum Colour {
    Bold,
    Dim,
    Green,
    Plain,
    Red,
    Yellow,
}

impl Colour {
    fn code(self) -> Option<&'static str> {
        Some(match self {
            Colour::Bold => "1",
            Colour::Dim => "2",
            Colour::Green => "32",
            Colour::Plain => return None,
            Colour::Red => "31",
            Colour::Yellow => "33",
        })
    }
}

fn colour_of_outcome(outcome: MailOutcome) -> Colour {
    match outcome {
        MailOutcome::Accepted => Colour::Green,
        MailOutcome::Rejected => Colour::Red,
        MailOutcome::Aborted | MailOutcome::Unknown => Colour::Yellow,
    }
}

fn colour_of_severity(severity: Severity) -> Colour {
    match severity {
        Severity::Critical | Severity::High => Colour::Red,
        Severity::Medium => Colour::Yellow,
        Severity::Low => Colour::Plain,
    }
}

fn cells(mail: &MailLine) -> Vec<String> {
    vec![
        clock(mail.time),
        mail.client.to_string(),
        mail.server.to_string(),
        mail.from.clone(),
        mail.to.clone(),
        number(mail.size),
        mail.outcome.name().to_owned(),
    ]
}

/// `3 smtp`, `1 dns`, and how many are left out.
fn listed(kinds: &Kinds, most: usize) -> Vec<String> {
    let all = kinds.by_count();
    let mut listed: Vec<String> =
        all.iter().take(most).map(|(name, count)| format!("{} {name}", number(*count))).collect();
    let rest = all.iter().skip(most).fold(kinds.others, |sum, (_, count)| sum.saturating_add(*count));
    if rest > 0 {
        listed.push(format!("{} others", number(rest)));
    }
    listed
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(count))
}

/// `12,345`
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (index, digit) in digits.chars().enumerate() {
        let left = length(&digits).saturating_sub(index);
        if index > 0 && left.is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.5 MB`, in powers of ten.
fn octets(octets: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.into_iter().find(|(_, size)| octets >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", octets / size, octets % size / (size / 10)),
        None => counted(octets, "octet"),
    }
}

/// `1 d 2 h 3 min 4 s`, the two largest parts; below ten seconds with thousandths.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 10 {
        return format!("{seconds}.{:03} s", duration.subsec_millis());
    }
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let mut text = String::new();
    let first = parts.iter().position(|(value, _)| *value > 0).unwrap_or(3);
    for (value, unit) in parts.iter().skip(first).take(2) {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(text, "{gap}{value} {unit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_units() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(12_345), "12,345");
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(octets(1), "1 octet");
        assert_eq!(octets(999), "999 octets");
        assert_eq!(octets(1_549_000), "1.5 MB");
        assert_eq!(octets(u64::MAX), "18446744.0 TB");
    }

    #[test]
    fn durations_have_two_parts() {
        assert_eq!(duration(Duration::from_millis(1_234)), "1.234 s");
        assert_eq!(duration(Duration::from_secs(61)), "1 min 1 s");
        assert_eq!(duration(Duration::from_secs(3_600)), "1 h 0 min");
        assert_eq!(duration(Duration::from_secs(200_000)), "2 d 7 h");
    }
}
