//! What the configuration says of consumers: which are meant, and what they get.

use std::collections::BTreeMap;
use std::path::Path;

use towpath_model::connection::{ConnectionUrl, Secret, Side};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_switch::{Mapping, PasswordBy, Selection, Via};

use crate::context::Context;
use crate::settings::Settings;

/// Whether any consumer is selected. A selection that cannot be read is one: whoever goes on to use
/// it learns why.
pub fn are_selected(context: &Context) -> bool {
    !selection(context).is_ok_and(|selection| selection.is_empty())
}

/// Which consumers are looked at.
pub fn selection(context: &Context) -> Result<Selection> {
    let settings = &context.settings;
    Ok(Selection {
        names: settings.list("switch.functions"),
        prefixes: settings.list("switch.prefixes"),
        tags: pairs(&settings.list("switch.tags")).collect(),
        stacks: settings.list("switch.stacks"),
        all: settings.word("switch.all", &["true", "false"])? == "true",
        variables: settings.list("switch.secret_variables"),
        parameter_variables: settings.list("switch.parameter_variables"),
        secrets: settings.list("switch.secrets"),
        parameters: settings.list("switch.parameters"),
    })
}

/// Texts of the form `one=two`.
fn pairs(texts: &[String]) -> impl Iterator<Item = (String, String)> {
    texts.iter().map(|text| {
        let (one, two) = text.split_once('=').unwrap_or((text, ""));
        (one.trim().to_owned(), two.trim().to_owned())
    })
}

/// The target as consumers get it, with their user and password.
pub fn url(context: &Context) -> Result<ConnectionUrl> {
    let settings = &context.settings;
    let mut url = match settings.url_of("switch", Side::Target)? {
        Some(url) => url,
        None => context.url(Side::Target)?,
    };
    if let Some(database) = settings.optional("switch.database") {
        url.database = database;
    }
    if via(settings)? == Via::Proxy {
        let endpoint = settings.text("switch.proxy_endpoint");
        let (host, port) = match endpoint.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad_endpoint())?),
            None => (endpoint, 5432),
        };
        if host.is_empty() {
            return Err(bad_endpoint());
        }
        url.host = host.to_owned();
        url.port = port;
    }
    Ok(url)
}

fn bad_endpoint() -> Failure {
    Failure::new(
        ErrorKind::Config,
        "switch.via is proxy, and switch.proxy_endpoint is not host or host:port",
    )
    .hint("name the endpoint of the RDS Proxy, as `aws rds describe-db-proxies` tells it")
}

fn via(settings: &Settings) -> Result<Via> {
    Ok(match settings.word("switch.via", &["direct", "proxy"])? {
        "proxy" => Via::Proxy,
        _ => Via::Direct,
    })
}

/// From where to where, and as whom.
pub fn mapping(context: &Context) -> Result<Mapping> {
    let settings = &context.settings;
    let target = url(context)?;
    Ok(Mapping {
        source_hosts: settings.list("switch.source_hosts"),
        sslmode: sslmode(settings)?,
        sslrootcert: settings.optional("switch.sslrootcert"),
        node_extra_ca_certs: settings.optional("switch.node_extra_ca_certs"),
        via: via(settings)?,
        users: users(settings)?,
        passwords: match settings.path("switch.passfile") {
            Some(path) => passwords(&path, &target)?,
            None => BTreeMap::new(),
        },
        password_by: password_by(settings)?,
        ..Mapping::new(context.url(Side::Source)?, target)
    })
}

fn sslmode(settings: &Settings) -> Result<Option<String>> {
    const WORDS: [&str; 8] = [
        "",
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
        "no-verify",
    ];
    let word = settings.word("switch.sslmode", &WORDS)?;
    Ok((!word.is_empty()).then(|| word.to_owned()))
}

fn users(settings: &Settings) -> Result<BTreeMap<String, String>> {
    let users: BTreeMap<String, String> = pairs(&settings.list("switch.users")).collect();
    match users
        .iter()
        .any(|(old, new)| old.is_empty() || new.is_empty())
    {
        false => Ok(users),
        true => Err(Failure::new(
            ErrorKind::Config,
            "switch.users holds something else than old=new",
        )),
    }
}

fn password_by(settings: &Settings) -> Result<PasswordBy> {
    match settings.text("switch.password") {
        "value" => Ok(PasswordBy::Value),
        "iam" => Ok(PasswordBy::Iam),
        arn if arn.starts_with("arn:") && arn.contains(":secretsmanager:") => {
            Ok(PasswordBy::Secret(arn.to_owned()))
        }
        // Whatever else it is might be a password that somebody put there.
        _ => Err(Failure::new(
            ErrorKind::Config,
            "switch.password is neither value nor iam nor the ARN of a secret",
        )
        .hint(
            "the password itself belongs into switch.url, by TOWPATH_SWITCH_URL or switch.url_file",
        )),
    }
}

/// Passwords by user, out of a file as libpq's `.pgpass`: the first line for the target counts.
fn passwords(path: &Path, target: &ConnectionUrl) -> Result<BTreeMap<String, Secret>> {
    let refuse = |what: &str| {
        Failure::new(
            ErrorKind::Config,
            format!("could not use the password file {}: {what}", path.display()),
        )
        .hint(
            "lines of hostname:port:database:username:password, readable for you alone (chmod 600)",
        )
    };
    if is_open_to_others(path).map_err(|cause| refuse("it cannot be read").because(cause))? {
        return Err(refuse("others may read it"));
    }
    let text = std::fs::read_to_string(path)
        .map(Secret::new)
        .map_err(|cause| refuse("it cannot be read").because(cause))?;
    let mut passwords = BTreeMap::new();
    for line in text.reveal().lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let [host, port, database, user, password] =
            fields(line).ok_or_else(|| refuse("a line has too few fields"))?;
        let is = |field: &str, value: &str| field == "*" || field == value;
        let is_target = is(&host, &target.host)
            && is(&port, &target.port.to_string())
            && is(&database, &target.database);
        if is_target && user != "*" {
            passwords
                .entry(user)
                .or_insert_with(|| Secret::new(password));
        }
    }
    Ok(passwords)
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(path: &Path) -> std::io::Result<bool> {
    std::fs::metadata(path).map(|_| false)
}

/// The five fields of a line; `\` takes the next character as it is.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let is_last = fields.len() == 5;
        let field = fields.last_mut()?;
        match c {
            '\\' => field.extend(chars.next()),
            ':' if !is_last => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_password_file_are_those_of_libpq() {
        let of = |line: &str| fields(line).map(|fields| fields.join("|"));
        assert_eq!(
            of(r"h\:x:1:*:u:p\\:w\:").as_deref(),
            Some(r"h:x|1|*|u|p\:w:")
        );
        assert_eq!(of("h:1:d:u"), None);
    }

    #[test]
    #[cfg(unix)]
    fn the_first_line_for_the_target_counts() {
        use std::os::unix::fs::PermissionsExt;
        let target = ConnectionUrl::parse("postgres://a:b@t:5433/orders", Side::Target).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pass");
        std::fs::write(
            &path,
            "# x\nother:*:*:u:no\n*:5433:orders:u:yes\n*:*:*:u:late\n",
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = passwords(&path, &target).unwrap_err();
        assert!(refused.to_string().contains("others may read it"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let found = passwords(&path, &target).unwrap();
        assert_eq!(found["u"].reveal(), "yes");
    }
}
