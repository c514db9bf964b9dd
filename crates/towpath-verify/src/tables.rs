//! Rows of a database against the manifest, read afresh.

use std::sync::Arc;

use towpath_model::Result;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::verification::{Difference, Reading, TableProof};

use crate::locate::{self, Located};
use crate::options::VerifyContext;
use crate::side::{Look, OpenSide, Reads, Visits, look};

pub(crate) use crate::row_query::pages_of_large_objects;

/// What was found on one side.
#[derive(Debug, Clone, Default)]
pub struct SideProof {
    /// Every table that could be read, with both digests.
    pub tables: Vec<TableProof>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Reads every table of one side, all in one snapshot, and compares it with the manifest. On the
/// target, rows that differ are looked for; on a live source the digests alone tell that it moved on.
pub async fn prove_side(
    context: &VerifyContext,
    url: &ConnectionUrl,
    side: Side,
) -> Result<SideProof> {
    prove_side_telling(context, url, side, None).await
}

/// The same, and tells every row to others as it is read.
pub(crate) async fn prove_side_telling(
    context: &VerifyContext,
    url: &ConnectionUrl,
    side: Side,
    others: Option<Arc<dyn Visits>>,
) -> Result<SideProof> {
    let mut opened = OpenSide::open(context, url, side).await?;
    let locates = side == Side::Target;
    let reads = Reads::new(context, &[&opened], |_| Reading::Stream, locates)?;
    let reads = Arc::new(reads);
    let all = opened.pieces.clone();
    let reading = look(
        opened.reader.clone(),
        all,
        Look::Digest(reads.clone(), others),
    );
    opened.attend(reading).await?;
    let mut proof = SideProof::default();
    for (table_no, table) in context.plan.tables.iter().enumerate() {
        let table = table.name.clone();
        let buckets = match reads.found(side, table_no) {
            Ok(buckets) => buckets,
            Err(reason) => {
                let difference = Difference::TableUnreadable { table, reason };
                proof.differences.push(difference);
                continue;
            }
        };
        let (expected, found) = (context.expected(table_no)?, buckets.total());
        proof.tables.push(TableProof {
            table: table.clone(),
            expected,
            found,
        });
        if expected == found {
            continue;
        }
        let Located { rows, rest } = match side {
            Side::Target => {
                Box::pin(locate::against_export(
                    context,
                    &mut opened,
                    table_no,
                    &buckets,
                ))
                .await?
            }
            Side::Source => Located::default(),
        };
        proof.differences.push(Difference::Rows {
            table,
            expected,
            found,
            located: rows,
            story: None,
            rest,
        });
    }
    opened.close().await?;
    proof.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(proof)
}
