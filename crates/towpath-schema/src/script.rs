//! The two scripts: what is generated and what is replayed, in the order of its phases.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::schema::{AppendixEntry, Decision};
use towpath_model::script::{Phase, Statement};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};
use towpath_model::{ErrorKind, Failure, Result};

use crate::acl::{self, Remains};
use crate::appendix;
use crate::build_path;
use crate::bypass;
use crate::constraint;
use crate::decision::{Decisions, Verdict};
use crate::effect;
use crate::emulation::{Definition, StandIn, stand_in};
use crate::large_object;
use crate::order;
use crate::owner;
use crate::references;
use crate::reserved::API_ROLES;
use crate::rewrite::{self, PolicyRoles};
use crate::role;
use crate::rules::{Evidence, POLICY_ROLES, database, forced_row_security, parameter, replaced};
use crate::setting;
use crate::statement::deparse;
use crate::statement::{Form, Piece, Section};

/// Both scripts, and what was left out of them.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    pub pre_data: Vec<Statement>,
    pub post_data: Vec<Statement>,
    pub appendix: Vec<AppendixEntry>,
}

/// A statement without its number.
#[derive(Debug, Clone)]
struct Draft {
    phase: Phase,
    object: ObjectId,
    table: Option<QualifiedName>,
    sql: String,
}

/// Puts the scripts together. Statements can overrule decisions: a policy whose roles all stay
/// behind is dropped, default privileges that give nothing to anybody are dropped.
pub(crate) fn assemble(
    pieces: &[Piece],
    evidence: &Evidence<'_>,
    decisions: &mut Decisions,
) -> Result<Scripts> {
    refuse_missing(pieces, evidence, decisions)?;
    let mut drafts = prelude(evidence, decisions);
    let (extensions, rest): (Vec<&Piece>, Vec<&Piece>) = pieces
        .iter()
        .partition(|piece| piece.form == Form::Extension);
    let (schemas, rest): (Vec<&Piece>, Vec<&Piece>) = rest
        .into_iter()
        .partition(|piece| piece.form == Form::Schema);
    let late = made_late(pieces);
    let mut appendix = Vec::new();
    for piece in schemas.into_iter().chain(extensions) {
        drafts.extend(replayed(piece, evidence, decisions, &late, &mut appendix)?);
    }
    drafts.extend(stand_ins(evidence, decisions));
    drafts.extend(added_functions(evidence, decisions));
    for piece in order::functions_early(&rest, evidence.source) {
        drafts.extend(replayed(piece, evidence, decisions, &late, &mut appendix)?);
    }
    drafts.extend(build_paths(evidence, decisions));
    drafts.extend(disabled_triggers(evidence, decisions));
    drop_empty_default_privileges(&drafts, decisions);
    drafts.extend(refreshes(pieces, evidence, decisions));
    drafts.extend(large_objects(evidence, decisions));
    drafts.extend(owner_grants(evidence, decisions));
    drafts.extend(given(database::statements(evidence, decisions)));
    drafts.extend(given(parameter::statements(evidence, decisions)));
    drafts.extend(bypass_policies(evidence, decisions));
    drafts.extend(restored_owners(evidence, decisions));
    drafts.extend(settings(evidence, decisions));
    // Event triggers fire for whatever comes after them.
    drafts.sort_by_key(|draft| draft.object.kind == ObjectKind::EventTrigger);
    owner::report(evidence, decisions);
    role::report(evidence, decisions);
    Ok(numbered(drafts, appendix))
}

fn numbered(drafts: Vec<Draft>, appendix: Vec<AppendixEntry>) -> Scripts {
    let number = |phases: &[Phase]| {
        phases
            .iter()
            .flat_map(|phase| drafts.iter().filter(move |draft| draft.phase == *phase))
            .zip(1_u32..)
            .map(|(draft, no)| Statement {
                no,
                phase: draft.phase,
                object: draft.object.clone(),
                table: draft.table.clone(),
                effect: effect::of(&draft.sql, &draft.object),
                sql: draft.sql.clone(),
            })
            .collect()
    };
    Scripts {
        pre_data: number(&[Phase::PreData]),
        post_data: number(&Phase::POST_DATA),
        appendix,
    }
}

