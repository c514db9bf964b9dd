//! Structure of the target against what the schema report promises.

use std::collections::HashMap;

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
            existence_only: report.decision == Decision::Emulated,
        },
        None => Allowance::default(),
    };
    compare(expected, found, allowance, |object| {
        is_tolerated(object, expected)
    })
}

/// What may be on the target beyond the expected: the server's own furniture, towpath's ledger,
/// members of extensions, and what stands in an emulated schema.
fn is_tolerated(object: &SchemaObject, expected: &Structure) -> bool {
    let id = &object.id;
    let in_ledger = id.schema.as_deref() == Some("towpath")
        || (id.kind == ObjectKind::Schema && id.name == "towpath");
    // Roles are of the cluster and may serve other databases; languages and access methods come
    // with the server.
    let of_server = matches!(
        id.kind,
        ObjectKind::Role
            | ObjectKind::Language
            | ObjectKind::AccessMethod
            | ObjectKind::ForeignDataWrapper
            | ObjectKind::Setting
    );
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
    in_ledger || of_server || of_rds || object.extension.is_some() || on_member
}
