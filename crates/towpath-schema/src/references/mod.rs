//! What objects name in texts that the catalog does not look into: bodies of functions, commands of
//! scheduled jobs, arguments of triggers, and names of relations inside of strings.
//!
//! [`References`] is computed once, before any rule decides, and holds what each object names,
//! resolved to objects of the source: qualified names as they are, others along the search path
//! that the text runs with (the function's own, or else the login's), with the built-in functions
//! first. A name that is no object of the source (an alias, a field, a variable, a common table
//! expression) is none here. Rules ask [`References::name`] whether an object names something, and
//! [`References::of`] for everything it names.
//!
//! SQL is parsed; PL/pgSQL is cut into the SQL it is made of; text that is run by `execute` is
//! parsed as far as its constants go, and counts as "perhaps"; other languages, and what does not
//! parse, are searched for words with a dot between them.

mod breaks;
mod plpgsql;
mod resolve;
mod tree;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::name::readable;
use towpath_model::schema::Certainty;
use towpath_model::structure::{ObjectId, ObjectKind, Structure};

pub(crate) use breaks::{DISABLED, breaks, disable_triggers, disabling_statements};

use crate::cron::{self, Job};
use crate::source::{Body, Source};
use resolve::{Names, path_of};
use tree::{Mention, Wanted};

/// Texts longer than this are searched for words only: a tree is many times its text.
const PARSED_BYTES: usize = 1 << 20;

/// Something that a text names, found among the objects of the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// Schema of what is named.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The objects that may be meant: overloads that take so many arguments.
    pub objects: Vec<ObjectId>,
    /// Whether each use comes to it.
    pub certainty: Certainty,
}

/// What every object names.
#[derive(Debug, Clone, Default)]
pub(crate) struct References {
    by: BTreeMap<ObjectId, Vec<Reference>>,
}

impl References {
    /// Reads all texts.
    pub(crate) fn read(structure: &Structure, source: &Source) -> Self {
        let names = Names::of(structure, source);
        let login_path = resolve::login_path(source);
        let mut by = BTreeMap::new();
        let mut add = |object: &ObjectId, mentions: BTreeSet<Mention>, path: &[String]| {
            let found = resolved(&names, mentions, path);
            if !found.is_empty() {
                by.insert(object.clone(), found);
            }
        };
        for (function, body) in &source.bodies {
            let own_path = body.search_path.as_deref().map(path_of);
            let mentions = of_body(body);
            add(function, mentions, own_path.as_ref().unwrap_or(&login_path));
        }
        for (job, number) in source.jobs.iter().zip(1_usize..) {
            let mentions = of_text(&job.command, Certainty::Surely);
            add(&job_id(job, number), mentions, &login_path);
        }
        for object in structure.objects.values() {
            let mentions = match object.id.kind {
                ObjectKind::Trigger => of_arguments(object),
                ObjectKind::Table => of_defaults(object),
                _ => continue,
            };
            add(&object.id, mentions, &login_path);
        }
        Self { by }
    }

    /// Everything that an object names.
    pub(crate) fn of(&self, object: &ObjectId) -> &[Reference] {
        self.by.get(object).map_or(&[], Vec::as_slice)
    }

    /// Whether an object names this, surely or perhaps.
    pub(crate) fn name(&self, object: &ObjectId, schema: &str, name: &str) -> bool {
        self.of(object)
            .iter()
            .any(|reference| reference.schema == schema && reference.name == name)
    }

    /// Objects that name something, with what they name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ObjectId, &[Reference])> {
        self.by.iter().map(|(id, found)| (id, found.as_slice()))
    }
}

/// The table of jobs, with the name of one of them. Its command may hold a secret, and is nowhere.
fn job_id(job: &Job, number: usize) -> ObjectId {
    let name = job
        .name
        .as_deref()
        .map_or_else(|| format!("number {number}"), readable);
    cron::table().with_args(&format!("job {name}"))
}

/// Whether this is the identity of a job.
fn is_job(id: &ObjectId) -> bool {
    id.args.is_some() && id.kind == ObjectKind::Table
}

fn resolved(names: &Names<'_>, mentions: BTreeSet<Mention>, path: &[String]) -> Vec<Reference> {
    let mut found: BTreeMap<(String, String, Vec<ObjectId>), Certainty> = BTreeMap::new();
    for mention in mentions {
        if let Some((schema, objects)) = names.resolve(&mention, path) {
            let certainty = found
                .entry((schema, mention.name, objects))
                .or_insert(Certainty::Perhaps);
            *certainty = mention.certainty.min(*certainty);
        }
    }
    found
        .into_iter()
        .map(|((schema, name, objects), certainty)| Reference {
            schema,
            name,
            objects,
            certainty,
        })
        .collect()
}

