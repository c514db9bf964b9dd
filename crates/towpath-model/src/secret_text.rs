//! Secrets in SQL text: one list of patterns, which this process and a server read alike.
//!
//! Text of a schema and statements of a migration history may hold passwords, tokens and keys. What
//! can be known of them is their form, so this errs towards finding: text that is taken for a secret
//! stays on the source and is named in the report. A value that looks like nothing in particular
//! (`select login('x', 'hunter2')`) is not found; no list can.
//!
//! Every pattern is written in the part of the language that PostgreSQL's advanced regular
//! expressions and Rust's share, and both sides fold case and know classes in ASCII only
//! (`collate "C"` there, no Unicode here). Classes that negate are never counted, because one side
//! counts bytes and the other characters.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::name::quote_literal;

/// What becomes of secrets that are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Handling {
    /// They stay on the source.
    #[default]
    Redact,
    /// They go along.
    Carry,
}

/// What kind of secret a text seems to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Password of a role.
    RolePassword,
    /// Option of a foreign server or user mapping.
    ServerOption,
    /// URL with a password in it.
    Url,
    /// Connection string of keywords and values, with a password among them.
    ConnectionString,
    /// JSON Web Token.
    Token,
    /// Key whose prefix tells whose it is.
    Key,
    /// Private key in PEM.
    PrivateKey,
    /// HTTP header that authenticates.
    Header,
    /// Setting with a telling name.
    Setting,
    /// Variable, column or parameter with a telling name.
    Assignment,
    /// Secret put into the vault.
    Vault,
    /// Literal password or key of an encryption or hash function.
    CryptoArgument,
    /// Hash that a login is checked against.
    PasswordHash,
}

impl Kind {
    /// The words for it, lower case.
    pub const fn label(self) -> &'static str {
        match self {
            Kind::RolePassword => "password of a role",
            Kind::ServerOption => "secret option of a foreign server",
            Kind::Url => "URL with a password",
            Kind::ConnectionString => "connection string with a password",
            Kind::Token => "JSON Web Token",
            Kind::Key => "API key",
            Kind::PrivateKey => "private key",
            Kind::Header => "authorization header",
            Kind::Setting => "secret setting",
            Kind::Assignment => "value of a secret variable",
            Kind::Vault => "secret of the vault",
            Kind::CryptoArgument => "literal key of an encryption",
            Kind::PasswordHash => "password hash",
        }
    }
}

