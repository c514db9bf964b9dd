//! What `pg_dump` writes, section by section.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use towpath_model::connection::ConnectionUrl;
use towpath_model::definition;
use towpath_model::name::QualifiedName;
use towpath_model::structure::Structure;
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

/// The first version that can dump the planner's statistics too.
const KNOWS_STATISTICS: u32 = 18;

/// The first version that quotes every name that our parser would take for something else.
const KNOWS_ALL_KEYWORDS: u32 = 170_000;

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

/// Dumps both sections in the exported snapshot; says by which program.
pub(crate) async fn read(
    url: &ConnectionUrl,
    snapshot_id: &str,
    server_version_num: u32,
    unreadable: &[QualifiedName],
    structure: &Structure,
    options: &SchemaOptions,
) -> Result<(Dump, String)> {
    let program = fitting(
        &options.pg_dump,
        server_version_num / 10_000,
        &usual_places(),
    )
    .await?;
    let mut common = arguments(
        snapshot_id,
        unreadable,
        knows_restrict_key(&program.path).await?,
        program.major,
    );
    if server_version_num < KNOWS_ALL_KEYWORDS && names_newer_keyword(structure) {
        common.push("--quote-all-identifiers".into());
    }
    let section = |name: &'static str| {
        let mut command = command(&program.path, url, options);
        command.args(&common).arg(format!("--section={name}"));
        run(command, name)
    };
    let (pre_data, post_data) = tokio::try_join!(section("pre-data"), section("post-data"))?;
    let dump = Dump {
        pre_data: without_restrict_lines(&pre_data),
        post_data: without_restrict_lines(&post_data),
    };
    Ok((dump, program.to_string()))
}

/// Whether something is called what is a keyword to a newer server and to our parser. The source
/// quotes by its own list of keywords, and a column `system_user` would become a call of the
/// function without a word. Everywhere else quotes are noise that people have to read.
fn names_newer_keyword(structure: &Structure) -> bool {
    fn in_value(value: &Value) -> bool {
        match value {
            Value::String(text) => {
                definition::is_newer_keyword(text) && text != "json"
                    || definition::names_newer_keyword(text)
            }
            Value::Array(items) => items.iter().any(in_value),
            Value::Object(fields) => fields.values().any(in_value),
            _ => false,
        }
    }
    structure.objects.values().any(|object| {
        definition::is_newer_keyword(&object.id.name)
            || object
                .aspects
                .iter()
                .any(|(aspect, value)| !is_opaque(aspect, value) && in_value(value))
    })
}

/// The text of a function is the user's, and travels as it is.
fn is_opaque(aspect: &str, value: &Value) -> bool {
    let is_tree = |text: &str| text.starts_with("BEGIN ATOMIC\n") || text.starts_with("RETURN ");
    aspect == "body" && !value.as_str().is_some_and(is_tree)
}

/// No owners (the target has one), no tablespaces, no subscriptions and no labels: none of them
/// can exist on the target.
fn arguments(
    snapshot_id: &str,
    unreadable: &[QualifiedName],
    restrict_key: bool,
    major: u32,
) -> Vec<OsString> {
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
    // Statistics of the planner are the target's own to gather.
    if major >= KNOWS_STATISTICS {
        arguments.push("--no-statistics".to_owned());
    }
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
fn command(program: &Path, url: &ConnectionUrl, options: &SchemaOptions) -> Command {
    let mut command = plain_command(program);
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
            Failure::new(ErrorKind::Connect, doing())
                .because(format!(
                    "pg_dump did not finish within {} s",
                    PATIENCE.as_secs()
                ))
                .hint("look at the source and the network; the same command begins again")
        })?
        .map_err(|cause| Failure::new(ErrorKind::Schema, doing()).because(cause))?;
    if !output.status.success() {
        // pg_dump's messages name hosts, objects and settings; the password travels by environment.
        let stderr = String::from_utf8_lossy(&output.stderr);
        let (kind, hint) = explain(&stderr);
        return Err(Failure::new(kind, doing())
            .because(stderr.trim().to_owned())
            .hint(hint));
    }
    String::from_utf8(output.stdout).map_err(|cause| {
        Failure::new(ErrorKind::Schema, doing()).because(cause).hint(
            "the database holds names or comments that are not UTF-8; rename them on the source",
        )
    })
}

