//! `towpath export --schema-only`: the clean schema as files of SQL. Needs no store, makes no run
//! and changes neither side.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use towpath_model::connection::Side;
use towpath_model::document::{self, Document};
use towpath_model::inventory::{Abilities, ServerFacts};
use towpath_model::schema::{CleanSchema, Decision};
use towpath_model::secret_text::Handling;
use towpath_model::structure::{ObjectKind, Structure};
use towpath_model::{ErrorKind, Exit, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder, catalog, structure};
use towpath_schema::sql_files::{SqlFileOptions, SqlFiles, sql_files};
use towpath_schema::{LargeObjects, clean_schema, has_event_triggers};

use crate::arguments::ExportArguments;
use crate::clock;
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::survey::schema_options;
use crate::report::markdown;

/// Extensions of the platform's that no RDS for PostgreSQL has been seen to offer (Amazon RDS user
/// guide, "Extension versions for Amazon RDS for PostgreSQL"). Only asked where there is no target
/// to ask.
const NOT_ON_RDS: [&str; 24] = [
    "adminpack",
    "dbdev",
    "file_fdw",
    "http",
    "index_advisor",
    "pg_graphql",
    "pg_hashids",
    "pg_jsonschema",
    "pg_net",
    "pg_stat_monitor",
    "pgjwt",
    "pgmq",
    "pgroonga",
    "pgsodium",
    "plpgsql_check",
    "postgis_sfcgal",
    "rum",
    "seg",
    "supabase_vault",
    "supautils",
    "tcn",
    "timescaledb",
    "wrappers",
    "xml2",
];

/// `files.json`: what was written, in the order in which it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenFiles {
    /// Where the schema comes from and what was assumed.
    about: Vec<String>,
    /// The small files, in their order.
    split: Vec<String>,
    /// The whole in one file.
    consolidated: String,
    /// Files that are not SQL.
    reports: Vec<String>,
}

impl Document for WrittenFiles {
    const FORMAT: &'static str = "towpath-schema-files";
    const VERSION: u32 = 1;
}

const LIST: &str = "files.json";

/// Writes the clean schema of the source.
pub async fn export(context: &Context, arguments: &ExportArguments) -> Result<Exit> {
    let Some(output) = arguments.output.as_deref() else {
        return Err(Failure::new(
            ErrorKind::Usage,
            "--schema-only needs --output",
        ));
    };
    let is_stdout = output == Path::new("-");
    if !is_stdout {
        // Said before minutes of work, not after.
        refuse_filled(output, arguments.force)?;
    }
    let made = Box::pin(make(context, arguments)).await?;
    let options = SqlFileOptions {
        about: made.about.clone(),
        search_path: made.search_path.clone(),
    };
    let files = sql_files(&made.schema, &options)?;
    eprint!("{}", show::schema(&made.schema.report));
    for line in &made.about {
        eprintln!("{line}");
    }
    if is_stdout {
        if context.json {
            return Err(
                Failure::new(ErrorKind::Usage, "--json and SQL cannot both go to stdout")
                    .hint("name a directory with --output"),
            );
        }
        print!("{}", files.consolidated);
        return Ok(Exit::Done);
    }
    let consolidated = format!("{}_{}.sql", timestamp(), arguments.name);
    write(output, &files, &consolidated, &made)?;
    if context.json {
        let report = &made.schema.report;
        println!(
            "{}",
            json!({
                "v": 1,
                "type": "schema-files",
                "directory": output,
                "consolidated": consolidated,
                "files": files.split.iter().map(|file| &file.path).collect::<Vec<_>>(),
                "about": made.about,
                "kept": report.count(Decision::Kept),
                "rewritten": report.count(Decision::Rewritten),
                "emulated": report.count(Decision::Emulated),
                "dropped": report.count(Decision::Dropped),
                "breaks_at_run_time": report.breaks_at_run_time,
            })
        );
    } else {
        println!("{}", output.join(&consolidated).display());
    }
    next(&format!(
        "read {}, then `psql --single-transaction --set ON_ERROR_STOP=1 --file {}`",
        output.join("report.md").display(),
        output.join(&consolidated).display()
    ));
    Ok(Exit::Done)
}

