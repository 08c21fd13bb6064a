//! `docs/api.md` says what the code does: every problem with its remedy, every policy, and snippets of programs that run.

use std::path::Path;

use hulak_api::problem::Kind;
use hulak_common::limits::Policy;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: &str) -> String {
    let path = Path::new(ROOT).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of code in this language.
fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    let starts = guide.match_indices(&fence).map(|(at, _)| &guide[at + fence.len()..]);
    starts.map(|rest| rest.split_once("\n```").expect("the end of the block").0).collect()
}

#[test]
fn the_table_of_problems_is_that_of_the_code() {
    let guide = read("docs/api.md");
    let (_, table) = guide.split_once("| slug | status | what it says | what to do |\n").expect("the table");
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| {
            let (slug, status) = (kind.slug(), kind.status().as_u16());
            format!("| `{slug}` | {status} | {} | {} |", kind.title(), kind.remedy())
        })
        .collect();
    assert_eq!(rows, expected, "docs/api.md: the last table has to be\n{}", expected.join("\n"));
}

#[test]
fn the_table_of_limits_names_every_policy() {
    let guide = read("docs/api.md");
    for policy in [
        Policy::NumberCooldown,
        Policy::NumberHour,
        Policy::NumberDay,
        Policy::Client,
        Policy::Address,
        Policy::Checks,
    ] {
        let policy = policy.as_str();
        assert!(guide.contains(&format!("\n| `{policy}` | ")), "docs/api.md: {policy} is missing");
    }
}

#[test]
fn its_snippets_are_parts_of_programs_that_run() {
    let guide = read("docs/api.md");
    for (language, files, count) in [
        ("python", &["examples/python/hulak.py", "examples/python/sign_in_wall.py"][..], 2),
        ("js", &["examples/node/hulak.mjs", "examples/browser/app.js"][..], 4),
    ] {
        let programs: Vec<_> = files.iter().map(|file| read(file)).collect();
        let snippets = blocks(&guide, language);
        assert_eq!(snippets.len(), count, "{language}");
        for snippet in snippets {
            let found = programs.iter().any(|program| program.contains(&format!("\n{snippet}\n")));
            assert!(found, "none of {files:?} has this part of docs/api.md:\n{snippet}");
        }
    }
}

#[test]
fn the_sign_in_wall_has_twenty_lines() {
    let guide = read("docs/api.md");
    let walls = blocks(&guide, "python");
    let wall = walls.iter().find(|block| block.starts_with("def begin")).expect("the wall");
    let lines = wall.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 20, "it has {lines}");
}

#[test]
fn its_links_lead_somewhere() {
    let guide = read("docs/api.md");
    for link in guide.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let path = link.split('#').next().unwrap_or_default();
        if link.starts_with("https://") {
            continue;
        }
        if path.is_empty() {
            let wanted = link.trim_start_matches('#');
            let found =
                guide.lines().filter(|line| line.starts_with("## ")).any(|line| anchor(line) == wanted);
            assert!(found, "docs/api.md has no heading for {link}");
        } else {
            let path = Path::new(ROOT).join("docs").join(path);
            assert!(path.exists(), "docs/api.md leads to {} which is not there", path.display());
        }
    }
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_page_has_words_for_every_problem() {
    let page = read("examples/browser/app.js");
    for kind in Kind::ALL {
        let slug = kind.slug();
        assert!(page.contains(&format!("\n  \"{slug}\": \"")), "examples/browser/app.js: {slug}");
    }
}