/// pg_dump has one exit code for everything; what libpq says of a lost connection is fixed text in
/// the C locale.
fn explain(stderr: &str) -> (ErrorKind, &'static str) {
    const LOST: [&str; 7] = [
        "server closed the connection",
        "SSL error",
        "SSL SYSCALL error",
        "could not receive data from server",
        "connection to server at",
        "terminating connection",
        "no connection to the server",
    ];
    match LOST.iter().any(|text| stderr.contains(text)) {
        true => (
            ErrorKind::Connect,
            "the source closed the connection or cannot be reached; the same command begins again",
        ),
        false => (
            ErrorKind::Schema,
            "pg_dump needs a login that may read every object that goes, and to be of the source's version or newer",
        ),
    }
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

/// A `pg_dump` and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    /// What it says of itself, as in `17.11 (Debian 17.11-1)`.
    version: String,
    major: u32,
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.version)
    }
}

impl Program {
    async fn at(path: &Path) -> Result<Self> {
        let line = answer(path, "--version").await?;
        let (version, major) = version(&line).ok_or_else(|| {
            Failure::new(
                ErrorKind::Schema,
                format!("could not tell the version of {}", path.display()),
            )
            .hint("name a pg_dump of PostgreSQL in the configuration")
        })?;
        Ok(Self {
            path: path.to_owned(),
            version: version.to_owned(),
            major,
        })
    }
}

/// Version and major version of `pg_dump (PostgreSQL) 15.18 (Debian …)`.
fn version(line: &str) -> Option<(&str, u32)> {
    let (_, version) = line.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.trim(), digits.parse().ok()?))
}

/// The `pg_dump` of the configuration, if it is of the server's major version or newer. One that is
/// called by its bare name may be the oldest of several that are installed; then the next version
/// from the server's on is taken. A path was chosen by somebody, and is not passed over.
async fn fitting(configured: &Path, server: u32, others: &[PathBuf]) -> Result<Program> {
    let named = Program::at(configured).await;
    if let Ok(program) = &named
        && program.major >= server
    {
        return named;
    }
    if configured.components().count() == 1 {
        let mut fit = Vec::new();
        for path in others {
            fit.extend(Program::at(path).await.ok());
        }
        fit.retain(|program| program.major >= server);
        if let Some(program) = fit.into_iter().min_by_key(|program| program.major) {
            return Ok(program);
        }
    }
    Err(too_old(&named?, server))
}

/// Where the packages of Debian and its kin, and those of PostgreSQL for Red Hat and its kin, put
/// the clients of each major version.
fn usual_places() -> Vec<PathBuf> {
    let in_each = |folder: &str, prefix: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join("bin/pg_dump"))
            .filter(|path| path.is_file())
            .collect()
    };
    let mut places = in_each("/usr/lib/postgresql", "");
    places.extend(in_each("/usr", "pgsql-"));
    places
}

fn too_old(program: &Program, server: u32) -> Failure {
    Failure::new(
        ErrorKind::Schema,
        format!(
            "{} is of version {}, the source of {server}",
            program.path.display(),
            program.major
        ),
    )
    .hint(format!(
        "install the PostgreSQL client {server} or newer, or set schema.pg_dump to one; an older pg_dump cannot read the source"
    ))
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
    fn versions_are_told_by_what_programs_say() {
        assert_eq!(
            version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-1)\n"),
            Some(("15.18 (Debian 15.18-1)", 15))
        );
        assert_eq!(
            version("pg_dump (PostgreSQL) 17beta1"),
            Some(("17beta1", 17))
        );
        assert_eq!(version("pg_dump 17"), None);
    }

    /// A program that says to be of this version.
    fn pretender(folder: &Path, version: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(format!("pg_dump-{version}"));
        let script = format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn the_nearest_client_that_is_no_older_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |version: &str| pretender(folder.path(), version);
        let others = [
            at("18.1"),
            at("16.2"),
            at("17.3"),
            folder.path().join("gone"),
        ];
        // The bare name of a program that is nowhere, so that the machine's own cannot be meant.
        let bare = Path::new("pg_dump-that-is-not-there");
        let found = fitting(bare, 17, &others).await.unwrap();
        assert_eq!((found.major, found.path), (17, others[2].clone()));
        assert_eq!(fitting(bare, 15, &others).await.unwrap().major, 16);
        let missing = fitting(bare, 19, &others).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Schema);
    }

    #[tokio::test]
    async fn a_client_that_was_named_and_is_older_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let old = pretender(folder.path(), "15.18");
        let newer = [pretender(folder.path(), "17.3")];
        assert_eq!(fitting(&old, 15, &newer).await.unwrap().path, old);
        let refused = fitting(&old, 17, &newer).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Schema);
        assert!(
            refused
                .to_string()
                .contains("of version 15, the source of 17")
        );
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
            service_role: Default::default(),
            broken_triggers: Default::default(),
            secrets: Default::default(),
            large_objects: Default::default(),
            finds_needs: true,
            root_certificates: None,
        };
        let mut child = command(&options.pg_dump, &url, &options);
        child.args(arguments(
            "0003-1B",
            &[QualifiedName::new("a", "b.c")],
            true,
            18,
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
