//! A statement that may run any number of times: by a clause of its own where the grammar has one,
//! otherwise behind a question to the catalog. What is there is never made anew, except what
//! `or replace` brings to the same definition.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableStmt, AlterTableType, Node, ObjectType, RangeVar};
use towpath_model::script::Statement;
use towpath_model::structure::{ObjectId, ObjectKind};
use towpath_model::{ErrorKind, Failure, Result};

use super::guard;
use super::quoting::{dollar_quoted, is_one_statement};
use crate::references::words;
use crate::type_name::strings;

/// How a statement becomes repeatable.
enum Way {
    /// It is.
    AsItIs,
    /// `create or replace`.
    OrReplace,
    /// `if not exists` behind this word.
    IfNotExists(&'static str),
    /// Only when this condition does not hold.
    Unless(String),
}

/// The statements that do what this one does, as often as one likes.
pub(super) fn repeatable(statement: &Statement, is_overruled: bool) -> Result<Vec<String>> {
    let unreadable = || {
        Failure::new(
            ErrorKind::Schema,
            format!("could not parse the statement about {}", statement.object),
        )
    };
    let parts =
        pg_query::split_with_parser(&statement.sql).map_err(|cause| unreadable().because(cause))?;
    let mut repeatable = Vec::with_capacity(parts.len());
    for sql in parts
        .into_iter()
        .map(str::trim)
        .filter(|sql| !sql.is_empty())
    {
        let node = crate::statement::parse(sql)?;
        let way = if is_overruled && matches!(node, NodeEnum::ViewStmt(_)) {
            guard::is_there(&statement.object).map_or(Way::AsItIs, Way::Unless)
        } else {
            way(&node, &statement.object)
        };
        repeatable.push(applied(sql, &way).ok_or_else(unreadable)?);
    }
    Ok(repeatable)
}

fn applied(sql: &str, way: &Way) -> Option<String> {
    let sql = match way {
        Way::AsItIs => sql.to_owned(),
        Way::OrReplace => inserted(sql, "create", "OR REPLACE")?,
        Way::IfNotExists(word) => inserted(sql, word, "IF NOT EXISTS")?,
        Way::Unless(condition) => {
            return Some(block(&format!(
                "    if not {condition} then\n        execute {};\n    end if;",
                dollar_quoted("sql", sql)
            )));
        }
    };
    if is_one_statement(&sql) {
        return Some(sql);
    }
    Some(block(&format!(
        "    execute {};",
        dollar_quoted("sql", &sql)
    )))
}

fn block(body: &str) -> String {
    format!(
        "do {}",
        dollar_quoted("towpath", &format!("begin\n{body}\nend"))
    )
}

/// Puts words behind the first such key word.
fn inserted(sql: &str, behind: &str, words: &str) -> Option<String> {
    let at = words::scan(sql)?
        .into_iter()
        .find(|word| word.is(behind))?
        .end;
    let (before, after) = sql.split_at_checked(at)?;
    Some(format!("{before} {words}{after}"))
}

fn way(node: &NodeEnum, object: &ObjectId) -> Way {
    let unless_there = || guard::is_there(object).map_or(Way::AsItIs, Way::Unless);
    match node {
        NodeEnum::CreateSchemaStmt(s) if !s.if_not_exists => Way::IfNotExists("schema"),
        NodeEnum::CreateExtensionStmt(s) if !s.if_not_exists => Way::IfNotExists("extension"),
        NodeEnum::CreateStmt(s) if !s.if_not_exists => Way::IfNotExists("table"),
        NodeEnum::CreateForeignTableStmt(s)
            if s.base_stmt.as_ref().is_some_and(|base| !base.if_not_exists) =>
        {
            Way::IfNotExists("table")
        }
        NodeEnum::CreateTableAsStmt(s) if !s.if_not_exists => Way::IfNotExists("view"),
        NodeEnum::CreateSeqStmt(s) if !s.if_not_exists => Way::IfNotExists("sequence"),
        NodeEnum::IndexStmt(s) if !s.if_not_exists => Way::IfNotExists("index"),
        NodeEnum::CreateStatsStmt(s) if !s.if_not_exists => Way::IfNotExists("statistics"),
        NodeEnum::CreateForeignServerStmt(s) if !s.if_not_exists => Way::IfNotExists("server"),
        NodeEnum::CreateUserMappingStmt(s) if !s.if_not_exists => Way::IfNotExists("mapping"),
        NodeEnum::CreateFunctionStmt(s) if !s.replace => Way::OrReplace,
        NodeEnum::ViewStmt(s) if !s.replace => Way::OrReplace,
        NodeEnum::RuleStmt(s) if !s.replace => Way::OrReplace,
        NodeEnum::CreatePlangStmt(s) if !s.replace => Way::OrReplace,
        NodeEnum::DefineStmt(s) => match s.kind() {
            ObjectType::ObjectAggregate if !s.replace => Way::OrReplace,
            ObjectType::ObjectCollation if !s.if_not_exists => Way::IfNotExists("collation"),
            ObjectType::ObjectAggregate | ObjectType::ObjectCollation => Way::AsItIs,
            ObjectType::ObjectType if !s.definition.is_empty() => {
                Way::Unless(guard::is_defined(object))
            }
            _ => unless_there(),
        },
        NodeEnum::CreateEnumStmt(_)
        | NodeEnum::CompositeTypeStmt(_)
        | NodeEnum::CreateRangeStmt(_)
        | NodeEnum::CreateDomainStmt(_)
        | NodeEnum::CreateOpClassStmt(_)
        | NodeEnum::CreateOpFamilyStmt(_)
        | NodeEnum::CreateCastStmt(_)
        | NodeEnum::CreateConversionStmt(_)
        | NodeEnum::CreateAmStmt(_)
        | NodeEnum::CreateFdwStmt(_)
        | NodeEnum::CreatePublicationStmt(_)
        | NodeEnum::CreateSubscriptionStmt(_)
        | NodeEnum::CreateEventTrigStmt(_)
        | NodeEnum::CreatePolicyStmt(_)
        | NodeEnum::CreateTrigStmt(_) => unless_there(),
        NodeEnum::AlterTableStmt(s) => altered(s).map_or(Way::AsItIs, Way::Unless),
        NodeEnum::AlterDomainStmt(s) => match s.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::Constraint(check)) => {
                Way::Unless(guard::has_check(object, &check.conname))
            }
            _ => Way::AsItIs,
        },
        NodeEnum::AlterPublicationStmt(s) => {
            published(&s.pubname, &s.pubobjects).map_or(Way::AsItIs, Way::Unless)
        }
        NodeEnum::AlterTsconfigurationStmt(s) => strings(&s.tokentype)
            .first()
            .map_or(Way::AsItIs, |token| Way::Unless(guard::maps(object, token))),
        NodeEnum::AlterOpFamilyStmt(_) => Way::Unless(guard::has_loose_members(object)),
        NodeEnum::RefreshMatViewStmt(s) => s.relation.as_ref().map_or(Way::AsItIs, |view| {
            Way::Unless(guard::is_populated(&oid(view)))
        }),
        _ => Way::AsItIs,
    }
}

