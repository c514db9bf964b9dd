//! TLS as each client library wants to be told. One word of libpq's means other things elsewhere.
//!
//! - libpq and what is built on it or like it (psycopg, pgx, lib/pq): `sslmode`, `sslrootcert`.
//! - node-postgres: `sslmode` of `prefer`, `require` and `verify-ca` verify like `verify-full`
//!   unless `uselibpqcompat=true`; not to verify is `no-verify` (pg-connection-string, README).
//! - Prisma: `sslmode` knows `disable`, `prefer` and `require`; whether it verifies is said by
//!   `sslaccept`, and by which root by `sslcert` (Prisma's reference, PostgreSQL connector).
//! - pgJDBC: libpq's words.
//! - asyncpg below SQLAlchemy: libpq's words under the name `ssl`, and no place for a root: that
//!   one it takes from `PGSSLROOTCERT`.
//! - pg8000 below SQLAlchemy: nothing in the URL.

use crate::mapping::Mapping;

/// What reads a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Libpq,
    Node,
    Prisma,
    Jdbc,
    Asyncpg,
    /// Takes nothing about TLS from a connection text.
    Silent,
}

/// What is known about a text's reader beside the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reader<'a> {
    /// The function's runtime, such as `nodejs22.x`; nothing where several may read.
    pub(crate) runtime: Option<&'a str>,
    /// The name it is found under.
    pub(crate) name: &'a str,
}

const PRISMA_ONLY: [&str; 6] = [
    "schema",
    "connection_limit",
    "pool_timeout",
    "pgbouncer",
    "sslaccept",
    "sslidentity",
];

impl Client {
    /// Who reads a URL with this scheme and these parameters.
    pub(crate) fn of_url(scheme: &str, parameters: &[&str], reader: Reader<'_>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        if scheme.starts_with("jdbc:") {
            return Self::Jdbc;
        }
        if scheme.starts_with("prisma") {
            return Self::Prisma;
        }
        match scheme.split_once('+') {
            Some((_, "asyncpg")) => return Self::Asyncpg,
            Some((_, "pg8000")) => return Self::Silent,
            Some(_) => return Self::Libpq,
            None => {}
        }
        let is_node = reader.runtime.is_some_and(|it| it.starts_with("nodejs"));
        let is_elsewhere = reader.runtime.is_some() && !is_node;
        let is_prisma = reader.name.to_ascii_uppercase().contains("PRISMA")
            || parameters.iter().any(|name| PRISMA_ONLY.contains(name));
        match (is_prisma && !is_elsewhere, is_node) {
            (true, _) => Self::Prisma,
            (false, true) => Self::Node,
            (false, false) => Self::Libpq,
        }
    }

    /// Who reads variables of libpq.
    pub(crate) fn of_variables(reader: Reader<'_>) -> Self {
        match reader.runtime {
            Some(runtime) if runtime.starts_with("nodejs") => Self::Node,
            _ => Self::Libpq,
        }
    }

    /// Names under which this client is told how to use TLS, the first of which says the mode.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Libpq | Self::Node | Self::Jdbc => &["sslmode", "sslrootcert"],
            Self::Prisma => &["sslmode", "sslaccept", "sslcert"],
            Self::Asyncpg => &["ssl"],
            Self::Silent => &[],
        }
    }

    /// The name of the root certificate's path.
    pub(crate) const fn root_name(self) -> Option<&'static str> {
        match self {
            Self::Libpq | Self::Node | Self::Jdbc => Some("sslrootcert"),
            Self::Prisma => Some("sslcert"),
            Self::Asyncpg | Self::Silent => None,
        }
    }

    /// What the mapping asks for, in this client's words; `has` tells which names stand there.
    pub(crate) fn wanted(self, mapping: &Mapping, has: &dyn Fn(&str) -> bool) -> Wanted {
        let root = mapping.sslrootcert.as_deref();
        let mut wanted = Wanted::default();
        let Some(mode) = mapping.sslmode.as_deref() else {
            // Whoever verifies by a file will find another file only if it is told so.
            if let (Some(root), Some(name)) = (root, self.root_name())
                && has(name)
            {
                wanted.set.push((name, root.to_owned()));
            }
            return wanted;
        };
        let Some(first) = self.names().first() else {
            return wanted;
        };
        let verifies = mode.starts_with("verify-");
        wanted.set.push((first, self.mode(mode, has).to_owned()));
        if self == Self::Prisma {
            match mode {
                "disable" | "prefer" => wanted.drop.push("sslaccept"),
                _ if verifies => wanted.set.push(("sslaccept", "strict".to_owned())),
                _ => wanted
                    .set
                    .push(("sslaccept", "accept_invalid_certs".to_owned())),
            }
        }
        match (self.root_name(), root) {
            (Some(name), Some(root)) if verifies => wanted.set.push((name, root.to_owned())),
            // A root beside a mode that does not verify makes libpq verify after all.
            (Some(name), _) if !verifies => wanted.drop.push(name),
            _ => {}
        }
        wanted
    }

    fn mode<'a>(self, mode: &'a str, has: &dyn Fn(&str) -> bool) -> &'a str {
        match (self, mode) {
            (Self::Node, "prefer" | "require") if !has("uselibpqcompat") => "no-verify",
            (Self::Node, "verify-ca") if !has("uselibpqcompat") => "verify-full",
            (Self::Node, mode) => mode,
            (Self::Prisma, "disable" | "prefer") => mode,
            (Self::Prisma, _) | (_, "no-verify") => "require",
            (_, mode) => mode,
        }
    }
}

