//! The secrets that this process holds, for taking them out of whatever others have written.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use regex::Regex;
use towpath_model::connection::{Secret, Side};
use towpath_model::{ErrorKind, Failure, Result};
use url::Url;

use crate::consumers;
use crate::context::Context;
use crate::settings::{SETTINGS, Settings};

/// A shorter one is found in every other word: taking it out would tell it.
const SHORTEST: usize = 4;

/// A secret from its variable, or from the file of `<key>_file`; nothing when neither is set.
pub fn secret_of(settings: &Settings, key: &str) -> Result<Option<Secret>> {
    if let Some(text) = settings.optional(key) {
        return Ok(Some(Secret::new(text)));
    }
    let Some(path) = settings.path(&format!("{key}_file")) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path).map_err(|cause| {
        Failure::new(
            ErrorKind::Config,
            format!("could not read {key} from {}", path.display()),
        )
        .because(cause)
    })?;
    match text.trim() {
        "" => Err(Failure::new(
            ErrorKind::Config,
            format!("{} holds no {key}", path.display()),
        )),
        text => Ok(Some(Secret::new(text))),
    }
}

/// Every secret of the configuration.
pub struct KnownSecrets(Vec<Secret>);

impl KnownSecrets {
    /// Gathers them. What cannot be read is unknown here too, and fails where it is needed.
    pub fn of(context: &Context) -> Self {
        let settings = &context.settings;
        let mut known = Vec::new();
        let secrets = SETTINGS.iter().filter(|spec| spec.secret);
        for text in secrets.filter_map(|spec| secret_of(settings, spec.key).ok().flatten()) {
            known.extend(parts(text.reveal()));
            known.push(text);
        }
        for url in [Side::Source, Side::Target].map(|side| settings.url(side)) {
            known.extend(url.ok().and_then(|url| url.password));
        }
        if let Ok(mapping) = consumers::mapping(context) {
            known.extend(mapping.target.password);
            known.extend(mapping.passwords.into_values());
        }
        known.retain(|secret| secret.reveal().len() >= SHORTEST);
        // A secret that holds another one must go first, or the rest of it would stay.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        known.dedup();
        Self(known)
    }

    /// These texts, for tests.
    #[cfg(test)]
    pub fn from_texts(texts: &[&str]) -> Self {
        Self(texts.iter().map(|text| Secret::new(*text)).collect())
    }

    /// Whether a text holds one of them.
    pub fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.reveal()))
    }

    /// A text without them, without passwords of any URL, and without what a server quotes of rows.
    pub fn taken_out_of(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.reveal()) {
                text = text.replace(secret.reveal(), "***");
            }
        }
        let text = CREDENTIALS.replace_all(&text, "$1***@");
        ROW_VALUES.replace_all(&text, "=(…)").into_owned()
    }
}

/// User and password of a URL.
static CREDENTIALS: LazyLock<Regex> = LazyLock::new(|| pattern(r#"([A-Za-z+]{2,}://)[^/@ "']*@"#));

/// `Key (email)=(a@b.c) already exists.`
static ROW_VALUES: LazyLock<Regex> = LazyLock::new(|| pattern(r"=\([^)]*\)"));

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants, and a test compiles them"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern is well formed")
}

/// What a URL holds that is secret by itself: its password, as written and decoded.
fn parts(text: &str) -> Vec<Secret> {
    let Some(password) = Url::parse(text)
        .ok()
        .and_then(|url| url.password().map(str::to_owned))
    else {
        return Vec::new();
    };
    let decoded = percent_decode_str(&password).decode_utf8_lossy();
    vec![Secret::new(decoded.as_ref()), Secret::new(password)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_row_values_are_taken_out() {
        let known = KnownSecrets::from_texts(&["hunter2 and more", "hunter2"]);
        let text = "login hunter2 and more, postgres://app:x%40y@h/d, Key (email)=(a@b.c) exists";
        assert_eq!(
            known.taken_out_of(text),
            "login ***, postgres://***@h/d, Key (email)=(…) exists"
        );
        assert!(known.are_in("PASSWORD=hunter2") && !known.are_in("PATH=/bin"));
    }

    #[test]
    fn a_password_is_known_as_written_and_decoded() {
        let known: Vec<String> = parts("postgres://u:p%40ss@h/d")
            .iter()
            .map(|secret| secret.reveal().to_owned())
            .collect();
        assert_eq!(known, ["p@ss", "p%40ss"]);
        assert!(parts("not a url").is_empty());
    }
}
