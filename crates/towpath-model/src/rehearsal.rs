//! A rehearsal: a run into a scratch database, which is dropped afterwards.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::expectation::Expectation;
use crate::ids::RunId;
use crate::report::BindingReport;
use crate::schema::CleanSchema;
use crate::script::Statement;
use crate::structure::{
    Allowance, ObjectId, ObjectKind, SchemaObject, Structure, StructureDifference, compare_object,
};

/// What names of scratch databases begin with.
const DATABASE: &str = "towpath_rehearsal_";

/// What the mark of a scratch database begins with, before its JSON.
const MARK: &str = "towpath rehearsal, dropped by `towpath rehearse --clean`: ";

/// The part of a plan that says that it is for a rehearsal: nothing else may be loaded or switched
/// by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalPlan {
    /// The scratch database.
    pub database: String,
    /// What it stands for: `host:port/database` of the target.
    pub stands_for: String,
    /// The sealed run whose export was loaded, in place of a fresh one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RunId>,
}

impl RehearsalPlan {
    /// The name of the scratch database of a run. Hyphens would have to be quoted wherever a person
    /// types it.
    pub fn database_of(run: &RunId) -> String {
        format!("{DATABASE}{}", run.as_str().replace('-', "_"))
    }

    /// Whether a database is named like a scratch database. It is one only if it is marked, too.
    pub fn is_named_like_one(database: &str) -> bool {
        database.starts_with(DATABASE)
    }
}

/// A role that a rehearsal has made, by name and by what tells it from another one of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRole {
    /// Name.
    pub name: String,
    /// OID.
    pub oid: u32,
}

/// A membership of the target's login that a rehearsal has added, in a role that was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedMembership {
    /// The role.
    pub role: String,
    /// Who gave it: a membership may be given by several.
    pub grantor: String,
}

/// The comment on a scratch database: that it is one, and what else on the server goes with it. It is
/// written in the transaction that makes the roles, so that it never names a role that somebody else
/// has made, and misses none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The run.
    pub run: RunId,
    /// Run store, without secrets.
    pub store: String,
    /// Its operator wants to look at it; only an explicit word drops it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// The run that had loaded the target's own database when the rehearsal began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_loaded_by: Option<RunId>,
    /// Roles that the rehearsal has made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<MadeRole>,
    /// Memberships that it has added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memberships: Vec<AddedMembership>,
}

impl Mark {
    /// As a comment.
    pub fn render(&self) -> String {
        let fields = serde_json::to_string(self).unwrap_or_default();
        format!("{MARK}{fields}")
    }

    /// Reads a comment; nothing when it is not such a mark.
    pub fn parse(comment: &str) -> Option<Self> {
        serde_json::from_str(comment.strip_prefix(MARK)?).ok()
    }
}

/// The comment on a role that a rehearsal has made and is about to drop. The database that was marked
/// goes first, because the role is used in it; without this a rehearsal that dies in between would
/// leave roles that nobody knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMark {
    /// The run.
    pub run: RunId,
    /// OID of the role.
    pub oid: u32,
    /// The comment that this one stands in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl RoleMark {
    /// As a comment.
    pub fn render(&self) -> String {
        let fields = serde_json::to_string(self).unwrap_or_default();
        format!("{MARK}{fields}")
    }

    /// Reads a comment; nothing when it is not such a mark.
    pub fn parse(comment: &str) -> Option<Self> {
        serde_json::from_str(comment.strip_prefix(MARK)?).ok()
    }
}

/// What a rehearsal, or a clone, must leave as it is: roles that were on the server before it, rights on
/// the server's parameters, and the mark. The first two are of the whole server, and other databases may
/// be at work with them.
///
/// A run that is neither leaves nothing alone: the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftAlone(Option<OfServer>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct OfServer {
    roles: BTreeSet<String>,
    mark: String,
}

impl LeftAlone {
    /// With the roles that are there, and the comment that marks the database.
    pub fn new(roles: impl IntoIterator<Item = String>, mark: String) -> Self {
        Self(Some(OfServer {
            roles: roles.into_iter().collect(),
            mark,
        }))
    }

    /// Whether an object is of the server and was there before.
    pub fn covers(&self, object: &ObjectId) -> bool {
        let Some(of_server) = &self.0 else {
            return false;
        };
        match object.kind {
            ObjectKind::Role => of_server.roles.contains(&object.name),
            ObjectKind::Parameter => true,
            _ => false,
        }
    }

    /// The statements that a rehearsal runs.
    pub fn remaining(&self, mut statements: Vec<Statement>) -> Vec<Statement> {
        if self.0.is_some() {
            statements.retain(|it| !self.covers(&it.object) && !is_comment_on_database(it));
        }
        statements
    }

    /// The structure that the scratch database must have.
    pub fn expected(&self, expected: Structure) -> Structure {
        let Some(of_server) = &self.0 else {
            return expected;
        };
        let objects = expected.objects.values();
        let objects = objects.filter(|object| !self.covers(&object.id)).cloned();
        Structure::new(objects.map(|object| match object.id.kind {
            ObjectKind::Database => SchemaObject {
                comment: Some(of_server.mark.clone()),
                ..object
            },
            _ => object,
        }))
    }

    /// The clean schema as it is rehearsed.
    pub fn rehearsed(&self, schema: CleanSchema) -> CleanSchema {
        CleanSchema {
            pre_data: self.remaining(schema.pre_data),
            post_data: self.remaining(schema.post_data),
            expected: self.expected(schema.expected),
            ..schema
        }
    }