/// Roles and the platform's schemas, which everything after names.
fn prelude(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    let pre = |object: &ObjectId, sql: String| Draft {
        phase: Phase::PreData,
        object: object.clone(),
        table: None,
        sql,
    };
    let mut drafts: Vec<Draft> = role::statements(evidence, decisions)
        .into_iter()
        .map(|(object, sql)| pre(&object, sql))
        .collect();
    let schemas = decisions
        .having(Decision::Emulated)
        .filter(|id| id.kind == ObjectKind::Schema);
    drafts.extend(schemas.map(|id| {
        let sql = format!("create schema if not exists {}", quote_identifier(&id.name));
        pre(id, sql)
    }));
    drafts
}

fn stand_ins(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    let api_roles: Vec<String> = API_ROLES
        .iter()
        .filter(|role| decisions.role_goes(role))
        .map(|role| quote_identifier(role))
        .collect();
    let mut drafts = Vec::new();
    let mut schemas = BTreeSet::new();
    for object in evidence.structure.objects.values() {
        let id = &object.id;
        if decisions.of(id) != Some(Decision::Emulated) {
            continue;
        }
        let (Some(definition), Some(schema)) = (definition(object, evidence), &id.schema) else {
            continue;
        };
        let draft = |phase, object: ObjectId, sql: String| Draft {
            phase,
            object,
            table: None,
            sql,
        };
        drafts.push(draft(Phase::PreData, id.clone(), definition.sql()));
        // Who may call a member of an extension is as on the source.
        if api_roles.is_empty() || object.extension.is_some() {
            continue;
        }
        let to = api_roles.join(", ");
        let function = routine(id);
        let sql = format!("grant execute on function {function} to {to}");
        drafts.push(draft(Phase::Grant, id.clone(), sql));
        if schemas.insert(schema.clone()) {
            let sql = format!("grant usage on schema {} to {to}", quote_identifier(schema));
            let object = ObjectId::global(ObjectKind::Schema, schema);
            drafts.push(draft(Phase::Grant, object, sql));
        }
    }
    drafts
}

/// Functions that only functions of towpath's own call.
fn added_functions(evidence: &Evidence<'_>, decisions: &mut Decisions) -> Vec<Draft> {
    let added = replaced::added(evidence, decisions);
    replaced::report(&added, decisions);
    added
        .into_iter()
        .map(|definition| Draft {
            phase: Phase::PreData,
            sql: definition.sql(),
            object: definition.id,
            table: None,
        })
        .collect()
}

/// What stands in for a function.
pub(crate) fn definition(object: &SchemaObject, evidence: &Evidence<'_>) -> Option<Definition> {
    stand_in(&object.id)
        .map(StandIn::definition)
        .or_else(|| replaced::definition(object, evidence))
}

/// A function as `grant` names it.
pub(crate) fn routine(id: &ObjectId) -> String {
    let args: Vec<String> = id
        .args
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .filter(|arg| !arg.is_empty())
        .map(|arg| {
            let (name, array) = match arg.strip_suffix("[]") {
                Some(name) => (name, "[]"),
                None => (arg, ""),
            };
            match name.split_once('.') {
                Some((schema, name)) => {
                    format!(
                        "{}.{}{array}",
                        quote_identifier(schema),
                        quote_identifier(name)
                    )
                }
                None => format!("{}{array}", quote_identifier(name)),
            }
        })
        .collect();
    let schema = id.schema.as_deref().unwrap_or("pg_catalog");
    format!(
        "{}.{}({})",
        quote_identifier(schema),
        quote_identifier(&id.name),
        args.join(", ")
    )
}

