//! Settings: one table that names each with its environment variable and default; flags win over
//! the environment, which wins over the file, which wins over the default.

mod aws;
mod clone;
mod copy;
mod cutover;
mod fence;
mod notify;
mod place;
mod probe;
mod schema;
mod spec;
mod switch;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::{ErrorKind, Failure, Result};

use crate::arguments::Arguments;

pub use spec::SettingSpec;

/// Every setting, in the order of the reference page.
pub static SETTINGS: LazyLock<Vec<SettingSpec>> = LazyLock::new(|| {
    [
        place::SETTINGS,
        copy::SETTINGS,
        schema::SETTINGS,
        verify::SETTINGS,
        switch::SETTINGS,
        fence::SETTINGS,
        cutover::SETTINGS,
        probe::SETTINGS,
        notify::SETTINGS,
        clone::SETTINGS,
        aws::SETTINGS,
    ]
    .concat()
});

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        })
    }
}

/// The effective settings.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    directory: PathBuf,
}

impl Settings {
    /// Gathers the settings of this process.
    pub fn load(arguments: &Arguments) -> Result<Self> {
        let file = read_file(&arguments.config)?;
        let flags = flags(arguments);
        let environment = |name: &str| std::env::var(name).ok();
        let directory = match arguments.config.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let directory = std::path::absolute(&directory).map_err(|cause| {
            Failure::new(
                ErrorKind::LocalFile,
                format!("could not find {}", directory.display()),
            )
            .because(cause)
        })?;
        Ok(resolve(&flags, &environment, &file, directory))
    }

    /// These values, for tests.
    #[cfg(test)]
    pub fn of_texts(pairs: &[(&str, &str)], directory: &Path) -> Self {
        let pairs = pairs.iter();
        let file = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let nobody = |_: &str| None;
        resolve(
            &BTreeMap::new(),
            &nobody,
            &file.collect(),
            directory.to_owned(),
        )
    }

    /// A value as text; empty when there is none.
    pub fn text(&self, key: &str) -> &str {
        self.values
            .get(key)
            .map(|(value, _)| value.as_str())
            .unwrap_or_default()
    }

    /// A value as text, unless it is empty.
    pub fn optional(&self, key: &str) -> Option<String> {
        Some(self.text(key))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// Where a value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.values
            .get(key)
            .map_or(Origin::Default, |(_, origin)| *origin)
    }

    /// A value as a positive number.
    pub fn number(&self, key: &str) -> Result<u64> {
        self.parsed(key, "a positive number", |number| number > 0)
    }

    /// A value as a number, none at all included.
    pub fn count(&self, key: &str) -> Result<u64> {
        self.parsed(key, "a number", |_| true)
    }

    fn parsed(&self, key: &str, what: &str, fits: impl Fn(u64) -> bool) -> Result<u64> {
        let text = self.text(key);
        text.parse()
            .ok()
            .filter(|number| fits(*number))
            .ok_or_else(|| {
                Failure::new(
                    ErrorKind::Config,
                    format!("{key} is {text:?}, which is not {what}"),
                )
                .at(format!("from the {}", self.origin(key)))
            })
    }

    /// A value as a positive number, unless it is `auto`.
    pub fn number_or_auto(&self, key: &str) -> Result<Option<u64>> {
        if self.text(key) == "auto" {
            return Ok(None);
        }
        self.number(key)
            .map(Some)
            .map_err(|failure| failure.hint("use auto or a number"))
    }

    /// A value that must be one of these words.
    pub fn word(&self, key: &str, words: &[&str]) -> Result<&str> {
        let text = self.text(key);
        if words.contains(&text) {
            return Ok(text);
        }
        Err(
            Failure::new(ErrorKind::Config, format!("{key} is {text:?}"))
                .at(format!("from the {}", self.origin(key)))
                .hint(format!("use one of {}", words.join(", "))),
        )
    }

