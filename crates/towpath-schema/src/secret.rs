//! Secrets in what goes: found in the finished scripts, so that no way into the store is forgotten.
//!
//! A comment that holds one is left out. Anything else must arrive as it is or not at all, so it
//! stops the plan: to cut a key out of a function's body would make another function of it.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::NodeEnum;
use pg_query::protobuf::ObjectType;
use serde_json::Value;
use towpath_model::schema::{AppendixEntry, SecretFate, SecretReport};
use towpath_model::script::Statement;
use towpath_model::secret_text::{Handling, Kind, looks_secret};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject, Structure};
use towpath_model::{ErrorKind, Failure, Result};

use crate::appendix;
use crate::decision::Decisions;
use crate::rules::Evidence;
use crate::script::Scripts;
use crate::setting::{Carriage, carriage};
use crate::statement::{self, Piece};
use crate::type_name::strings;

/// A comment that stays behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Comment {
    Whole(ObjectId),
    Column(ObjectId, String),
}

/// What was found, and what the expected structure must lose.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub reports: Vec<SecretReport>,
    comments: BTreeSet<Comment>,
}

impl Found {
    /// Takes the comments that stay behind out of the structure that the target must have. It is
    /// stored as well, so it is searched once more: what is in it and in no statement (the comment
    /// of an extension, say) must not be the way in.
    pub(crate) fn take_out_of(
        &self,
        expected: &mut Structure,
        evidence: &Evidence<'_>,
    ) -> Result<()> {
        self.take_comments_out_of(expected);
        if evidence.options.secrets == Handling::Carry {
            return Ok(());
        }
        let mut blocked = Vec::new();
        for object in expected.objects.values_mut() {
            object.comment.take_if(|text| looks_secret(text).is_some());
            if let Some(kind) = object.aspects.values().find_map(first_secret) {
                blocked.push(format!("{} ({})", object.id, kind.label()));
            }
        }
        refuse(blocked)
    }

    fn take_comments_out_of(&self, expected: &mut Structure) {
        for comment in &self.comments {
            match comment {
                Comment::Whole(id) => {
                    if let Some(object) = expected.objects.get_mut(id) {
                        object.comment = None;
                    }
                }
                Comment::Column(id, column) => {
                    if let Some(object) = expected.objects.get_mut(id) {
                        take_column_comment(object, column);
                    }
                }
            }
        }
    }
}

/// The first text within a value that looks like a secret.
fn first_secret(value: &Value) -> Option<Kind> {
    match value {
        Value::String(text) => looks_secret(text),
        Value::Array(all) => all.iter().find_map(first_secret),
        Value::Object(fields) => fields.values().find_map(first_secret),
        _ => None,
    }
}

fn take_column_comment(object: &mut SchemaObject, name: &str) {
    let columns = object.aspects.get_mut("columns");
    let Some(Value::Array(columns)) = columns else {
        return;
    };
    for column in columns.iter_mut().filter_map(Value::as_object_mut) {
        if column.get("name").and_then(Value::as_str) == Some(name) {
            column.remove("comment");
        }
    }
}

/// Goes through what goes and what stays. Comments with a secret are taken out of the scripts.
///
/// # Errors
///
/// [`ErrorKind::Blocked`] when something else that goes holds a secret, and secrets stay.
pub(crate) fn sift(
    pieces: &[Piece],
    evidence: &Evidence<'_>,
    decisions: &mut Decisions,
    scripts: &mut Scripts,
) -> Result<Found> {
    let mut found = Found::default();
    let mut kinds: BTreeMap<(ObjectId, SecretFate), Kind> = BTreeMap::new();
    let mut note = |object: &ObjectId, fate, kind| {
        kinds.entry((object.clone(), fate)).or_insert(kind);
    };
    let mut blocked = Vec::new();
    for script in [&mut scripts.pre_data, &mut scripts.post_data] {
        let mut left_out = false;
        script.retain(|statement| {
            let Some(kind) = looks_secret(&statement.sql) else {
                return true;
            };
            if evidence.options.secrets == Handling::Carry {
                note(&statement.object, SecretFate::Carried, kind);
                return true;
            }
            match comment(statement) {
                Some(comment) => {
                    note(&statement.object, SecretFate::LeftOut, kind);
                    found.comments.insert(comment);
                    left_out = true;
                    false
                }
                None => {
                    blocked.push(format!("{} ({})", statement.object, kind.label()));
                    true
                }
            }
        });
        if left_out {
            renumber(script);
        }
    }
    refuse(blocked)?;
    for (object, kind) in left_behind(pieces, evidence, decisions) {
        note(&object, SecretFate::LeftOut, kind);
    }
    for comment in &found.comments {
        let (Comment::Whole(id) | Comment::Column(id, _)) = comment;
        let reason = "without a comment that looks like a secret";
        decisions.mark_changed(id, &[], reason);
    }
    found.reports = kinds
        .into_iter()
        .map(|((object, fate), kind)| SecretReport {
            object,
            kind: kind.label().to_owned(),
            fate,
        })
        .collect();
    Ok(found)
}

