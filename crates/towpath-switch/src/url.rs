//! Connection URLs as consumers write them. The text is taken apart, not normalised: what is not
//! ours to change comes out as it went in.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use towpath_model::connection::Secret;

use crate::mapping::{Login, Mapping, Via};
use crate::mask::Shown;
use crate::server::Place;
use crate::tls::{Client, Reader, Wanted};

/// Everything but RFC 3986's unreserved characters is encoded: right in every part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Parameters that only Supabase's pooler or its integrations understand.
const SUPABASE_PARAMETERS: [&str; 2] = ["supa", "workaround"];

/// Parameters that keep a client from preparing statements, and the values that do; any value
/// where none is given. A pooler that shares connections between transactions needs them, and so
/// does RDS Proxy, which pins a connection to a client that prepares. On a direct connection they
/// cost time. Other values are somebody's tuning.
const POOLER_PARAMETERS: [(&str, Option<&str>); 5] = [
    ("pgbouncer", None),
    ("statement_cache_size", Some("0")),
    ("prepared_statement_cache_size", Some("0")),
    ("preparethreshold", Some("0")),
    ("prepare", Some("false")),
];

/// Parameters that say what the other parts of a URL can say too.
const PARTS: [&str; 5] = ["host", "port", "user", "password", "dbname"];

/// What a text turned out to be.
pub(crate) enum Reading<'a> {
    /// Not a PostgreSQL URL.
    Other,
    /// One that cannot be taken apart with certainty.
    Unreadable,
    /// One that leads to Prisma's service, which connects for itself.
    BehindPrisma,
    /// A PostgreSQL URL.
    Url(DatabaseUrl<'a>),
}

struct Parameter<'a> {
    raw: &'a str,
    name: String,
    value: Secret,
}

/// A PostgreSQL URL taken apart.
pub(crate) struct DatabaseUrl<'a> {
    lead: &'a str,
    scheme: &'a str,
    has_login: bool,
    /// Whether the part before the host holds a password.
    has_login_password: bool,
    has_host: bool,
    has_port: bool,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    database: Option<String>,
    parameters: Vec<Parameter<'a>>,
    trail: &'a str,
}

/// Takes a text apart.
pub(crate) fn read(text: &str) -> Reading<'_> {
    let body = text.trim();
    let Some((scheme, rest)) = body.split_once("://") else {
        return Reading::Other;
    };
    if !is_postgres(scheme) {
        return Reading::Other;
    }
    let lead = &text[..text.len() - text.trim_start().len()];
    let trail = &text[text.trim_end().len()..];
    match take_apart(scheme, rest) {
        Some(url) if is_prisma(scheme) && is_prisma_host(&url.host) => Reading::BehindPrisma,
        Some(url) => Reading::Url(DatabaseUrl { lead, trail, ..url }),
        None => Reading::Unreadable,
    }
}

fn is_prisma(scheme: &str) -> bool {
    scheme.to_ascii_lowercase().starts_with("prisma")
}

fn is_prisma_host(host: &str) -> bool {
    host.to_ascii_lowercase()
        .trim_end_matches('.')
        .ends_with(".prisma-data.net")
}

/// `postgres`, `postgresql+asyncpg`, `prisma+postgres`, `jdbc:postgresql`,
/// `jdbc:aws-wrapper:postgresql`, and the names that Django's URLs know.
fn is_postgres(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    let word = |name: &str| {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        !name.is_empty() && name.chars().all(usual)
    };
    if let Some((wrappers, base)) = scheme.rsplit_once(':') {
        return matches!(base, "postgresql" | "postgres" | "pgsql")
            && wrappers.split(':').all(word);
    }
    match scheme.split_once('+') {
        Some(("prisma", base)) => matches!(base, "postgres" | "postgresql"),
        Some((base, driver)) => matches!(base, "postgres" | "postgresql") && word(driver),
        None => matches!(
            scheme.as_str(),
            "postgres" | "postgresql" | "pgsql" | "postgis" | "prisma"
        ),
    }
}

