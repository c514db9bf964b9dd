//! A clone is verified for what it is: rows that were masked or left out on purpose, and nothing of
//! the source where it must not be. What is proven, and what is not, is decided in
//! `docs/adr/0034-what-is-proven-of-a-masked-clone.md`.
//!
//! Rows, sequences and structure are compared by the other levels: the manifest's digests are those
//! of the masked rows. What is looked at here is whether masking did what the plan says.

mod catalog;
mod fields;
mod residual;
mod scan;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use towpath_mask::Originals;
use towpath_model::Result;
use towpath_model::clone::{AllowedColumn, CloneFinding, CloneProof, MaskedTable};
use towpath_model::connection::ConnectionUrl;
use towpath_model::digest::RowDigest;
use towpath_model::keys::{KeyFacts, Reference};
use towpath_model::manifest::StoredChunk;
use towpath_model::masking::{MaskTally, Transformer};
use towpath_model::name::readable;
use towpath_model::plan::PlannedTable;
use towpath_model::readable::some_of;
use towpath_model::schema::ExpectedStructure;
use towpath_model::verification::Measure;

use crate::options::{Level, VerifyContext};
use crate::side::Visits;
use scan::{Scan, TableFound};

/// What a verification needs to know of a clone beside its plan.
#[derive(Debug, Clone, Default)]
pub struct CloneContext {
    /// What the source holds in masked columns.
    pub originals: Option<Arc<Originals>>,
    /// Why there is no residual scan, where there are no originals.
    pub no_scan: String,
    /// The source, where it may be asked whether a reference that no constraint holds leads nowhere
    /// there, too.
    pub source: Option<ConnectionUrl>,
    /// References that the rules declare, where they are known.
    pub declared: Option<Vec<Reference>>,
    /// Columns that may stay as they are.
    pub allowed: Vec<AllowedColumn>,
    /// Every reference is asked of the rows, even where the server has proven it: somebody may have
    /// been at work since.
    pub is_thorough: bool,
}

/// A look at the target as a clone. It begins before rows are read, sees them as they are digested, and
/// ends after all other levels.
pub(crate) struct OfClone<'v> {
    context: &'v VerifyContext,
    clone: &'v CloneContext,
    facts: KeyFacts,
    originals: Option<Arc<Originals>>,
    scan: Arc<Scan>,
    proof: CloneProof,
}

impl<'v> OfClone<'v> {
    pub(crate) async fn begin(context: &'v VerifyContext, clone: &'v CloneContext) -> Result<Self> {
        let expected: ExpectedStructure = context
            .store
            .require_document("schema/expected.json")
            .await?;
        let facts = KeyFacts::of(&expected.structure);
        let mut proof = CloneProof {
            masks: context.plan.clone.as_ref().and_then(|it| it.masks.clone()),
            allowed: clone.allowed.clone(),
            ..CloneProof::default()
        };
        let originals = complete(context, clone, &mut proof);
        let scan = Arc::new(Scan::new(context, clone, originals.clone(), &facts));
        Ok(Self {
            context,
            clone,
            facts,
            originals,
            scan,
            proof,
        })
    }

    /// Who is to see the rows.
    pub(crate) fn visits(&self) -> Arc<dyn Visits> {
        self.scan.clone()
    }

    pub(crate) async fn finish(self) -> Result<(CloneProof, Vec<CloneFinding>)> {
        let Self {
            context,
            clone,
            facts,
            originals,
            scan,
            mut proof,
        } = self;
        let mut findings = Vec::new();
        let expected = tallies(context, &mut proof, &mut findings)?;
        let found = scan.found();
        unmasked(context, &expected, &found, &mut proof, &mut findings);
        let checked = Box::pin(catalog::check(
            context,
            clone,
            &facts,
            &mut proof,
            &mut findings,
        ));
        let kept = checked.await?;
        if let Some(originals) = originals {
            not_read(context, &scan, &found, &mut proof);
            let judging = residual::judge(context, &facts, &originals, &found, &kept, &mut proof);
            for finding in Box::pin(judging).await? {
                // The tallies may have told of it already.
                if !findings.iter().any(|it| is_of_same_column(it, &finding)) {
                    findings.push(finding);
                }
            }
        }
        Ok((proof, findings))
    }
}