/// Parameters to set and parameters to leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) set: Vec<(&'static str, String)>,
    pub(crate) drop: Vec<&'static str>,
}

impl Wanted {
    /// The new value of a parameter, where it gets one.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.set.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn drops(&self, name: &str) -> bool {
        self.drop.contains(&name)
    }
}

/// Whether a runtime of Lambda brings the roots of RDS and does not use them unless told: Node.js
/// from 20 on, of which AWS says to set `NODE_EXTRA_CA_CERTS=/var/runtime/ca-cert.pem`.
pub(crate) fn needs_extra_roots(runtime: &str) -> bool {
    let digits = runtime
        .strip_prefix("nodejs")
        .map(|rest| rest.trim_end_matches(|c: char| !c.is_ascii_digit()))
        .unwrap_or_default();
    digits.parse::<u32>().is_ok_and(|major| major >= 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::mapping;

    fn told(client: Client, mode: &str, present: &[&str]) -> String {
        let mapping = Mapping {
            sslmode: Some(mode.to_owned()),
            sslrootcert: Some("/ca.pem".to_owned()),
            ..mapping()
        };
        let wanted = client.wanted(&mapping, &|name| present.contains(&name));
        let set: Vec<String> = wanted
            .set
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        set.join("&")
    }

    #[test]
    fn every_library_is_told_in_its_own_words() {
        assert_eq!(
            told(Client::Libpq, "verify-full", &[]),
            "sslmode=verify-full&sslrootcert=/ca.pem"
        );
        assert_eq!(told(Client::Libpq, "no-verify", &[]), "sslmode=require");
        assert_eq!(told(Client::Node, "require", &[]), "sslmode=no-verify");
        assert_eq!(
            told(Client::Node, "require", &["uselibpqcompat"]),
            "sslmode=require"
        );
        assert_eq!(
            told(Client::Prisma, "verify-full", &[]),
            "sslmode=require&sslaccept=strict&sslcert=/ca.pem"
        );
        assert_eq!(
            told(Client::Prisma, "require", &[]),
            "sslmode=require&sslaccept=accept_invalid_certs"
        );
        assert_eq!(told(Client::Asyncpg, "verify-full", &[]), "ssl=verify-full");
        assert_eq!(told(Client::Silent, "verify-full", &[]), "");
    }

    #[test]
    fn readers_are_known_by_scheme_parameters_and_runtime() {
        let node = Reader {
            runtime: Some("nodejs22.x"),
            name: "DATABASE_URL",
        };
        let python = Reader {
            runtime: Some("python3.12"),
            ..node
        };
        assert_eq!(Client::of_url("postgres", &[], node), Client::Node);
        assert_eq!(
            Client::of_url("postgres", &["schema"], node),
            Client::Prisma
        );
        assert_eq!(
            Client::of_url("postgres", &["schema"], python),
            Client::Libpq
        );
        assert_eq!(
            Client::of_url("postgresql+asyncpg", &[], python),
            Client::Asyncpg
        );
        assert_eq!(Client::of_url("jdbc:postgresql", &[], node), Client::Jdbc);
        for (runtime, needs) in [
            ("nodejs18.x", false),
            ("nodejs20.x", true),
            ("nodejs24.x", true),
            ("python3.12", false),
            ("nodejs", false),
        ] {
            assert_eq!(needs_extra_roots(runtime), needs, "{runtime}");
        }
    }
}
