//! What carries a connection: a variable, a set of variables, the value of a secret or a parameter.
//! Pure: texts in, new texts and masked descriptions out.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::connection::Secret;

use crate::binding::Change;
use crate::credentials::is_source_password;
use crate::left::Why;
use crate::mapping::{Mapping, PasswordBy};
use crate::split::{self, SetReading, Texts};
use crate::tls::Reader;
use crate::url;
use crate::value::{self, Survey, ValueReading};

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
    /// What points at the source and has its password elsewhere.
    pub(crate) pending: Vec<Pending>,
    /// Names of values that are connections and lead elsewhere.
    pub(crate) connections: BTreeSet<String>,
}

/// Values that may change together once the password they go with is found.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The name that says where it points.
    pub(crate) name: String,
    pub(crate) values: Vec<(String, Secret)>,
    pub(crate) change: Change,
    /// Who it logs in as, where that is known.
    user: Option<String>,
    lacks: Lacks,
}

/// What is not where the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Password,
    User,
    Both,
}

/// Reads a function's variables.
pub(crate) fn variables(variables: &Variables, survey: Survey<'_>) -> Rewriting {
    let texts: Texts<'_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.reveal()))
        .collect();
    let mut rewriting = side_by_side(&texts, survey, 0);
    // libpq prefers these to PGHOST: rewriting that would change nothing.
    for name in ["PGHOSTADDR", "PGSERVICE"] {
        let is_set = variables
            .get(name)
            .is_some_and(|value| !value.reveal().is_empty());
        let uses_libpq = |change: &Change| change.place.starts_with("PG");
        if is_set && rewriting.changes.iter().any(uses_libpq) {
            rewriting.left.push((name.to_owned(), Why::UnknownShape));
        }
    }
    for (name, text) in &texts {
        let is_open = !rewriting.has(name) && !rewriting.connections.contains(*name);
        if is_open && is_source_password(text, survey.mapping) {
            rewriting.left.push(((*name).to_owned(), Why::LonePassword));
        }
    }
    rewriting
}

