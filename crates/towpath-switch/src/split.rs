//! Connections that are spread over several names: `PGHOST`, `PGPORT` and the rest in an
//! environment, the fields of a secret as RDS writes it, parameters side by side below one path.
//! Found by what stands under a name that says host; a set changes whole or not at all.

use std::collections::BTreeMap;

use towpath_model::connection::Secret;

use crate::left::Why;
use crate::mapping::{Mapping, PasswordBy};
use crate::mask::Shown;
use crate::server::{Place, SourceServer, is_same_database};
use crate::tls::{Client, Reader};

/// Values side by side, by name.
pub(crate) type Texts<'a> = BTreeMap<&'a str, &'a str>;

const HOST: &[&str] = &["HOST", "HOSTNAME", "SERVER", "ENDPOINT", "ADDRESS"];
const PORT: &[&str] = &["PORT"];
const USER: &[&str] = &["USER", "USERNAME", "LOGIN"];
const PASSWORD: &[&str] = &["PASSWORD", "PASS", "PASSWD", "PWD"];
const DATABASE: &[&str] = &["DBNAME", "DATABASE", "DATABASENAME", "DB", "NAME"];
const SSLMODE: &[&str] = &["SSLMODE"];
const SSLROOTCERT: &[&str] = &["SSLROOTCERT"];
const URL: &[&str] = &["JDBCURL", "URL", "URI", "DSN"];

/// Words between a prefix and `HOST` that tell several hosts of one login apart.
const ROLES: [&str; 14] = [
    "READ", "READER", "REPLICA", "RO", "WRITE", "WRITER", "RW", "PRIMARY", "MASTER", "MAIN",
    "POOL", "POOLER", "DIRECT", "SESSION",
];

/// One spelling of a name: `dbUser`, `db-user` and `DB_USER` are one.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | '.'));
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

/// The part of a name before one of these endings.
fn prefix(name: &str, endings: &[&str]) -> Option<String> {
    let plain = plain(name);
    let mut found = endings.iter().filter_map(|end| plain.strip_suffix(end));
    found.next().map(str::to_owned)
}

/// A prefix, and the one it shares its login with.
fn prefixes(prefix: String) -> Vec<String> {
    let shorter = ROLES
        .iter()
        .filter_map(|role| prefix.strip_suffix(role))
        .find(|rest| !rest.is_empty())
        .map(str::to_owned);
    std::iter::once(prefix).chain(shorter).collect()
}

/// Every name of a part. A set that has one under its own prefix has no other.
fn names<'a>(texts: &Texts<'a>, prefixes: &[String], endings: &[&str]) -> Vec<(&'a str, &'a str)> {
    for prefix in prefixes {
        let is_part = |name: &str| {
            let plain = plain(name);
            let rest = plain.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| {
                // `name` alone is anybody's.
                endings.contains(&rest) && !(prefix.is_empty() && rest == "NAME")
            })
        };
        let found = texts.iter().filter(|(name, _)| is_part(name));
        let found: Vec<_> = found.map(|(name, text)| (*name, *text)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// What to do with a set.
pub(crate) enum SetReading {
    /// It points elsewhere; names of its login.
    Elsewhere(Vec<String>),
    /// It points at the source and is left alone.
    Left(Why),
    /// It points at the source.
    Rewritten(Rewritten),
}

/// New values of a set.
pub(crate) struct Rewritten {
    /// By name.
    pub(crate) values: Vec<(String, Secret)>,
    /// What a person may see.
    pub(crate) before: String,
    pub(crate) after: String,
    /// Who it logs in as.
    pub(crate) user: Option<String>,
    /// Whether its password is kept elsewhere, and has to be found there.
    pub(crate) lacks_password: bool,
    /// Whether it verifies by a file that the mapping says nothing about.
    pub(crate) trusts_own_root: bool,
}

/// Sets by the name of their host.
pub(crate) fn sets(
    texts: &Texts<'_>,
    server: &SourceServer,
    mapping: &Mapping,
    reader: Reader<'_>,
) -> Vec<(String, SetReading)> {
    let mut sets = Vec::new();
    for (name, host) in texts {
        if let Some(prefix) = prefix(name, HOST) {
            let set = Set::of(texts, name, host, prefix);
            sets.push(((*name).to_owned(), set.read(server, mapping, reader)));
        }
    }
    sets
}

/// Names of the user and the password that go with a URL under this name. libpq's own count for
/// every URL: they are read where the URL says nothing.
pub(crate) fn login_of_url<'a>(texts: &Texts<'a>, name: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut prefixes = prefix(name, URL).map(prefixes).unwrap_or_default();
    prefixes.push("PG".to_owned());
    let of = |endings| {
        let found = names(texts, &prefixes, endings).into_iter();
        let texts = found.filter(|(_, text)| !is_reference(text));
        texts.map(|(name, _)| name).collect()
    };
    (of(USER), of(PASSWORD))
}

/// Names of values that are a password by their own name alone.
pub(crate) fn is_password(name: &str) -> bool {
    prefix(name, PASSWORD).is_some()
}

/// Names of values that are a user by their own name alone.
pub(crate) fn is_user(name: &str) -> bool {
    prefix(name, USER).is_some()
}

/// Whether a value is the name of where the value is.
fn is_reference(text: &str) -> bool {
    text.starts_with("arn:")
}

struct Set<'a> {
    prefix: String,
    host_name: &'a str,
    host: &'a str,
    /// Whether the host's text carries the port, as `host:port`.
    has_joint_port: bool,
    port: Vec<(&'a str, &'a str)>,
    user: Vec<(&'a str, &'a str)>,
    password: Vec<(&'a str, &'a str)>,
    database: Vec<(&'a str, &'a str)>,
    sslmode: Vec<(&'a str, &'a str)>,
    sslrootcert: Vec<(&'a str, &'a str)>,
}

