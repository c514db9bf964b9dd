//! What `pg_dump` writes, section by section.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use towpath_model::connection::ConnectionUrl;
use towpath_model::name::QualifiedName;
use towpath_model::{ErrorKind, Failure, Result};

use crate::options::SchemaOptions;

/// The SQL of both sections, without what only psql understands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dump {
    /// Everything pg_dump would create before rows.
    pub pre_data: String,
    /// Everything after.
    pub post_data: String,
}

/// Schema only: reading catalogs takes seconds, even of thousands of tables over a far line.
const PATIENCE: Duration = Duration::from_secs(900);

/// Any word of letters: both lines must be found again, nobody runs the dump by psql.
const RESTRICT_KEY: &str = "towpath";

/// Variables of the caller's environment that would bend what the URL says.
const FOREIGN_VARIABLES: [&str; 18] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLNEGOTIATION",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGTARGETSESSIONATTRS",
];

/// Dumps both sections in the exported snapshot.
pub(crate) async fn read(
    url: &ConnectionUrl,
    snapshot_id: &str,
    server_version_num: u32,
    unreadable: &[QualifiedName],
    options: &SchemaOptions,
) -> Result<Dump> {
    let version = version(&options.pg_dump).await?;
    refuse_older(version, server_version_num, &options.pg_dump)?;
    let common = arguments(
        snapshot_id,
        unreadable,
        knows_restrict_key(&options.pg_dump).await?,
    );
    let section = |name: &'static str| {
        let mut command = command(url, options);
        command.args(&common).arg(format!("--section={name}"));
        run(command, name)
    };
    let (pre_data, post_data) = tokio::try_join!(section("pre-data"), section("post-data"))?;
    Ok(Dump {
        pre_data: without_restrict_lines(&pre_data),
        post_data: without_restrict_lines(&post_data),
    })
}