/// The clean schema and what it was made for.
struct Made {
    schema: CleanSchema,
    about: Vec<String>,
    search_path: String,
    holds_secrets: bool,
}

async fn make(context: &Context, arguments: &ExportArguments) -> Result<Made> {
    let url = context.url(Side::Source)?;
    let session_options = context.session_options(Side::Source, "towpath/export-schema");
    let session = Session::connect(&url, Side::Source, &session_options).await?;
    let mut holder = SnapshotHolder::take(session).await?;
    let snapshot_id = holder.facts().id.clone();
    let session = holder.session();
    let source = catalog::server_facts(session).await?;
    let structure = structure::read(session).await?;
    let (target, target_is) = target(context, arguments, &source, &structure).await?;
    let mut options = schema_options(context, &target)?;
    // Their contents do not go with the schema, so what is said about them has no object.
    options.large_objects = LargeObjects::Leave;
    options.finds_needs = true;
    let holds_secrets = options.secrets == Handling::Carry;
    let schema = clean_schema(&url, &snapshot_id, &structure, session, &target, &options).await?;
    holder.release().await?;
    let mut about = vec![
        format!(
            "Of database {} on PostgreSQL {}, by towpath {}.",
            source.database,
            source.major(),
            env!("CARGO_PKG_VERSION")
        ),
        target_is,
    ];
    if holds_secrets {
        about.push(
            "Holds the secrets of the source's schema, because schema.secrets is carry.".to_owned(),
        );
    }
    Ok(Made {
        schema,
        about,
        search_path: source.search_path,
        holds_secrets,
    })
}

/// Facts about the target, asked or assumed, and a line that says which.
async fn target(
    context: &Context,
    arguments: &ExportArguments,
    source: &ServerFacts,
    structure: &Structure,
) -> Result<(ServerFacts, String)> {
    let url = context.settings.url_of("target", Side::Target)?;
    let Some(url) = url.filter(|_| arguments.target_major.is_none()) else {
        let major = arguments.target_major.unwrap_or_else(|| source.major());
        let facts = assumed(source, structure, major, &arguments.target_owner);
        let line = format!(
            "For an assumed RDS for PostgreSQL {major} with master user {}: not superuser, every extension of the source but those never seen on RDS, in the source's versions.",
            arguments.target_owner
        );
        return Ok((facts, line));
    };
    let options = context.session_options(Side::Target, "towpath/export-schema");
    let mut session = Session::connect(&url, Side::Target, &options).await?;
    session.begin_reading().await?;
    let mut facts = catalog::server_facts(&mut session).await?;
    session.rollback().await?;
    if has_event_triggers(structure) && !facts.is_superuser {
        facts.abilities.makes_event_triggers = catalog::makes_event_triggers(&mut session).await?;
    }
    session.close().await;
    let line = format!(
        "For PostgreSQL {} with master user {}: its extensions and rights were asked for.",
        facts.major(),
        facts.user
    );
    Ok((facts, line))
}

fn assumed(source: &ServerFacts, structure: &Structure, major: u32, owner: &str) -> ServerFacts {
    let available: BTreeMap<String, String> = structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Extension)
        .filter(|object| !NOT_ON_RDS.contains(&object.id.name.as_str()))
        .map(|object| {
            let version = object.aspects.get("version").and_then(Value::as_str);
            (
                object.id.name.clone(),
                version.unwrap_or_default().to_owned(),
            )
        })
        .collect();
    ServerFacts {
        version_num: major * 10_000,
        system_identifier: None,
        user: owner.to_owned(),
        is_superuser: false,
        bypasses_rls: false,
        can_create_roles: true,
        available_extensions: available,
        database_bytes: 0,
        abilities: Abilities {
            owns_database: true,
            // Amazon RDS user guide, "Using event triggers": its master makes them.
            makes_event_triggers: true,
            ..Abilities::default()
        },
        ..source.clone()
    }
}

