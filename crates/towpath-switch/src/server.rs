//! Which server a connection points at. Names of variables prove nothing; only the server counts.

use std::net::IpAddr;

use towpath_model::connection::ConnectionUrl;

use crate::mapping::Mapping;

const POOLER: &str = ".pooler.supabase.com";

/// A place as a consumer names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: Option<&'a str>,
    /// Project reference given as a parameter (`options=reference=…`).
    pub(crate) reference: Option<&'a str>,
}

/// The source under all its names.
#[derive(Debug, Clone)]
pub(crate) struct SourceServer {
    references: Vec<String>,
    places: Vec<(String, u16)>,
}

impl SourceServer {
    pub(crate) fn of(mapping: &Mapping) -> Self {
        let mut server = Self {
            references: Vec::new(),
            places: Vec::new(),
        };
        server.learn(&mapping.source.host, mapping.source.port);
        server
            .references
            .extend(mapping.source.project_ref().map(str::to_lowercase));
        for name in &mapping.source_hosts {
            let (host, port) = host_and_port(name, mapping.source.port);
            server.learn(host, port);
        }
        server
    }

    fn learn(&mut self, host: &str, port: u16) {
        let host = canonical(host);
        if let Some(reference) = direct_reference(&host) {
            self.references.push(reference.to_owned());
        } else if !host.ends_with(POOLER) {
            // A pooler's host serves every project of its region and identifies none.
            self.places.push((host, port));
        }
    }

    /// Whether this place is the source. The direct host and the poolers of one project are one
    /// server whatever the port. Elsewhere the port counts too: one machine can run two servers.
    pub(crate) fn is(&self, place: Place<'_>) -> bool {
        let host = canonical(place.host);
        if let Some(reference) = direct_reference(&host) {
            return self.knows(reference);
        }
        if host.ends_with(POOLER) {
            let of_user = place
                .user
                .and_then(|user| user.rsplit_once('.'))
                .map(|(_, reference)| reference);
            return of_user.or(place.reference).is_some_and(|it| self.knows(it));
        }
        self.places
            .iter()
            .any(|(known, port)| *known == host && *port == place.port)
    }

    /// Whether this place may be the source, and something kept elsewhere tells: a pooler serves
    /// every project of its region, and only the user says which.
    pub(crate) fn may_be(&self, place: Place<'_>) -> bool {
        let told = place.reference.is_some() || place.user.is_some_and(|user| user.contains('.'));
        !self.references.is_empty() && !told && canonical(place.host).ends_with(POOLER)
    }

    fn knows(&self, reference: &str) -> bool {
        self.references
            .iter()
            .any(|known| known.eq_ignore_ascii_case(reference))
    }

    /// Whether a text is the reference of the source's project and nothing else.
    pub(crate) fn is_reference(&self, text: &str) -> bool {
        self.knows(text)
    }

    /// Whether a token with these claims may be one of the source's project: they name its
    /// reference, or no reference of the source is known.
    pub(crate) fn may_own(&self, claims: &str) -> bool {
        self.references.is_empty() || self.references.iter().any(|known| claims.contains(known))
    }

    /// Whether a text that could not be understood names the source.
    pub(crate) fn is_mentioned_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.references.iter().any(|known| text.contains(known))
            || self.places.iter().any(|(host, port)| {
                if host == LOOPBACK {
                    text.contains(&format!("{LOOPBACK}:{port}"))
                        || text.contains(&format!("localhost:{port}"))
                } else {
                    is_named(&text, host, *port)
                }
            })
    }
}

/// Whether a host stands in a text as a word of its own. A name without a dot may be any word
/// (`db`, `postgres`): that one has to stand where hosts do.
fn is_named(text: &str, host: &str, port: u16) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(host).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + host.len()..]);
        let begins = !before.ends_with(|c: char| is_letter(c) || c == '.');
        let goes_on = after.strip_prefix('.').unwrap_or(after);
        let ends = !goes_on.starts_with(is_letter);
        let is_place = before.ends_with(['@', '='])
            || before.ends_with("//")
            || after.starts_with(&format!(":{port}"));
        begins && ends && (host.contains('.') || is_place)
    })
}

const LOOPBACK: &str = "127.0.0.1";

/// One spelling for each host: lower case, no final dot, no brackets, one loopback.
fn canonical(host: &str) -> String {
    let host = host
        .trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_lowercase();
    let loopback = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if loopback { LOOPBACK.to_owned() } else { host }
}

