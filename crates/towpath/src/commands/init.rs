//! `towpath init`: a configuration file to begin with.

use std::io::Write;
use std::path::Path;

use towpath_model::{ErrorKind, Exit, Failure, Result};

use crate::commands::next;
use crate::settings::{SETTINGS, SettingSpec};

/// Writes the file; an existing one is never touched.
pub fn init(path: &Path) -> Result<Exit> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|cause| {
            let hint = match cause.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "it exists already; edit it, or choose another with --config"
                }
                _ => "choose a directory that exists and can be written",
            };
            Failure::new(
                ErrorKind::LocalFile,
                format!("could not create {}", path.display()),
            )
            .because(cause)
            .hint(hint)
        })?;
    file.write_all(text().as_bytes()).map_err(|cause| {
        Failure::new(
            ErrorKind::LocalFile,
            format!("could not write {}", path.display()),
        )
        .because(cause)
    })?;
    eprintln!("wrote {}", path.display());
    next("export TOWPATH_SOURCE_URL and TOWPATH_TARGET_URL, then `towpath check`");
    Ok(Exit::Done)
}

/// Every setting, commented out with its default, under its section.
pub fn text() -> String {
    let mut text = String::from(
        "# towpath: from Supabase to Amazon RDS for PostgreSQL.\n\
         # Secrets do not belong here: export TOWPATH_SOURCE_URL and TOWPATH_TARGET_URL,\n\
         # or name files that hold them. Every key has an environment variable of its own.\n",
    );
    for spec in SETTINGS.iter().filter(|spec| !spec.key.contains('.')) {
        text.push_str(&entry(spec, spec.key));
    }
    let mut section = "";
    for spec in SETTINGS.iter().filter(|spec| !spec.secret) {
        let Some((name, key)) = spec.key.split_once('.') else {
            continue;
        };
        if name != section {
            section = name;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&entry(spec, key));
    }
    text
}

fn entry(spec: &SettingSpec, key: &str) -> String {
    let value = match spec.default.parse::<u64>() {
        Ok(number) => number.to_string(),
        Err(_) => format!("\"{}\"", spec.default),
    };
    format!("# {} ({})\n# {key} = {value}\n", spec.help, spec.env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_valid_and_every_key_is_known() {
        let uncommented: String = text()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let table: toml::Table = uncommented.parse().unwrap();
        let known = SETTINGS.iter().filter(|spec| !spec.secret).count();
        let found: usize = table
            .values()
            .map(|value| value.as_table().map_or(1, toml::Table::len))
            .sum();
        assert_eq!(found, known);
    }
}