/// Relations that pg_dump makes after the data, because their definition needs a primary key.
fn made_late(pieces: &[Piece]) -> BTreeSet<QualifiedName> {
    let makes_relation =
        |piece: &&Piece| piece.section == Section::PostData && piece.form == Form::MaterializedView;
    pieces
        .iter()
        .filter(makes_relation)
        .filter_map(|piece| piece.subject.table.clone())
        .collect()
}

fn phase_of(piece: &Piece, late: &BTreeSet<QualifiedName>) -> Phase {
    let waits_for_relation = || {
        piece
            .subject
            .table
            .as_ref()
            .is_some_and(|table| late.contains(table))
    };
    match piece.subject.phase {
        Phase::PreData if piece.section == Section::PostData => Phase::View,
        Phase::Index | Phase::Constraint | Phase::IndexAttach if waits_for_relation() => {
            Phase::View
        }
        phase => phase,
    }
}

/// The statements that a statement of the dump becomes.
fn replayed(
    piece: &Piece,
    evidence: &Evidence<'_>,
    decisions: &mut Decisions,
    late: &BTreeSet<QualifiedName>,
    appendix: &mut Vec<AppendixEntry>,
) -> Result<Vec<Draft>> {
    let object = &piece.subject.object;
    let draft = |phase: Phase, sql: String| Draft {
        phase,
        object: object.clone(),
        table: piece.subject.table.clone(),
        sql,
    };
    if !decisions.goes(object) {
        appendix.extend(appendix::entry(piece, decisions));
        return Ok(Vec::new());
    }
    if let Some(lost) = piece.subject.also.iter().find(|id| !decisions.goes(id)) {
        if object.kind == ObjectKind::Publication {
            let reason = format!("without {lost}");
            decisions.mark_changed(object, &["tables"], &reason);
        }
        return Ok(Vec::new());
    }
    let phase = phase_of(piece, late);
    let owner = evidence.options.target_owner.as_str();
    let is_emulated = decisions.of(object) == Some(Decision::Emulated);
    let is_rewritten = piece.form != Form::Function || is_rewritten_function(object, decisions);
    if piece.form == Form::Fixed || !is_rewritten {
        let as_it_is = (!is_emulated).then(|| draft(phase, piece.sql.clone()));
        return Ok(as_it_is.into_iter().collect());
    }
    Ok(match &piece.tree()? {
        NodeEnum::GrantStmt(s) => {
            let former = evidence
                .structure
                .objects
                .get(object)
                .and_then(|o| o.owner.as_deref());
            let remains = acl::grant(s, decisions, owner, former)?;
            written(remains, &piece.sql)
                .map(|sql| draft(phase, sql))
                .into_iter()
                .collect()
        }
        _ if is_emulated => Vec::new(),
        NodeEnum::AlterDefaultPrivilegesStmt(s) => {
            let remains = acl::default_privileges(s, decisions, owner)?;
            written(remains, &piece.sql)
                .map(|sql| draft(phase, sql))
                .into_iter()
                .collect()
        }
        node if rewrite::forces_row_security(node)
            && decisions.has_changed(object, forced_row_security::ASPECT) =>
        {
            Vec::new()
        }
        NodeEnum::CommentStmt(_) if object.kind == ObjectKind::Extension => Vec::new(),
        NodeEnum::CreateSchemaStmt(s) if s.schemaname == "public" => Vec::new(),
        NodeEnum::CreateFunctionStmt(s) if is_rewritten_function(object, decisions) => {
            vec![draft(phase, rewrite::function(s, evidence)?)]
        }
        NodeEnum::CreateUserMappingStmt(s) => match rewrite::user_mapping(s, decisions, owner)? {
            Some(sql) => vec![draft(phase, sql)],
            None => {
                let verdict = Verdict::dropped("its role does not go");
                decisions.set(object, "secret", verdict);
                Vec::new()
            }
        },
        NodeEnum::CreatePolicyStmt(s) => {
            let exempt = piece
                .subject
                .table
                .as_ref()
                .map(|table| bypass::exempt(table, evidence, decisions))
                .unwrap_or_default();
            let exempting = bypass::exempting(s, &exempt)?;
            let sql = match &exempting {
                Some(changed) => deparse(&NodeEnum::CreatePolicyStmt(Box::new(changed.clone())))?,
                None => piece.sql.clone(),
            };
            let roles = rewrite::policy(exempting.as_ref().unwrap_or(s), decisions, owner)?;
            if exempting.is_some() && roles != PolicyRoles::Nobody {
                let reason = "lets through who passes row security on the source";
                decisions.mark_changed(object, &[], reason);
            }
            match roles {
                PolicyRoles::Same => vec![draft(phase, sql)],
                PolicyRoles::Changed(sql) => {
                    decisions.mark_changed(object, &[], "with the roles that go");
                    vec![draft(phase, sql)]
                }
                PolicyRoles::Nobody => {
                    let verdict = Verdict::dropped("applies only to roles that do not go");
                    decisions.set(object, POLICY_ROLES, verdict);
                    appendix.extend(appendix::entry(piece, decisions));
                    Vec::new()
                }
            }
        }
        node => match constraint::added(node) {
            Some((statement, added)) => {
                constraint_drafts(piece, statement, added, phase, evidence, &draft)?
            }
            None => vec![draft(phase, piece.sql.clone())],
        },
    })
}