/// Whether both say of one column that its values are what they were.
fn is_of_same_column(one: &CloneFinding, other: &CloneFinding) -> bool {
    let column = |it: &CloneFinding| match it {
        CloneFinding::Unchanged { table, column, .. } => Some((table.clone(), column.clone())),
        _ => None,
    };
    column(one).is_some_and(|it| Some(it) == column(other))
}

/// What masking says that it did, added up; and what it left as it was, or did not look at.
fn tallies(
    context: &VerifyContext,
    proof: &mut CloneProof,
    findings: &mut Vec<CloneFinding>,
) -> Result<BTreeMap<usize, RowDigest>> {
    let mut unmasked = BTreeMap::new();
    for (table_no, table) in context.plan.tables.iter().enumerate() {
        if table.masks.is_empty() {
            continue;
        }
        let (sum, found) = of_table(table, &context.exported(table_no)?.chunks);
        findings.extend(found);
        proof.not_looked_at.extend(idle(table, &sum));
        unmasked.insert(table_no, sum.unmasked);
        proof.columns.push(MaskedTable {
            table: table.name.clone(),
            columns: sum.columns,
        });
    }
    Ok(unmasked)
}

/// The same of one table.
fn of_table(table: &PlannedTable, chunks: &[StoredChunk]) -> (MaskTally, Vec<CloneFinding>) {
    let mut findings = Vec::new();
    let mut sum = MaskTally::default();
    let mut uncounted = Vec::new();
    for chunk in chunks {
        match &chunk.masked {
            Some(tally) if counts_every_row(table, tally, chunk.digest.rows) => sum.add(tally),
            _ => uncounted.push(chunk.chunk.no),
        }
    }
    if !uncounted.is_empty() {
        findings.push(CloneFinding::Unmasked {
            table: table.name.clone(),
            found: format!(
                "the manifest does not say of every row of chunks {} that it was masked",
                some_of(&uncounted)
            ),
        });
    }
    for (column, tally) in &sum.columns {
        let has_condition = (table.masks.get(column)).is_some_and(|mask| mask.condition.is_some());
        let spared = if has_condition { 0 } else { tally.spared };
        let rows = tally.unchanged + spared;
        if rows > 0 {
            findings.push(CloneFinding::Unchanged {
                table: table.name.clone(),
                column: column.clone(),
                rows,
            });
        }
    }
    (sum, findings)
}

/// Whether a tally is of all rows and of all masked columns.
fn counts_every_row(table: &PlannedTable, tally: &MaskTally, rows: u64) -> bool {
    tally.unmasked.rows == rows
        && tally.columns.keys().eq(table.masks.keys())
        && tally
            .columns
            .values()
            .all(|it| it.nulls + it.empty + it.changed + it.unchanged + it.spared == rows)
}

/// Masks that changed nothing at all. A path within documents that leads nowhere does so, and only a
/// person can tell it from documents that hold nothing.
fn idle(table: &PlannedTable, sum: &MaskTally) -> Vec<String> {
    let masked = sum.columns.iter().filter_map(|(column, tally)| {
        let mask = table.masks.get(column)?;
        let did_nothing = tally.empty > 0 && tally.changed + tally.unchanged + tally.spared == 0;
        let may_be_there = matches!(mask.transformer, Transformer::Constant { .. });
        (did_nothing && !may_be_there).then(|| {
            format!(
                "whether {}.{} is masked as it should be: its mask found nothing to change, in {} values",
                table.name,
                readable(column),
                tally.empty
            )
        })
    });
    masked.collect()
}

