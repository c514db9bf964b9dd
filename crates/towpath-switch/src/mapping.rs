//! From which server to which, and as whom.

use std::collections::BTreeMap;

use towpath_model::connection::{ConnectionUrl, Secret};

use crate::left::Why;

/// What stands between consumers and the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Via {
    /// Nothing: what a pooler needed does nothing or harm.
    #[default]
    Direct,
    /// RDS Proxy, which shares connections between transactions as Supabase's pooler did, and pins
    /// them to clients that prepare statements.
    Proxy,
}

/// How consumers come to their password on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PasswordBy {
    /// It is written where the old one was.
    #[default]
    Value,
    /// By an existing secret: variables that name a secret of the source name this one.
    Secret(String),
    /// By a token of IAM that their code asks for.
    Iam,
}

/// From which server to which.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The server that consumers leave.
    pub source: ConnectionUrl,
    /// The server they come to, with the user and the password that they will use.
    pub target: ConnectionUrl,
    /// Further names of the source, as `host` or `host:port`. Supabase's own names need not be
    /// listed: the direct host and every pooler of the same project are known to be one server.
    pub source_hosts: Vec<String>,
    /// The sslmode consumers get, in libpq's words or `no-verify`, each in the words of its client;
    /// their own is kept when this is not set.
    pub sslmode: Option<String>,
    /// Where consumers find the root certificates of the target.
    pub sslrootcert: Option<String>,
    /// What `NODE_EXTRA_CA_CERTS` becomes for functions whose runtime needs it.
    pub node_extra_ca_certs: Option<String>,
    /// What stands between.
    pub via: Via,
    /// Users by the ones they had; all others become the target URL's.
    pub users: BTreeMap<String, String>,
    /// Passwords of users other than the target URL's.
    pub passwords: BTreeMap<String, Secret>,
    /// How consumers come to their password.
    pub password_by: PasswordBy,
}

impl Mapping {
    /// From the source to the target, and everything else as it is.
    pub const fn new(source: ConnectionUrl, target: ConnectionUrl) -> Self {
        Self {
            source,
            target,
            source_hosts: Vec::new(),
            sslmode: None,
            sslrootcert: None,
            node_extra_ca_certs: None,
            via: Via::Direct,
            users: BTreeMap::new(),
            passwords: BTreeMap::new(),
            password_by: PasswordBy::Value,
        }
    }

    /// Who a consumer will be that was `user`.
    pub(crate) fn login(&self, user: Option<&str>) -> Result<Login<'_>, Why> {
        let user = user
            .and_then(|user| self.users.get(without_reference(user)))
            .unwrap_or(&self.target.user);
        let password = if *user == self.target.user {
            self.target.password.as_ref()
        } else {
            self.passwords.get(user)
        };
        if password.is_none() && self.password_by == PasswordBy::Value {
            return Err(Why::NoPassword);
        }
        Ok(Login { user, password })
    }

    /// Whether a carrier that holds a password can get the new one.
    pub(crate) fn writes_passwords(&self) -> bool {
        self.password_by == PasswordBy::Value
    }
}

/// Who a consumer will be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Option<&'a Secret>,
}

impl Login<'_> {
    /// The password; empty where it is to be had by reference, which callers have ruled out.
    pub(crate) fn password(&self) -> Secret {
        self.password.cloned().unwrap_or_else(|| Secret::new(""))
    }
}

/// `app` of `app.abcdefghijklmnopqrst`, as a pooler of Supabase wants it said.
fn without_reference(user: &str) -> &str {
    let is_reference =
        |text: &str| text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    match user.rsplit_once('.') {
        Some((name, reference)) if is_reference(reference) => name,
        _ => user,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use towpath_model::connection::Side;

    /// Between two servers of no name.
    pub(crate) fn mapping() -> Mapping {
        Mapping::new(
            ConnectionUrl::parse("postgres://u:p@s/d", Side::Source).unwrap(),
            ConnectionUrl::parse("postgres://app:new@t:5433/orders", Side::Target).unwrap(),
        )
    }

    #[test]
    fn users_become_whom_the_mapping_says() {
        let mut mapping = mapping();
        mapping
            .users
            .insert("reader".to_owned(), "orders_ro".to_owned());
        let user = |mapping: &Mapping, user: Option<&str>| {
            mapping.login(user).map(|login| login.user.to_owned())
        };
        assert_eq!(user(&mapping, None), Ok("app".to_owned()));
        assert_eq!(user(&mapping, Some("postgres")), Ok("app".to_owned()));
        let pooled = Some("reader.abcdefghijklmnopqrst");
        assert_eq!(user(&mapping, pooled), Err(Why::NoPassword));
        mapping
            .passwords
            .insert("orders_ro".to_owned(), Secret::new("x"));
        assert_eq!(user(&mapping, pooled), Ok("orders_ro".to_owned()));
        assert_eq!(user(&mapping, Some("a.reader")), Ok("app".to_owned()));
    }
}