/// `YYYYMMDDHHMMSS` of now.
fn timestamp() -> String {
    clock::now()
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect()
}

fn failed(path: &Path, cause: std::io::Error) -> Failure {
    Failure::new(
        ErrorKind::LocalFile,
        format!("could not write {}", path.display()),
    )
    .because(cause)
}

/// A directory that holds something may hold what somebody wrote by hand.
fn refuse_filled(directory: &Path, force: bool) -> Result<()> {
    let mut entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed(directory, cause)),
    };
    if force || entries.next().is_none() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Usage,
        format!("directory {} is not empty", directory.display()),
    )
    .hint("name another one, or pass --force to replace an earlier export in it"))
}

fn write(directory: &Path, files: &SqlFiles, consolidated: &str, made: &Made) -> Result<()> {
    let list = WrittenFiles {
        about: made.about.clone(),
        split: files.split.iter().map(|file| file.path.clone()).collect(),
        consolidated: consolidated.to_owned(),
        reports: vec!["report.md".to_owned(), "report.json".to_owned()],
    };
    std::fs::create_dir_all(directory).map_err(|cause| failed(directory, cause))?;
    remove_earlier(directory, &list)?;
    // First, so that a process that is killed half-way leaves a list of what it may have written.
    let put = |path: &str, bytes: &[u8]| put(&directory.join(path), bytes, made.holds_secrets);
    put(LIST, &document::render(&list)?)?;
    for file in &files.split {
        put(&file.path, file.text.as_bytes())?;
    }
    put(consolidated, files.consolidated.as_bytes())?;
    let report = &made.schema.report;
    put("report.json", &document::render(report)?)?;
    put(
        "report.md",
        markdown::schema_only(report, &made.about).as_bytes(),
    )
}

fn put(path: &Path, bytes: &[u8], is_private: bool) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|cause| failed(parent, cause))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if is_private {
        options.mode(0o600);
    }
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|cause| failed(path, cause))
}

/// Removes files that an earlier export listed as its own; whatever else is there stays.
fn remove_earlier(directory: &Path, now: &WrittenFiles) -> Result<()> {
    let path = directory.join(LIST);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed(&path, cause)),
    };
    let earlier: WrittenFiles = document::parse(&bytes, &path.display().to_string())?;
    let all = |list: &WrittenFiles| -> BTreeSet<String> {
        let one = std::iter::once(&list.consolidated);
        list.split.iter().chain(one).cloned().collect()
    };
    for name in all(&earlier).difference(&all(now)) {
        let name = PathBuf::from(name);
        let is_below = name
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let path = directory.join(&name);
        if is_below
            && let Err(cause) = std::fs::remove_file(&path)
            && cause.kind() != std::io::ErrorKind::NotFound
        {
            return Err(failed(&path, cause));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(split: &[&str]) -> WrittenFiles {
        WrittenFiles {
            about: Vec::new(),
            split: split.iter().map(|path| (*path).to_owned()).collect(),
            consolidated: "x.sql".to_owned(),
            reports: Vec::new(),
        }
    }

    #[test]
    fn only_files_of_an_earlier_export_are_removed() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("schema");
        for name in [
            "schema/40-tables/a.sql",
            "schema/mine.sql",
            "schema/b.sql",
            "outside.sql",
        ] {
            put(&outer.path().join(name), b"x", true).unwrap();
        }
        let earlier = list(&["40-tables/a.sql", "b.sql", "gone.sql", "../outside.sql"]);
        put(
            &directory.join(LIST),
            &document::render(&earlier).unwrap(),
            false,
        )
        .unwrap();
        assert!(refuse_filled(&directory, false).is_err());
        assert!(refuse_filled(&directory, true).is_ok());
        assert!(refuse_filled(&directory.join("new"), false).is_ok());
        remove_earlier(&directory, &list(&["b.sql"])).unwrap();
        let is_there = |name: &str| outer.path().join(name).exists();
        assert!(!is_there("schema/40-tables/a.sql"));
        assert!(is_there("schema/mine.sql") && is_there("schema/b.sql") && is_there("outside.sql"));
    }
}