/// Policies that stand in for BYPASSRLS and ownership.
fn bypass_policies(evidence: &Evidence<'_>, decisions: &mut Decisions) -> Vec<Draft> {
    let policies = bypass::policies(evidence, decisions);
    bypass::report(&policies, decisions);
    policies
        .into_iter()
        .map(|policy| Draft {
            phase: Phase::Policy,
            object: policy.object.id,
            table: Some(policy.table),
            sql: policy.sql,
        })
        .collect()
}

fn written(remains: Remains, original: &str) -> Option<String> {
    match remains {
        Remains::Same => Some(original.to_owned()),
        Remains::Changed(sql) => Some(sql),
        Remains::Nothing => None,
    }
}

fn is_rewritten_function(object: &ObjectId, decisions: &Decisions) -> bool {
    decisions.has_changed(object, "definition")
}

fn constraint_drafts(
    piece: &Piece,
    statement: &pg_query::protobuf::AlterTableStmt,
    added: &pg_query::protobuf::Constraint,
    phase: Phase,
    evidence: &Evidence<'_>,
    draft: &dyn Fn(Phase, String) -> Draft,
) -> Result<Vec<Draft>> {
    let table = crate::rules::holder(evidence.structure, &piece.subject.object);
    let is = |aspect: &str| table.is_some_and(|t| t.aspects.contains_key(aspect));
    let is_partitioned = is("partition_key");
    let is_partition = is("partition_of");
    if let Some(split) = constraint::split_foreign_key(statement, added, &piece.sql)?
        && !is_partitioned
    {
        let validate = split
            .validate
            .map(|sql| draft(Phase::ForeignKeyValidate, sql));
        return Ok([Some(draft(phase, split.add)), validate]
            .into_iter()
            .flatten()
            .collect());
    }
    if phase == Phase::Constraint
        && !is_partitioned
        && !is_partition
        && let Some(split) = constraint::split_key(statement, added)?
    {
        return Ok(vec![
            draft(Phase::Index, split.index),
            draft(Phase::Constraint, split.constraint),
        ]);
    }
    Ok(vec![draft(phase, piece.sql.clone())])
}

/// A dump that lacks what a decision promised would lose it in silence.
fn refuse_missing(pieces: &[Piece], evidence: &Evidence<'_>, decisions: &Decisions) -> Result<()> {
    let made: BTreeSet<&ObjectId> = pieces
        .iter()
        .filter(|piece| piece.subject.makes)
        .map(|piece| &piece.subject.object)
        .collect();
    let missing: Vec<String> = evidence
        .structure
        .objects
        .values()
        .filter(|object| is_made_by_statement(object))
        .map(|object| &object.id)
        .filter(|id| decisions.is_replayed(id) && !made.contains(id))
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Schema,
        format!(
            "the dump of source has no definition of {}",
            missing.join(", ")
        ),
    )
    .hint("use the newest pg_dump of the source's major version; if it is, please report this"))
}