/// Reads values that stand side by side under names: first what must never be touched, then sets,
/// then each for itself.
pub(crate) fn side_by_side(texts: &Texts<'_>, survey: Survey<'_>, depth: u8) -> Rewriting {
    let mut rewriting = Rewriting::default();
    for (name, text) in texts {
        // Under whatever name, a connection is a connection.
        let is_url = matches!(url::read(text), url::Reading::Url(_));
        if is_api(name) && !is_url {
            let name = (*name).to_owned();
            rewriting.left.push((name, Why::DependsOnSupabase));
        }
    }
    let reader = Reader {
        runtime: survey.runtime,
        name: "",
    };
    let sets = split::sets(texts, survey.server, survey.mapping, reader);
    let elsewhere: BTreeSet<String> = sets
        .iter()
        .filter_map(|(_, reading)| match reading {
            SetReading::Elsewhere(names) => Some(names.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    for (host, reading) in sets {
        rewriting.take_set(&host, reading, &elsewhere, survey.mapping);
    }
    for (name, text) in texts {
        if !rewriting.has(name) {
            let reading = value::read_under(text, name, survey, depth);
            let mut new = None;
            rewriting.take_value(name, reading, |text| new = Some(text));
            rewriting
                .values
                .extend(new.map(|text| ((*name).to_owned(), text)));
        }
    }
    rewriting.settle_beside(texts, survey, &elsewhere);
    rewriting
}

impl Rewriting {
    /// Whether nothing in it has to do with the source.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.left.is_empty() && self.pending.is_empty()
    }

    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
            || self.left.iter().any(|(left, _)| left == name)
            || self.pending.iter().any(|it| it.has(name))
    }

    fn take_set(
        &mut self,
        host: &str,
        found: SetReading,
        elsewhere: &BTreeSet<String>,
        mapping: &Mapping,
    ) {
        let found = match found {
            SetReading::Elsewhere(login) => {
                if !login.is_empty() {
                    self.connections.insert(host.to_owned());
                    self.connections.extend(login);
                }
                return;
            }
            SetReading::Left(why) => return self.left.push((host.to_owned(), why)),
            SetReading::Rewritten(found) => found,
        };
        if found
            .values
            .iter()
            .any(|(name, _)| elsewhere.contains(name))
        {
            return self.left.push((host.to_owned(), Why::SharedParts));
        }
        if found.trusts_own_root {
            self.left.push((host.to_owned(), Why::RootCertificate));
        }
        let names: Vec<&str> = found.values.iter().map(|(name, _)| name.as_str()).collect();
        let change = Change {
            place: names.join("+"),
            before: found.before,
            after: found.after,
        };
        if found.lacks_password && mapping.password_by != PasswordBy::Iam {
            return self.pending.push(Pending {
                name: host.to_owned(),
                values: found.values,
                change,
                user: found.user,
                lacks: Lacks::Password,
            });
        }
        self.changes.push(change);
        self.values.extend(found.values);
    }

    /// Takes what became of the value under a name; `put` gets its new text.
    pub(crate) fn take_value(&mut self, name: &str, found: ValueReading, put: impl FnOnce(Secret)) {
        let within = |field: String| match field.as_str() {
            "" => name.to_owned(),
            field => format!("{name}.{field}"),
        };
        let told =
            |left: Vec<(String, Why)>| left.into_iter().map(|(field, why)| (within(field), why));
        match found {
            ValueReading::Elsewhere { is_connection } => {
                if is_connection {
                    self.connections.insert(name.to_owned());
                }
            }
            ValueReading::Left(left) => self.left.extend(told(left)),
            ValueReading::Rewritten {
                text,
                changes,
                left,
            } => {
                put(text);
                self.left.extend(told(left));
                let changes = changes.into_iter();
                self.changes.extend(changes.map(|change| Change {
                    place: within(change.place),
                    ..change
                }));
            }
            ValueReading::Lacking {
                text,
                change,
                user,
                has_password,
            } => self.pending.push(Pending {
                name: name.to_owned(),
                values: vec![(name.to_owned(), text)],
                change: Change {
                    place: name.to_owned(),
                    ..change
                },
                lacks: match (user.is_some(), has_password) {
                    (true, _) => Lacks::Password,
                    (false, true) => Lacks::User,
                    (false, false) => Lacks::Both,
                },
                user,
            }),
        }
    }

    /// Finds user and password of what lacks them among the values beside it.
    fn settle_beside(
        &mut self,
        texts: &Texts<'_>,
        survey: Survey<'_>,
        elsewhere: &BTreeSet<String>,
    ) {
        for pending in std::mem::take(&mut self.pending) {
            let name = pending.name.clone();
            match pending.completed(texts, survey, elsewhere) {
                Ok((whole, true)) => self.take_pending(whole),
                Ok((part, false)) => self.pending.push(part),
                Err(why) => self.left.push((name, why)),
            }
        }
    }

    fn take_pending(&mut self, pending: Pending) {
        // What was thought of its user and password by themselves counts no more.
        let is_beside = |name: &String| *name != pending.name && pending.has(name);
        self.left.retain(|(name, _)| !is_beside(name));
        self.changes.push(pending.change);
        self.values.extend(pending.values);
    }

    /// Takes what was waiting for its password: it is found.
    pub(crate) fn take_all_pending(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.take_pending(pending);
        }
    }

    /// Leaves alone what was waiting for its password.
    pub(crate) fn give_up(&mut self, why: Why) {
        let given_up = std::mem::take(&mut self.pending).into_iter();
        self.left
            .extend(given_up.map(|pending| (pending.name, why)));
    }
}

