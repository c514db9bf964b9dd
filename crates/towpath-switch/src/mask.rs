//! What a person may see of a connection: no password, and of most parameters only the names.

/// A connection as shown: scheme, user, host, port, database and names of parameters.
pub(crate) struct Shown<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    pub(crate) database: Option<&'a str>,
    pub(crate) parameters: Vec<(&'a str, &'a str)>,
}

impl Shown<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}://", self.scheme);
        if let Some(user) = self.user {
            text.push_str(&format!("{user}@"));
        }
        if self.host.contains(':') {
            text.push_str(&format!("[{}]", self.host));
        } else {
            text.push_str(self.host);
        }
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        if let Some(database) = self.database {
            text.push_str(&format!("/{database}"));
        }
        if !self.parameters.is_empty() {
            let shown: Vec<_> = self.parameters.iter().map(|it| plain(*it)).collect();
            text.push_str(&format!("?{}", shown.join("&")));
        }
        text
    }
}

/// Parameters whose value is told where it is one of a few words, so that a person sees how TLS
/// changes.
const TOLD: [&str; 5] = [
    "sslmode",
    "ssl",
    "sslaccept",
    "pgbouncer",
    "connection_limit",
];

const WORDS: [&str; 14] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
    "no-verify",
    "strict",
    "accept_invalid_certs",
    "true",
    "false",
    "0",
    "1",
    "5",
];

/// A parameter's name, unless it looks like something else: of a broken URL, a piece of a password
/// could stand where a name belongs.
fn plain((name, value): (&str, &str)) -> String {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() > 40 || !name.chars().all(usual) {
        return "…".to_owned();
    }
    if TOLD.contains(&name) && WORDS.contains(&value) {
        return format!("{name}={value}");
    }
    name.to_owned()
}