/// Whether the object has a statement of its own. Constraints may be inside of their table's,
/// triggers may be copies on partitions, sequences may come with an identity column.
fn is_made_by_statement(object: &SchemaObject) -> bool {
    match object.id.kind {
        ObjectKind::Table
        | ObjectKind::ForeignTable
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Function
        | ObjectKind::Type
        | ObjectKind::Domain
        | ObjectKind::Index
        | ObjectKind::Policy => true,
        ObjectKind::Sequence => {
            object
                .aspects
                .get("identity")
                .and_then(serde_json::Value::as_bool)
                == Some(false)
        }
        _ => false,
    }
}

/// Default privileges of which nothing remained do not exist on the target.
fn drop_empty_default_privileges(drafts: &[Draft], decisions: &mut Decisions) {
    let said: BTreeSet<&ObjectId> = drafts.iter().map(|draft| &draft.object).collect();
    let empty: Vec<ObjectId> = [Decision::Kept, Decision::Rewritten]
        .into_iter()
        .flat_map(|decision| decisions.having(decision))
        .filter(|id| id.kind == ObjectKind::DefaultPrivileges && !said.contains(id))
        .cloned()
        .collect();
    for id in empty {
        let verdict = Verdict::dropped("gives privileges only to roles that do not go");
        decisions.set(&id, "default-privileges", verdict);
    }
}

/// Triggers that go disabled, behind whatever the dump says of their state.
fn disabled_triggers(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    references::disabling_statements(evidence, decisions)
        .into_iter()
        .map(|(object, table, sql)| Draft {
            phase: Phase::Trigger,
            object,
            table: Some(table),
            sql,
        })
        .collect()
}

/// Search paths of functions that are run where the session's is not in force.
fn build_paths(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    build_path::statements(evidence, decisions)
        .into_iter()
        .map(|(object, sql)| Draft {
            phase: Phase::PreData,
            object,
            table: None,
            sql,
        })
        .collect()
}

/// Contents of the materialized views that had any, in the order in which they were made.
fn refreshes(pieces: &[Piece], evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    pieces
        .iter()
        .filter(|piece| piece.form == Form::MaterializedView)
        .filter(|piece| decisions.is_replayed(&piece.subject.object))
        .filter_map(|piece| {
            let table = piece.subject.table.clone()?;
            evidence.source.populated.contains(&table).then(|| Draft {
                phase: Phase::View,
                object: piece.subject.object.clone(),
                sql: format!("refresh materialized view {}", table.quoted()),
                table: Some(table),
            })
        })
        .collect()
}