fn take_apart<'a>(scheme: &'a str, rest: &'a str) -> Option<DatabaseUrl<'a>> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let (login, server) = match authority.rsplit_once('@') {
        Some((login, server)) => (Some(login), server),
        None => (None, authority),
    };
    if login.is_some() && is_jdbc(scheme) {
        return None;
    }
    let (host, port) = split_server(server)?;
    let has_port = port.is_some();
    let parameters = query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(parameter)
        .collect::<Option<Vec<_>>>()?;
    let user = match login.map(|login| login.split_once(':').map_or(login, |(user, _)| user)) {
        Some(user) => Some(decoded(user)?),
        None => None,
    };
    let named = |name: &str| {
        parameters
            .iter()
            .rev()
            .find(|parameter| parameter.name == name)
            .map(|parameter| parameter.value.reveal().to_owned())
    };
    // libpq connects to these whatever the host says: a URL that holds one cannot be pointed
    // elsewhere by changing its host.
    if named("hostaddr").or(named("service")).is_some() {
        return None;
    }
    let has_host = !host.is_empty();
    let host = named("host").unwrap_or(decoded(host)?);
    if host.is_empty() || host.contains(',') {
        return None;
    }
    let port = match named("port") {
        Some(digits) => Some(digits.parse().ok()?),
        None => port,
    };
    let database = named("dbname").or(Some(decoded(path)?));
    Some(DatabaseUrl {
        lead: "",
        trail: "",
        scheme,
        has_login: login.is_some(),
        has_login_password: login.is_some_and(|login| login.contains(':')),
        has_host,
        has_port,
        user: named("user").or(user).filter(|user| !user.is_empty()),
        host,
        port,
        database: database.filter(|database| !database.is_empty()),
        parameters,
    })
}

fn is_jdbc(scheme: &str) -> bool {
    scheme.to_ascii_lowercase().starts_with("jdbc:")
}

fn split_server(server: &str) -> Option<(&str, Option<u16>)> {
    let (host, digits) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (
                host,
                after.strip_prefix(':').or(after.is_empty().then_some(""))?,
            )
        }
        None => server.split_once(':').unwrap_or((server, "")),
    };
    if digits.is_empty() {
        return Some((host, None));
    }
    Some((host, Some(digits.parse().ok()?)))
}

fn parameter(raw: &str) -> Option<Parameter<'_>> {
    let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
    Some(Parameter {
        raw,
        name: decoded(name)?,
        value: Secret::new(decoded(value)?),
    })
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text)
        .decode_utf8()
        .ok()
        .map(Cow::into_owned)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

impl DatabaseUrl<'_> {
    /// Where it points.
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            host: &self.host,
            port: self.port.unwrap_or(5432),
            user: self.user.as_deref(),
            reference: self
                .parameters
                .iter()
                .filter(|parameter| parameter.name == "options")
                .find_map(|parameter| reference_option(parameter.value.reveal())),
        }
    }

    /// The database, when the URL names one.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The user, when the URL names one.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the URL holds a password.
    pub(crate) fn has_password(&self) -> bool {
        self.has_login_password || self.has("password")
    }

    /// Whether it verifies the server by a file that the mapping says nothing about.
    pub(crate) fn trusts_own_root(&self, reader: Reader<'_>, mapping: &Mapping) -> bool {
        let client = self.client(reader);
        let has = |name: &str| self.has(name);
        let wanted = client.wanted(mapping, &has);
        client
            .root_name()
            .is_some_and(|name| has(name) && !wanted.drops(name) && wanted.value(name).is_none())
    }

    fn client(&self, reader: Reader<'_>) -> Client {
        let names: Vec<&str> = self.parameters.iter().map(|it| it.name.as_str()).collect();
        Client::of_url(self.scheme, &names, reader)
    }

    /// What a person may see of it.
    pub(crate) fn masked(&self) -> String {
        Shown {
            scheme: self.scheme,
            user: self.user.as_deref(),
            host: &self.host,
            port: self.port,
            database: self.database.as_deref(),
            parameters: self
                .parameters
                .iter()
                .filter(|parameter| !PARTS.contains(&parameter.name.as_str()))
                .map(|parameter| (parameter.name.as_str(), parameter.value.reveal()))
                .collect(),
        }
        .text()
    }

    /// The same URL pointing at the target. It gets no part that it did not have: who keeps user or
    /// password elsewhere goes on keeping them there.
    pub(crate) fn rewritten(
        &self,
        login: &Login<'_>,
        reader: Reader<'_>,
        mapping: &Mapping,
    ) -> Secret {
        let new = Parts::of(login, mapping);
        let mut text = format!("{}{}://", self.lead, self.scheme);
        text.push_str(&self.login(&new));
        text.push_str(&self.server(&new));
        text.push('/');
        text.push_str(&new.database);
        let query = self.query(&new, reader, mapping);
        if !query.is_empty() {
            text.push('?');
            text.push_str(&query.join("&"));
        }
        text.push_str(self.trail);
        Secret::new(text)
    }

    fn login(&self, new: &Parts) -> String {
        match (self.has_login, self.has_login_password) {
            (false, _) => String::new(),
            (true, false) => format!("{}@", new.user),
            (true, true) => format!("{}:{}@", new.user, new.password.reveal()),
        }
    }

    fn server(&self, new: &Parts) -> String {
        let mut text = String::new();
        if self.has_host || !self.has("host") {
            text.push_str(&new.bracketed_host);
        }
        // A missing port means 5432 to every client.
        if !self.has("port") && (self.has_port || new.port != "5432") {
            text.push_str(&format!(":{}", new.port));
        }
        text
    }

    fn query(&self, new: &Parts, reader: Reader<'_>, mapping: &Mapping) -> Vec<String> {
        let wanted = self
            .client(reader)
            .wanted(mapping, &|name: &str| self.has(name));
        let carried = self
            .parameters
            .iter()
            .filter_map(|parameter| carried(parameter, new, &wanted, mapping));
        let missing = wanted
            .set
            .iter()
            .filter(|(name, _)| !self.has(name))
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        carried.chain(missing).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .any(|parameter| parameter.name == name)
    }
}