/// The appendix is for people to read and pass on, whatever goes to the target: what still looks
/// like a secret after its literals were taken out is not shown.
pub(crate) fn hide(entries: &mut [AppendixEntry]) {
    for entry in entries {
        if looks_secret(&entry.sql).is_some() {
            entry.sql = appendix::NOT_SHOWN.to_owned();
        }
    }
}

fn renumber(script: &mut [Statement]) {
    for (statement, no) in script.iter_mut().zip(1_u32..) {
        statement.no = no;
    }
}

fn refuse(mut blocked: Vec<String>) -> Result<()> {
    if blocked.is_empty() {
        return Ok(());
    }
    blocked.sort();
    blocked.dedup();
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "objects that must go hold what looks like a secret, and would take it into the run store: {}",
            blocked.join("; ")
        ),
    )
    .hint("move it to a secret store and read it from there, or let it go along with schema.secrets = \"carry\""))
}

/// The comment that a statement makes, when it makes one.
fn comment(of: &Statement) -> Option<Comment> {
    let NodeEnum::CommentStmt(statement) = statement::parse(&of.sql).ok()? else {
        return None;
    };
    if statement.objtype() != ObjectType::ObjectColumn {
        return Some(Comment::Whole(of.object.clone()));
    }
    let Some(NodeEnum::List(list)) = statement.object.and_then(|object| object.node) else {
        return None;
    };
    let column = strings(&list.items).pop()?;
    Some(Comment::Column(of.object.clone(), column))
}

/// Secrets of what does not go. What belongs to the platform is the platform's business.
fn left_behind(
    pieces: &[Piece],
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, Kind)> {
    const OF_USER: [&str; 5] = [
        "webhook",
        "dependent",
        "superuser",
        "event-trigger",
        "hanger",
    ];
    let is_of_user = |id: &ObjectId| {
        let report = decisions.report(id);
        report.is_some_and(|report| OF_USER.contains(&report.rule.as_str()))
    };
    let mut found: Vec<(ObjectId, Kind)> = pieces
        .iter()
        .filter(|piece| !decisions.goes(&piece.subject.object))
        .filter(|piece| is_of_user(&piece.subject.object))
        .filter_map(|piece| Some((piece.subject.object.clone(), looks_secret(&piece.sql)?)))
        .collect();
    for object in evidence.structure.objects.values() {
        let is_secret = match object.id.kind {
            ObjectKind::UserMapping => !decisions.goes(&object.id),
            ObjectKind::Setting => {
                carriage(&object.id.name, evidence) == Carriage::Secret
                    && decisions
                        .report(&object.id)
                        .is_some_and(|r| r.rule == "setting")
            }
            _ => false,
        };
        if is_secret {
            let kind = match object.id.kind {
                ObjectKind::UserMapping => Kind::ServerOption,
                _ => Kind::Setting,
            };
            found.push((object.id.clone(), kind));
        }
    }
    let jobs = evidence.source.jobs.iter();
    if let Some(kind) = jobs.filter_map(|job| looks_secret(&job.command)).min() {
        found.push((crate::cron::table(), kind));
    }
    found
}