/// What an owner may do and a grantee must be allowed, by kind: the word of `grant`, and the
/// privileges that `all` means.
pub(crate) fn all_privileges(
    kind: ObjectKind,
    version_num: u32,
) -> Option<(&'static str, &'static [&'static str])> {
    const TABLE: &[&str] = &[
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
        "MAINTAIN",
    ];
    Some(match kind {
        ObjectKind::Table
        | ObjectKind::ForeignTable
        | ObjectKind::View
        | ObjectKind::MaterializedView => (
            "table",
            if version_num >= 170_000 {
                TABLE
            } else {
                &TABLE[..7]
            },
        ),
        ObjectKind::Sequence => ("sequence", &["SELECT", "UPDATE", "USAGE"]),
        ObjectKind::Schema => ("schema", &["USAGE", "CREATE"]),
        ObjectKind::Function => ("routine", &["EXECUTE"]),
        ObjectKind::Type | ObjectKind::Domain => ("type", &["USAGE"]),
        ObjectKind::ForeignServer => ("foreign server", &["USAGE"]),
        ObjectKind::LargeObject => ("large object", &["SELECT", "UPDATE"]),
        _ => return None,
    })
}

/// After the data, because they are made with it.
fn large_objects(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    large_object::statements(evidence, decisions)
        .into_iter()
        .map(|(object, sql)| Draft {
            phase: Phase::Grant,
            object,
            table: None,
            sql,
        })
        .collect()
}

fn owner_grants(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    evidence
        .structure
        .objects
        .values()
        .filter_map(|object| {
            let owner = owner::former(object, evidence, decisions)?;
            let (word, _) = all_privileges(object.id.kind, evidence.target.version_num)?;
            let name = match (&object.id.schema, object.id.kind) {
                (_, ObjectKind::Function) => routine(&object.id),
                (Some(schema), _) => QualifiedName::new(schema, &object.id.name).quoted(),
                // A number, which must not be quoted.
                (None, ObjectKind::LargeObject) => object.id.name.clone(),
                (None, _) => quote_identifier(&object.id.name),
            };
            Some(Draft {
                phase: Phase::Grant,
                object: object.id.clone(),
                table: None,
                sql: format!("grant all on {word} {name} to {}", quote_identifier(owner)),
            })
        })
        .collect()
}

/// Privileges on what has no statement of its own in the dump.
fn given(statements: Vec<(ObjectId, String)>) -> impl Iterator<Item = Draft> {
    statements.into_iter().map(|(object, sql)| Draft {
        phase: Phase::Grant,
        object,
        table: None,
        sql,
    })
}

/// Owners come back when everything is made and granted: until then the master has to be one.
fn restored_owners(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    owner::statements(evidence, decisions)
        .into_iter()
        .map(|(object, sql)| Draft {
            phase: Phase::Last,
            object,
            table: None,
            sql,
        })
        .collect()
}

/// The search path that the user's login had on the source, for every login of the target.
pub(crate) const SEARCH_PATH: &str = "\"$user\", public, extensions";

/// Settings of roles and of the database.
fn settings(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Draft> {
    let last = |object: ObjectId, sql: String| Draft {
        phase: Phase::Last,
        object,
        table: None,
        sql,
    };
    let mut drafts: Vec<Draft> = evidence
        .source
        .settings
        .iter()
        .filter_map(|row| {
            let object = match (&row.role, row.in_database) {
                (Some(role), false) => {
                    let carried =
                        setting::carriage(&row.name, evidence) == setting::Carriage::Carried;
                    (carried && decisions.role_goes(role))
                        .then(|| ObjectId::global(ObjectKind::Role, role))
                }
                (Some(role), true) => {
                    let id = ObjectId::global(ObjectKind::Setting, &row.name).with_args(role);
                    (decisions.of(&id).is_some() && decisions.goes(&id)).then_some(id)
                }
                (None, _) => {
                    let id = ObjectId::global(ObjectKind::Setting, &row.name);
                    (decisions.of(&id).is_some() && decisions.goes(&id)).then_some(id)
                }
            }?;
            Some(last(object, setting::statement(row)))
        })
        .collect();
    drafts.extend(
        default_settings(evidence)
            .into_iter()
            .map(|(object, value)| {
                let clause = setting::clause(&object.name, &value);
                let sql = setting::on_current_database("alter database", &clause);
                last(object, sql)
            }),
    );
    drafts
}

/// Settings that the platform gives its users by other ways than the database, and that change
/// what names and searches find.
pub(crate) fn default_settings(evidence: &Evidence<'_>) -> Vec<(ObjectId, String)> {
    let is_platform = evidence
        .structure
        .objects
        .contains_key(&ObjectId::global(ObjectKind::Schema, "extensions"));
    if !is_platform {
        return Vec::new();
    }
    let mut wanted = vec![("search_path", SEARCH_PATH.to_owned())];
    if let Some(config) = &evidence.source.text_search_config {
        wanted.push(("default_text_search_config", config.clone()));
    }
    wanted
        .into_iter()
        .map(|(name, value)| (ObjectId::global(ObjectKind::Setting, name), value))
        .filter(|(id, _)| !evidence.structure.objects.contains_key(id))
        .collect()
}