/// `abc` of `db.abc.supabase.co`.
fn direct_reference(host: &str) -> Option<&str> {
    let (reference, zone) = host.strip_prefix("db.")?.split_once(".supabase.")?;
    matches!(zone, "co" | "com" | "net" | "in" | "red").then_some(reference)
}

fn host_and_port(name: &str, port: u16) -> (&str, u16) {
    match name.rsplit_once(':') {
        Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
            digits.parse().map_or((name, port), |port| (host, port))
        }
        _ => (name, port),
    }
}

/// Whether a consumer's database is the one that moved. Without a name the server's default
/// applies, which is the one of the migrated project.
pub(crate) fn is_same_database(mapping: &ConnectionUrl, database: Option<&str>) -> bool {
    database.is_none_or(|database| database == mapping.database)
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::connection::Side;

    const REF: &str = "abcdefghijklmnopqrst";

    fn server(source: &str, hosts: &[&str]) -> SourceServer {
        SourceServer::of(&Mapping {
            source_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Mapping::new(
                ConnectionUrl::parse(source, Side::Source).unwrap(),
                ConnectionUrl::parse("postgres://u:p@t/d", Side::Target).unwrap(),
            )
        })
    }

    fn at(server: &SourceServer, user: &str, host: &str, port: u16) -> bool {
        server.is(Place {
            host,
            port,
            user: Some(user),
            reference: None,
        })
    }

    #[test]
    fn direct_host_and_poolers_of_a_project_are_one_server() {
        let pooler = "aws-0-eu-west-1.pooler.supabase.com";
        let direct = format!("db.{REF}.supabase.co");
        let user = format!("postgres.{REF}");
        for source in [
            format!("postgres://postgres:x@{direct}/postgres"),
            format!("postgres://{user}:x@{pooler}/postgres"),
        ] {
            let server = server(&source, &[]);
            assert!(at(&server, "postgres", &direct, 5432));
            assert!(at(&server, "postgres", &direct.to_uppercase(), 6543));
            assert!(at(&server, &user, pooler, 5432));
            assert!(at(&server, &format!("app.{REF}"), pooler, 6543));
            assert!(at(
                &server,
                &user,
                "aws-1-us-east-1.pooler.supabase.com",
                6543
            ));
            assert!(!at(&server, "postgres.zzzzzzzzzzzzzzzzzzzz", pooler, 6543));
            assert!(!at(&server, "postgres", pooler, 6543));
            let unnamed = Place {
                host: pooler,
                port: 6543,
                user: None,
                reference: None,
            };
            assert!(server.may_be(unnamed));
            let named = Some("postgres.zzzzzzzzzzzzzzzzzzzz");
            assert!(!server.may_be(Place {
                user: named,
                ..unnamed
            }));
            assert!(!at(
                &server,
                "postgres",
                "db.zzzzzzzzzzzzzzzzzzzz.supabase.co",
                5432
            ));
            assert!(server.is(Place {
                host: pooler,
                port: 6543,
                user: Some("postgres"),
                reference: Some(REF),
            }));
        }
    }

    #[test]
    fn on_one_machine_the_port_tells_servers_apart() {
        let server = server(
            "postgres://u:x@localhost:54322/postgres",
            &["db.internal", "pool.internal:6432"],
        );
        for host in ["localhost", "127.0.0.1", "::1", "[::1]"] {
            assert!(at(&server, "u", host, 54322), "{host}");
            assert!(!at(&server, "u", host, 5432), "{host}");
        }
        assert!(at(&server, "u", "DB.internal.", 54322));
        assert!(!at(&server, "u", "db.internal", 5432));
        assert!(at(&server, "u", "pool.internal", 6432));
        assert!(server.is_mentioned_in("host=127.0.0.1:54322"));
        assert!(!server.is_mentioned_in("redis://localhost:6379"));
        assert!(server.is_mentioned_in("{\"deep\": {\"host\": \"db.internal\"}}"));
        assert!(server.is_mentioned_in("see DB.internal."));
        for other in [
            "olddb.internal",
            "db.internal.example",
            "x.db.internal",
            "db.internal-2",
        ] {
            assert!(!server.is_mentioned_in(other), "{other}");
        }
    }

    #[test]
    fn a_short_name_is_the_host_only_where_hosts_stand() {
        let server = server("postgres://u:x@db/postgres", &[]);
        for text in ["mysql2://u@db/x", "Host=db;User=u", "tcp://db", "db:5432"] {
            assert!(server.is_mentioned_in(text), "{text}");
        }
        for text in ["/db/host", "db", "a db b", "db:6379", "//dbx"] {
            assert!(!server.is_mentioned_in(text), "{text}");
        }
    }
}