    /// A value as a list.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.text(key)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The directory of the configuration file: relative paths in it and `.towpath` are there.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path, relative to the configuration file.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.optional(key).map(|path| self.directory.join(path))
    }

    /// The URL of a side, from its variable or its file.
    pub fn url(&self, side: Side) -> Result<ConnectionUrl> {
        let section = side.to_string();
        self.url_of(&section, side)?.ok_or_else(|| {
            let name = section.to_uppercase();
            Failure::new(ErrorKind::Config, format!("the {side} URL is not set")).hint(format!(
                "export TOWPATH_{name}_URL=postgres://…, or name a file that holds it in TOWPATH_{name}_URL_FILE"
            ))
        })
    }

    /// A URL from `<section>.url` or the file of `<section>.url_file`.
    pub fn url_of(&self, section: &str, side: Side) -> Result<Option<ConnectionUrl>> {
        if let Some(text) = self.optional(&format!("{section}.url")) {
            return ConnectionUrl::parse(&text, side).map(Some);
        }
        let Some(path) = self.path(&format!("{section}.url_file")) else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(&path).map_err(|cause| {
            Failure::new(
                ErrorKind::Config,
                format!("could not read the {side} URL from {}", path.display()),
            )
            .because(cause)
        })?;
        ConnectionUrl::parse(&text, side).map(Some)
    }

    /// Every setting with its value and origin, secrets masked.
    pub fn shown(&self) -> Vec<(&'static str, String, Origin)> {
        SETTINGS
            .iter()
            .map(|spec| {
                let value = match self.text(spec.key) {
                    "" => String::new(),
                    _ if spec.secret => "***".to_owned(),
                    text => text.to_owned(),
                };
                (spec.key, value, self.origin(spec.key))
            })
            .collect()
    }
}

fn flags(arguments: &Arguments) -> BTreeMap<&'static str, String> {
    let progress = arguments
        .progress
        .map(|mode| format!("{mode:?}").to_lowercase());
    [
        ("store", arguments.store.clone()),
        ("source.root_cert", arguments.source_root_cert.clone()),
        ("target.root_cert", arguments.target_root_cert.clone()),
        ("copy.jobs", arguments.jobs.clone()),
        ("source.max_load", arguments.max_source_load.clone()),
        ("progress", progress),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

fn resolve(
    flags: &BTreeMap<&'static str, String>,
    environment: &dyn Fn(&str) -> Option<String>,
    file: &BTreeMap<String, String>,
    directory: PathBuf,
) -> Settings {
    let value = |spec: &SettingSpec| {
        if let Some(value) = flags.get(spec.key) {
            return (value.clone(), Origin::Flag);
        }
        if let Some(value) = environment(spec.env).filter(|value| !value.is_empty()) {
            return (value, Origin::Environment);
        }
        if let Some(value) = file.get(spec.key) {
            return (value.clone(), Origin::File);
        }
        (computed_default(spec, &directory), Origin::Default)
    };
    let mut values: BTreeMap<_, _> = SETTINGS
        .iter()
        .map(|spec| (spec.key, value(spec)))
        .collect();
    // The opt-out that other tools have too.
    if environment("TOWPATH_NO_PROGRESS").is_some_and(|value| !value.is_empty())
        && values
            .get("progress")
            .is_some_and(|(_, origin)| *origin != Origin::Flag)
    {
        values.insert("progress", ("none".to_owned(), Origin::Environment));
    }
    Settings { values, directory }
}

fn computed_default(spec: &SettingSpec, directory: &Path) -> String {
    match spec.key {
        "store" => format!("file://{}", directory.join(".towpath").display()),
        _ => spec.default.to_owned(),
    }
}

/// Reads the configuration file; there need not be one.
fn read_file(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(cause) => {
            return Err(Failure::new(
                ErrorKind::Config,
                format!("could not read {}", path.display()),
            )
            .because(cause));
        }
    };
    parse_file(&text).map_err(|failure| {
        failure.while_doing(format!(
            "could not use the configuration file {}",
            path.display()
        ))
    })
}

