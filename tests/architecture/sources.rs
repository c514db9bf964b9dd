//! What the text of the crates must not contain.
//!
//! A scan of text is a coarse net: it sees a call and not its meaning, and a determined author walks
//! around it. It is there for the undetermined one. Comments are left out, string literals are not.

use std::fs;
use std::path::{Path, PathBuf};

/// One line of one file, without its comment.
struct Line {
    file: String,
    number: usize,
    text: String,
}

fn lines_of(directory: &str) -> Vec<Line> {
    let root = &crate::repository();
    let mut files = Vec::new();
    rust_files(&root.join(directory), &mut files);
    assert!(!files.is_empty(), "there are no sources below {directory}");
    files.iter().flat_map(|file| lines(root, file)).collect()
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("read the directory {}: {e}", directory.display()));
    for entry in entries {
        let path = entry.expect("read an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn lines(root: &Path, file: &Path) -> Vec<Line> {
    let text = fs::read_to_string(file).expect("read a source file");
    let file = file
        .strip_prefix(root)
        .expect("below the root")
        .to_string_lossy()
        .into_owned();
    text.lines()
        .enumerate()
        .map(|(index, line)| Line {
            file: file.clone(),
            number: index + 1,
            text: without_comment(line).to_owned(),
        })
        .collect()
}

/// `//` inside a URL is preceded by a colon and no comment.
fn without_comment(line: &str) -> &str {
    let start = line
        .match_indices("//")
        .map(|(at, _)| at)
        .find(|at| !line[..*at].ends_with(':'));
    &line[..start.unwrap_or(line.len())]
}

fn assert_absent(lines: &[Line], words: &[&str], is_home: impl Fn(&str) -> bool, rule: &str) {
    for line in lines {
        for word in words {
            assert!(
                !line.text.contains(word) || is_home(&line.file),
                "{}:{} has `{word}`, but {rule}",
                line.file,
                line.number,
            );
        }
    }
}

/// The crate `towpath` itself, not those whose names begin with it.
fn is_towpath(file: &str) -> bool {
    file.starts_with("crates/towpath/")
}

/// A crate's own tests may need a place for files or a server's address.
fn is_test(file: &str) -> bool {
    file.split('/').nth(2) == Some("tests") || file.ends_with("/tests.rs")
}

#[test]
fn only_towpath_reads_the_environment() {
    let words = [
        "env::var",
        "env::vars",
        "env::set_var",
        "env::args",
        "env::current_dir",
    ];
    let rule = "only `towpath` reads the environment";
    let is_home = |file: &str| is_towpath(file) || is_test(file);
    assert_absent(&lines_of("crates"), &words, is_home, rule);
}

#[test]
fn only_towpath_prints_and_exits() {
    let words = [
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
        "io::stdout",
        "io::stderr",
    ];
    let lines = lines_of("crates");
    assert_absent(&lines, &words, is_towpath, "only `towpath` prints");
    let words = ["process::exit", "process::abort"];
    assert_absent(
        &lines,
        &words,
        is_towpath,
        "only `towpath` ends the process",
    );
}

#[test]
fn the_model_is_pure() {
    let words = [
        "SystemTime",
        "Instant",
        "std::env",
        "std::fs",
        // `std::net::IpAddr` is a value and welcome.
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "std::io",
        "std::process",
        "std::thread",
        "tokio",
        "getrandom",
    ];
    let rule = "towpath-model has no clock, environment, files, network or randomness";
    assert_absent(&lines_of("crates/towpath-model"), &words, |_| false, rule);
}

#[test]
fn identifiers_are_quoted_in_one_place() {
    let words = [
        r#"replace('"', "\"\"")"#,
        r##"replace('"', r#""""#)"##,
        r#"replace("\"", "\"\"")"#,
    ];
    let rule = "identifiers are quoted by towpath_model's name.rs alone";
    let lines = lines_of("crates");
    let home = "crates/towpath-model/src/name.rs";
    assert_absent(&lines, &words, |file| file == home, rule);
    let found = lines
        .iter()
        .any(|l| l.file == home && words.iter().any(|w| l.text.contains(w)));
    assert!(
        found,
        "{home} no longer quotes in a way this test knows: teach it the new one"
    );
}
