//! One value that may carry a connection: a URL, a connection text, JSON or Base64 that holds one.

use towpath_model::connection::Secret;

use crate::binding::Change;
use crate::carrier;
use crate::conninfo::{self, Conninfo};
use crate::encoded;
use crate::fields::{Content, Fields, New};
use crate::left::Why;
use crate::mapping::{Login, Mapping};
use crate::server::{SourceServer, is_same_database};
use crate::split::Texts;
use crate::tls::Reader;
use crate::url::{self, DatabaseUrl};

/// How deep objects and encodings may lie in each other.
const DEEPEST: u8 = 8;

/// What every reading needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Survey<'a> {
    pub(crate) server: &'a SourceServer,
    pub(crate) mapping: &'a Mapping,
    /// The runtime of the only function that reads; nothing where that is not known.
    pub(crate) runtime: Option<&'a str>,
}

/// What became of one value. Names in `changes` and `left` are those of fields, or empty.
pub(crate) enum ValueReading {
    /// It does not point at the source.
    Elsewhere { is_connection: bool },
    /// It points at the source, or seems to, and is left alone.
    Left(Vec<(String, Why)>),
    /// It points at the source.
    Rewritten {
        text: Secret,
        changes: Vec<Change>,
        left: Vec<(String, Why)>,
    },
    /// It points at the source, and user or password are not in it.
    Lacking {
        text: Secret,
        change: Change,
        user: Option<String>,
        has_password: bool,
    },
}

/// Reads one value: a URL, a connection text, or JSON or Base64 that holds one.
pub(crate) fn read(text: &str, survey: Survey<'_>) -> ValueReading {
    read_under(text, "", survey, 0)
}

/// The same for a value found under a name, this deep in others.
pub(crate) fn read_under(text: &str, name: &str, survey: Survey<'_>, depth: u8) -> ValueReading {
    let reader = Reader {
        runtime: survey.runtime,
        name,
    };
    match url::read(text) {
        url::Reading::Url(found) => return of_url(&found, text, reader, survey),
        url::Reading::BehindPrisma => return left(Why::BehindPrisma),
        url::Reading::Unreadable => return mentioned(text, survey, true),
        url::Reading::Other => {}
    }
    match conninfo::read(text) {
        conninfo::Reading::Conninfo(found) => return of_conninfo(&found, text, survey),
        conninfo::Reading::Unreadable => return mentioned(text, survey, true),
        conninfo::Reading::Other => {}
    }
    if depth < DEEPEST {
        if let Some(fields) = Fields::read(text) {
            return object(&fields, text, survey, depth + 1);
        }
        if let Some(reading) = decoded(text, name, survey, depth + 1) {
            return reading;
        }
    }
    if is_api(text, survey.server) {
        return left(Why::DependsOnSupabase);
    }
    match encoded::is_ciphertext(text) {
        true => left(Why::Encrypted),
        false => mentioned(text, survey, false),
    }
}

fn left(why: Why) -> ValueReading {
    ValueReading::Left(vec![(String::new(), why)])
}

/// Whether a text is one of Supabase's HTTP APIs or a key to them, of the source's project as far
/// as that can be told: an address, the project's reference alone, a key of the new kind, or a
/// token that Supabase issued.
fn is_api(text: &str, server: &SourceServer) -> bool {
    let text = text.trim();
    if ["sb_publishable_", "sb_secret_"]
        .iter()
        .any(|it| text.starts_with(it))
    {
        return true;
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
        let host = host.to_ascii_lowercase();
        let is_web = matches!(scheme, "https" | "http" | "wss" | "ws");
        let is_supabase = [
            ".supabase.co",
            ".supabase.in",
            ".supabase.net",
            ".supabase.red",
        ]
        .iter()
        .any(|zone| host.ends_with(zone));
        return is_web && is_supabase && server.is_mentioned_in(&host);
    }
    if server.is_reference(text) {
        return true;
    }
    let mut parts = text.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    encoded::decode(claims).is_some_and(|claims| {
        let claims = claims.text.reveal();
        claims.contains("\"supabase\"") && server.may_own(claims)
    })
}

/// A text whose connection, if it is one, leads elsewhere; unless it names the source all the same.
fn mentioned(text: &str, survey: Survey<'_>, is_connection: bool) -> ValueReading {
    if survey.server.is_mentioned_in(text) {
        left(Why::UnknownShape)
    } else {
        ValueReading::Elsewhere { is_connection }
    }
}

fn of_url(
    found: &DatabaseUrl<'_>,
    text: &str,
    reader: Reader<'_>,
    survey: Survey<'_>,
) -> ValueReading {
    if survey.server.may_be(found.place()) {
        return left(Why::Incomplete);
    }
    if !survey.server.is(found.place()) {
        return mentioned(text, survey, true);
    }
    let mapping = survey.mapping;
    let matched = Matched {
        database: found.database(),
        user: found.user(),
        has_password: found.has_password(),
        before: found.masked(),
        trusts_own_root: found.trusts_own_root(reader, mapping),
    };
    matched.settled(mapping, |login| {
        let text = found.rewritten(login, reader, mapping);
        let after = match url::read(text.reveal()) {
            url::Reading::Url(after) => Some(after.masked()),
            _ => None,
        };
        after.map(|after| (text, after))
    })
}

