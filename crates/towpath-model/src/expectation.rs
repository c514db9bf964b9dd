//! What a target has to look like: the expected structure, less what the report explains.
//!
//! Whoever looks at a target asks here: the checks before a run, the load, the verification.

use std::collections::{BTreeSet, HashMap};

use crate::schema::{ObjectReport, SchemaReport};
use crate::structure::{
    Allowance, Grant, ObjectId, ObjectKind, SchemaObject, Structure, StructureDifference, compare,
};

/// The expected structure with what may differ from it.
pub struct Expectation<'e> {
    /// The structure that the target must have.
    pub structure: &'e Structure,
    reports: HashMap<&'e ObjectId, &'e ObjectReport>,
}

impl<'e> Expectation<'e> {
    /// Of the two documents of a run.
    pub fn new(structure: &'e Structure, report: &'e SchemaReport) -> Self {
        Self {
            structure,
            reports: report
                .objects
                .iter()
                .map(|object| (&object.object, object))
                .collect(),
        }
    }

    /// What may differ on purpose for one object.
    pub fn allowance(&self, id: &ObjectId) -> Allowance {
        match self.reports.get(id) {
            Some(report) => Allowance {
                // Forced row security is expected as it is made, and would keep rows out.
                aspects: report
                    .changed
                    .iter()
                    .filter(|aspect| *aspect != "force_row_security")
                    .cloned()
                    .collect(),
            },
            None => Allowance::default(),
        }
    }

    /// Whether an object may be there although nobody expects it, by itself or for what it hangs on.
    pub(crate) fn tolerates(&self, object: &SchemaObject, found: &Structure) -> bool {
        let is_stranger = |on: &SchemaObject| !self.structure.objects.contains_key(&on.id);
        is_tolerated(object, self.structure)
            || holder(object, found)
                .is_some_and(|on| is_stranger(on) && is_tolerated(on, self.structure))
    }

    /// Differences between what is expected and what is there.
    pub fn compare(&self, found: &Structure) -> Vec<StructureDifference> {
        let mut differences = compare(
            self.structure,
            found,
            |id| self.allowance(id),
            |object| self.tolerates(object, found),
        );
        differences.retain(|difference| !is_of_other_roles(difference, self.structure, found));
        differences
    }
}

/// The database is there before the load, and roles of the server may have rights on it that are
/// none of the project's.
fn is_of_other_roles(
    difference: &StructureDifference,
    expected: &Structure,
    found: &Structure,
) -> bool {
    let StructureDifference::Changed { object, aspect, .. } = difference else {
        return false;
    };
    if object.kind != ObjectKind::Database || aspect != "grants" {
        return false;
    }
    let is_known = |grant: &&Grant| {
        grant.grantee == "public"
            || expected
                .objects
                .contains_key(&ObjectId::global(ObjectKind::Role, &grant.grantee))
    };
    let grants = |structure: &Structure| -> BTreeSet<Grant> {
        let database = structure.objects.get(object);
        let all = database.into_iter().flat_map(|database| &database.grants);
        all.filter(is_known).cloned().collect()
    };
    grants(expected) == grants(found)
}

/// What may be on the target beyond the expected: the server's own furniture, towpath's ledger,
/// members of extensions, and what stands in an emulated schema.
fn is_tolerated(object: &SchemaObject, expected: &Structure) -> bool {
    let id = &object.id;
    let of_ledger = |name: &str| {
        matches!(
            name,
            "run" | "chunk" | "step" | "large_object" | "caught_up"
        )
    };
    let in_ledger = match id.schema.as_deref() {
        Some("towpath") => of_ledger(id.on.as_deref().unwrap_or(&id.name)),
        Some(_) => false,
        None => id.kind == ObjectKind::Schema && id.name == "towpath",
    };
    // Roles are of the cluster and may serve other databases; languages and access methods come
    // with the server.
    let of_server = matches!(
        id.kind,
        ObjectKind::Role
            | ObjectKind::Language
            | ObjectKind::AccessMethod
            | ObjectKind::ForeignDataWrapper
            | ObjectKind::Database
            | ObjectKind::Parameter
    );
    // A setting of a role that is none of ours is of the server; one of the database, or of a role
    // that was carried, would change what its sessions do.
    let of_others = id.kind == ObjectKind::Setting
        && id.args.as_ref().is_some_and(|role| {
            !expected
                .objects
                .contains_key(&ObjectId::global(ObjectKind::Role, role))
        });
    // RDS keeps objects of its own administrator in every database.
    let of_rds = object.owner.as_deref() == Some("rdsadmin");
    // A NOT NULL or an index of towpath's own making would be named in the report; what hangs on
    // an extension's table comes with it.
    let on_member = id.on.as_ref().is_some_and(|table| {
        let parent = ObjectId {
            kind: ObjectKind::Table,
            schema: id.schema.clone(),
            name: table.clone(),
            on: None,
            args: None,
        };
        expected
            .objects
            .get(&parent)
            .is_some_and(|parent| parent.extension.is_some())
    });
    // One without comment and privileges is nothing but contents, which are compared as rows.
    let plain_object =
        id.kind == ObjectKind::LargeObject && object.comment.is_none() && object.grants.is_empty();
    in_ledger
        || of_server
        || of_others
        || of_rds
        || object.extension.is_some()
        || on_member
        || plain_object
}

/// The table, view or foreign table that an object hangs on.
pub(crate) fn holder<'s>(object: &SchemaObject, among: &'s Structure) -> Option<&'s SchemaObject> {
    let (schema, on) = (object.id.schema.as_deref()?, object.id.on.as_deref()?);
    [
        ObjectKind::Table,
        ObjectKind::View,
        ObjectKind::MaterializedView,
        ObjectKind::ForeignTable,
    ]
    .into_iter()
    .find_map(|kind| among.objects.get(&ObjectId::of(kind, schema, on)))
}
