//! What carries a connection: a variable, a set of variables, the value of a secret. Pure: texts
//! in, new texts and masked descriptions out.

use std::collections::BTreeMap;

use towpath_model::connection::Secret;

use crate::binding::Change;
use crate::fields::Fields;
use crate::options::Mapping;
use crate::plan::Why;
use crate::server::{SourceServer, is_same_database};
use crate::split::{self, SetReading};
use crate::url::{self, DatabaseUrl, Reading};

/// All variables of a function.
pub(crate) type Variables = BTreeMap<String, Secret>;

/// What became of a group of values.
#[derive(Debug, Default)]
pub(crate) struct Rewriting {
    /// New values by name.
    pub(crate) values: BTreeMap<String, Secret>,
    pub(crate) changes: Vec<Change>,
    /// What is left alone and worth telling, by name.
    pub(crate) left: Vec<(String, Why)>,
}

/// Reads a function's variables.
pub(crate) fn variables(
    variables: &Variables,
    server: &SourceServer,
    mapping: &Mapping,
) -> Rewriting {
    let texts = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.reveal()))
        .collect();
    let mut rewriting = side_by_side(&texts, &split::VARIABLES, server, mapping);
    // libpq prefers these to PGHOST: rewriting that would change nothing.
    for name in ["PGHOSTADDR", "PGSERVICE"] {
        let is_set = variables
            .get(name)
            .is_some_and(|value| !value.reveal().is_empty());
        if is_set
            && rewriting
                .changes
                .iter()
                .any(|change| change.place.starts_with("PG"))
        {
            rewriting.left.push((name.to_owned(), Why::UnknownShape));
        }
    }
    rewriting
}

/// What became of one value. Names in `changes` and `left` are those of fields, or empty.
pub(crate) enum ValueReading {
    /// It does not point at the source.
    Elsewhere,
    /// It points at the source, or seems to, and is left alone.
    Left(Vec<(String, Why)>),
    /// It points at the source.
    Rewritten {
        text: Secret,
        changes: Vec<Change>,
        left: Vec<(String, Why)>,
    },
}

/// Reads one value: a URL, or a JSON object of connection fields or URLs.
pub(crate) fn value(text: &str, server: &SourceServer, mapping: &Mapping) -> ValueReading {
    match url::read(text) {
        Reading::Url(found) if server.is(found.place()) => matched(&found, mapping),
        Reading::Url(found) if server.may_be(found.place()) => left(Why::Incomplete),
        Reading::Url(_) | Reading::Unreadable => mentioned(text, server),
        Reading::Other => match Fields::read(text) {
            Some(fields) => object(fields, text, server, mapping),
            None => mentioned(text, server),
        },
    }
}

fn left(why: Why) -> ValueReading {
    ValueReading::Left(vec![(String::new(), why)])
}

fn matched(found: &DatabaseUrl<'_>, mapping: &Mapping) -> ValueReading {
    if !is_same_database(&mapping.source, found.database()) {
        return left(Why::OtherDatabase);
    }
    let text = found.rewritten(mapping);
    // What cannot be read back must not be written.
    let Reading::Url(after) = url::read(text.reveal()) else {
        return left(Why::UnknownShape);
    };
    let change = Change {
        place: String::new(),
        before: found.masked(),
        after: after.masked(),
    };
    ValueReading::Rewritten {
        text,
        changes: vec![change],
        left: Vec::new(),
    }
}

fn mentioned(text: &str, server: &SourceServer) -> ValueReading {
    if server.is_mentioned_in(text) {
        left(Why::UnknownShape)
    } else {
        ValueReading::Elsewhere
    }
}

fn object(
    mut fields: Fields,
    text: &str,
    server: &SourceServer,
    mapping: &Mapping,
) -> ValueReading {
    let owned = fields.texts();
    let texts: BTreeMap<&str, &str> = owned
        .iter()
        .filter_map(|(name, text)| text.as_deref().map(|text| (name.as_str(), text)))
        .collect();
    let mut rewriting = side_by_side(&texts, &[split::FIELDS], server, mapping);
    if rewriting.values.is_empty() {
        return match rewriting.left.is_empty() {
            true => mentioned(text, server),
            false => ValueReading::Left(rewriting.left),
        };
    }
    for (name, value) in &rewriting.values {
        fields.set(name, value.reveal());
    }
    let Some(text) = fields.text() else {
        return left(Why::UnknownShape);
    };
    // Something deeper than its fields still names the source.
    if rewriting.left.is_empty() && server.is_mentioned_in(text.reveal()) {
        rewriting.left.push((String::new(), Why::UnknownShape));
    }
    ValueReading::Rewritten {
        text,
        changes: rewriting.changes,
        left: rewriting.left,
    }
}