fn of_body(body: &Body) -> BTreeSet<Mention> {
    match body.language.as_str() {
        "sql" => of_text(&body.text, Certainty::Surely),
        "plpgsql" if body.text.len() <= PARSED_BYTES => match plpgsql::fragments(&body.text) {
            Some(fragments) => fragments.iter().flat_map(of_fragment).collect(),
            None => of_words(&body.text),
        },
        _ => of_words(&body.text),
    }
}

fn of_fragment(fragment: &plpgsql::Fragment) -> BTreeSet<Mention> {
    let text = fragment.text.as_str();
    match fragment.kind {
        plpgsql::Kind::Statement => of_text(text, fragment.certainty),
        plpgsql::Kind::Expression => of_expression(text, fragment.certainty),
        plpgsql::Kind::Dynamic => {
            let mut mentions = of_expression(text, fragment.certainty);
            let strings = tree::strings_of_expression(text).unwrap_or_default();
            mentions.extend(strings.iter().flat_map(|string| of_dynamic(string)));
            mentions
        }
        plpgsql::Kind::Type => of_type(text, fragment.certainty),
    }
}

/// What a text of SQL names.
fn of_text(sql: &str, certainty: Certainty) -> BTreeSet<Mention> {
    if sql.len() > PARSED_BYTES {
        return of_words(sql);
    }
    tree::of_statements(sql, certainty).unwrap_or_else(|| of_words(sql))
}

fn of_expression(expression: &str, certainty: Certainty) -> BTreeSet<Mention> {
    tree::of_statements(&format!("select {expression}"), certainty)
        .unwrap_or_else(|| of_words(expression))
}

/// A text that is run, or a template of one: `%I`, `%s` and `%L` stand for what nobody knows here.
fn of_dynamic(template: &str) -> BTreeSet<Mention> {
    let mut sql = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        sql.push_str(before);
        let position = after.trim_start_matches(|c: char| c.is_ascii_digit() || "$-*".contains(c));
        let (stands, behind) = match position.chars().next() {
            Some('I' | 's') => ("x", &position[1..]),
            Some('L') => ("'x'", &position[1..]),
            Some('%') => ("%", &position[1..]),
            _ => ("%", after),
        };
        sql.push_str(stands);
        rest = behind;
    }
    sql.push_str(rest);
    tree::of_statements(&sql, Certainty::Perhaps).unwrap_or_else(|| of_words(&sql))
}

/// The type of a variable: a name, `relation%rowtype`, `relation.column%type`.
fn of_type(text: &str, certainty: Certainty) -> BTreeSet<Mention> {
    let named = text.split_once('%');
    let path = words::path(named.map_or(text, |(name, _)| name).trim());
    let is_column = named.is_some_and(|(_, what)| what.trim().eq_ignore_ascii_case("type"));
    let path = match (is_column, path.as_slice()) {
        (true, [before @ .., _]) => before,
        (_, whole) => whole,
    };
    let (schema, name) = match path {
        [schema, name] => (Some(schema.clone()), name.clone()),
        [name] => (None, name.clone()),
        _ => return BTreeSet::new(),
    };
    BTreeSet::from([Mention {
        wanted: Wanted::Type,
        schema,
        name,
        certainty,
    }])
}

fn of_words(text: &str) -> BTreeSet<Mention> {
    words::mentions(text)
        .into_iter()
        .map(|(schema, name)| Mention {
            wanted: Wanted::Anything,
            schema: Some(schema),
            name,
            certainty: Certainty::Perhaps,
        })
        .collect()
}

/// Arguments of a trigger are texts that its function may look up.
fn of_arguments(trigger: &towpath_model::structure::SchemaObject) -> BTreeSet<Mention> {
    let definition = trigger
        .aspects
        .get("definition")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let Ok(pg_query::NodeEnum::CreateTrigStmt(statement)) = crate::statement::parse(definition)
    else {
        return BTreeSet::new();
    };
    crate::type_name::strings(&statement.args)
        .iter()
        .map(|argument| words::path(argument))
        .filter_map(|path| match path.as_slice() {
            [schema, name] => Some(Mention {
                wanted: Wanted::Anything,
                schema: Some(schema.clone()),
                name: name.clone(),
                certainty: Certainty::Perhaps,
            }),
            _ => None,
        })
        .collect()
}

/// Names inside of strings in defaults: the catalog knows only the function that looks them up.
fn of_defaults(table: &towpath_model::structure::SchemaObject) -> BTreeSet<Mention> {
    let columns = table.aspects.get("columns").and_then(|c| c.as_array());
    columns
        .into_iter()
        .flatten()
        .filter_map(|column| column.get("default")?.as_str())
        .filter(|expression| expression.contains('\''))
        .flat_map(|expression| of_expression(expression, Certainty::Surely))
        .filter(|mention| mention.wanted == Wanted::Relation)
        .collect()
}

#[cfg(test)]
mod tests;