    /// What a run would change of what is left alone, `found` being there.
    pub fn unrehearsed(
        &self,
        expectation: &Expectation<'_>,
        found: &Structure,
    ) -> Vec<StructureDifference> {
        let mut differences = Vec::new();
        let wanted = expectation.structure.objects.values();
        for object in wanted.filter(|object| self.covers(&object.id)) {
            match found.objects.get(&object.id) {
                Some(there) => {
                    let allowance: Allowance = expectation.allowance(&object.id);
                    compare_object(object, there, &allowance, &mut differences);
                }
                None => differences.push(StructureDifference::Missing {
                    object: object.id.clone(),
                }),
            }
        }
        differences
    }
}

/// Whether a statement would take the mark's place.
fn is_comment_on_database(statement: &Statement) -> bool {
    statement.object.kind == ObjectKind::Database && statement.sql.contains("'comment on database ")
}

/// What the gate of a cutover would have said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateFindings {
    /// What would have refused the cutover, and waits for somebody to mend it.
    pub refused_by: Vec<String>,
    /// What the source has accepted since the snapshot: to be expected while writers go on, and
    /// refused on the night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_moved: Option<String>,
    /// What was not looked at, and why.
    pub not_looked_at: Vec<String>,
}

/// How a rehearsal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RehearsalVerdict {
    /// A run would have reached the gate of the cutover.
    Ready,
    /// Verification found differences.
    Differences,
    /// Something would have refused the cutover.
    Refused,
    /// It ended early.
    Failed,
}

impl RehearsalVerdict {
    /// The word for it, as JSON has it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Differences => "differences",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// `rehearsal.json`: what was rehearsed, what a run would have done besides, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub verdict: RehearsalVerdict,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Roles that were made and dropped again.
    pub roles_made: Vec<String>,
    /// What a run would have done besides, in sentences: changes of roles that are there, an RDS
    /// snapshot.
    pub would_besides: Vec<String>,
    /// What the gate of a cutover would have said; nothing when the rehearsal did not get there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateFindings>,
    /// What a cutover would have switched, masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<BindingReport>,
    /// What could not be taken back, or was to be kept, in sentences; empty: nothing is left.
    pub left: Vec<String>,
}

impl Document for Rehearsal {
    const FORMAT: &'static str = "towpath-rehearsal";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aspects::Aspects;
    use crate::script::{Effect, Phase};

    fn run() -> RunId {
        RunId::compose("20260101", [1; 5])
    }

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        let mark = Mark {
            run: run(),
            store: "file:///it's".to_owned(),
            keep: false,
            target_loaded_by: None,
            roles: vec![MadeRole {
                name: "a\"b".to_owned(),
                oid: 4_000_000_000,
            }],
            memberships: Vec::new(),
        };
        assert_eq!(Mark::parse(&mark.render()), Some(mark));
        for other in ["", "towpath rehearsal", "our own database", "{}", MARK] {
            assert_eq!(Mark::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn names_of_scratch_databases_need_no_quotes() {
        let name = RehearsalPlan::database_of(&run());
        assert!(RehearsalPlan::is_named_like_one(&name));
        assert_eq!(crate::name::quote_identifier(&name).replace('"', ""), name);
        assert!(name.len() < 63 && !name.contains('-'), "{name}");
    }

    #[test]
    fn what_is_of_the_server_is_neither_run_nor_compared() {
        let there = ObjectId::global(ObjectKind::Role, "anon");
        let made = ObjectId::global(ObjectKind::Role, "reporting");
        let parameter = ObjectId::global(ObjectKind::Parameter, "work_mem");
        let statement = |object: &ObjectId| Statement {
            no: 7,
            phase: Phase::PreData,
            object: object.clone(),
            table: None,
            effect: Effect::Ensure,
            sql: String::new(),
        };
        let object = |id: &ObjectId| SchemaObject {
            id: id.clone(),
            oid: 0,
            owner: None,
            extension: None,
            comment: None,
            grants: BTreeSet::new(),
            aspects: Aspects::default(),
        };
        let database = ObjectId::global(ObjectKind::Database, "current");
        let all = [&there, &made, &parameter, &database];
        let mut pre_data = all.map(statement).to_vec();
        pre_data[3].sql =
            "do $towpath$ begin execute format('grant connect on database %I')".to_owned();
        pre_data.push(Statement {
            sql: "do $towpath$ begin execute format('comment on database %I is 1')".to_owned(),
            ..pre_data[3].clone()
        });
        let schema = CleanSchema {
            pre_data,
            expected: Structure::new(all.map(object)),
            ..CleanSchema::default()
        };
        let mark = Mark {
            run: run(),
            store: String::new(),
            keep: false,
            target_loaded_by: None,
            roles: Vec::new(),
            memberships: Vec::new(),
        };
        let left_alone = LeftAlone::new(["anon".to_owned(), "somebody".to_owned()], mark.render());
        let rehearsed = left_alone.rehearsed(schema);
        let left: Vec<&ObjectId> = rehearsed.pre_data.iter().map(|it| &it.object).collect();
        assert_eq!(left, [&made, &database]);
        let comment = rehearsed.expected.objects[&database].comment.clone();
        assert_eq!(comment, Some(mark.render()));
        assert!(rehearsed.expected.objects.contains_key(&made));
        assert!(!rehearsed.expected.objects.contains_key(&there));
        assert!(!LeftAlone::default().covers(&parameter));
    }
}
