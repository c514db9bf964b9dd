//! Connection texts of keywords and values, as libpq reads them: `host=… password='a b'`. Values
//! are replaced where they stand; every other byte stays.
//!
//! The rules are those of the PostgreSQL manual, 32.1.1.1: spaces around `=` are optional, a value
//! with spaces or an empty one is in single quotes, and `\` takes the next character as it is. Of a
//! keyword given twice the last one counts.

use std::ops::Range;

use towpath_model::connection::Secret;

use crate::mapping::{Login, Mapping};
use crate::mask::Shown;
use crate::server::Place;
use crate::tls::Client;
use crate::url::{reference_option, serves_pooler_only, without_reference};

struct Pair {
    name: String,
    value: Secret,
    /// From the keyword to the end of the value.
    span: Range<usize>,
    /// The value with its quotes.
    value_span: Range<usize>,
    is_quoted: bool,
}

/// A connection text taken apart.
pub(crate) struct Conninfo<'a> {
    text: &'a str,
    pairs: Vec<Pair>,
    port: Option<u16>,
}

/// What a text turned out to be.
pub(crate) enum Reading<'a> {
    /// No connection text, or none that names a host.
    Other,
    /// One whose server cannot be told with certainty.
    Unreadable,
    Conninfo(Conninfo<'a>),
}

/// Takes a text apart.
pub(crate) fn read(text: &str) -> Reading<'_> {
    let Some(pairs) = pairs(text) else {
        return Reading::Other;
    };
    let has = |name: &str| pairs.iter().any(|pair| pair.name == name);
    if has("hostaddr") || has("service") {
        return Reading::Unreadable;
    }
    if !has("host") {
        return Reading::Other;
    }
    let mut found = Conninfo {
        text,
        pairs,
        port: None,
    };
    let host = found.get("host").unwrap_or_default();
    let port = found.get("port").filter(|digits| !digits.is_empty());
    let port = port.map(str::parse::<u16>).transpose();
    match port {
        Ok(port) if !host.is_empty() && !host.contains(',') => {
            found.port = port;
            Reading::Conninfo(found)
        }
        _ => Reading::Unreadable,
    }
}

/// Every keyword with its value; nothing when the text is not made of those alone.
fn pairs(text: &str) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut at = skip_spaces(text, 0);
    while at < text.len() {
        let start = at;
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        at += text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at);
        let name = &text[start..at];
        at = skip_spaces(text, at);
        if name.is_empty() || !text[at..].starts_with('=') {
            return None;
        }
        at = skip_spaces(text, at + 1);
        let value_start = at;
        let is_quoted = text[at..].starts_with('\'');
        let (value, length) = value(&text[at..], is_quoted)?;
        at += length;
        pairs.push(Pair {
            name: name.to_owned(),
            value,
            span: start..at,
            value_span: value_start..at,
            is_quoted,
        });
        let next = skip_spaces(text, at);
        if next == at && at < text.len() {
            return None;
        }
        at = next;
    }
    (!pairs.is_empty()).then_some(pairs)
}

fn skip_spaces(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    at + rest.len()
        - rest
            .trim_start_matches(|c: char| c.is_ascii_whitespace())
            .len()
}

/// The value at the beginning of a text, and how many bytes it takes.
fn value(text: &str, is_quoted: bool) -> Option<(Secret, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, next)| next)),
            '\'' if is_quoted => return Some((Secret::new(value), at + 1)),
            c if !is_quoted && c.is_ascii_whitespace() => return Some((Secret::new(value), at)),
            c => value.push(c),
        }
    }
    // Quotes that never end are libpq's error.
    (!is_quoted).then(|| (Secret::new(value), text.len()))
}

fn written(value: &str, is_quoted: bool) -> String {
    let is_special = |c: char| c.is_ascii_whitespace() || matches!(c, '\'' | '\\');
    if !is_quoted && !value.is_empty() && !value.contains(is_special) {
        return value.to_owned();
    }
    let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{escaped}'")
}

