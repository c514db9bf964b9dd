//! What a parsed statement names: functions called, relations read or written, types and operators.
//!
//! The tree is walked as plain data, because a walk by node types misses every type that it does
//! not list. Column references are never looked at, so aliases, fields of records and variables
//! cannot be taken for names of objects.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use towpath_model::schema::Certainty;

use super::words;

/// What kind of thing a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// A function called with this many arguments; unknown behind `variadic`, and where only the
    /// name was written.
    Function(Option<usize>),
    /// A table, view or sequence.
    Relation,
    /// A type, or the row type of a relation.
    Type,
    /// An operator.
    Operator,
    /// Anything: two words with a dot between them, where nothing better could be found out.
    Anything,
}

/// A name in a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mention {
    pub wanted: Wanted,
    pub schema: Option<String>,
    pub name: String,
    pub certainty: Certainty,
}

/// Functions that take the name of a relation as text and look it up at once.
const BY_NAME: [&str; 5] = [
    "nextval",
    "currval",
    "setval",
    "pg_get_serial_sequence",
    "pg_relation_size",
];

/// Functions that take the name of a relation as text and are content with nothing.
const BY_NAME_OR_NULL: [&str; 1] = ["to_regclass"];

/// Mentions of a statement, or of several.
pub(super) fn of_statements(sql: &str, certainty: Certainty) -> Option<BTreeSet<Mention>> {
    let parsed = pg_query::parse(sql, pg_query::ParserOptions::DEFAULT).ok()?;
    let mut mentions = BTreeSet::new();
    for statement in &parsed.protobuf.stmts {
        let tree = serde_json::to_value(statement).ok()?;
        let mut walk = Walk {
            hidden: BTreeSet::new(),
            mentions: &mut mentions,
            certainty,
        };
        walk.hide(&tree);
        walk.visit(&tree);
    }
    Some(mentions)
}

/// The string constants of an expression.
pub(super) fn strings_of_expression(expression: &str) -> Option<Vec<String>> {
    let sql = format!("select {expression}");
    let parsed = pg_query::parse(&sql, pg_query::ParserOptions::DEFAULT).ok()?;
    let mut strings = Vec::new();
    for statement in &parsed.protobuf.stmts {
        collect_strings(&serde_json::to_value(statement).ok()?, &mut strings);
    }
    Some(strings)
}

fn collect_strings(tree: &Value, strings: &mut Vec<String>) {
    match tree {
        Value::Object(fields) => {
            if let Some(text) = constant(fields) {
                strings.push(text.to_owned());
            }
            for value in fields.values() {
                collect_strings(value, strings);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_strings(item, strings)),
        _ => {}
    }
}

/// The text of a node that is a string constant.
fn constant(node: &Map<String, Value>) -> Option<&str> {
    node.get("AConst")?
        .pointer("/val/Sval/sval")
        .and_then(Value::as_str)
}

struct Walk<'m> {
    /// Names of common table expressions, and of what the statement itself makes.
    hidden: BTreeSet<String>,
    mentions: &'m mut BTreeSet<Mention>,
    certainty: Certainty,
}

impl Walk<'_> {
    fn hide(&mut self, tree: &Value) {
        match tree {
            Value::Object(fields) => {
                if let Some(name) = fields.get("ctename").and_then(Value::as_str) {
                    self.hidden.insert(name.to_owned());
                }
                let made = fields.get("CreateStmt").and_then(|s| s.get("relation"));
                let filled = fields.get("into").and_then(|into| into.get("rel"));
                for made in [made, filled].into_iter().flatten() {
                    if let Some(name) = made.get("relname").and_then(Value::as_str) {
                        self.hidden.insert(name.to_owned());
                    }
                }
                fields.values().for_each(|value| self.hide(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.hide(item)),
            _ => {}
        }
    }

    fn visit(&mut self, tree: &Value) {
        match tree {
            Value::Object(fields) => {
                self.note(fields);
                fields.values().for_each(|value| self.visit(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.visit(item)),
            _ => {}
        }
    }

    fn note(&mut self, fields: &Map<String, Value>) {
        if let Some(name) = fields.get("relname").and_then(Value::as_str)
            && let Some(schema) = fields.get("schemaname").and_then(Value::as_str)
        {
            self.relation(schema, name);
        }
        if let Some(names) = fields.get("funcname") {
            self.function(names, fields);
        }
        if let Some(names) = fields.get("names")
            && fields.contains_key("type_oid")
        {
            self.add(Wanted::Type, &words_of(names), self.certainty);
        }
        if let Some(Value::Object(operator)) = fields.get("AExpr") {
            // Constructs such as `in` and `between` have operators too, all of them plain.
            if let Some(names) = operator.get("name") {
                self.add(Wanted::Operator, &words_of(names), self.certainty);
            }
        }
        if let Some(Value::Object(cast)) = fields.get("TypeCast") {
            self.cast(cast);
        }
    }

    fn relation(&mut self, schema: &str, name: &str) {
        if schema.is_empty() && self.hidden.contains(name) {
            return;
        }
        let path: Vec<&str> = [schema, name]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        self.add(Wanted::Relation, &path, self.certainty);
    }

    fn function(&mut self, names: &Value, call: &Map<String, Value>) {
        let path = words_of(names);
        let args = call.get("args").and_then(Value::as_array);
        let is_variadic = call.get("func_variadic") == Some(&Value::Bool(true));
        let count = (!is_variadic).then(|| args.map_or(0, Vec::len));
        self.add(Wanted::Function(count), &path, self.certainty);
        let called = path.last().copied().unwrap_or_default();
        let certainty = if BY_NAME.contains(&called) {
            self.certainty
        } else if BY_NAME_OR_NULL.contains(&called) {
            Certainty::Perhaps
        } else {
            return;
        };
        let first = args
            .and_then(|args| args.first()?.get("node")?.as_object())
            .and_then(|node| match node.get("TypeCast") {
                Some(cast) => cast.pointer("/arg/node")?.as_object().and_then(constant),
                None => constant(node),
            });
        if let Some(text) = first {
            self.text(Wanted::Relation, text, certainty);
        }
    }

    fn cast(&mut self, cast: &Map<String, Value>) {
        let Some(text) = cast
            .get("arg")
            .and_then(|arg| arg.get("node")?.as_object())
            .and_then(constant)
        else {
            return;
        };
        let Some(names) = cast.get("type_name").and_then(|name| name.get("names")) else {
            return;
        };
        let wanted = match words_of(names).last().copied() {
            Some("regclass") => Wanted::Relation,
            Some("regproc" | "regprocedure") => Wanted::Function(None),
            Some("regtype") => Wanted::Type,
            _ => return,
        };
        self.text(wanted, text, self.certainty);
    }

    /// A name inside of a string.
    fn text(&mut self, wanted: Wanted, text: &str, certainty: Certainty) {
        let text = text.split('(').next().unwrap_or_default();
        let path = words::path(text);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.add(wanted, &path, certainty);
    }

    fn add(&mut self, wanted: Wanted, path: &[&str], certainty: Certainty) {
        let (schema, name) = match path {
            [name] => (None, *name),
            [.., schema, name] => (Some((*schema).to_owned()), *name),
            [] => return,
        };
        self.mentions.insert(Mention {
            wanted,
            schema,
            name: name.to_owned(),
            certainty,
        });
    }
}

fn words_of(names: &Value) -> Vec<&str> {
    names
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.pointer("/node/String/sval")?.as_str())
        .collect()
}
