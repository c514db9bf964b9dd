//! What a person may see of a connection: no password, and of parameters only the names.

/// A connection as shown: scheme, user, host, port, database and names of parameters.
pub(crate) struct Shown<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    pub(crate) database: Option<&'a str>,
    pub(crate) parameters: Vec<&'a str>,
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
            let names: Vec<_> = self.parameters.iter().map(|name| plain(name)).collect();
            text.push_str(&format!("?{}", names.join("&")));
        }
        text
    }
}

/// A parameter's name, unless it looks like something else: of a broken URL, a piece of a password
/// could stand where a name belongs.
fn plain(name: &str) -> &str {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() <= 40 && name.chars().all(usual) {
        name
    } else {
        "…"
    }
}
