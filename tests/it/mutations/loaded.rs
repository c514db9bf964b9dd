//! One loaded run, and copies of what it left behind to strike at.

use std::cell::Cell;
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use towpath_tests::pg::{MASTER_PASSWORD, psql};
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{Finished, Pair, Project, pair, project};

use super::store;
use super::table::{DEMANDED, Level, Mutation, Place};
use crate::values_every::{Type, literal, types};

/// The loaded database, on both sides.
const DATABASE: &str = "mutations";

/// What an earlier run exports of a table that the main run exports with another value as long.
const EARLIER: &str = "create schema mutations;
    create table mutations.replayed (id integer primary key, t text);
    insert into mutations.replayed values (1, 'word before')";
const LATER: &str = "update mutations.replayed set t = 'word behind'";

/// A run that is loaded and whose target nobody touches.
pub(crate) struct Loaded {
    pair: Pair,
    site: Site,
    project: Project,
    /// A run of an earlier state of the same source.
    other: Option<Project>,
    root: String,
    copies: Cell<u32>,
}

impl Loaded {
    /// Loads the fixture and whatever else a script makes, as the customer's login.
    pub(crate) fn new(more: &str, with_other_run: bool) -> Self {
        let pair = pair();
        let site = Site::fresh(&pair, DATABASE);
        psql(&site.source, EARLIER);
        let other = with_other_run.then(|| {
            let other = site.project(project!(&pair));
            other.expect(0, &["export", "--yes"]);
            other
        });
        psql(&site.source, LATER);
        psql(&site.source_superuser, &fixture("mutations/base.sql"));
        let script = format!(
            "begin; set local client_min_messages = warning;\n{}\n{}\n{more}\ncommit;",
            fixture("values/types.sql"),
            bits(),
        );
        psql(&site.source, &script);
        let project = site
            .project(project!(&pair))
            .with("TOWPATH_COPY_CODEC", "zstd")
            .with("TOWPATH_MAX_DIFFERENCES", "500");
        project.expect(0, &["run", "--yes"]);
        let root = project.document("manifest.json")["root"].clone();
        Self {
            root: root.as_str().expect("a root hash").to_owned(),
            pair,
            site,
            project,
            other,
            copies: Cell::new(0),
        }
    }

    /// The target as it was loaded, in a database of its own; the store is the run's.
    pub(crate) fn clone_of_target(&self) -> Struck<'_> {
        self.struck(Some(self.clone_database()), None)
    }

    /// What a mutation strikes, and no more than that is copied.
    pub(crate) fn copy(&self, mutation: &Mutation) -> Struck<'_> {
        let strikes_target = matches!(mutation.place, Place::Target | Place::Master);
        let database = strikes_target.then(|| self.clone_database());
        let store = (!mutation.edits.is_empty()).then(|| {
            let copy = tempfile::tempdir().expect("make a directory");
            copy_folder(&self.project.path().join(".towpath"), copy.path());
            copy
        });
        self.struck(database, store)
    }

    fn struck(&self, database: Option<String>, store: Option<TempDir>) -> Struck<'_> {
        Struck {
            of: self,
            database,
            store,
        }
    }

    fn clone_database(&self) -> String {
        let number = self.copies.get() + 1;
        self.copies.set(number);
        let name = format!("{DATABASE}_{number}");
        let master = &self.pair.target.shape().master;
        psql(
            &self.pair.target.cluster.superuser_url("template1"),
            &format!(
                "create database {name} template {DATABASE} owner \"{master}\";
                 {}",
                clone_attributes(&name)
            ),
        );
        name
    }

    fn drop_database(&self, name: &str) {
        psql(
            &self.pair.target.cluster.superuser_url("template1"),
            &format!("drop database {name} with (force)"),
        );
    }
}

/// What CREATE DATABASE does not take from its template: rights, settings and comment.
fn clone_attributes(name: &str) -> String {
    let both = format!(
        "pg_database loaded, pg_database clone where loaded.datname = '{DATABASE}' and clone.datname = '{name}'"
    );
    format!(
        "set allow_system_table_mods = on;
         update pg_database set datacl = (select loaded.datacl from {both}) where datname = '{name}';
         insert into pg_db_role_setting
             select clone.oid, s.setrole, s.setconfig from pg_db_role_setting s, {both} and s.setdatabase = loaded.oid;
         insert into pg_shdescription
             select clone.oid, s.classoid, s.description from pg_shdescription s, {both}
                 and s.objoid = loaded.oid and s.classoid = 'pg_database'::regclass"
    )
}

