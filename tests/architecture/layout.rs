//! Where files are.

use std::fs;
use std::path::Path;
use std::process::Command;

const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".config",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "docs",
    "infra",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "scripts",
    "tests",
];

/// What git tracks or would track: a build directory or an editor's file is nobody's business.
fn top_level_entries(repository: &Path) -> Vec<String> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(["--cached", "--others", "--exclude-standard"])
        .current_dir(repository)
        .output()
        .expect("start git");
    if !output.status.success() {
        // A copy without its history: everything that is there, but for what builds leave.
        return directory_entries(repository)
            .into_iter()
            .filter(|name| !["target", ".git", ".towpath"].contains(&name.as_str()))
            .collect();
    }
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut entries: Vec<_> = text
        .split_terminator('\0')
        .filter_map(|path| path.split('/').next())
        .map(str::to_owned)
        .collect();
    entries.dedup();
    entries
}

fn directory_entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .expect("read a directory")
        .map(|entry| {
            entry
                .expect("read an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    let entries = top_level_entries(&crate::repository());
    assert!(
        entries.iter().any(|entry| entry == "Cargo.toml"),
        "saw only {entries:?}"
    );
    for entry in entries {
        assert!(
            TOP_LEVEL.contains(&entry.as_str()),
            "{entry} lies at the top level; move it, or add it to the list and say why"
        );
    }
}

#[test]
fn a_crates_directory_has_the_name_of_its_package() {
    let crates = crate::repository().join("crates");
    for directory in directory_entries(&crates) {
        let manifest = crates.join(&directory).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)
            .unwrap_or_else(|e| panic!("crates/{directory} has no readable Cargo.toml: {e}"));
        let wanted = format!("name = \"{directory}\"");
        let found = text.lines().find(|line| line.starts_with("name = "));
        assert_eq!(
            found,
            Some(wanted.as_str()),
            "crates/{directory} holds another package"
        );
    }
}