impl<'a> Set<'a> {
    fn of(texts: &Texts<'a>, host_name: &'a str, host: &'a str, prefix: String) -> Self {
        let prefixes = prefixes(prefix.clone());
        let of = |endings| names(texts, &prefixes, endings);
        let mut password = of(PASSWORD);
        password.retain(|(_, text)| !is_reference(text));
        let joint = host.trim().rsplit_once(':').filter(|(host, port)| {
            !host.contains(':') && !port.is_empty() && port.parse::<u16>().is_ok()
        });
        let mut port = of(PORT);
        if let Some((_, digits)) = joint {
            port = vec![(host_name, digits)];
        }
        Self {
            host_name,
            host: joint.map_or_else(|| host.trim(), |(host, _)| host),
            has_joint_port: joint.is_some(),
            port,
            user: of(USER),
            password,
            database: of(DATABASE),
            sslmode: of(SSLMODE),
            sslrootcert: of(SSLROOTCERT),
            prefix,
        }
    }

    fn read(&self, server: &SourceServer, mapping: &Mapping, reader: Reader<'_>) -> SetReading {
        let is_mentioned = server.is_mentioned_in(self.host)
            || self
                .user
                .iter()
                .any(|(_, user)| server.is_mentioned_in(user));
        let elsewhere = || match is_mentioned {
            true => SetReading::Left(Why::UnknownShape),
            false => SetReading::Elsewhere(self.login_names()),
        };
        let (Some(port), Some(user), Some(database)) = (
            self.port_number(),
            agreed(&self.user),
            agreed(&self.database),
        ) else {
            return elsewhere();
        };
        let place = Place {
            host: self.host,
            port,
            user,
            reference: None,
        };
        if server.may_be(place) {
            return SetReading::Left(Why::Incomplete);
        }
        if !server.is(place) {
            return elsewhere();
        }
        if !is_same_database(&mapping.source, database) {
            return SetReading::Left(Why::OtherDatabase);
        }
        self.rewritten(user, database, port, mapping, reader)
            .map_or_else(SetReading::Left, SetReading::Rewritten)
    }

