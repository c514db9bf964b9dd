//! The clean schema as files of SQL for people to read, keep and apply: one tree of small files in
//! the order of their names, and the same as a single file in the form of a migration.
//!
//! Every file can be applied again and changes nothing then. No file holds a command of psql, a
//! `COPY`, or a statement that cannot run inside of a transaction; and each statement is one also
//! for programs that cut a file at semicolons outside of quotes.

mod guard;
mod quoting;
mod repeatable;
mod rooms;

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::Result;
use towpath_model::schema::CleanSchema;
use towpath_model::script::Statement;
use towpath_model::structure::{ObjectId, ObjectKind};

use guard::literal;
use quoting::dollar_quoted;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFile {
    /// Where, below the directory.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// All files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFiles {
    /// In the order in which they are applied, which is that of their paths.
    pub split: Vec<SqlFile>,
    /// All of it in one.
    pub consolidated: String,
}

/// What the files are made with.
#[derive(Debug, Clone)]
pub struct SqlFileOptions {
    /// Lines for the head of each file: where it comes from and what was assumed.
    pub about: Vec<String>,
    /// The search path under which the source's definitions find what they do not qualify.
    pub search_path: String,
}

/// Writes the files.
pub fn sql_files(schema: &CleanSchema, options: &SqlFileOptions) -> Result<SqlFiles> {
    let statements: Vec<&Statement> = schema.pre_data.iter().chain(&schema.post_data).collect();
    let overruled = overruled_views(&statements);
    let mut written = Vec::with_capacity(statements.len());
    for statement in &statements {
        let is_overruled = overruled.contains(&(statement.phase, statement.no));
        written.push(repeatable::repeatable(statement, is_overruled)?);
    }
    let mut rooms: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    let places = rooms::places(&statements, &schema.needs);
    for (place, parts) in places.iter().zip(&written) {
        let (_, text) = rooms
            .entry(place.path.clone())
            .or_insert_with(|| (place.holds, String::new()));
        push(text, parts);
    }
    let mut all = String::new();
    for parts in &written {
        push(&mut all, parts);
    }
    let split = rooms
        .into_iter()
        .map(|(path, (holds, text))| SqlFile {
            text: whole(
                &[
                    holds,
                    "Part of a clean schema: apply the files in the order of their paths.",
                ],
                &text,
                options,
            ),
            path,
        })
        .collect();
    Ok(SqlFiles {
        split,
        consolidated: whole(&["A clean schema in one file."], &all, options),
    })
}

fn push(text: &mut String, parts: &[String]) {
    for part in parts {
        text.push_str(part);
        text.push_str(";\n\n");
    }
}

/// Views that pg_dump makes twice, first with their columns only, because they need each other.
/// Where the view is there, the first must not take its place even for a moment.
fn overruled_views(statements: &[&Statement]) -> BTreeSet<(towpath_model::script::Phase, u32)> {
    let mut last: BTreeMap<&ObjectId, usize> = BTreeMap::new();
    let is_view = |statement: &Statement| {
        let sql = statement
            .sql
            .get(..40)
            .unwrap_or(&statement.sql)
            .to_lowercase();
        statement.object.kind == ObjectKind::View
            && sql.starts_with("create")
            && sql.contains("view")
    };
    let makers = || statements.iter().enumerate().filter(|(_, s)| is_view(s));
    for (at, statement) in makers() {
        last.insert(&statement.object, at);
    }
    makers()
        .filter(|(at, statement)| last.get(&statement.object) != Some(at))
        .map(|(_, statement)| (statement.phase, statement.no))
        .collect()
}

/// Settings that decide what the statements mean, for the time that they take.
fn pinned(options: &SqlFileOptions) -> Vec<(&'static str, &str)> {
    vec![
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("check_function_bodies", "off"),
        ("search_path", options.search_path.as_str()),
        ("xmloption", "content"),
        ("datestyle", "ISO, YMD"),
        ("intervalstyle", "postgres"),
        ("timezone", "UTC"),
        ("row_security", "off"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("default_table_access_method", "heap"),
        ("client_min_messages", "warning"),
    ]
}

/// Head, settings, statements, and the settings as they were: whoever applies the file may have
/// more to do in the same session.
fn whole(lines: &[&str], statements: &str, options: &SqlFileOptions) -> String {
    let mut text = String::new();
    let about = options.about.iter().map(String::as_str);
    let always = [
        "Can be applied again: what is there stays, functions and views are brought to this text.",
        "What is there under the same name and differs stays as it is. Look with towpath diff.",
    ];
    for line in lines.iter().copied().chain(about).chain(always) {
        text.push_str(&format!("-- {}\n", plain(line)));
    }
    let names: Vec<String> = pinned(options)
        .iter()
        .map(|(name, _)| literal(name))
        .collect();
    let keep = |change: &str| {
        let body = format!(
            "declare\n    setting text;\nbegin\n    foreach setting in array array[{}] loop\n        {change}\n    end loop;\nend",
            names.join(", ")
        );
        dollar_quoted("towpath", &body)
    };
    let kept = "'towpath.kept_' || setting";
    text.push_str(&format!(
        "\ndo {};\n\n",
        keep(&format!(
            "perform set_config({kept}, current_setting(setting), false);"
        ))
    ));
    for (name, value) in pinned(options) {
        text.push_str(&format!("set {name} to {};\n", setting_value(name, value)));
    }
    text.push('\n');
    text.push_str(statements);
    text.push_str(&format!(
        "do {};\n",
        keep(&format!(
            "perform set_config(setting, current_setting({kept}), false);"
        ))
    ));
    text
}

/// A list stays a list; it is in the words of the server already.
fn setting_value(name: &str, value: &str) -> String {
    match (name, value.trim()) {
        ("search_path", "" | "\"\"") => "''".to_owned(),
        ("search_path", list) => list.to_owned(),
        _ => literal(value),
    }
}

/// A comment must not look like anything else to a program that knows no comments.
fn plain(line: &str) -> String {
    line.chars()
        .map(|c| match c {
            ';' | '\'' | '"' | '$' | '\\' | '\n' | '\r' => ' ',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests;