/// What a parameter becomes; nothing when it is dropped.
fn carried(
    parameter: &Parameter<'_>,
    new: &Parts,
    wanted: &Wanted,
    mapping: &Mapping,
) -> Option<String> {
    let name = parameter.name.as_str();
    let raw_name = parameter.raw.split('=').next().unwrap_or(name);
    if PARTS.contains(&name) {
        return Some(format!("{raw_name}={}", new.part(name)));
    }
    if wanted.drops(name) || serves_pooler_only(name, parameter.value.reveal(), mapping.via) {
        return None;
    }
    if name == "options" && reference_option(parameter.value.reveal()).is_some() {
        let rest = without_reference(parameter.value.reveal());
        return (!rest.is_empty()).then(|| format!("{raw_name}={}", encoded(&rest)));
    }
    match wanted.value(name) {
        Some(value) => Some(format!("{raw_name}={}", encoded(value))),
        None => Some(parameter.raw.to_owned()),
    }
}

/// Whether a parameter is there for a pooler that will be no more.
pub(crate) fn serves_pooler_only(name: &str, value: &str, via: Via) -> bool {
    let name = name.to_ascii_lowercase();
    if SUPABASE_PARAMETERS.contains(&name.as_str()) {
        return true;
    }
    let found = POOLER_PARAMETERS.iter().find(|(known, _)| *known == name);
    via == Via::Direct && found.is_some_and(|(_, only)| only.is_none_or(|only| only == value))
}

/// The new parts, encoded as a URL wants them.
struct Parts {
    host: String,
    bracketed_host: String,
    port: String,
    user: String,
    password: Secret,
    database: String,
}

impl Parts {
    fn of(login: &Login<'_>, mapping: &Mapping) -> Self {
        let target = &mapping.target;
        Self {
            host: encoded(&target.host),
            bracketed_host: bracketed(&target.host),
            port: target.port.to_string(),
            user: encoded(login.user),
            password: Secret::new(encoded(login.password().reveal())),
            database: encoded(&target.database),
        }
    }