/// The originals, unless none of this run's are among them; says whose are not.
fn complete(
    context: &VerifyContext,
    clone: &CloneContext,
    proof: &mut CloneProof,
) -> Option<Arc<Originals>> {
    let masked = context.plan.tables.iter().enumerate();
    let masked: Vec<(usize, &PlannedTable)> =
        masked.filter(|(_, it)| !it.masks.is_empty()).collect();
    let levels = &context.options.levels;
    let is_told = levels.contains(&Level::Rows) && context.options.measure == Measure::Manifest;
    let Some(originals) = clone.originals.as_ref().filter(|_| is_told) else {
        if !masked.is_empty() {
            let why = match clone.originals {
                Some(_) => "rows are not read against the export",
                None => &clone.no_scan,
            };
            proof
                .not_looked_at
                .push(format!("what the source's values would be found by: {why}"));
        }
        return None;
    };
    let chunks = |table_no: usize| {
        let exported = context.exported(table_no);
        exported.into_iter().flat_map(|table| &table.chunks)
    };
    let mut seen = 0u64;
    let mut unseen = Vec::new();
    for (table_no, table) in &masked {
        let (known, unknown): (Vec<_>, Vec<_>) =
            chunks(*table_no).partition(|chunk| originals.has_seen(&chunk.chunk));
        seen += known.len() as u64;
        if unknown.iter().any(|chunk| chunk.digest.rows > 0) {
            unseen.push(&table.name);
        }
    }
    if !unseen.is_empty() {
        proof.not_looked_at.push(format!(
            "originals of {}: an earlier process masked rows of theirs, and kept none",
            some_of(&unseen)
        ));
    }
    (seen > 0 || unseen.is_empty()).then(|| originals.clone())
}

/// What the scan has not looked into, or not row by row.
fn not_read(
    context: &VerifyContext,
    scan: &Scan,
    found: &BTreeMap<usize, TableFound>,
    proof: &mut CloneProof,
) {
    let tables = &context.plan.tables;
    for (table_no, found) in found {
        if let (Some(reason), Some(table)) = (&found.unreadable, tables.get(*table_no))
            && table.masks.is_empty()
        {
            let name = &table.name;
            proof
                .not_looked_at
                .push(format!("values of {name}: {reason}"));
        }
    }
    for (type_name, columns) in scan.unknown() {
        proof
            .not_looked_at
            .push(format!("values of type {type_name}: {}", some_of(&columns)));
    }
    let without_key = scan.without_key();
    if !without_key.is_empty() {
        proof.not_looked_at.push(format!(
            "masked values against what they were, row by row, where no key stays as it is: {}",
            some_of(&without_key)
        ));
    }
    if tables.iter().any(|table| !table.rows.is_table()) {
        let what = "what is within large objects";
        proof.not_looked_at.push(what.to_owned());
    }
}

