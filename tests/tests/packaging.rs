//! What a packager ships: units that systemd takes, with options that the program has.

use std::fs;
use std::process::Command;

use portcullis_tests::namespace::{has_program, run_of};
use portcullis_tests::{portcullis, project};

const UNITS: [&str; 2] = ["portcullis.service", "portcullis-rules.service"];

fn packaged(name: &str) -> String {
    fs::read_to_string(project().join("packaging").join(name)).unwrap()
}

/// The lines `KEY=...` of a unit or settings file.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_takes_the_units() {
    if !has_program("systemd-analyze") {
        println!("skipped: there is no systemd-analyze");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = portcullis_tests::command();
    for unit in UNITS {
        // It looks whether the programs are there.
        let text = packaged(unit).replace("/usr/local/bin/portcullis", program.get_program().to_str().unwrap());
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let paths = UNITS.map(|unit| folder.path().join(unit));
    let run = run_of(&Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output().unwrap());
    let about_us: Vec<&str> = run.stderr.lines().filter(|line| line.contains("portcullis")).collect();
    assert!(about_us.is_empty(), "{}", run.stderr);
    let run = run_of(
        &Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=25", "--no-pager"])
            .arg(folder.path().join("portcullis.service"))
            .output()
            .unwrap(),
    );
    println!("{}", run.stdout.lines().last().unwrap_or_default());
    assert_eq!(run.status, 0, "exposed more than 2.5 of 10: {}{}", run.stdout, run.stderr);
}

#[test]
fn what_the_units_run_is_understood() {
    let settings = packaged("portcullis.env");
    let rules = values(&settings, "PORTCULLIS_RULES");
    let queues = values(&settings, "PORTCULLIS_QUEUES");
    let unit = packaged("portcullis-rules.service");
    for line in values(&unit, "ExecStart").into_iter().chain(values(&unit, "ExecReload")) {
        let line = line.replace("${PORTCULLIS_QUEUES}", queues[0]).replace("$PORTCULLIS_RULES", rules[0]);
        let line = line.replace(" apply ", " show ");
        let run = portcullis(line.split_ascii_whitespace().skip(1));
        assert_eq!(run.status, 0, "{line}: {}", run.stderr);
        assert!(run.stdout.contains("NFQUEUE"), "{}", run.stdout);
    }
    // The gate itself would run: it is asked for a queue that cannot be, and has to complain about nothing else.
    let unit = packaged("portcullis.service");
    let line = values(&unit, "ExecStart")[0];
    let mode = values(&settings, "PORTCULLIS_MODE")[0];
    let example = settings.lines().find_map(|line| line.strip_prefix("# PORTCULLIS_OPTIONS=")).unwrap();
    for options in [values(&settings, "PORTCULLIS_OPTIONS")[0], example] {
        let line = line.replace("${PORTCULLIS_QUEUES}", "70000").replace("${PORTCULLIS_MODE}", mode);
        let run = portcullis(line.replace("$PORTCULLIS_OPTIONS", options).split_ascii_whitespace().skip(1));
        assert_eq!(run.status, 2);
        assert!(run.stderr.contains("no number of a queue"), "{}", run.stderr);
        let run = portcullis(
            line.replace("70000", queues[0])
                .replace("$PORTCULLIS_OPTIONS", options)
                .split_ascii_whitespace()
                .skip(1)
                .chain(["--help"]),
        );
        assert_eq!(run.status, 0, "{}", run.stderr);
    }
}

#[test]
fn the_readme_installs_every_file() {
    let readme = packaged("README.md");
    for entry in fs::read_dir(project().join("packaging")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.matches(&format!("packaging/{name}")).count() == 1, "{name}");
    }
}