/// The patterns, matched anywhere in the text and whatever the case.
///
/// Forms of keys: the documentation of Supabase ("Understanding API keys"), Stripe ("API keys"),
/// GitHub ("Token types"), GitLab ("Token overview"), AWS IAM ("IAM identifiers"), Slack ("Token
/// types"), OpenAI and Anthropic ("API keys"), SendGrid, Resend, npm. Options of servers: Supabase
/// wrappers and `postgres_fdw`. Password hashes: PostgreSQL manual, "pg_authid", and pgcrypto.
const PATTERNS: &[(Kind, &str)] = &[
    (
        Kind::RolePassword,
        r#"(^|[^a-z0-9_])(create|alter)\s+(role|user|group)\s[^;]*[^a-z0-9_]password\s*(e'|u&'|'|\$[a-z0-9_]*\$)[^\s']"#,
    ),
    // Also where the statement is put together: `format('… password %L')` holds none.
    (
        Kind::RolePassword,
        r#"[^a-z0-9_]password\s+(e|u&)?''?[^\s'",;)%]"#,
    ),
    (
        Kind::ServerOption,
        r#"options\s*\(([^;]*[^a-z0-9_])?(pass|passwd|password|sslpassword|secret|token|[a-z_]*(secret|token|_password|api_?key|access_key|secret_key|private_key|sa_key)|key|conn_string|connection_string)"?\s+(e|u&)?''?[^\s'",;)%]"#,
    ),
    (
        Kind::Url,
        r#"[a-z][a-z0-9+.-]*://[^\s:/?#@'"]*:[^\s/?#@'"]+@"#,
    ),
    // Keywords and values as libpq reads them (manual, "Connection Strings"): nothing but blanks is
    // between two of them, which no condition in SQL looks like.
    (
        Kind::ConnectionString,
        r#"[^a-z0-9_](host|hostaddr|port|dbname|user|sslmode|service)\s*=\s*[^\s'",;()]+(\s+[a-z_]+\s*=\s*[^\s'",;()]+)*\s+password\s*=\s*'*[^\s'",;()%$|]"#,
    ),
    (
        Kind::ConnectionString,
        r#"[^a-z0-9_]password\s*=\s*('+[^';]+'+|[^\s'",;()%$|]+)\s+(host|hostaddr|port|dbname|user|sslmode|service)\s*=\s*[^\s'",;()]"#,
    ),
    (
        Kind::Token,
        r#"eyj[a-z0-9_-]{8,}\.eyj[a-z0-9_-]{8,}\.[a-z0-9_-]{8,}"#,
    ),
    (
        Kind::Key,
        r#"(^|[^a-z0-9_-])((sk|rk|pk)_(live|test)_[a-z0-9]{10,}|whsec_[a-z0-9+/=]{16,}|sb_secret_[a-z0-9_-]{10,}|sbp_[a-z0-9_]{20,}|sk-[a-z0-9_-]{20,}|github_pat_[a-z0-9_]{20,}|gh[opsur]_[a-z0-9]{20,}|glpat-[a-z0-9_-]{16,}|npm_[a-z0-9]{30,}|xox[abeprs]-[a-z0-9-]{10,}|(akia|asia)[a-z0-9]{16}([^a-z0-9_]|$)|aiza[a-z0-9_-]{30,}|sg\.[a-z0-9_-]{16,}\.[a-z0-9_-]{16,})"#,
    ),
    (
        Kind::Key,
        r#"['" ]re_[a-z0-9]{6,12}_[a-z0-9]{20,}|hooks\.slack\.com/services/[a-z0-9]+/[a-z0-9]+/[a-z0-9]{8,}|discord(app)?\.com/api/webhooks/[0-9]+/[a-z0-9_-]{16,}"#,
    ),
    (Kind::PrivateKey, r#"-----begin [a-z0-9 ]*private key-----"#),
    (
        Kind::Header,
        r#"['"]\s*(bearer|basic|token)\s+[a-z0-9._~+/=-]{12,}"#,
    ),
    (
        Kind::Header,
        r#"['"](apikey|api-key|authorization|x-[a-z-]*(key|secret|token)|[a-z-]*(secret|token))\\?['"]\s*[:,]\s*\\?['"][!#-&(-~]{12,}"#,
    ),
    (
        Kind::Setting,
        r#"[^a-z0-9_]set\s+[a-z0-9_."]*(secret|passwd|password|token|_key|apikey)[a-z0-9_]*"?\s*(=|to|\s)\s*'[!-&(-~]{8,}"#,
    ),
    (
        Kind::Setting,
        r#"set_config\s*\(\s*'[a-z0-9_.]*(secret|passwd|password|token|_key|apikey)[a-z0-9_]*'\s*,\s*'[!-&(-~]{8,}"#,
    ),
    (
        Kind::Assignment,
        r#"(password|passwd|secret|api_?key|access_?key|service_?key|service_?role_?key|secret_?key|private_?key|signing_?key|encryption_?key|(access|auth|api|bot|bearer|refresh)_?token)"?(\s+(constant\s+)?(text|varchar|character varying))?\s*(:=|=>|=)\s*'[!-&(-~]{8,}"#,
    ),
    (
        Kind::Vault,
        r#"vault"?\s*\.\s*"?(create|update)_secret"?\s*\([^;]*'[^\s']"#,
    ),
    (Kind::Vault, r#"insert\s+into\s+"?vault"?\s*\.\s*"?secrets"#),
    (
        Kind::CryptoArgument,
        r#"pgp_sym_(en|de)crypt(_bytea)?\s*\(\s*[^,;()]+,\s*'[^']"#,
    ),
    (
        Kind::CryptoArgument,
        r#"[^a-z0-9_](hmac\s*\(\s*[^,;()]+,\s*'[^']|crypt\s*\(\s*'[^']+'(::text)?\s*,\s*[a-z_."]*gen_salt)"#,
    ),
    (
        Kind::PasswordHash,
        r#"scram-sha-256\$[0-9]+:|\$2[abxy]?\$[0-9][0-9]\$[./a-z0-9]{50}|\$argon2(id|i|d)\$|'md5[0-9a-f]{32}'"#,
    ),
];

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSetBuilder::new(PATTERNS.iter().map(|(_, pattern)| pattern))
        .case_insensitive(true)
        .unicode(false)
        .build()
        .expect("the patterns are constants that a test has built")
});