    fn part(&self, name: &str) -> &str {
        match name {
            "host" => &self.host,
            "port" => &self.port,
            "user" => &self.user,
            "dbname" => &self.database,
            _ => self.password.reveal(),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        encoded(host)
    }
}

/// The project reference in `options=reference=<ref>`, which a pooler takes in place of the user's
/// suffix.
pub(crate) fn reference_option(options: &str) -> Option<&str> {
    words(options).find_map(|word| word.strip_prefix("reference="))
}

pub(crate) fn without_reference(options: &str) -> String {
    let kept: Vec<&str> = words(options)
        .filter(|word| !word.starts_with("reference="))
        .collect();
    kept.join(" ")
}

fn words(options: &str) -> impl Iterator<Item = &str> {
    options.split([' ', '+']).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use towpath_model::connection::{ConnectionUrl, Side};

    fn mapping(password: &str, sslmode: Option<&str>) -> Mapping {
        let mut target = ConnectionUrl::parse(
            "postgres://app@orders.x1.eu-west-1.rds.amazonaws.com:5433/or%20ders",
            Side::Target,
        )
        .unwrap();
        target.password = Some(Secret::new(password));
        let source = ConnectionUrl::parse("postgres://u:p@s/d", Side::Source).unwrap();
        Mapping {
            sslmode: sslmode.map(str::to_owned),
            ..Mapping::new(source, target)
        }
    }

    fn rewrite(text: &str, mapping: &Mapping) -> Secret {
        let login = mapping.login(None).unwrap();
        url(text).rewritten(&login, Reader::default(), mapping)
    }

    fn url(text: &str) -> DatabaseUrl<'_> {
        match read(text) {
            Reading::Url(url) => url,
            _ => panic!("{text} was not read"),
        }
    }

    fn rewritten(text: &str, sslmode: Option<&str>) -> String {
        rewrite(text, &mapping("p/w@1", sslmode))
            .reveal()
            .to_owned()
    }

    const TARGET: &str = "app:p%2Fw%401@orders.x1.eu-west-1.rds.amazonaws.com:5433/or%20ders";

    #[test]
    fn keeps_scheme_and_unknown_parameters_in_order() {
        let pooled = "postgresql://postgres.ref:s%23x@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?schema=a%20b&pgbouncer=true&connection_limit=1&statement_cache_size=0&supa=base-pooler.x&options=reference%3Dref&sslmode=no-verify&flag";
        assert_eq!(
            rewritten(pooled, None),
            format!("postgresql://{TARGET}?schema=a%20b&connection_limit=1&sslmode=no-verify&flag")
        );
        assert_eq!(
            rewritten(pooled, Some("verify-full")),
            format!(
                "postgresql://{TARGET}?schema=a%20b&connection_limit=1&sslmode=require&flag&sslaccept=strict"
            )
        );
        assert_eq!(
            rewritten(
                "postgres://u:p@h/d?options=reference%3Dref%20-c%20geqo%3Doff",
                None
            ),
            format!("postgres://{TARGET}?options=-c%20geqo%3Doff")
        );
    }

    #[test]
    fn knows_drivers_and_jdbc() {
        assert_eq!(
            rewritten("postgresql+asyncpg://u:p@h/d", Some("require")),
            format!("postgresql+asyncpg://{TARGET}?ssl=require")
        );
        assert_eq!(
            rewritten(
                "jdbc:postgresql://h:6543/d?user=u&prepareThreshold=0&password=p&ApplicationName=x",
                Some("require")
            ),
            "jdbc:postgresql://orders.x1.eu-west-1.rds.amazonaws.com:5433/or%20ders?user=app&password=p%2Fw%401&ApplicationName=x&sslmode=require"
        );
        assert_eq!(
            rewritten(" postgres://u:p@h/d\n", None),
            format!(" postgres://{TARGET}\n")
        );
        assert_eq!(
            rewritten("postgres:///d?host=/run/pg&user=u&password=p", None),
            "postgres://:5433/or%20ders?host=orders.x1.eu-west-1.rds.amazonaws.com&user=app&password=p%2Fw%401"
        );
        for other in [
            "mysql://u:p@h/d",
            "https://ref.supabase.co",
            "plain",
            "jdbc:mysql://h/d",
        ] {
            assert!(matches!(read(other), Reading::Other), "{other}");
        }
        assert!(matches!(
            read("prisma+postgres://accelerate.prisma-data.net/?api_key=x"),
            Reading::BehindPrisma
        ));
        assert_eq!(
            rewritten("jdbc:aws-wrapper:postgresql://h/d", None),
            "jdbc:aws-wrapper:postgresql://orders.x1.eu-west-1.rds.amazonaws.com:5433/or%20ders"
        );
        assert_eq!(
            rewritten("prisma+postgres://u:p@h:6543/d", Some("require")),
            format!("prisma+postgres://{TARGET}?sslmode=require&sslaccept=accept_invalid_certs")
        );
        for broken in [
            "postgres://u:p/w@h/d",
            "postgres://a,b/d",
            "postgres://u@h:port/d",
        ] {
            assert!(matches!(read(broken), Reading::Unreadable), "{broken}");
        }
    }

