//! What is left to do on a target that has objects already.
//!
//! An object is absent, equal, incomplete or different. What its CREATE decides cannot be mended by
//! a later statement, so another value there is a conflict; everything else is what later statements
//! of the script establish, and they run where it is not there yet. [`decided`] is the one table
//! that says which is which.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use crate::expectation::{Expectation, holder};
use crate::name::QualifiedName;
use crate::script::{Effect, Part, Statement};
use crate::structure::{
    Allowance, Grant, ObjectId, ObjectKind, SchemaObject, Structure, StructureDifference,
    compare_object,
};

mod settle;

pub use settle::quoted;

/// Who decides an aspect of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// The statement that makes the object. Another value is another object.
    ByCreate,
    /// A later statement, once: the object begins with this value, and any third one is a conflict.
    Later(Value),
    /// A later statement that overwrites whatever is there. The object begins with this value; no
    /// statement leads back to it.
    Overwritten(Value),
    /// A later statement when the script has one for this part, else the one that makes the object.
    Stated(Value),
    /// Later statements, entry by entry: nothing may be there that is not expected.
    ByEntry,
    /// Grants and revokes: nothing may be granted that is neither expected nor the server's default.
    ByGrant,
    /// Whoever made it, until a later statement gives it away.
    ByOwner,
    /// Column by column, see [`decided_of_column`].
    ByColumn,
    /// The attaching of the last partition's index.
    ByLastPartition,
    /// The definition, which says `NOT VALID` until the constraint is validated.
    ByValidation,
    /// Constraints of a domain: valid ones with it, others later; comments later.
    OfDomain,
    /// Attributes of a composite type, whose comments come later.
    OfComposite,
}

/// The table: which statement decides an aspect of an object of this kind.
///
/// It follows what pg_dump writes as statements of their own (`pg_dump.c`, `dumpTableSchema`,
/// `dumpConstraint`, `dumpTrigger` and their kin) and what towpath splits further.
pub fn decided(kind: ObjectKind, aspect: &str) -> Decided {
    use Decided as D;
    use ObjectKind as K;
    match (kind, aspect) {
        // It comes with the extension's script, and is not carried.
        (K::Extension, "comment") => D::ByCreate,
        (_, "comment") => D::Overwritten(Value::Null),
        (_, "grants") => D::ByGrant,
        (_, "owner") => D::ByOwner,
        (K::Table | K::ForeignTable | K::View | K::MaterializedView, "columns") => D::ByColumn,
        (K::Table | K::ForeignTable, "partition_of" | "partition_bound") => D::Later(Value::Null),
        (K::Table, "replica_identity") => D::Overwritten(json!("default")),
        (K::Table, "row_security" | "force_row_security") => D::Overwritten(json!(false)),
        (K::Table | K::View | K::MaterializedView, "options") => D::Stated(Value::Null),
        (K::View, "definition") => D::Stated(Value::Null),
        (K::MaterializedView, "populated") => D::Later(json!(false)),
        (K::Sequence, "owned_by") => D::Later(Value::Null),
        (K::Index, "attached_to") => D::Later(Value::Null),
        (K::Index, "statistics") => D::Overwritten(Value::Null),
        (K::Index, "clustered" | "replica_identity") => D::Overwritten(json!(false)),
        (K::Index, "valid") | (K::Constraint, "index_valid") => D::ByLastPartition,
        (K::Constraint, "validated") => D::Stated(json!(false)),
        (K::Constraint, "definition") => D::ByValidation,
        (K::Constraint, "parent") => D::Later(Value::Null),
        (K::Constraint, "inherited") => D::Later(json!(false)),
        (K::Constraint, "local") => D::Later(json!(true)),
        (K::Constraint, "index_clustered") => D::Overwritten(json!(false)),
        (K::Constraint, "index_comment") => D::Overwritten(Value::Null),
        (K::Statistics, "target") => D::Overwritten(Value::Null),
        (K::Trigger | K::Rule | K::EventTrigger, "enabled") => D::Overwritten(json!("origin")),
        (K::TextSearchConfiguration, "mappings") => D::ByEntry,
        (K::OperatorFamily, "operators" | "functions") => D::ByEntry,
        (K::Operator, "commutator" | "negator") => D::Later(Value::Null),
        (K::Publication, "tables" | "schemas") => D::ByEntry,
        (K::Role, "memberships" | "settings") => D::ByEntry,
        (K::Domain, "constraints") => D::OfDomain,
        (K::Type, "attributes") => D::OfComposite,
        _ => D::ByCreate,
    }
}