/// Two tables with a column for each type and a row for each column: what may travel in binary, and
/// everything, as CSV. The last value of each type, which is a nasty one.
fn bits() -> String {
    let mut sql = String::new();
    let all = types();
    let in_binary = |of: &Type| of.binary;
    for (name, is_in) in [
        ("bits_binary", &in_binary as &dyn Fn(&Type) -> bool),
        ("bits_csv", &|_: &Type| true),
    ] {
        let columns: Vec<String> = all
            .iter()
            .enumerate()
            .filter(|(_, of)| is_in(of))
            .map(|(at, of)| format!("c{at} {}", of.name))
            .collect();
        writeln!(
            sql,
            "create table mutations.{name} (id integer primary key, {});",
            columns.join(", ")
        )
        .expect("write to a string");
        for (at, of) in all.iter().enumerate().filter(|(_, of)| is_in(of)) {
            let value = of.values.last().expect("a type has values");
            writeln!(
                sql,
                "insert into mutations.{name} (id, c{at}) values ({at}, {}::{});",
                literal(value),
                of.name
            )
            .expect("write to a string");
        }
    }
    sql
}

fn copy_folder(of: &Path, to: &Path) {
    for entry in std::fs::read_dir(of).expect("read a folder") {
        let path = entry.expect("read an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir(&copy).expect("make a folder");
            copy_folder(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).expect("copy a file");
        }
    }
}

/// Copies of what a mutation strikes. A database of them goes on drop.
pub(crate) struct Struck<'l> {
    of: &'l Loaded,
    database: Option<String>,
    store: Option<TempDir>,
}

impl Struck<'_> {
    /// Does what a mutation says.
    pub(crate) fn strike(&self, mutation: &Mutation) {
        if let Some(store) = &self.store {
            let run = store.path().join(self.of.project.run_id());
            let other = self.of.other.as_ref().map(Project::run_folder);
            for edit in &mutation.edits {
                store::edit(&run, edit, other.as_deref());
            }
        }
        if let Some(url) = self.url(mutation.place) {
            psql(&url, &as_said(mutation.place, &mutation.sql));
        }
    }

    /// Puts back what no copy holds.
    pub(crate) fn undo(&self, mutation: &Mutation) {
        if !mutation.undo.is_empty()
            && let Some(url) = self.url(mutation.place)
        {
            psql(&url, &as_said(mutation.place, &mutation.undo));
        }
    }

    fn url(&self, place: Place) -> Option<String> {
        let database = || self.database.as_deref().expect("a clone of the target");
        let target = &self.of.pair.target;
        match place {
            Place::Target => Some(target.cluster.superuser_url(database())),
            Place::Master => Some(self.master_url(database())),
            Place::Source => Some(self.of.site.source_superuser.clone()),
            Place::Store => None,
        }
    }

    fn master_url(&self, database: &str) -> String {
        let target = &self.of.pair.target;
        target.url_as(&target.shape().master, MASTER_PASSWORD, database)
    }

    /// Asks for levels in one call.
    pub(crate) fn verify(&self, levels: &[&Level]) -> Outcome {
        let mut arguments = vec!["verify", "--json"];
        arguments.extend(Level::arguments(levels, &self.of.root));
        // The untouched database is a template and must have no visitors.
        let database = self.database.as_deref();
        let target = database.map_or(self.of.site.target.clone(), |name| self.master_url(name));
        let mut towpath = self
            .of
            .project
            .towpath(&arguments)
            .env("TOWPATH_TARGET_URL", target);
        if let Some(store) = &self.store {
            towpath = towpath.env(
                "TOWPATH_STORE",
                format!("file://{}", store.path().display()),
            );
        }
        Outcome::of(towpath.run())
    }
}

impl Drop for Struck<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.database
            && !std::thread::panicking()
        {
            self.of.drop_database(name);
        }
    }
}

fn as_said(place: Place, sql: &str) -> String {
    // Foreign keys and triggers are triggers: what they would forbid is what is to be found.
    let quiet = "set client_min_messages = warning;";
    match place {
        Place::Target => format!("{quiet} set session_replication_role = replica;\n{sql}"),
        _ => format!("{quiet}\n{sql}"),
    }
}

