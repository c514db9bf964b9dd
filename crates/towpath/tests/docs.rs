//! Holds the reference pages to the code: what a page lists exists, and what exists is listed.
//!
//! `UPDATE_GOLDEN=1 cargo test -p towpath --test docs` writes the help texts into `cli.md` anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use towpath::SETTINGS;
use towpath_model::{ErrorKind, Exit};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = project().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Rows of every table of a page, without headings and rulers; each cell without its backticks.
fn rows(page: &str) -> Vec<Vec<String>> {
    let is_ruler = |line: &str| line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
    let lines: Vec<&str> = page.lines().collect();
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_heading = lines
            .get(at + 1)
            .is_some_and(|next| is_row(next) && is_ruler(next));
        if is_row(line) && !is_ruler(line) && !is_heading {
            let inner = line.trim().trim_matches('|');
            let cells = inner
                .split(" | ")
                .map(|cell| cell.trim().trim_matches('`').to_owned());
            rows.push(cells.collect());
        }
    }
    rows
}

fn is_row(line: &str) -> bool {
    line.starts_with('|')
}

/// Text below each `## heading` of a page, backticks of the heading taken off.
fn sections(page: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    for part in page.split("\n## ").skip(1) {
        let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
        let twice = sections.insert(heading.trim_matches('`').to_owned(), text.to_owned());
        assert!(twice.is_none(), "{heading} has two sections");
    }
    sections
}

fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_setting_has_its_row_with_variable_and_default() {
    let page = read("docs/reference/configuration.md");
    let (_, table) = page
        .split_once("\n## Settings\n")
        .expect("a section Settings");
    let (table, _) = table.split_once("\n## ").unwrap_or((table, ""));
    let rows = rows(table);
    for spec in SETTINGS.iter() {
        let row = rows.iter().find(|row| row[0] == spec.key);
        let row = row.unwrap_or_else(|| panic!("configuration.md has no row for {}", spec.key));
        assert_eq!(row[1], spec.env, "variable of {}", spec.key);
        // Where the code computes the default, the page says it in words.
        if spec.key != "store" {
            assert_eq!(row[2], spec.default, "default of {}", spec.key);
        }
    }
    assert_eq!(
        names(rows.iter().map(|row| row[0].as_str())),
        names(SETTINGS.iter().map(|spec| spec.key))
    );
}

#[test]
fn every_exit_code_has_its_row() {
    for path in ["docs/reference/exit-codes.md", "docs/runbook/README.md"] {
        let found: Vec<String> = rows(&read(path))
            .iter()
            .filter(|row| row[0].parse::<u8>().is_ok())
            .map(|row| row[0].clone())
            .collect();
        let codes: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| exit.code().to_string())
            .collect();
        assert_eq!(found, codes, "codes of {path}");
    }
    for row in rows(&read("docs/reference/exit-codes.md")) {
        let exit = Exit::ALL
            .iter()
            .find(|exit| exit.code().to_string() == row[0]);
        let exit = exit.expect("a code that exists");
        let listed: BTreeSet<String> = row[2]
            .split(", ")
            .filter(|part| *part != "none")
            .map(|link| {
                link.trim_start_matches('[')
                    .split(']')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let kinds = ErrorKind::ALL.iter().filter(|kind| kind.exit() == *exit);
        assert_eq!(
            listed,
            names(kinds.map(|kind| kind.slug())),
            "kinds of exit {}",
            row[0]
        );
    }
}

#[test]
fn every_kind_of_error_has_its_section_with_its_exit_code() {
    let sections = sections(&read("docs/reference/errors.md"));
    for kind in ErrorKind::ALL {
        let text = sections.get(kind.slug());
        let text = text.unwrap_or_else(|| panic!("errors.md has no section {}", kind.slug()));
        let code = format!("Exit code {}.", kind.exit().code());
        // Lines are wrapped anywhere.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains(&code),
            "section {} does not say {code:?}",
            kind.slug()
        );
    }
    assert_eq!(
        sections.keys().cloned().collect::<BTreeSet<_>>(),
        names(ErrorKind::ALL.iter().map(|kind| kind.slug()))
    );
}

/// Cards that a cell of the runbook's tables names, each looked up on the disk.
fn cards(cell: &str) -> Vec<String> {
    let targets = links(cell).map(|target| target.split('#').next().unwrap_or(target));
    let cards = targets.filter(|target| target.starts_with(|c: char| c.is_ascii_digit()));
    cards
        .map(|card| {
            let text = read(&format!("docs/runbook/{card}"));
            for part in ["**Do.**", "**How you know it worked.**"] {
                assert!(text.contains(part), "{card} has no {part}");
            }
            card.to_owned()
        })
        .collect()
}

