//! Rows of the source now against rows of the target now, both read at once.
//!
//! A source that is in use moves on, and what was written to it meanwhile is no fault of the target.
//! So a difference tells which side is no longer what was exported: the digest of the export is known.

use std::sync::Arc;

use towpath_model::connection::Side;
use towpath_model::digest::RowDigest;
use towpath_model::event::Stage;
use towpath_model::verification::{Difference, LiveProof, Reading, Story};
use towpath_model::{QualifiedName, Result};

use crate::buckets::Buckets;
use crate::locate::{self, Located};
use crate::options::VerifyContext;
use crate::pushdown;
use crate::side::{Look, OpenSide, Reads, look};

/// What was found on both sides.
#[derive(Debug, Default)]
pub struct LiveProofs {
    /// Every table that could be read on both, by name.
    pub tables: Vec<LiveProof>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Reads every table of both sides, each side in one snapshot of its own, and compares them. Rows that
/// differ are looked for unless nobody wants to hear of any.
pub async fn prove_live(context: &VerifyContext) -> Result<LiveProofs> {
    let (mut source, mut target) = tokio::try_join!(
        OpenSide::open(context, context.source()?, Side::Source),
        OpenSide::open(context, context.target()?, Side::Target)
    )?;
    let refusals = refusals(context, &mut source, &mut target).await?;
    let locates = context.options.max_differences > 0;
    let reading = |table_no: usize| match refusals.get(table_no) {
        Some(None) => Reading::Pushdown,
        _ => Reading::Stream,
    };
    let reads = Arc::new(Reads::new(context, &[&source, &target], reading, locates)?);
    let digest = |side: &OpenSide| {
        let (reader, pieces) = (side.reader.clone(), side.pieces.clone());
        look(reader, pieces, Look::Digest(reads.clone(), None))
    };
    let (at_source, at_target) = (digest(&source), digest(&target));
    let both = async { tokio::try_join!(at_source, at_target) };
    source.attend(target.attend(both)).await?;
    let mut proofs = LiveProofs::default();
    for (table_no, table) in context.plan.tables.iter().enumerate() {
        let found = [Side::Source, Side::Target].map(|side| reads.found(side, table_no));
        let [Ok(expected), Ok(found)] = found else {
            let unreadable = found.map(Result::err);
            proofs.enter_unreadable(&table.name, unreadable);
            continue;
        };
        let reading = reading(table_no);
        let proof = LiveProof {
            table: table.name.clone(),
            exported: context.exported(table_no)?.digest,
            source: expected.total(),
            target: found.total(),
            reading,
            reason: refusals.get(table_no).cloned().flatten(),
        };
        if proof.source != proof.target {
            let (sides, digests) = ((&mut source, &mut target), (&expected, &found));
            let located = match locates {
                true => Box::pin(located(context, sides, table_no, digests, reading)).await?,
                false => Located {
                    rows: Vec::new(),
                    rest: Some("nobody asked which rows differ".to_owned()),
                },
            };
            proofs.differences.push(difference(&proof, located));
        }
        proofs.tables.push(proof);
    }
    source.close().await?;
    target.close().await?;
    proofs.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(proofs)
}

async fn located(
    context: &VerifyContext,
    (source, target): (&mut OpenSide, &mut OpenSide),
    table_no: usize,
    digests: (&Buckets, &Buckets),
    reading: Reading,
) -> Result<Located> {
    locate::between(context, source, target, table_no, digests, reading).await
}

/// Why servers cannot digest rows, by table; empty where nobody asked them to.
async fn refusals(
    context: &VerifyContext,
    source: &mut OpenSide,
    target: &mut OpenSide,
) -> Result<Vec<Option<String>>> {
    if context.options.reading == Reading::Stream {
        return Ok(Vec::new());
    }
    let refusals = pushdown::refusals(context, source.session(), target.session()).await?;
    let refused = refusals.iter().flatten().count();
    if refused > 0 {
        let all = refusals.len();
        let reason = refusals.iter().flatten().next().map_or("", String::as_str);
        (context.events).note(
            Stage::Verify,
            format!("{refused} of {all} tables are read by towpath itself: {reason}"),
        );
    }
    Ok(refusals)
}

impl LiveProofs {
    fn enter_unreadable(&mut self, table: &QualifiedName, reasons: [Option<String>; 2]) {
        for (side, reason) in ["source", "target"].into_iter().zip(reasons) {
            let reason = reason.map(|reason| format!("on the {side}: {reason}"));
            self.differences
                .extend(reason.map(|reason| Difference::TableUnreadable {
                    table: table.clone(),
                    reason,
                }));
        }
    }
}

fn difference(proof: &LiveProof, located: Located) -> Difference {
    Difference::Rows {
        table: proof.table.clone(),
        expected: proof.source,
        found: proof.target,
        located: located.rows,
        story: Some(story(proof)),
        rest: located.rest,
    }
}

/// Digests of servers are of another kind, but counts are counts: a side with more or less rows than
/// were exported has changed.
fn story(proof: &LiveProof) -> Story {
    let is_exported = |found: &RowDigest| match proof.reading {
        Reading::Stream => Some(*found == proof.exported),
        Reading::Pushdown => (found.rows != proof.exported.rows).then_some(false),
    };
    match (is_exported(&proof.source), is_exported(&proof.target)) {
        (Some(false), Some(true)) => Story::SourceMoved,
        (Some(true), Some(false)) => Story::TargetDiffers,
        (Some(false), Some(false)) => Story::BothDiffer,
        _ => Story::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[u8]) -> RowDigest {
        let mut digest = RowDigest::default();
        rows.iter()
            .for_each(|row| digest.add_row(blake3::hash(&[*row]).as_bytes()));
        digest
    }

    fn told(reading: Reading, exported: &[u8], source: &[u8], target: &[u8]) -> Story {
        story(&LiveProof {
            table: QualifiedName::new("public", "t"),
            exported: digest(exported),
            source: digest(source),
            target: digest(target),
            reading,
            reason: None,
        })
    }

    #[test]
    fn three_digests_tell_who_has_changed() {
        let stream = |source: &[u8], target: &[u8]| told(Reading::Stream, &[1, 2], source, target);
        assert_eq!(stream(&[1, 2, 3], &[1, 2]), Story::SourceMoved);
        assert_eq!(stream(&[1, 2], &[1, 3]), Story::TargetDiffers);
        assert_eq!(stream(&[1], &[2]), Story::BothDiffer);
        let pushed =
            |source: &[u8], target: &[u8]| told(Reading::Pushdown, &[1, 2], source, target);
        assert_eq!(pushed(&[1], &[1, 2, 3]), Story::BothDiffer);
        assert_eq!(pushed(&[1, 2], &[1, 3]), Story::Unknown);
        assert_eq!(pushed(&[1, 2, 3], &[1, 2]), Story::Unknown);
    }
}