fn of_conninfo(found: &Conninfo<'_>, text: &str, survey: Survey<'_>) -> ValueReading {
    if survey.server.may_be(found.place()) {
        return left(Why::Incomplete);
    }
    if !survey.server.is(found.place()) {
        return mentioned(text, survey, true);
    }
    let mapping = survey.mapping;
    let matched = Matched {
        database: found.database(),
        user: found.user(),
        has_password: found.has_password(),
        before: found.masked(),
        trusts_own_root: found.trusts_own_root(mapping),
    };
    matched.settled(mapping, |login| {
        let text = found.rewritten(login, mapping);
        let after = match conninfo::read(text.reveal()) {
            conninfo::Reading::Conninfo(after) => Some(after.masked()),
            _ => None,
        };
        after.map(|after| (text, after))
    })
}

/// A connection text that points at the source.
struct Matched<'a> {
    database: Option<&'a str>,
    user: Option<&'a str>,
    has_password: bool,
    before: String,
    trusts_own_root: bool,
}

impl Matched<'_> {
    /// `rewrite` gives the new text and its mask; nothing when that cannot be read back, and so
    /// must not be written.
    fn settled(
        self,
        mapping: &Mapping,
        rewrite: impl FnOnce(&Login<'_>) -> Option<(Secret, String)>,
    ) -> ValueReading {
        if !is_same_database(&mapping.source, self.database) {
            return left(Why::OtherDatabase);
        }
        if self.has_password && !mapping.writes_passwords() {
            return left(Why::NoPlaceForReference);
        }
        let login = match mapping.login(self.user) {
            Ok(login) => login,
            Err(why) => return left(why),
        };
        let Some((text, after)) = rewrite(&login) else {
            return left(Why::UnknownShape);
        };
        let change = Change {
            place: String::new(),
            before: self.before,
            after,
        };
        if !self.has_password || self.user.is_none() {
            return ValueReading::Lacking {
                text,
                change,
                user: self.user.map(str::to_owned),
                has_password: self.has_password,
            };
        }
        let left = match self.trusts_own_root {
            true => vec![(String::new(), Why::RootCertificate)],
            false => Vec::new(),
        };
        ValueReading::Rewritten {
            text,
            changes: vec![change],
            left,
        }
    }
}

/// A value within Base64; nothing where it holds nothing of interest.
fn decoded(text: &str, name: &str, survey: Survey<'_>, depth: u8) -> Option<ValueReading> {
    let inner = encoded::decode(text)?;
    let reading = read_under(inner.text.reveal(), name, survey, depth);
    match (reading, inner.encoding) {
        (ValueReading::Elsewhere { is_connection }, _) => {
            is_connection.then_some(ValueReading::Elsewhere { is_connection })
        }
        (ValueReading::Left(whys), _) => Some(ValueReading::Left(whys)),
        (_, None) => Some(left(Why::Encoded)),
        (
            ValueReading::Rewritten {
                text,
                changes,
                left,
            },
            Some(encoding),
        ) => Some(ValueReading::Rewritten {
            text: encoding.encode(text.reveal()),
            changes,
            left,
        }),
        (
            ValueReading::Lacking {
                text,
                change,
                user,
                has_password,
            },
            Some(encoding),
        ) => Some(ValueReading::Lacking {
            text: encoding.encode(text.reveal()),
            change,
            user,
            has_password,
        }),
    }
}

fn object(fields: &Fields<'_>, text: &str, survey: Survey<'_>, depth: u8) -> ValueReading {
    let owned = fields.texts();
    let texts: Texts<'_> = owned
        .iter()
        .filter_map(|(name, text)| text.as_deref().map(|text| (name.as_str(), text)))
        .collect();
    let mut rewriting = carrier::side_by_side(&texts, survey, depth);
    let mut new: Vec<(String, New)> = Vec::new();
    for (name, content) in fields.contents() {
        if let Content::Deeper(json) = content {
            let reading = read_under(json, name, survey, depth);
            rewriting.take_value(name, reading, |text| {
                new.push((name.to_owned(), New::Json(text)));
            });
        }
    }
    // Nothing outside of an object is known to go with what is in it.
    rewriting.give_up(Why::Incomplete);
    let values = std::mem::take(&mut rewriting.values);
    new.extend(
        values
            .into_iter()
            .map(|(name, text)| (name, New::Text(text))),
    );
    if new.is_empty() {
        return match rewriting.left.is_empty() {
            true => mentioned(text, survey, !rewriting.connections.is_empty()),
            false => ValueReading::Left(rewriting.left),
        };
    }
    let text = fields.with(&new);
    // Something still names the source.
    if rewriting.left.is_empty() && survey.server.is_mentioned_in(text.reveal()) {
        rewriting.left.push((String::new(), Why::UnknownShape));
    }
    ValueReading::Rewritten {
        text,
        changes: rewriting.changes,
        left: rewriting.left,
    }
}