#[test]
fn every_exit_code_and_every_kind_of_error_has_a_card() {
    let page = read("docs/runbook/README.md");
    let rows = rows(&page);
    let row = |name: &str| {
        let row = rows.iter().find(|row| row[0] == name);
        row.unwrap_or_else(|| panic!("the runbook has no row for {name}"))
    };
    let by_kind = "by kind, below";
    for exit in Exit::ALL {
        let row = row(&exit.code().to_string());
        let leads = !cards(&row[2]).is_empty() || row[2].contains(by_kind);
        assert!(leads, "no card for exit code {}", exit.code());
    }
    for kind in ErrorKind::ALL {
        let leads = match row(kind.slug())[1].as_str() {
            // What blocks is told apart by the text, and the row of its exit code has the cards.
            "by text, above" => cards(&row(&kind.exit().code().to_string())[2]).len() > 1,
            cell => !cards(cell).is_empty(),
        };
        assert!(leads, "no card for kind {}", kind.slug());
    }
    let (_, kinds) = page
        .split_once("\n## From kind of error to card\n")
        .unwrap();
    let listed = self::rows(kinds);
    assert_eq!(
        names(listed.iter().map(|row| row[0].as_str())),
        names(ErrorKind::ALL.iter().map(|kind| kind.slug()))
    );
}

#[test]
fn every_card_is_on_the_list() {
    let page = read("docs/runbook/README.md");
    let listed: BTreeSet<String> = rows(&page)
        .iter()
        .filter(|row| row[0].starts_with('['))
        .flat_map(|row| cards(&row[0]))
        .collect();
    let folder = project().join("docs/runbook");
    let files = std::fs::read_dir(folder).expect("the runbook");
    let found: BTreeSet<String> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    assert_eq!(listed, found);
}

/// Texts in quotes of a piece of the sources.
fn quoted(text: &str) -> BTreeSet<String> {
    names(text.split('"').skip(1).step_by(2))
}

/// What is between two marks of a source file.
fn between(path: &str, begin: &str, end: &str) -> String {
    let text = read(path);
    let (_, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("{path}: {begin}"));
    rest.split_once(end).expect("its end").0.to_owned()
}

#[test]
fn every_gate_has_its_section_and_every_moment_its_hook() {
    let gates = between(
        "crates/towpath/src/pipeline/cutover/gates.rs",
        "pub const GATES",
        "];",
    );
    let page = read("docs/reference/gates.md");
    assert_eq!(
        sections(&page).into_keys().collect::<BTreeSet<_>>(),
        quoted(&gates)
    );
    let listed = rows(&page);
    let listed = listed.iter().map(|row| {
        let name = row[0].trim_start_matches("[`");
        name.split('`').next().unwrap_or(name)
    });
    assert_eq!(names(listed), quoted(&gates));
    let moments = between(
        "crates/towpath/src/pipeline/hooks.rs",
        "pub const fn word(self)",
        "\n    }\n",
    );
    let keys = SETTINGS
        .iter()
        .filter_map(|spec| spec.key.strip_prefix("hooks."));
    let keys: BTreeSet<String> = names(keys.filter(|key| !key.ends_with("_s")));
    assert_eq!(keys, quoted(&moments));
}

#[test]
fn what_ticks_a_checklist_exists() {
    let text = read("crates/towpath/src/checklist.rs");
    let (_, text) = text.split_once("const BEFORE").expect("the lists");
    let (text, _) = text
        .split_once("/// What an item can be ticked by.")
        .expect("their end");
    let of = |kind: &str| -> BTreeSet<String> {
        let pieces = text.split(kind).skip(1);
        pieces
            .flat_map(|piece| quoted(piece.split(')').next().unwrap_or_default()))
            .collect()
    };
    let checks = of("Ticks::Checks(");
    let known = checks_in_the_code();
    assert!(checks.is_subset(&known), "{:?}", checks.difference(&known));
    let health: BTreeSet<String> = sections(&read("docs/reference/health-checks.md"))
        .into_keys()
        .collect();
    let ticked = of("Ticks::Health(");
    assert!(
        ticked.is_subset(&health),
        "{:?}",
        ticked.difference(&health)
    );
    assert!(
        checks.len() > 15 && ticked.len() > 10,
        "the lists are read wrongly"
    );
}

/// Rights that the code names where a call was refused must be granted by the template, or the hint
/// would send the operator somewhere else.
#[test]
fn every_right_that_a_hint_names_is_in_the_template() {
    let template = read("infra/towpath.yaml");
    let mut asked = BTreeSet::new();
    for folder in ["crates/towpath-switch/src", "crates/towpath-rds/src"] {
        for entry in std::fs::read_dir(project().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|it| it != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for literal in quoted(&text) {
                asked.extend(literal.split_whitespace().filter_map(action));
            }
        }
    }
    assert!(asked.len() > 15, "{asked:?}");
    // Hints that somebody else needs these: the role of a function, or whoever looks after a key.
    for others in [
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "kms:EnableKey",
    ] {
        asked.remove(others);
    }
    let missing: Vec<&String> = asked
        .iter()
        .filter(|action| !template.contains(&format!("\"{action}\"")))
        .collect();
    assert!(
        missing.is_empty(),
        "infra/towpath.yaml does not grant {missing:?}"
    );
}