impl Conninfo<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut backwards = self.pairs.iter().rev();
        let found = backwards.find(|pair| pair.name == name);
        found.map(|pair| pair.value.reveal())
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            host: self.get("host").unwrap_or_default(),
            port: self.port.unwrap_or(5432),
            user: self.user(),
            reference: self.get("options").and_then(reference_option),
        }
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.get("user").filter(|user| !user.is_empty())
    }

    pub(crate) fn has_password(&self) -> bool {
        self.get("password").is_some()
    }

    pub(crate) fn database(&self) -> Option<&str> {
        self.get("dbname").filter(|name| !name.is_empty())
    }

    /// Whether it verifies the server by a file that the mapping says nothing about.
    pub(crate) fn trusts_own_root(&self, mapping: &Mapping) -> bool {
        let wanted = Client::Libpq.wanted(mapping, &|name| self.get(name).is_some());
        self.get("sslrootcert").is_some()
            && !wanted.drops("sslrootcert")
            && wanted.value("sslrootcert").is_none()
    }

    pub(crate) fn masked(&self) -> String {
        const PARTS: [&str; 5] = ["host", "port", "user", "password", "dbname"];
        Shown {
            scheme: "dsn",
            user: self.user(),
            host: self.get("host").unwrap_or_default(),
            port: self.port,
            database: self.database(),
            parameters: self
                .pairs
                .iter()
                .filter(|pair| !PARTS.contains(&pair.name.as_str()))
                .map(|pair| (pair.name.as_str(), pair.value.reveal()))
                .collect(),
        }
        .text()
    }

    /// The same text pointing at the target. User and password are changed where they stand and
    /// never added; a database that was left to the user's name is said.
    pub(crate) fn rewritten(&self, login: &Login<'_>, mapping: &Mapping) -> Secret {
        let target = &mapping.target;
        let wanted = Client::Libpq.wanted(mapping, &|name| self.get(name).is_some());
        let mut text = String::new();
        let mut at = 0;
        let mut end_before = 0;
        for pair in &self.pairs {
            let name = pair.name.as_str();
            let old = pair.value.reveal();
            let new = match name {
                "host" => Some(target.host.clone()),
                "port" => Some(target.port.to_string()),
                "user" => Some(login.user.to_owned()),
                "password" => Some(login.password().reveal().to_owned()),
                "dbname" => Some(target.database.clone()),
                "options" if reference_option(old).is_some() => Some(without_reference(old)),
                name => wanted.value(name).map(str::to_owned),
            };
            let is_dropped = wanted.drops(name)
                || serves_pooler_only(name, old, mapping.via)
                || (name == "options" && new.as_deref() == Some(""));
            if is_dropped {
                // The space before it goes too.
                text.push_str(&self.text[at..end_before.max(at)]);
                at = pair.span.end;
            } else if let Some(new) = new {
                text.push_str(&self.text[at..pair.value_span.start]);
                text.push_str(&written(&new, pair.is_quoted));
                at = pair.span.end;
            }
            end_before = pair.span.end;
        }
        text.push_str(&self.text[at..end_before]);
        let trail = &self.text[end_before..];
        let mut add = |name: &str, value: &str| {
            if self.get(name).is_none() {
                text.push_str(&format!(" {name}={}", written(value, false)));
            }
        };
        if target.port != 5432 {
            add("port", &target.port.to_string());
        }
        add("dbname", &target.database);
        for (name, value) in &wanted.set {
            add(name, value);
        }
        text.push_str(trail);
        Secret::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::mapping;
    use proptest::prelude::*;

    fn conninfo(text: &str) -> Conninfo<'_> {
        match read(text) {
            Reading::Conninfo(found) => found,
            _ => panic!("{text} was not read"),
        }
    }

    fn rewritten(text: &str, mapping: &Mapping) -> String {
        let login = mapping.login(None).unwrap();
        conninfo(text)
            .rewritten(&login, mapping)
            .reveal()
            .to_owned()
    }

    #[test]
    fn values_change_where_they_stand() {
        let mut mapping = mapping();
        mapping.target.password = Some(Secret::new("it's \\ new"));
        assert_eq!(
            rewritten(
                "host = 'db.x'  port=6543 user=postgres password='o\\'ld' dbname=postgres application_name='my app' pgbouncer=true\n",
                &mapping
            ),
            "host = 't'  port=5433 user=app password='it\\'s \\\\ new' dbname=orders application_name='my app'\n"
        );
        mapping.sslmode = Some("verify-full".to_owned());
        mapping.sslrootcert = Some("/a b.pem".to_owned());
        assert_eq!(
            rewritten(
                "host=h user=u password=p options=reference=x sslmode=disable",
                &mapping
            ),
            "host=t user=app password='it\\'s \\\\ new' sslmode=verify-full port=5433 dbname=orders sslrootcert='/a b.pem'"
        );
    }

    #[test]
    fn only_whole_texts_with_a_host_are_read() {
        for other in [
            "",
            "a",
            "a=b",
            "host",
            "host=h garbage",
            "host='h",
            "LEVEL=1 host=h",
            "dbname=x",
        ] {
            assert!(matches!(read(other), Reading::Other), "{other}");
        }
        for unreadable in [
            "host=a,b",
            "host=h port=x",
            "service=s",
            "host=h hostaddr=192.0.2.1",
        ] {
            assert!(
                matches!(read(unreadable), Reading::Unreadable),
                "{unreadable}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_back(password in "\\PC{0,30}", spaces in " {1,3}") {
            let mut mapping = mapping();
            mapping.target.password = Some(Secret::new(password.clone()));
            for text in [
                format!("host=h{spaces}user=u{spaces}password=p{spaces}x_y='a b' dbname=d"),
                format!("password='p'{spaces}host=h user=u x_y='a b'"),
            ] {
                let after = rewritten(&text, &mapping);
                let again = conninfo(&after);
                prop_assert_eq!(again.get("password"), Some(password.as_str()));
                prop_assert_eq!(again.get("dbname"), Some("orders"));
                prop_assert_eq!(again.get("x_y"), Some("a b"));
                prop_assert!(password.len() < 4 || !again.masked().contains(&password));
                prop_assert_eq!(rewritten(&after, &mapping), after);
            }
        }
    }
}