fn oid(range: &RangeVar) -> String {
    guard::relation(&range.schemaname, &range.relname)
}

/// What shows that an `alter table` or `alter index` was done, when doing it again is an error.
fn altered(statement: &AlterTableStmt) -> Option<String> {
    let range = statement.relation.as_ref()?;
    let Some(NodeEnum::AlterTableCmd(first)) = statement.cmds.first()?.node.as_ref() else {
        return None;
    };
    let argument = first.def.as_ref().and_then(|def| def.node.as_ref());
    match (first.subtype(), argument) {
        (AlterTableType::AtAddConstraint, Some(NodeEnum::Constraint(constraint))) => {
            let id = ObjectId::on(
                ObjectKind::Constraint,
                &range.schemaname,
                &range.relname,
                &constraint.conname,
            );
            guard::is_there(&id)
        }
        (AlterTableType::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
            let child = partition.name.as_ref()?;
            Some(guard::is_child(&oid(child), &oid(range)))
        }
        (AlterTableType::AtAddInherit, Some(NodeEnum::RangeVar(parent))) => {
            Some(guard::is_child(&oid(range), &oid(parent)))
        }
        (AlterTableType::AtAlterColumnGenericOptions, _) => {
            Some(guard::has_options(&oid(range), &first.name))
        }
        (AlterTableType::AtAddIdentity, _) => Some(guard::is_identity(&oid(range), &first.name)),
        _ => None,
    }
}

fn published(publication: &str, members: &[Node]) -> Option<String> {
    let Some(NodeEnum::PublicationObjSpec(member)) = members.first()?.node.as_ref() else {
        return None;
    };
    match member
        .pubtable
        .as_ref()
        .and_then(|table| table.relation.as_ref())
    {
        Some(range) => Some(guard::publishes(publication, &oid(range))),
        None => Some(guard::publishes_schema(publication, &member.name)),
    }
}
