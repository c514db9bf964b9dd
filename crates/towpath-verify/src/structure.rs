//! Structure of the target against what the schema report promises.

use std::collections::HashMap;

use serde_json::Value;
use towpath_model::digest::Hash;
use towpath_model::schema::{Decision, ObjectReport, SchemaReport};
use towpath_model::structure::{
    Allowance, ObjectId, ObjectKind, SchemaObject, Structure, StructureDifference, compare,
};

/// Differences between the structure that the target must have and the one found there.
pub fn compare_with_expected(
    expected: &Structure,
    report: &SchemaReport,
    found: &Structure,
) -> Vec<StructureDifference> {
    let reports: HashMap<&ObjectId, &ObjectReport> = report
        .objects
        .iter()
        .map(|object| (&object.object, object))
        .collect();
    let allowance = |id: &ObjectId| match reports.get(id) {
        Some(report) => Allowance {
            aspects: report.changed.iter().cloned().collect(),
            // What stands in for something of Supabase's is another thing of the same name; a role
            // is a role, and must have just the rights it was made with.
            existence_only: report.decision == Decision::Emulated && id.kind != ObjectKind::Role,
        },
        None => Allowance::default(),
    };
    let mut differences = compare(expected, found, allowance, |object| {
        is_tolerated(object, expected)
    });
    differences.iter_mut().for_each(shorten);
    differences
}

/// Definitions and bodies may hold what nobody should read in evidence; that they differ is told
/// by their hashes.
fn shorten(difference: &mut StructureDifference) {
    let StructureDifference::Changed {
        expected,
        found,
        aspect,
        ..
    } = difference
    else {
        return;
    };
    if !matches!(aspect.as_str(), "body" | "definition" | "comment") {
        return;
    }
    for value in [expected, found] {
        if let Value::String(text) = value {
            *value = Value::from(format!("blake3:{}", Hash::of(text.as_bytes())));
        }
    }
}

/// What may be on the target beyond the expected: the server's own furniture, towpath's ledger,
/// members of extensions, and what stands in an emulated schema.
fn is_tolerated(object: &SchemaObject, expected: &Structure) -> bool {
    let id = &object.id;
    let of_ledger = |name: &str| matches!(name, "run" | "chunk" | "step");
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
    in_ledger || of_server || of_others || of_rds || object.extension.is_some() || on_member
}