/// What kind of secret the text seems to hold; the first kind, when there are several.
pub fn looks_secret(text: &str) -> Option<Kind> {
    kinds(text).into_iter().next()
}

/// Every kind of secret that the text seems to hold, in the order of their list.
pub fn kinds(text: &str) -> BTreeSet<Kind> {
    // A word at the very beginning has the same right to a boundary before it as any other.
    let padded = format!("\n{text}");
    SET.matches(padded.as_bytes())
        .into_iter()
        .filter_map(|at| PATTERNS.get(at).map(|(kind, _)| *kind))
        .collect()
}

/// The patterns of secrets whose form alone tells what they are, wherever they stand: those that a
/// value of a row can be told by. To be matched whatever the case, by bytes.
pub fn forms_in_data() -> impl Iterator<Item = &'static str> {
    let in_data = |kind: Kind| {
        matches!(
            kind,
            Kind::Url | Kind::Token | Kind::Key | Kind::PrivateKey | Kind::PasswordHash
        )
    };
    PATTERNS
        .iter()
        .filter(move |(kind, _)| in_data(*kind))
        .map(|(_, pattern)| *pattern)
}

/// All patterns as one regular expression of PostgreSQL, for [`sql_condition`].
pub fn sql_pattern() -> String {
    let branches: Vec<String> = PATTERNS
        .iter()
        .map(|(_, pattern)| format!("(?:{pattern})"))
        .collect();
    branches.join("|")
}

/// A condition in SQL that says of a text expression what [`looks_secret`] says: true or false,
/// false for NULL.
pub fn sql_condition(expression: &str) -> String {
    format!(
        "coalesce((E'\\n' || ({expression})) collate pg_catalog.\"C\" operator(pg_catalog.~*) {}, false)",
        quote_literal(&sql_pattern())
    )
}

/// What stands in for statements that hold a secret.
pub const LEFT_OUT: &str = "-- left out by towpath: holds a secret";

#[cfg(test)]
mod tests {
    use super::*;

    /// Made up, and none of them ever worked. A server is asked the same in `tests/it/history.rs`.
    fn examples() -> (Vec<(String, String)>, Vec<String>) {
        let text = include_str!("../../../tests/fixtures/secret_text.json");
        let all: serde_json::Value = serde_json::from_str(text).unwrap();
        let text_of = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let secret = all["secret"].as_array().unwrap().iter();
        let ordinary = all["ordinary"].as_array().unwrap().iter();
        (
            secret
                .map(|one| (text_of(&one["kind"]), text_of(&one["text"])))
                .collect(),
            ordinary.map(text_of).collect(),
        )
    }

    #[test]
    fn secrets_are_found() {
        for (kind, text) in examples().0 {
            // Several kinds may fit; the one written down must be among them.
            let all = kinds(&text);
            let fits = all.iter().any(|found| format!("{found:?}") == kind);
            assert!(fits, "{text}: found as {all:?}, not as {kind}");
            assert!(looks_secret(&text.to_uppercase()).is_some(), "{text}");
            assert!(looks_secret(&format!("select 1;\n{text};\nselect 2")).is_some());
        }
    }

    #[test]
    fn ordinary_ddl_is_left_alone() {
        for text in examples().1 {
            assert_eq!(looks_secret(&text), None, "{text}");
        }
    }

    #[test]
    fn what_stands_in_is_no_secret_itself() {
        assert_eq!(looks_secret(LEFT_OUT), None);
    }

    #[test]
    fn every_kind_has_an_example() {
        let (secret, _) = examples();
        for (kind, pattern) in PATTERNS {
            let known = secret.iter().any(|(of, _)| *of == format!("{kind:?}"));
            assert!(known, "{pattern}");
            assert!(!kind.label().is_empty());
        }
    }
}
