//! The clean schema as files: whoever applies them gets what a run makes, as often as they like.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use towpath_tests::pg::{MASTER_PASSWORD, psql};
use towpath_tests::sample::fixture;
use towpath_tests::{Installation, Pair, TargetShape, pair_with, project};

/// Cuts a text at semicolons outside of quotes, dollar quotes and comments: what programs do that
/// know no grammar.
fn cut(text: &str) -> Vec<String> {
    let bytes: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| {
        what.chars()
            .enumerate()
            .all(|(i, c)| bytes.get(at + i) == Some(&c))
    };
    let (mut statements, mut statement, mut at) = (Vec::new(), String::new(), 0);
    while at < bytes.len() {
        let from = at;
        match bytes[at] {
            '\'' | '"' => {
                let quote = bytes[at];
                at += 1;
                while bytes[at] != quote {
                    at += 1;
                }
            }
            '-' if starts(at, "--") => {
                while bytes[at] != '\n' {
                    at += 1;
                }
                at += 1;
                continue;
            }
            '$' => {
                let end = (at + 1..bytes.len())
                    .find(|end| !bytes[*end].is_ascii_alphanumeric() && bytes[*end] != '_');
                if let Some(end) = end.filter(|end| bytes[*end] == '$') {
                    let tag: String = bytes[at..=end].iter().collect();
                    at = end + 1;
                    while !starts(at, &tag) {
                        at += 1;
                    }
                    at += tag.len() - 1;
                }
            }
            ';' => {
                statements.push(statement.trim().to_owned());
                statement = String::new();
                at += 1;
                continue;
            }
            _ => {}
        }
        at += 1;
        statement.extend(&bytes[from..at]);
    }
    assert_eq!(statement.trim(), "", "the last statement stays open");
    statements.retain(|statement| !statement.is_empty());
    statements
}

/// A new database of the master's, and its URL.
fn database(pair: &Pair, name: &str) -> String {
    let template = &pair.target.shape().database;
    pair.target
        .psql(&format!("create database {name} template {template}"));
    pair.target
        .url_as(&pair.target.shape().master, MASTER_PASSWORD, name)
}

/// The structure of a database of the target's server, as pg_dump sees it.
fn shape(pair: &Pair, database: &str) -> Vec<String> {
    let output = Command::new(Installation::usual().program("pg_dump"))
        .args([
            "--schema-only",
            "--create",
            "--exclude-schema=towpath",
            "--dbname",
        ])
        .arg(pair.target.cluster.superuser_url(database))
        .output()
        .expect("run pg_dump");
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        // A database that was made later has its name in some lines, and an owner.
        .filter(|line| !line.contains("DATABASE ") || line.contains(" SET "))
        .map(|line| line.replace(&format!("DATABASE {database} "), "DATABASE it "))
        .filter(|line| !line.starts_with('\\') && !line.starts_with("--") && !line.is_empty())
        .collect();
    // Privileges are listed in the order in which they were given.
    lines.sort();
    lines
}