    fn login_names(&self) -> Vec<String> {
        let parts = [&self.user, &self.password, &self.database, &self.port];
        let names = parts.into_iter().flatten();
        names.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// A port that is no number cannot be reasoned about.
    fn port_number(&self) -> Option<u16> {
        match agreed(&self.port)? {
            None => Some(5432),
            Some(digits) => digits.parse().ok(),
        }
    }

    fn rewritten(
        &self,
        user: Option<&str>,
        database: Option<&str>,
        port: u16,
        mapping: &Mapping,
        reader: Reader<'_>,
    ) -> Result<Rewritten, Why> {
        let login = mapping.login(user)?;
        // A user that stands nowhere stands in the code, and stays what it is.
        if user.is_none() && login.user != mapping.source.user {
            return Err(Why::Incomplete);
        }
        if !self.password.is_empty() && mapping.password_by != PasswordBy::Value {
            return Err(Why::NoPlaceForReference);
        }
        let target = &mapping.target;
        let mut values = Vec::new();
        let mut put = |names: &[(&str, &str)], value: &str| {
            let new = names.iter();
            values.extend(new.map(|(name, _)| ((*name).to_owned(), Secret::new(value))));
        };
        let host = match self.has_joint_port {
            true => format!("{}:{}", target.host, target.port),
            false => target.host.clone(),
        };
        put(&[(self.host_name, "")], &host);
        put(&self.user, login.user);
        put(&self.password, login.password().reveal());
        put(&self.database, &target.database);
        // A missing port means 5432 to every client.
        if !self.has_joint_port {
            let port = target.port.to_string();
            match self.port.is_empty() {
                false => put(&self.port, &port),
                true if target.port != 5432 => put(&[(&self.sibling("PORT"), "")], &port),
                true => {}
            }
        }
        let wanted = Client::of_variables(reader).wanted(mapping, &|name| match name {
            "sslrootcert" => !self.sslrootcert.is_empty(),
            _ => !self.sslmode.is_empty(),
        });
        let is_libpq = self.prefix == "PG";
        for (part, names) in [
            ("sslmode", &self.sslmode),
            ("sslrootcert", &self.sslrootcert),
        ] {
            match wanted.value(part) {
                Some(value) if !names.is_empty() => put(names, value),
                Some(value) if is_libpq => put(&[(&plain(&format!("PG{part}")), "")], value),
                _ => {}
            }
        }
        Ok(Rewritten {
            values,
            before: self.masked(self.host, Some(port), user, database),
            after: self.masked(
                &target.host,
                Some(target.port),
                Some(login.user),
                (!self.database.is_empty()).then_some(target.database.as_str()),
            ),
            user: user.map(str::to_owned),
            lacks_password: self.password.is_empty(),
            trusts_own_root: !self.sslrootcert.is_empty() && wanted.value("sslrootcert").is_none(),
        })
    }

    /// The host's name up to the word that says host, and that word.
    fn host_words(&self) -> (&'a str, &'a str) {
        let plain = plain(self.host_name);
        let endings = HOST.iter().filter(|end| plain.ends_with(**end));
        let letters = endings.map(|end| end.len()).max().unwrap_or(0);
        let separators = ['_', '-', '.'];
        let mut ends = self.host_name.char_indices().rev();
        let mut ends = ends.by_ref().filter(|(_, c)| !separators.contains(c));
        let at = ends
            .nth(letters.saturating_sub(1))
            .map_or(self.host_name.len(), |(at, _)| at);
        self.host_name.split_at(at)
    }

    /// The name of another part, spelled as the host's.
    fn sibling(&self, part: &str) -> String {
        let (kept, word) = self.host_words();
        let mut letters = word.chars();
        let lower = part.to_ascii_lowercase();
        match (letters.next(), letters.next()) {
            (_, Some(second)) if second.is_ascii_uppercase() => format!("{kept}{part}"),
            (Some(first), _) if first.is_ascii_uppercase() => {
                format!("{kept}{}{}", &part[..1], &lower[1..])
            }
            _ => format!("{kept}{lower}"),
        }
    }

    fn masked(
        &self,
        host: &str,
        port: Option<u16>,
        user: Option<&str>,
        database: Option<&str>,
    ) -> String {
        let (kept, _) = self.host_words();
        Shown {
            scheme: &match kept {
                "" => "set".to_owned(),
                kept => format!("{kept}*"),
            },
            user,
            host,
            port,
            database,
            parameters: Vec::new(),
        }
        .text()
    }
}

/// What several names of one part say, nothing where there is none; an error where they differ.
fn agreed<'a>(names: &[(&str, &'a str)]) -> Option<Option<&'a str>> {
    let mut texts = names.iter().map(|(_, text)| text.trim());
    let first = texts.next().filter(|text| !text.is_empty());
    texts.all(|text| Some(text) == first).then_some(first)
}