impl Pending {
    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
    }

    /// Who it logs in as, where that is known.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Adds what is found beside it, and tells whether that is all it lacked.
    fn completed(
        mut self,
        texts: &Texts<'_>,
        survey: Survey<'_>,
        elsewhere: &BTreeSet<String>,
    ) -> Result<(Self, bool), Why> {
        let mapping = survey.mapping;
        let (users, mut passwords) = split::login_of_url(texts, &self.name);
        if self.lacks != Lacks::Password {
            self.user = users.first().map(|name| texts[name].to_owned());
        }
        let login = mapping.login(self.user.as_deref())?;
        if self.lacks != Lacks::Password {
            // A user that stands nowhere stands in the code, and stays what it is.
            if users.is_empty() && login.user != mapping.source.user {
                return Err(Why::Incomplete);
            }
            self.put(&users, &Secret::new(login.user), elsewhere)?;
        }
        if self.lacks == Lacks::User {
            return Ok((self, true));
        }
        if passwords.is_empty() {
            passwords = texts
                .iter()
                .filter(|(_, text)| is_source_password(text, mapping))
                .map(|(name, _)| *name)
                .collect();
        }
        if !passwords.is_empty() && !mapping.writes_passwords() {
            return Err(Why::NoPlaceForReference);
        }
        self.put(&passwords, &login.password(), elsewhere)?;
        let is_whole = !passwords.is_empty() || mapping.password_by == PasswordBy::Iam;
        Ok((self, is_whole))
    }

    fn put(
        &mut self,
        names: &[&str],
        value: &Secret,
        elsewhere: &BTreeSet<String>,
    ) -> Result<(), Why> {
        for name in names {
            if elsewhere.contains(*name) {
                return Err(Why::SharedParts);
            }
            self.change.place.push_str(&format!("+{name}"));
            self.values.push(((*name).to_owned(), value.clone()));
        }
        Ok(())
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
    const BROWSER: [&str; 5] = [
        "NEXT_PUBLIC_SUPABASE_",
        "VITE_SUPABASE_",
        "REACT_APP_SUPABASE_",
        "NUXT_PUBLIC_SUPABASE_",
        "EXPO_PUBLIC_SUPABASE_",
    ];
    NAMES.contains(&name) || BROWSER.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::SourceServer;
    use towpath_model::connection::{ConnectionUrl, Side};

    const REF: &str = "abcdefghijklmnopqrst";

    fn mapping() -> Mapping {
        let source = format!("postgres://postgres:old@db.{REF}.supabase.co/postgres");
        let target = "postgres://app:n%3Aw@t.rds.example:5433/orders";
        Mapping {
            sslmode: Some("verify-full".to_owned()),
            ..Mapping::new(
                ConnectionUrl::parse(&source, Side::Source).unwrap(),
                ConnectionUrl::parse(target, Side::Target).unwrap(),
            )
        }
    }

    fn rewrite(pairs: &[(&str, &str)]) -> Rewriting {
        rewrite_by(pairs, &mapping(), None)
    }

    fn rewrite_by(pairs: &[(&str, &str)], mapping: &Mapping, runtime: Option<&str>) -> Rewriting {
        let given = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
            .collect();
        let survey = Survey {
            server: &SourceServer::of(mapping),
            mapping,
            runtime,
        };
        variables(&given, survey)
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
            Some("postgres://app:n%3Aw@t.rds.example:5433/orders?sslmode=require&sslaccept=strict")
        );
        assert_eq!(rewriting.values.len(), 1);
        let mut left = rewriting.left.clone();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            left,
            [
                ("DSN".to_owned(), Why::Incomplete),
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
        let survey = Survey {
            server: &SourceServer::of(&mapping),
            mapping: &mapping,
            runtime: None,
        };
        let read = |text: &str| match value::read(text, survey) {
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
            matches!(value::read(&nested, survey), ValueReading::Left(left) if left == [("db.host".to_owned(), Why::Incomplete)])
        );
        assert!(matches!(
            value::read("{\"host\":\"redis\"}", survey),
            ValueReading::Elsewhere { .. }
        ));
    }
}