/// What a call of `verify` said.
pub(crate) struct Outcome {
    end: Finished,
    told: Vec<String>,
    is_refusal: bool,
}

impl Outcome {
    fn of(end: Finished) -> Self {
        let line = end.stdout.lines().last().unwrap_or_default();
        let said: Value = serde_json::from_str(line)
            .unwrap_or_else(|cause| panic!("no JSON ({cause}) of\n{end}"));
        let is_refusal = said["type"] == "error";
        let told = match is_refusal {
            true => vec![format!("error: {}", flat(&said))],
            false => {
                let differences = said["verification"]["differences"].as_array();
                let differences = differences.expect("differences").iter();
                let checks = &said["verification"]["health"]["checks"];
                differences
                    .map(|difference| tell(difference, checks))
                    .collect()
            }
        };
        let outcome = Self {
            end,
            told,
            is_refusal,
        };
        let wanted = if outcome.told.is_empty() { 0 } else { 12 };
        assert_eq!(outcome.end.code, Some(wanted), "{outcome}");
        outcome
    }

    /// None of the levels that were asked found anything.
    pub(crate) fn is_clean(&self, asked: &[&Level]) -> bool {
        asked.iter().all(|level| self.told(level).is_empty())
    }

    /// What was found by a level; a demanded root hash finds nothing but by refusing.
    pub(crate) fn told(&self, level: &Level) -> &[String] {
        match level.label == DEMANDED && !self.is_refusal {
            true => &[],
            false => &self.told,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.told.join("\n"))?;
        fmt::Display::fmt(&self.end, f)
    }
}

/// A difference in a line: its kind, what it is about, and each row that was located. `checks` are
/// those of the checklist, of which a difference names the first few objects only.
fn tell(difference: &Value, checks: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&difference["kind"]);
    match kind.as_str() {
        "rows" => {
            let rows = difference["located"].as_array().expect("located rows");
            let rows: Vec<String> = rows.iter().map(tell_row).collect();
            format!(
                "rows {}: {}",
                text(&difference["table"]["name"]),
                rows.join("; ")
            )
        }
        "structure" => {
            let object = &difference["object"];
            let on = match object["on"].as_str() {
                Some(on) => format!(" on {on}"),
                None => String::new(),
            };
            let what = match difference["aspect"].as_str() {
                Some(aspect) => format!(" {aspect}{on}: {}", flat(&difference["found"])),
                None => on,
            };
            let (how, kind) = (text(&difference["difference"]), text(&object["kind"]));
            format!("{how} {kind} {}{what}", text(&object["name"]))
        }
        "access" => format!(
            "access: {} {} as {}: {} became {}",
            text(&difference["operation"]),
            text(&difference["relation"]["name"]),
            text(&difference["role"]),
            flat(&difference["source"]),
            flat(&difference["target"]),
        ),
        "health" => {
            let mut checks = checks.as_array().into_iter().flatten();
            let check = checks.find(|check| check["check"] == difference["check"]);
            let check = check.expect("the check that failed");
            format!(
                "health: {}: {}",
                text(&check["check"]),
                flat(&check["names"])
            )
        }
        _ => format!("{kind} {}", flat(difference)),
    }
}

fn tell_row(row: &Value) -> String {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let key = row["key"].as_array().expect("a key").iter();
    let key: Vec<String> = key
        .map(|pair| format!("{}={}", text(&pair[0]), text(&pair[1])))
        .collect();
    let of_row = match key.is_empty() {
        true => format!("row {}", text(&row["row"])),
        false => key.join(", "),
    };
    let columns: Vec<String> = row["columns"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let columns = match columns.is_empty() {
        true => String::new(),
        false => format!(" ({})", columns.join(", ")),
    };
    let times = row["times"]
        .as_u64()
        .map_or_else(String::new, |times| format!(" {times} times"));
    format!("{}{times} {of_row}{columns}", text(&row["how"]))
}

/// Every scalar of a value, in a line.
fn flat(value: &Value) -> String {
    let all: Vec<String> = match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().map(flat).collect(),
        Value::Object(map) => map.values().map(flat).collect(),
        other => vec![other.to_string()],
    };
    all.into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