fn parse_file(text: &str) -> Result<BTreeMap<String, String>> {
    let table: toml::Table = text.parse().map_err(|cause: toml::de::Error| {
        // The error's own text quotes the line, which may hold a secret somebody put there.
        Failure::new(
            ErrorKind::Config,
            format!("it is not TOML: {}", cause.message()),
        )
    })?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(section) => {
                for (key, value) in section {
                    insert(&mut values, format!("{name}.{key}"), &value)?;
                }
            }
            other => insert(&mut values, name, &other)?,
        }
    }
    Ok(values)
}

fn insert(values: &mut BTreeMap<String, String>, key: String, value: &toml::Value) -> Result<()> {
    let Some(spec) = SETTINGS.iter().find(|spec| spec.key == key) else {
        let letter = Failure::new(ErrorKind::Config, format!("unknown key {key}"));
        return Err(match nearest(&key) {
            Some(near) => letter.hint(format!("did you mean {near}?")),
            None => letter.hint("`towpath init` writes a file with every key"),
        });
    };
    if spec.secret {
        return Err(Failure::new(
            ErrorKind::Config,
            format!("{key} holds a secret and does not belong in a file that is shared"),
        )
        .hint(format!(
            "set {} in the environment, or name a file with {key}_file",
            spec.env
        )));
    }
    let text = as_text(value).ok_or_else(|| {
        Failure::new(
            ErrorKind::Config,
            format!("{key} must be a text, a number or a list of texts"),
        )
    })?;
    // `init` writes keys without a default as empty: uncommented as they are they mean nothing.
    if !text.is_empty() {
        values.insert(key, text);
    }
    Ok(())
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(|item| item.as_str()).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

/// The known key that shares most of its letters, position by position, with a mistyped one.
fn nearest(key: &str) -> Option<&'static str> {
    let likeness = |known: &str| {
        let front = known
            .chars()
            .zip(key.chars())
            .take_while(|(a, b)| a == b)
            .count();
        let back = known
            .chars()
            .rev()
            .zip(key.chars().rev())
            .take_while(|(a, b)| a == b)
            .count();
        front + back
    };
    SETTINGS
        .iter()
        .map(|spec| spec.key)
        .max_by_key(|known| likeness(known))
        .filter(|known| likeness(known) * 2 > known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_environment_over_file_over_default() {
        let file = parse_file("[copy]\njobs = 3\nchunk_mib = 5\n").unwrap();
        let environment = |name: &str| (name == "TOWPATH_JOBS").then(|| "7".to_owned());
        let none = BTreeMap::new();
        let settings = resolve(&none, &environment, &file, PathBuf::from("/x"));
        assert_eq!(
            (settings.text("copy.jobs"), settings.origin("copy.jobs")),
            ("7", Origin::Environment)
        );
        assert_eq!(
            (
                settings.text("copy.chunk_mib"),
                settings.origin("copy.chunk_mib")
            ),
            ("5", Origin::File)
        );
        assert_eq!(settings.text("store"), "file:///x/.towpath");
        let flags = BTreeMap::from([("copy.jobs", "9".to_owned())]);
        let settings = resolve(&flags, &environment, &file, PathBuf::from("/x"));
        assert_eq!(settings.origin("copy.jobs"), Origin::Flag);
        assert_eq!(settings.number("copy.jobs").unwrap(), 9);
    }

    #[test]
    fn unknown_keys_and_secrets_are_refused() {
        let unknown = parse_file("[copy]\njbos = 3\n").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Config);
        assert!(unknown.to_string().contains("copy.jbos"));
        assert!(unknown.find_hint().unwrap().contains("copy.jobs"));
        let secret = parse_file("[source]\nurl = \"postgres://u:hunter2@h/d\"\n").unwrap_err();
        assert!(!format!("{secret:?}").contains("hunter2"));
        let broken = parse_file("[source]\nurl = hunter2\n").unwrap_err();
        assert!(!format!("{broken:?}").contains("hunter2"));
    }

    #[test]
    fn keys_and_variables_are_distinct() {
        let mut seen = std::collections::BTreeSet::new();
        for spec in SETTINGS.iter() {
            assert!(
                seen.insert(spec.key) && seen.insert(spec.env),
                "{}",
                spec.key
            );
        }
    }
}
