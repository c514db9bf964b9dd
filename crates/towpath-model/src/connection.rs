//! Connection URLs without leaks: a password is held in memory that is wiped, never shown, never
//! serialised.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::failure::{ErrorKind, Failure, Result};

/// A text that must not be seen. Has no `Serialize`, and `Debug` redacts.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which of the two databases. The words appear in every message, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The database that is left.
    Source,
    /// The database that is filled.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// What kind of endpoint a Supabase URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The database itself, or any server that is not Supabase's.
    Direct,
    /// Supavisor in session mode: one server connection for each client connection.
    SessionPooler,
    /// A pooler in transaction mode: settings and snapshots do not survive between transactions.
    TransactionPooler,
}

/// A parsed `postgres://` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionUrl {
    /// Host name, address, or directory of a socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password, when the URL holds one.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// Parameters in their order, decoded.
    pub parameters: Vec<(String, String)>,
}

impl ConnectionUrl {
    /// Parses `postgres://user:password@host:port/database?parameter=value`.
    pub fn parse(text: &str, side: Side) -> Result<Self> {
        let refuse = |why: &str| {
            // The text itself may hold a password, so it is never quoted.
            Failure::new(ErrorKind::Config, format!("could not read the {side} URL: {why}"))
                .hint("it looks like postgres://user:password@host:5432/database; special characters in the password are percent-encoded")
        };
        let url = Url::parse(text.trim()).map_err(|cause| refuse(&cause.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refuse("its scheme is neither postgres nor postgresql"));
        }
        let decode = |part: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(|decoded| decoded.into_owned())
                .map_err(|_| refuse("a part is not UTF-8 after percent-decoding"))
        };
        let mut parameters: Vec<(String, String)> = url
            .query_pairs()
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let mut host = decode(url.host_str().unwrap_or_default())?;
        if let Some(at) = parameters.iter().position(|(name, _)| name == "host") {
            host = parameters.remove(at).1;
        }
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let user = decode(url.username())?;
        if user.is_empty() {
            return Err(refuse("it names no user"));
        }
        let database = match decode(url.path().trim_start_matches('/'))? {
            empty if empty.is_empty() => user.clone(),
            database => database,
        };
        Ok(Self {
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: url.port().unwrap_or(5432),
            user,
            password: url.password().map(decode).transpose()?.map(Secret::new),
            database,
            parameters,
        })
    }

    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the server is on this machine: a socket directory or a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.host.starts_with('/')
            || self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// What kind of endpoint this is. Port 6543 is Supabase's transaction mode on the shared
    /// pooler and on the dedicated one.
    pub fn endpoint(&self) -> Endpoint {
        let pooler = self.host.ends_with(".pooler.supabase.com");
        match self.port {
            6543 => Endpoint::TransactionPooler,
            _ if pooler => Endpoint::SessionPooler,
            _ => Endpoint::Direct,
        }
    }

    /// The Supabase project reference, when the URL tells it: in the direct host
    /// (`db.<ref>.supabase.co`) or in a pooler's user (`postgres.<ref>`).
    pub fn project_ref(&self) -> Option<&str> {
        let from_host = self.host.strip_prefix("db.").and_then(|rest| {
            rest.split_once(".supabase.")
                .map(|(reference, _)| reference)
        });
        let from_user = || {
            self.host
                .ends_with(".pooler.supabase.com")
                .then(|| self.user.split_once('.').map(|(_, reference)| reference))
                .flatten()
        };
        from_host.or_else(from_user)
    }

    /// `host:port/database`, which tells two databases apart and shows no secret.
    pub fn identity(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

/// Without the password and without parameters, which may hold secrets too.
impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}", self.user, self.identity())
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_supabase_endpoints() {
        let parse = |text| ConnectionUrl::parse(text, Side::Source).unwrap();
        let direct =
            parse("postgres://postgres:p%40ss@db.abcdefghijklmnopqrst.supabase.co/postgres");
        assert_eq!(direct.endpoint(), Endpoint::Direct);
        assert_eq!(direct.project_ref(), Some("abcdefghijklmnopqrst"));
        assert_eq!(direct.password.as_ref().unwrap().reveal(), "p@ss");
        let session = parse(
            "postgresql://postgres.abcdefghijklmnopqrst:x@aws-0-eu-west-1.pooler.supabase.com:5432/postgres",
        );
        assert_eq!(session.endpoint(), Endpoint::SessionPooler);
        assert_eq!(session.project_ref(), Some("abcdefghijklmnopqrst"));
        let transaction = parse("postgres://u:x@aws-0-eu-west-1.pooler.supabase.com:6543/postgres");
        assert_eq!(transaction.endpoint(), Endpoint::TransactionPooler);
    }

    #[test]
    fn never_shows_the_password() {
        let url = ConnectionUrl::parse("postgres://u:hunter2@h/d?password=hunter2", Side::Target);
        let url = url.unwrap();
        assert!(!format!("{url} {url:?} {:?}", url.password).contains("hunter2"));
        let broken = ConnectionUrl::parse("mysql://u:hunter2@h/d", Side::Target).unwrap_err();
        assert!(!format!("{broken:?}").contains("hunter2"));
    }

    #[test]
    fn socket_directories_are_loopback() {
        let url = ConnectionUrl::parse("postgres://u@x/d?host=/run/pg", Side::Source).unwrap();
        assert_eq!(url.host, "/run/pg");
        assert!(url.is_loopback());
    }
}