    #[test]
    fn a_proxy_keeps_what_keeps_clients_from_preparing() {
        let text = "postgres://u:p@h/d?pgbouncer=true&supa=x&statement_cache_size=0&statement_cache_size=50&prepare=false";
        let mut mapping = mapping("x", None);
        let query = |mapping: &Mapping| {
            let text = rewrite(text, mapping).reveal().to_owned();
            text.split_once('?').map(|(_, query)| query.to_owned())
        };
        assert_eq!(query(&mapping).as_deref(), Some("statement_cache_size=50"));
        mapping.via = Via::Proxy;
        assert_eq!(
            query(&mapping).as_deref(),
            Some("pgbouncer=true&statement_cache_size=0&statement_cache_size=50&prepare=false")
        );
    }

    #[test]
    fn a_url_gets_no_part_it_did_not_have() {
        assert_eq!(
            rewritten("postgres://u@h/d", None),
            "postgres://app@orders.x1.eu-west-1.rds.amazonaws.com:5433/or%20ders"
        );
        assert!(!url("postgres://u@h/d").has_password());
        assert!(url("postgres://h/d?password=x").has_password());
    }

    #[test]
    fn passwords_that_were_never_encoded_still_leave_the_right_host() {
        let url = url("postgres://u:p#w@x:y@host.example:6000/d");
        assert_eq!(url.place().host, "host.example");
        assert_eq!(url.place().port, 6000);
        assert_eq!(url.place().user, Some("u"));
    }

    proptest! {
        #[test]
        fn a_rewritten_url_parses_back_to_the_target(password in "\\PC{1,40}", jdbc in any::<bool>()) {
            let mapping = mapping(&password, None);
            let text = if jdbc { "jdbc:postgresql://h/d?user=u&password=p&x=1" } else { "postgres://u:p@h/d?x=1" };
            let rewritten = rewrite(text, &mapping);
            let plain = rewritten.reveal().trim_start_matches("jdbc:");
            if jdbc {
                let again = url(rewritten.reveal());
                let found = again.parameters.iter().find(|it| it.name == "password").unwrap();
                prop_assert_eq!(found.value.reveal(), &password);
                prop_assert_eq!(again.database(), Some("or ders"));
            } else {
                let parsed = ConnectionUrl::parse(plain, Side::Target).unwrap();
                prop_assert_eq!(parsed.password.as_ref().unwrap().reveal(), &password);
                prop_assert_eq!(&parsed.host, &mapping.target.host);
                prop_assert_eq!(parsed.port, 5433);
                prop_assert_eq!(&parsed.user, "app");
                prop_assert_eq!(&parsed.database, "or ders");
                prop_assert_eq!(parsed.parameter("x"), Some("1"));
            }
        }

        #[test]
        fn unknown_parameters_survive(names in proptest::collection::vec("x_[a-z]{1,8}", 0..6), value in "[a-zA-Z0-9%2]{0,8}") {
            let query: Vec<String> = names.iter().map(|name| format!("{name}={}", encoded(&value))).collect();
            let text = format!("postgres://u:p@h/d?{}", query.join("&"));
            let rewritten = rewritten(&text, None);
            prop_assert_eq!(rewritten.split_once('?').map_or("", |(_, query)| query), query.join("&"));
        }

        #[test]
        fn masks_never_show_password_or_parameter_values(secret in "[a-zA-Z0-9]{12,30}") {
            for text in [
                format!("postgres://u:{secret}@h/d?sslpassword={secret}&password={secret}"),
                format!("jdbc:postgresql://h/d?user=u&password={secret}"),
                format!("postgres://u:a@b{secret}@h:1/d?{secret}@{secret}"),
            ] {
                let url = url(&text);
                prop_assert!(!url.masked().contains(&secret));
                let after = rewrite(&text, &mapping(&secret, None));
                prop_assert!(!self::url(after.reveal()).masked().contains(&secret));
            }
        }
    }
}
