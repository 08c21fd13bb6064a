//! Does docs/settings.md say what `--help` says?

use std::collections::{BTreeMap, BTreeSet};

use crate::started::program;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");

/// The commands that take settings, as the document names them, with their arguments.
const COMMANDS: [(&str, &[&str]); 4] =
    [("hulak", &[]), ("api", &["api"]), ("worker", &["worker"]), ("sandbox", &["sandbox"])];

/// A row of the document.
struct Row {
    secret: bool,
    default: String,
    commands: String,
}

impl Row {
    /// Its default for a command: the one that follows the command's name, or the first.
    fn default(&self, command: &str) -> &str {
        let mut defaults = self.default.split("; ");
        let first = defaults.next().unwrap_or_default();
        defaults.find_map(|own| own.strip_prefix(command)).map_or(first, str::trim)
    }

    fn is_for(&self, command: &str) -> bool {
        self.commands == "all" || self.commands.split(", ").any(|name| name == format!("`{command}`"))
    }
}

/// The rows by the names of their settings; each name once.
fn rows() -> BTreeMap<String, Row> {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut rows = BTreeMap::new();
    for line in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, default, commands, text] = cells[..] else { panic!("four cells: {line}") };
        assert!(text.ends_with('.'), "a sentence: {line}");
        let secret = name.ends_with(" (secret)");
        let row = Row { secret, default: default.to_owned(), commands: commands.to_owned() };
        let name = name.split('`').nth(1).unwrap().to_owned();
        assert!(rows.insert(name.clone(), row).is_none(), "{name} has two rows");
    }
    rows
}

/// What `--help` says.
struct Help {
    /// The settings that are flags, with their flags and defaults.
    flags: BTreeMap<String, (String, String)>,
    /// The secrets.
    secrets: BTreeSet<String>,
}

impl Help {
    fn of(arguments: &[&str]) -> Self {
        let output = program(&[]).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (options, secrets) = text.split_once("Secrets come from").unwrap_or((&text, ""));
        let within = |part: &str, start: &str| {
            part.split_once(start).and_then(|(_, rest)| Some(rest.split_once(']')?.0.to_owned()))
        };
        let mut flags = BTreeMap::new();
        for option in options.split("\n      --").skip(1) {
            // A default may have brackets of its own. It comes last in its line, or before the possible values.
            let default = option.split_once("[default: ").map_or("]", |(_, rest)| rest);
            let default = default.lines().next().unwrap().split("] [").next().unwrap();
            let default = default.trim_end_matches(']').trim_matches('"');
            if let Some(name) = within(option, "[env: ") {
                let flag = option.split([' ', '\n']).next().unwrap().to_owned();
                flags.insert(name, (flag, default.to_owned()));
            }
        }
        let secrets = secrets.split_whitespace().filter(|word| word.starts_with("HULAK_"));
        Self { flags, secrets: secrets.map(str::to_owned).collect() }
    }
}

#[test]
fn the_documented_settings_are_those_of_help() {
    let rows = rows();
    for (name, row) in &rows {
        assert!(COMMANDS.iter().any(|(command, _)| row.is_for(command)), "{name}: no command takes it");
    }
    for (command, arguments) in COMMANDS {
        let Help { flags, secrets } = Help::of(arguments);
        let documented = |secret| {
            let mine = rows.iter().filter(move |(_, row)| row.secret == secret && row.is_for(command));
            mine.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!(documented(false), flags.keys().cloned().collect(), "{command}");
        assert!(documented(true).is_subset(&secrets), "{command}: {secrets:?}");
        for secret in secrets {
            assert!(rows.get(&secret).is_some_and(|row| row.secret), "{secret} has no row");
        }
        for (name, (flag, default)) in flags {
            let usual = name.trim_start_matches("HULAK_").to_lowercase().replace('_', "-");
            assert_eq!(flag, usual, "{command}: the flag of {name}");
            if !default.is_empty() {
                assert_eq!(rows[&name].default(command), format!("`{default}`"), "{command}: {name}");
            }
        }
    }
}

#[test]
fn help_names_every_setting_and_no_value() {
    let output = program(&[
        ("HULAK_SECRET", "dGhpcyBpcyBhIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2Vl"),
        ("HULAK_APP_NAME", "Shop-42"),
    ])
    .arg("--help")
    .output()
    .unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    let rows = rows();
    let names: Vec<_> = rows.iter().filter(|(_, row)| row.is_for("hulak")).map(|(name, _)| name).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(help.contains(name.as_str()), "{name} is missing in:\n{help}");
    }
    assert!(!help.contains("dGhpcyBp") && !help.contains("Shop-42"), "{help}");
}