/// Reads values that stand side by side under names: first what must never be touched, then sets,
/// then each for itself.
fn side_by_side(
    texts: &BTreeMap<&str, &str>,
    sets: &[split::Names],
    server: &SourceServer,
    mapping: &Mapping,
) -> Rewriting {
    let mut rewriting = Rewriting::default();
    for name in texts.keys().filter(|name| is_api(name)) {
        let name = (*name).to_owned();
        rewriting.left.push((name, Why::DependsOnSupabase));
    }
    for names in sets {
        let found = split::read(names, |name| texts.get(name).copied(), server, mapping);
        rewriting.take_set(names.host, found);
    }
    for (name, text) in texts {
        if !rewriting.has(name) {
            rewriting.take_value(name, value(text, server, mapping));
        }
    }
    rewriting
}

impl Rewriting {
    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.left.iter().any(|(left, _)| left == name)
    }

    fn take_set(&mut self, host: &str, found: SetReading) {
        match found {
            SetReading::Elsewhere => {}
            SetReading::Left(why) => self.left.push((host.to_owned(), why)),
            SetReading::Rewritten {
                values,
                before,
                after,
            } => {
                let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
                self.changes.push(Change {
                    place: names.join("+"),
                    before,
                    after,
                });
                self.values.extend(values);
            }
        }
    }

    fn take_value(&mut self, name: &str, found: ValueReading) {
        let within = |field: String| match field.as_str() {
            "" => name.to_owned(),
            field => format!("{name}.{field}"),
        };
        let told =
            |left: Vec<(String, Why)>| left.into_iter().map(|(field, why)| (within(field), why));
        match found {
            ValueReading::Elsewhere => {}
            ValueReading::Left(left) => self.left.extend(told(left)),
            ValueReading::Rewritten {
                text,
                changes,
                left,
            } => {
                self.values.insert(name.to_owned(), text);
                self.left.extend(told(left));
                self.changes
                    .extend(changes.into_iter().map(|change| Change {
                        place: within(change.place),
                        ..change
                    }));
            }
        }
    }
}