/// The same for the fields of a column.
pub fn decided_of_column(field: &str) -> Decided {
    use Decided as D;
    match field {
        "comment" => D::Overwritten(Value::Null),
        "default" | "identity" | "foreign_options" | "statistics" | "storage" | "compression"
        | "options" => D::Stated(Value::Null),
        "not_null" => D::Stated(json!(false)),
        // Attaching a partition makes a column inherited, and no longer its own.
        "inherited" | "local" => D::Later(Value::Null),
        _ => D::ByCreate,
    }
}

/// What a script does over a target as it is.
pub struct Convergence<'c> {
    expectation: &'c Expectation<'c>,
    found: &'c Structure,
    /// The login that runs the script, and owns what it makes.
    login: &'c str,
    made: HashSet<&'c ObjectId>,
    indexed: HashSet<&'c ObjectId>,
    stated: HashMap<&'c ObjectId, Vec<&'c Part>>,
    owned: HashSet<&'c ObjectId>,
    in_the_way: BTreeSet<&'c ObjectId>,
    /// Tables of the target that have an index, quoted.
    with_indexes: HashSet<String>,
}

impl<'c> Convergence<'c> {
    /// Of a script and a target.
    pub fn new(
        expectation: &'c Expectation<'c>,
        found: &'c Structure,
        login: &'c str,
        statements: impl Iterator<Item = &'c Statement>,
    ) -> Self {
        let mut new = Self {
            expectation,
            found,
            login,
            made: HashSet::new(),
            indexed: HashSet::new(),
            stated: HashMap::new(),
            owned: HashSet::new(),
            in_the_way: BTreeSet::new(),
            with_indexes: with_indexes(found),
        };
        let mut creating = false;
        for statement in statements {
            let id = &statement.object;
            match &statement.effect {
                Effect::Make | Effect::Ensure | Effect::Unknown => {
                    new.made.insert(id);
                    creating |=
                        takes_default_privileges(id.kind) && !found.objects.contains_key(id);
                }
                Effect::MakeIndex => {
                    new.indexed.insert(id);
                }
                Effect::Own => {
                    new.owned.insert(id);
                }
                Effect::Set | Effect::SetPart(_) | Effect::Add(_) | Effect::Always => {}
            }
            if let Some(part) = statement.effect.part() {
                new.stated.entry(id).or_default().push(part);
            }
        }
        new.in_the_way = new.found_in_the_way(creating);
        new
    }

    /// What stands between the target and the expected structure and no statement of the script can
    /// change, sorted by object. Empty: the script converges.
    pub fn conflicts(&self) -> Vec<StructureDifference> {
        let mut conflicts = Vec::new();
        for object in &self.expectation.structure.objects {
            let id = &object.id;
            match self.found.objects.get(id) {
                None if self.is_made(object) => {}
                None => conflicts.push(StructureDifference::Missing { object: id.clone() }),
                // The extension's script would meet a stranger of that name.
                Some(there) if object.extension.is_some() && there.extension.is_none() => {
                    conflicts.push(StructureDifference::Changed {
                        object: id.clone(),
                        aspect: "extension".to_owned(),
                        expected: json!(object.extension),
                        found: Value::Null,
                    });
                }
                // Members follow their extension, and its version is compared.
                Some(_) if object.extension.is_some() => {}
                Some(there) => {
                    let mut differences = Vec::new();
                    let allowance = self.expectation.allowance(id);
                    compare_object(object, there, &allowance, &mut differences);
                    conflicts.extend(
                        differences
                            .into_iter()
                            .filter_map(|difference| self.unsettled(object, there, difference)),
                    );
                }
            }
        }
        conflicts.extend(self.extras());
        conflicts.sort_by(|a, b| a.object().cmp(b.object()));
        conflicts
    }