/// No owners (the target has one), no tablespaces, no subscriptions and no labels: none of them
/// can exist on the target.
fn arguments(snapshot_id: &str, unreadable: &[QualifiedName], restrict_key: bool) -> Vec<OsString> {
    let mut arguments: Vec<String> = [
        "--schema-only",
        "--no-owner",
        "--no-tablespaces",
        "--no-subscriptions",
        "--no-security-labels",
        "--no-password",
        "--encoding=UTF8",
        "--lock-wait-timeout=60s",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--snapshot={snapshot_id}"));
    if restrict_key {
        arguments.push(format!("--restrict-key={RESTRICT_KEY}"));
    }
    arguments.extend(
        unreadable
            .iter()
            .map(|name| format!("--exclude-table={}", name.quoted())),
    );
    arguments.into_iter().map(OsString::from).collect()
}

/// The child, connected by its environment: arguments can be read by every user of this machine.
fn command(url: &ConnectionUrl, options: &SchemaOptions) -> Command {
    let mut command = plain_command(&options.pg_dump);
    let sslmode = url.parameter("sslmode").unwrap_or_else(|| {
        if url.is_loopback() {
            "prefer"
        } else {
            "verify-full"
        }
    });
    command
        .env("PGHOST", &url.host)
        .env("PGPORT", url.port.to_string())
        .env("PGUSER", &url.user)
        .env("PGDATABASE", &url.database)
        .env("PGSSLMODE", sslmode)
        .env("PGCONNECT_TIMEOUT", "15")
        .env("PGAPPNAME", "towpath/schema");
    if let Some(password) = &url.password {
        command.env("PGPASSWORD", password.reveal());
    }
    if let Some(file) = url.parameter("sslrootcert") {
        command.env("PGSSLROOTCERT", file);
    } else if let Some(file) = &options.root_certificates {
        command.env("PGSSLROOTCERT", file);
    }
    command
}

fn plain_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in FOREIGN_VARIABLES {
        command.env_remove(name);
    }
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(mut command: Command, section: &str) -> Result<String> {
    let doing = || format!("could not dump the schema of source ({section})");
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| {
            Failure::new(ErrorKind::Schema, doing()).because(format!(
                "pg_dump did not finish within {} s",
                PATIENCE.as_secs()
            ))
        })?
        .map_err(|cause| Failure::new(ErrorKind::Schema, doing()).because(cause))?;
    if !output.status.success() {
        // pg_dump's messages name hosts, objects and settings; the password travels by environment.
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(ErrorKind::Schema, doing()).because(stderr.trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|cause| {
        Failure::new(ErrorKind::Schema, doing()).because(cause).hint(
            "the database holds names or comments that are not UTF-8; rename them on the source",
        )
    })
}

async fn answer(program: &Path, argument: &str) -> Result<String> {
    let missing = |cause: String| {
        Failure::new(
            ErrorKind::Schema,
            format!("could not run pg_dump at {}", program.display()),
        )
        .because(cause)
        .hint("install the PostgreSQL client of the source's major version or newer, or name its pg_dump in the configuration")
    };
    let output = tokio::time::timeout(
        Duration::from_secs(20),
        plain_command(program).arg(argument).output(),
    )
    .await
    .map_err(|_| missing("no answer within 20 s".to_owned()))?
    .map_err(|cause| missing(cause.to_string()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Major version of `pg_dump (PostgreSQL) 15.18 (Debian …)`.
async fn version(program: &Path) -> Result<u32> {
    let line = answer(program, "--version").await?;
    major(&line).ok_or_else(|| {
        Failure::new(
            ErrorKind::Schema,
            format!("could not tell the version of {}", program.display()),
        )
        .hint("name a pg_dump of PostgreSQL in the configuration")
    })
}

fn major(line: &str) -> Option<u32> {
    let (_, version) = line.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn refuse_older(client: u32, server_version_num: u32, program: &Path) -> Result<()> {
    let server = server_version_num / 10_000;
    if client >= server {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Schema,
        format!(
            "{} is of version {client}, the source of {server}",
            program.display()
        ),
    )
    .hint(format!(
        "install the PostgreSQL client {server} or newer; an older pg_dump cannot read the source"
    )))
}

async fn knows_restrict_key(program: &Path) -> Result<bool> {
    Ok(answer(program, "--help").await?.contains("--restrict-key"))
}

/// Takes out the two lines that guard psql against the dump. They stand outside of every
/// statement: the first before the first one, the second, with the same key, as the last line.
fn without_restrict_lines(text: &str) -> String {
    let Some((line, key)) = text
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("--") || line.starts_with('\\'))
        .find_map(|line| line.strip_prefix(r"\restrict ").map(|key| (line, key)))
    else {
        return text.to_owned();
    };
    let body = text.replacen(&format!("{line}\n"), "", 1);
    match body.trim_end().strip_suffix(&format!("\\unrestrict {key}")) {
        Some(body) => body.to_owned(),
        None => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_restrict_lines_are_taken_out() {
        let text = "--\n-- dump\n--\n\n\\restrict k1\n\nselect '\n\\restrict k1\n';\n\n\\unrestrict k1\n\n";
        assert_eq!(
            without_restrict_lines(text),
            "--\n-- dump\n--\n\n\nselect '\n\\restrict k1\n';\n\n"
        );
        let plain = "select '\n\\restrict x\n';\n";
        assert_eq!(without_restrict_lines(plain), plain);
    }

    #[test]
    fn an_older_client_is_refused() {
        assert_eq!(
            major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-1)\n"),
            Some(15)
        );
        assert_eq!(major("pg_dump (PostgreSQL) 17beta1"), Some(17));
        assert!(refuse_older(15, 150_018, Path::new("pg_dump")).is_ok());
        let refused = refuse_older(15, 170_002, Path::new("pg_dump")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Schema);
        assert!(refused.find_hint().is_some());
    }

    #[test]
    fn no_argument_holds_a_secret() {
        let url = ConnectionUrl::parse(
            "postgres://u:hunter2@db.example.com/d",
            towpath_model::connection::Side::Source,
        )
        .unwrap();
        let options = SchemaOptions {
            pg_dump: "pg_dump".into(),
            target_owner: "o".to_owned(),
            carry_auth_users: crate::CarryAuthUsers::Auto,
            root_certificates: None,
        };
        let mut child = command(&url, &options);
        child.args(arguments(
            "0003-1B",
            &[QualifiedName::new("a", "b.c")],
            true,
        ));
        let shown: Vec<_> = child.as_std().get_args().collect();
        assert!(!format!("{shown:?}").contains("hunter2"));
        assert!(shown.contains(&std::ffi::OsStr::new("--exclude-table=\"a\".\"b.c\"")));
        let mode = child
            .as_std()
            .get_envs()
            .find(|(name, _)| *name == "PGSSLMODE")
            .and_then(|(_, value)| value);
        assert_eq!(mode, Some(std::ffi::OsStr::new("verify-full")));
    }
}