/// Whether a name is one of Supabase's HTTP APIs: pointing those at RDS would break the consumer.
fn is_api(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "SUPABASE_URL",
        "SUPABASE_ANON_KEY",
        "SUPABASE_SERVICE_ROLE_KEY",
        "SUPABASE_JWT_SECRET",
        "SUPABASE_JWKS",
        "SUPABASE_PUBLISHABLE_KEY",
        "SUPABASE_PUBLISHABLE_KEYS",
        "SUPABASE_SECRET_KEY",
        "SUPABASE_SECRET_KEYS",
    ];
    NAMES.contains(&name) || name.starts_with("NEXT_PUBLIC_SUPABASE_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::connection::{ConnectionUrl, Side};

    const REF: &str = "abcdefghijklmnopqrst";

    fn mapping() -> Mapping {
        let source = format!("postgres://postgres:old@db.{REF}.supabase.co/postgres");
        Mapping {
            source: ConnectionUrl::parse(&source, Side::Source).unwrap(),
            target: ConnectionUrl::parse(
                "postgres://app:n%3Aw@t.rds.example:5433/orders",
                Side::Target,
            )
            .unwrap(),
            source_hosts: Vec::new(),
            sslmode: Some("verify-full".to_owned()),
        }
    }

    fn rewrite(pairs: &[(&str, &str)]) -> Rewriting {
        let mapping = mapping();
        let given = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
            .collect();
        variables(&given, &SourceServer::of(&mapping), &mapping)
    }

    fn new_value<'a>(rewriting: &'a Rewriting, name: &str) -> Option<&'a str> {
        rewriting.values.get(name).map(|value| value.reveal())
    }

    #[test]
    fn urls_go_by_server_and_not_by_name() {
        let source = format!(
            "postgres://postgres.{REF}:old@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true"
        );
        let rewriting = rewrite(&[
            ("WEIRD_NAME", &source),
            ("DATABASE_URL", "postgres://u:p@elsewhere/postgres"),
            ("LOGS_URL", &source.replace("/postgres?", "/_logs?")),
            ("SUPABASE_URL", &format!("https://{REF}.supabase.co")),
            ("NEXT_PUBLIC_SUPABASE_ANON_KEY", "x"),
            ("DSN", &format!("host=db.{REF}.supabase.co port=5432")),
        ]);
        assert_eq!(
            new_value(&rewriting, "WEIRD_NAME"),
            Some("postgres://app:n%3Aw@t.rds.example:5433/orders?sslmode=verify-full")
        );
        assert_eq!(rewriting.values.len(), 1);
        let mut left = rewriting.left.clone();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            left,
            [
                ("DSN".to_owned(), Why::UnknownShape),
                ("LOGS_URL".to_owned(), Why::OtherDatabase),
                (
                    "NEXT_PUBLIC_SUPABASE_ANON_KEY".to_owned(),
                    Why::DependsOnSupabase
                ),
                ("SUPABASE_URL".to_owned(), Why::DependsOnSupabase),
            ]
        );
    }

    #[test]
    fn what_libpq_prefers_to_the_host_is_never_passed_over() {
        let by_address =
            format!("postgres://postgres:old@db.{REF}.supabase.co/postgres?hostaddr=192.0.2.1");
        let rewriting = rewrite(&[("DATABASE_URL", &by_address)]);
        assert!(rewriting.values.is_empty());
        assert_eq!(
            rewriting.left,
            [("DATABASE_URL".to_owned(), Why::UnknownShape)]
        );

        let host = format!("db.{REF}.supabase.co");
        let set = [
            ("PGHOST", host.as_str()),
            ("PGUSER", "postgres"),
            ("PGPASSWORD", "old"),
            ("PGDATABASE", "postgres"),
            ("PGHOSTADDR", "192.0.2.1"),
        ];
        let rewriting = rewrite(&set);
        assert!(
            rewriting
                .left
                .contains(&("PGHOSTADDR".to_owned(), Why::UnknownShape))
        );
    }

    #[test]
    fn sets_change_whole_or_not_at_all() {
        let host = format!("db.{REF}.supabase.co");
        let rewriting = rewrite(&[
            ("PGHOST", &host),
            ("PGUSER", "postgres"),
            ("PGPASSWORD", "old"),
            ("PGSSLMODE", "require"),
            ("DB_HOST", &host),
            ("DB_NAME", "postgres"),
        ]);
        let names: Vec<&str> = rewriting.values.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["PGHOST", "PGPASSWORD", "PGPORT", "PGSSLMODE", "PGUSER"]
        );
        assert_eq!(new_value(&rewriting, "PGPASSWORD"), Some("n:w"));
        assert_eq!(new_value(&rewriting, "PGPORT"), Some("5433"));
        assert_eq!(rewriting.left, [("DB_HOST".to_owned(), Why::Incomplete)]);
        let shown = format!("{:?}", rewriting.changes);
        assert!(!shown.contains("old") && !shown.contains("n:w"), "{shown}");
    }

    #[test]
    fn secrets_keep_their_other_fields() {
        let mapping = mapping();
        let server = SourceServer::of(&mapping);
        let read = |text: &str| match value(text, &server, &mapping) {
            ValueReading::Rewritten { text, .. } => text.reveal().to_owned(),
            _ => panic!("not rewritten: {text}"),
        };
        assert_eq!(
            read(&format!(
                "{{\"engine\":\"postgres\",\"host\":\"db.{REF}.supabase.co\",\"username\":\"postgres\",\"password\":\"old\",\"dbname\":\"postgres\",\"port\":5432,\"mine\":[1, 2]}}"
            )),
            "{\"engine\":\"postgres\",\"host\":\"t.rds.example\",\"username\":\"app\",\"password\":\"n:w\",\"dbname\":\"orders\",\"port\":5433,\"mine\":[1, 2]}"
        );
        assert_eq!(
            read(&format!(
                "{{\"k\":null,\"DATABASE_URL\":\"postgres://postgres:old@db.{REF}.supabase.co/postgres\"}}"
            )),
            "{\"k\":null,\"DATABASE_URL\":\"postgres://app:n%3Aw@t.rds.example:5433/orders?sslmode=verify-full\"}"
        );
        let nested = format!("{{\"db\":{{\"host\":\"db.{REF}.supabase.co\"}}}}");
        assert!(
            matches!(value(&nested, &server, &mapping), ValueReading::Left(left) if left == [(String::new(), Why::UnknownShape)])
        );
        assert!(matches!(
            value("{\"host\":\"redis\"}", &server, &mapping),
            ValueReading::Elsewhere
        ));
    }
}