    /// Objects of the target that nobody expects. What hangs on such a table is not named beside it.
    fn extras(&self) -> impl Iterator<Item = StructureDifference> {
        let structure = self.expectation.structure;
        let is_extra = move |object: &SchemaObject| {
            !structure.objects.contains_key(&object.id)
                && !self.expectation.tolerates(object, self.found)
                && !self.waits_for_its_constraint(object)
        };
        self.found
            .objects
            .values()
            .filter(move |object| is_extra(object))
            .filter(move |object| !holder(object, self.found).is_some_and(is_extra))
            .map(|object| StructureDifference::Extra {
                object: object.id.clone(),
            })
    }

    /// The unique index that a constraint will take over, made by a script that did not get further.
    fn waits_for_its_constraint(&self, index: &SchemaObject) -> bool {
        let constraint = ObjectId {
            kind: ObjectKind::Constraint,
            ..index.id.clone()
        };
        index.id.kind == ObjectKind::Index
            && self.indexed.contains(&constraint)
            && !self.found.objects.contains_key(&constraint)
            && self
                .expectation
                .structure
                .objects
                .get(&constraint)
                .is_some_and(|constraint| {
                    constraint.aspects.get("index") == index.aspects.get("definition")
                        && index.aspects.get("valid") == Some(&json!(true))
                })
    }

    /// Whether the script brings an object that is not there. All but one kind have a statement of
    /// their own, or come with one: a check is written into its table's.
    fn is_made(&self, object: &SchemaObject) -> bool {
        if object.id.kind == ObjectKind::Table {
            return !self.parent_is_indexed(object);
        }
        if object.id.kind != ObjectKind::Constraint || self.made.contains(&object.id) {
            return true;
        }
        let is = |aspect: &str| object.aspects.get(aspect) == Some(&json!(true));
        object.extension.is_some()
            || is("inherited")
            || object.aspects.contains_key("parent")
            || holder(object, self.found).is_none()
    }

    /// Whether a table is to become a partition of one that has its indexes: attaching it would make
    /// indexes of the server's naming, and the script's own would fail.
    fn parent_is_indexed(&self, partition: &SchemaObject) -> bool {
        let parent = partition
            .aspects
            .get("partition_of")
            .and_then(Value::as_str);
        parent.is_some_and(|parent| self.with_indexes.contains(&settle::quoted(parent)))
    }

    /// What remains of a difference when the script has run.
    fn unsettled(
        &self,
        object: &SchemaObject,
        there: &SchemaObject,
        difference: StructureDifference,
    ) -> Option<StructureDifference> {
        let StructureDifference::Changed {
            object: id,
            aspect,
            expected,
            found,
        } = difference
        else {
            return Some(difference);
        };
        let found = self.settled(object, there, &aspect, &expected, found);
        (found != expected).then_some(StructureDifference::Changed {
            object: id,
            aspect,
            expected,
            found,
        })
    }

    /// Whether a statement has nothing to do: its effect is there, and nothing will take it off.
    pub fn is_done(&self, statement: &Statement) -> bool {
        let id = &statement.object;
        if self.in_the_way.contains(id) {
            return false;
        }
        if statement.effect == Effect::MakeIndex {
            let index = ObjectId {
                kind: ObjectKind::Index,
                ..id.clone()
            };
            return [id, &index]
                .iter()
                .any(|id| self.found.objects.contains_key(id));
        }
        let Some(found) = self.found.objects.get(id) else {
            return false;
        };
        if statement.effect == Effect::Make {
            return true;
        }
        let Some(expected) = self.expectation.structure.objects.get(id) else {
            return false;
        };
        match &statement.effect {
            Effect::Unknown | Effect::Always => false,
            Effect::Make | Effect::MakeIndex => true,
            Effect::Own => expected.owner.is_some() && expected.owner == found.owner,
            Effect::Ensure | Effect::Set => is_equal(expected, found),
            Effect::SetPart(part) => settle::same_part(part, expected, found),
            Effect::Add(part) => settle::has_part(part, found),
        }
    }