fn assert_same_shape(pair: &Pair, expected: &[String], found: &str) {
    let found_shape = shape(pair, found);
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        let those: BTreeSet<&String> = those.iter().collect();
        these
            .iter()
            .filter(|line| !those.contains(line))
            .cloned()
            .collect()
    };
    let missing = without(expected, &found_shape);
    let extra = without(&found_shape, expected);
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{found} lacks {missing:#?}\nand has {extra:#?}"
    );
    assert_eq!(expected.len(), found_shape.len(), "{found}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Every file below a directory, in the order of their paths.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("list the directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The version and the description that sqlx and the Supabase CLI take from a name.
fn is_migration(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((version, rest)) = name.split_once('_') else {
        return false;
    };
    version.parse::<i64>().is_ok() && rest.ends_with(".sql")
}

#[test]
fn the_files_make_what_a_run_makes_and_again_change_nothing() {
    let pair = pair_with(&TargetShape {
        capable: false,
        ..TargetShape::default()
    });
    pair.source.add_late_objects();
    pair.source.psql(&fixture("kinds/1_types.sql"));
    pair.source.psql(&fixture("kinds/2_tables.sql"));
    pair.source.psql_superuser(&fixture("kinds/3_platform.sql"));
    // Deeper than the parser can tell: a hundred levels of parentheses in a view, a check, a policy.
    let deep = "|| note ".repeat(100);
    pair.source.psql(&format!(
        "create table public.deep (note text check (note {deep} <> 'x'), twice text generated always as (note {deep}) stored);
         create view public.deeper as select note {deep} as long from public.deep;
         create index on public.deep ((note {deep}));
         create policy deepest on public.deep using (note {deep} is not null)"
    ));
    let project = project!(&pair);
    let end = project.expect(0, &["export", "--schema-only", "-o", "schema", "--json"]);
    assert!(!project.path().join(".towpath").exists(), "it left a store");
    let said: Value = serde_json::from_str(&end.stdout).expect("one object on stdout");
    let directory = project.path().join("schema");
    let whole = directory.join(said["consolidated"].as_str().expect("a name"));

    // Of all files at the top, the tools that read migrations see exactly one.
    let all = files(&directory);
    let migrations: Vec<&PathBuf> = all.iter().filter(|path| is_migration(path)).collect();
    assert_eq!(migrations, [&whole]);
    let stem = whole.file_name().unwrap_or_default().to_string_lossy();
    assert_eq!(stem.split_once('_').expect("a version").0.len(), 14);
    let split: Vec<&PathBuf> = all
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "sql") && **path != whole)
        .collect();
    let listed: Vec<PathBuf> = said["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|path| directory.join(path.as_str().expect("a path")))
        .collect();
    assert_eq!(
        split,
        listed.iter().collect::<Vec<_>>(),
        "another order than that of the paths"
    );
    for path in &all {
        let text = read(path);
        assert!(
            !text.contains("fixture-secret"),
            "a secret is in {}",
            path.display()
        );
    }

    // What a run makes.
    database(&pair, "by_run");
    let by_run = project!(&pair).with(
        "TOWPATH_TARGET_URL",
        &pair
            .target
            .url_as(&pair.target.shape().master, MASTER_PASSWORD, "by_run"),
    );
    by_run.expect(0, &["run", "--yes"]);
    let expected = shape(&pair, "by_run");
    assert!(expected.len() > 500, "{expected:#?}");

    // As one file by psql: in a transaction, and again without one.
    let sql = read(&whole);
    let url = database(&pair, "whole");
    psql(&url, &format!("begin;\n{sql}\ncommit;"));
    assert_same_shape(&pair, &expected, "whole");
    let left = psql(
        &url,
        &format!("{sql}\nshow search_path; show statement_timeout;"),
    );
    assert_eq!(left.lines().count(), 2, "it prints:\n{left}");
    assert_eq!(
        left,
        psql(&url, "show search_path; show statement_timeout;")
    );
    assert_same_shape(&pair, &expected, "whole");

    // As sqlx does it: all in one message, in a transaction with a row of its own table.
    let url = database(&pair, "by_sqlx");
    let table = "create table _sqlx_migrations (version bigint primary key, description text)";
    psql(&url, table);
    let message = cut(&sql).join("\n\\;\n");
    for version in [1, 2] {
        let row = format!("insert into _sqlx_migrations values ({version}, 'clean schema')");
        psql(&url, &format!("begin;\n{message};\n{row};\ncommit;"));
    }
    psql(&url, "drop table _sqlx_migrations");
    assert_same_shape(&pair, &expected, "by_sqlx");

    // File by file, as the Supabase CLI does it: statement by statement.
    let url = database(&pair, "by_files");
    for _ in 0..2 {
        for path in &split {
            let text = read(path);
            let statements = cut(&text);
            assert!(statements.len() > 2, "{} is empty", path.display());
            psql(&url, &format!("{};", statements.join(";\n")));
        }
    }
    assert_same_shape(&pair, &expected, "by_files");

    // Over half of it: the rest is made.
    let url = database(&pair, "half");
    let statements = cut(&sql);
    let half = statements.len() / 2;
    psql(&url, &format!("{};", statements[..half].join(";\n")));
    psql(&url, &sql);
    assert_same_shape(&pair, &expected, "half");
}

#[test]
fn a_directory_that_holds_something_is_not_written_over_and_no_target_is_needed() {
    let pair = pair_with(&TargetShape::default());
    let project = project!(&pair).with("TOWPATH_TARGET_URL", "");
    let export = ["export", "--schema-only", "-o", "schema", "--name", "first"];
    let end = project.expect(0, &export);
    assert!(
        end.stderr.contains("assumed RDS for PostgreSQL 15"),
        "{end}"
    );
    let directory = project.path().join("schema");
    std::fs::write(directory.join("mine.txt"), "by hand").expect("write a file");
    let before = files(&directory);
    let end = project.expect(2, &export);
    assert!(
        end.stderr.contains("is not empty") && end.stderr.contains("--force"),
        "{end}"
    );
    assert_eq!(files(&directory), before);

    // Replacing takes away what the earlier export wrote, and nothing else.
    project.expect(
        0,
        &[
            "export",
            "--schema-only",
            "-o",
            "schema",
            "--name",
            "second",
            "--force",
            "--target-major",
            "17",
        ],
    );
    let after = files(&directory);
    let named = |part: &str| {
        after
            .iter()
            .filter(|p| p.to_string_lossy().contains(part))
            .count()
    };
    assert_eq!(
        (named("_first.sql"), named("_second.sql")),
        (0, 1),
        "{after:#?}"
    );
    assert_eq!(read(&directory.join("mine.txt")), "by hand");
    let report = read(&directory.join("report.md"));
    assert!(
        report.contains("PostgreSQL 17") && report.contains("| extension pg_net | dropped |"),
        "{report}"
    );

    let end = project.expect(0, &["export", "--schema-only", "-o", "-"]);
    assert!(end.stdout.starts_with("-- A clean schema"), "{end}");
    assert_eq!(files(&directory), after);
    for wrong in [
        &["export", "--schema-only"][..],
        &["export", "-o", "schema"],
        &["export", "--schema-only", "-o", "x", "--yes"],
        &["export", "--schema-only", "-o", "x", "--name", "../x"],
        &["export", "--schema-only", "-o", "-", "--json"],
    ] {
        project.expect(2, wrong);
    }
}