/// The columns that are not masked, as the source has them and as the clone does.
fn unmasked(
    context: &VerifyContext,
    expected: &BTreeMap<usize, RowDigest>,
    found: &BTreeMap<usize, TableFound>,
    proof: &mut CloneProof,
    findings: &mut Vec<CloneFinding>,
) {
    for (table_no, expected) in expected {
        let Some(table) = context.plan.tables.get(*table_no) else {
            continue;
        };
        let found = found.get(table_no);
        let told = match found.map(|it| (&it.unreadable, it.unmasked)) {
            Some((Some(reason), _)) => Some(reason.clone()),
            Some((None, digest)) if digest == *expected => None,
            Some((None, digest)) if digest.rows == expected.rows => {
                Some(format!("{} rows, digests differ", digest.rows))
            }
            Some((None, digest)) => Some(format!("{} rows of {}", digest.rows, expected.rows)),
            None if expected.rows == 0 => None,
            None => Some("they were not read".to_owned()),
        };
        match told {
            None => proof.unmasked_tables += 1,
            Some(found) => findings.push(CloneFinding::Unmasked {
                table: table.name.clone(),
                found,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use towpath_model::{QualifiedName, TableId};

    use super::*;

    fn table() -> PlannedTable {
        let name = QualifiedName::new("public", "people");
        let mask = json!({"transformer": {"with": "null"}, "domain": "d", "base_type": "text",
                          "uniqueness": "lossy", "origin": "a rule"});
        serde_json::from_value(json!({
            "id": TableId::of(&name), "name": name, "columns": ["id", "mail"], "key": ["id"],
            "types": ["integer", "text"], "masks": {"mail": mask}, "format": "csv", "bytes": 0,
            "estimated_rows": 0, "force_row_security": false, "chunks": [{"no": 1, "pages": null}],
        }))
        .unwrap()
    }

    /// A chunk of three rows, and what masking says of them.
    fn chunk(masked: serde_json::Value) -> StoredChunk {
        let digest = json!({"rows": 3, "sum": "0".repeat(64)});
        let hash = "0".repeat(64);
        let id = json!({"table": table().id, "no": 1});
        serde_json::from_value(json!({
            "chunk": id, "attempt": 1, "key": "k", "codec": "none", "raw_bytes": 0,
            "raw_hash": hash, "stored_bytes": 0, "stored_hash": hash, "digest": digest,
            "masked": masked,
        }))
        .unwrap()
    }

    fn tally(rows: u64, column: &str, counts: [u64; 5]) -> serde_json::Value {
        let [nulls, empty, changed, unchanged, spared] = counts;
        json!({
            "unmasked": {"rows": rows, "sum": "0".repeat(64)},
            "columns": {column: {"nulls": nulls, "empty": empty, "changed": changed,
                                 "unchanged": unchanged, "spared": spared}},
        })
    }

    #[test]
    fn a_mask_that_found_nothing_is_told() {
        let told = |with: serde_json::Value, counts| {
            let mut table = table();
            let mask = table.masks.get_mut("mail").unwrap();
            mask.transformer = serde_json::from_value(with).unwrap();
            let (sum, findings) = of_table(&table, &[chunk(tally(3, "mail", counts))]);
            assert_eq!(findings, []);
            idle(&table, &sum).len()
        };
        let json = || json!({"with": "json", "rules": [{"path": "a.b", "with": "null"}]});
        assert_eq!(told(json(), [1, 2, 0, 0, 0]), 1);
        assert_eq!(told(json(), [1, 1, 1, 0, 0]), 0);
        assert_eq!(told(json(), [3, 0, 0, 0, 0]), 0);
        // It may be what is there.
        let constant = json!({"with": "constant", "value": "x"});
        assert_eq!(told(constant, [0, 3, 0, 0, 0]), 0);
    }

    #[test]
    fn what_masking_says_must_add_up_and_have_changed_everything() {
        let found = |masked| of_table(&table(), &[chunk(masked)]).1;
        assert_eq!(found(tally(3, "mail", [1, 1, 1, 0, 0])), []);
        let is_uncounted = |masked| matches!(found(masked)[..], [CloneFinding::Unmasked { .. }]);
        assert!(is_uncounted(serde_json::Value::Null));
        assert!(is_uncounted(tally(2, "mail", [1, 1, 0, 0, 0])));
        assert!(is_uncounted(tally(3, "mail", [1, 0, 1, 0, 0])));
        assert!(is_uncounted(tally(3, "other", [0, 0, 3, 0, 0])));
        // Nothing spares a value where there is no condition.
        for left in [[0, 0, 2, 1, 0], [0, 0, 2, 0, 1]] {
            let found = found(tally(3, "mail", left));
            assert!(
                matches!(found[..], [CloneFinding::Unchanged { rows: 1, .. }]),
                "{found:?}"
            );
        }
    }
}