    /// What is there, acts on rows or on what is made, and is made by the script anyway: it has to
    /// go before rows come, and its own statements bring it back.
    pub fn in_the_way(&self) -> impl Iterator<Item = &'c SchemaObject> {
        self.in_the_way
            .iter()
            .filter_map(|id| self.found.objects.get(id))
    }

    fn found_in_the_way(&self, creating: bool) -> BTreeSet<&'c ObjectId> {
        let acts = |object: &SchemaObject| {
            let on_table =
                || holder(object, self.found).is_some_and(|on| on.id.kind == ObjectKind::Table);
            let is = |aspect: &str, value: Value| object.aspects.get(aspect) == Some(&value);
            match object.id.kind {
                // They fire for rows that are loaded.
                ObjectKind::Trigger => on_table() && !is("copy", json!(true)),
                // They hold between the tables when all rows are in, not before; and what was never
                // checked on the source may not pass here.
                ObjectKind::Constraint => {
                    is("type", json!("foreign key")) || is("validated", json!(false))
                }
                // They fire for the statements of the script.
                ObjectKind::EventTrigger => true,
                // They would grant on what the script makes.
                ObjectKind::DefaultPrivileges => creating,
                _ => false,
            }
        };
        // Default privileges go by the source's name of their owner in the script.
        let is_made =
            |id: &ObjectId| id.kind == ObjectKind::DefaultPrivileges || self.made.contains(id);
        let structure = self.expectation.structure;
        structure
            .objects
            .values()
            .filter(|object| object.extension.is_none() && is_made(&object.id))
            .filter_map(|object| self.found.objects.get(&object.id))
            .filter(|found| found.extension.is_none() && acts(found))
            .map(|found| &found.id)
            .collect()
    }
}

fn with_indexes(found: &Structure) -> HashSet<String> {
    let has_index = |object: &&SchemaObject| {
        object.id.kind == ObjectKind::Index || object.aspects.contains_key("index")
    };
    let table = |object: &SchemaObject| {
        let (schema, on) = (object.id.schema.as_deref()?, object.id.on.as_deref()?);
        Some(QualifiedName::new(schema, on).quoted())
    };
    let objects = found.objects.values();
    objects.filter(has_index).filter_map(table).collect()
}

/// Kinds of objects that default privileges are about.
fn takes_default_privileges(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::View
            | ObjectKind::MaterializedView
            | ObjectKind::Sequence
            | ObjectKind::Function
            | ObjectKind::Type
            | ObjectKind::Domain
            | ObjectKind::Schema
            | ObjectKind::LargeObject
    )
}

/// Whether two objects are the same in everything, whatever may differ.
fn is_equal(expected: &SchemaObject, found: &SchemaObject) -> bool {
    let mut differences = Vec::new();
    compare_object(expected, found, &Allowance::default(), &mut differences);
    differences.is_empty()
}

/// What every server grants to everybody by itself on objects of a kind (manual, Privileges).
fn default_privileges(id: &ObjectId) -> &'static [&'static str] {
    match (id.kind, id.args.as_deref()) {
        (ObjectKind::Function, _) | (ObjectKind::DefaultPrivileges, Some("functions")) => {
            &["EXECUTE"]
        }
        (ObjectKind::Type | ObjectKind::Domain | ObjectKind::Language, _)
        | (ObjectKind::DefaultPrivileges, Some("types")) => &["USAGE"],
        // Not CREATE, which servers before 15 gave: a database that was upgraded keeps it, and no
        // dump of a later one takes it away.
        (ObjectKind::Schema, _) if id.name == "public" => &["USAGE"],
        (ObjectKind::Database, _) => &["CONNECT", "TEMPORARY"],
        _ => &[],
    }
}

fn is_default_grant(id: &ObjectId, grant: &Grant) -> bool {
    grant.column.is_none()
        && grant.grantee == "public"
        && default_privileges(id).contains(&grant.privilege.as_str())
}

#[cfg(test)]
mod tests;