/// `service:Action`, of the services that towpath calls.
fn action(word: &str) -> Option<String> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let (service, action) = word.split_once(':')?;
    let services = [
        "cloudwatch",
        "ec2",
        "kms",
        "lambda",
        "rds",
        "secretsmanager",
        "sns",
        "ssm",
        "sts",
    ];
    let is_action = action.starts_with(|c: char| c.is_ascii_uppercase())
        && action.chars().all(|c| c.is_ascii_alphanumeric());
    (services.contains(&service) && is_action).then(|| word.to_owned())
}

#[test]
fn every_check_has_its_section() {
    let sections = sections(&read("docs/reference/checks.md"));
    let found: BTreeSet<String> = sections.into_keys().collect();
    assert_eq!(found, checks_in_the_code());
}

#[test]
fn every_health_check_has_its_section() {
    let sections = sections(&read("docs/reference/health-checks.md"));
    let found: BTreeSet<String> = sections.into_keys().collect();
    let mut checks = BTreeSet::new();
    let folder = project().join("crates/towpath-verify/src/health");
    for entry in std::fs::read_dir(folder).expect("the folder of health checks") {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("const CHECK: &str = \"") {
                checks.insert(rest.trim_end_matches("\";").to_owned());
            }
        }
    }
    assert_eq!(found, checks);
}

/// Ids of checks as the sources spell them: constants in the plan, literals where RDS is asked.
fn checks_in_the_code() -> BTreeSet<String> {
    let mut checks = names(["source-tls", "target-tls"]);
    let folder = project().join("crates/towpath-plan/src/checks");
    for entry in std::fs::read_dir(folder).expect("the folder of checks") {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            if let Some(rest) = line.trim().strip_prefix("const CHECK: &str = \"") {
                checks.insert(rest.trim_end_matches("\";").to_owned());
            }
        }
    }
    let aws = read("crates/towpath/src/aws.rs");
    let literals = aws.split('"').skip(1).step_by(2);
    checks.extend(
        literals
            .filter(|text| text.starts_with("rds-"))
            .map(str::to_owned),
    );
    checks
}

/// Help of each command, as a page shows it: what every command has is told once.
fn help(command: &str) -> String {
    let run = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(arguments)
            .env_clear()
            .output()
            .expect("run towpath");
        assert!(out.status.success(), "towpath {arguments:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let everywhere = run(&["-h"]);
    if command == "towpath" {
        return everywhere.trim_end().to_owned();
    }
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let known: Vec<Vec<String>> = everywhere.lines().map(words).collect();
    let mut arguments: Vec<&str> = command.split(' ').collect();
    arguments.push("-h");
    let own: Vec<String> = run(&arguments)
        .lines()
        .filter(|line| line.is_empty() || line.ends_with(':') || !known.contains(&words(line)))
        .map(str::to_owned)
        .collect();
    own.join("\n")
        .trim_end()
        .trim_end_matches("Options:")
        .trim_end()
        .to_owned()
}

#[test]
fn cli_md_shows_the_help_as_it_is() {
    const BEGIN: &str = "<!-- help of ";
    const END: &str = "<!-- end of help -->";
    let path = "docs/reference/cli.md";
    let page = read(path);
    let mut current = String::new();
    let mut rest = page.as_str();
    let mut shown = BTreeSet::new();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (command, after) = after.split_once(" -->").expect("the end of the marker");
        let (_, after) = after.split_once(END).expect("the end of the block");
        current.push_str(&format!(
            "{before}{BEGIN}{command} -->\n```text\n{}\n```\n{END}",
            help(command)
        ));
        shown.insert(command.to_owned());
        rest = after;
    }
    current.push_str(rest);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(project().join(path), &current).unwrap();
    } else {
        assert!(
            current == page,
            "cli.md is not the help of this towpath; UPDATE_GOLDEN=1 writes it anew"
        );
    }
    assert_eq!(shown, commands());
}

/// Every command that the help lists.
fn commands() -> BTreeSet<String> {
    let help = help("towpath");
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let (list, _) = list.split_once("\n\n").expect("the end of the list");
    let mut commands = names(["towpath"]);
    // What is further in goes on with the line above it.
    let is_command = |line: &&str| !line.starts_with("   ");
    for line in list.lines().filter(is_command) {
        match line.split_whitespace().next() {
            Some("help") | None => {}
            Some("config") => {
                commands.insert("config show".to_owned());
            }
            Some("mask") => {
                let further = ["check", "diff", "approve"];
                commands.extend(further.map(|what| format!("mask {what}")));
            }
            Some(name) => {
                commands.insert(name.to_owned());
            }
        }
    }
    commands
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec![];
    collect_pages(&project().join("docs"), &mut pages);
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ] {
        pages.push(project().join(name));
    }
    let mut broken = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for target in links(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let found = match std::fs::read_to_string(&path) {
                Ok(text) => anchor.is_empty() || anchors(&text).contains(anchor),
                Err(_) => path.is_dir(),
            };
            if !found {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn collect_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_pages(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// Targets of links within the project.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
}

/// Anchors of a page's headings, as they are made of their text.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}
