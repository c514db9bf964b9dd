//! Cuts a table into slices of heap pages of about equal bytes.

use towpath_model::inventory::{LargeObjects, Relation};
use towpath_model::plan::{OidRange, PageRange, PlannedChunk};

/// Chunks of one table at most: each is an object, a row of the ledger and a line of the manifest.
const MOST: u64 = 10_000;

/// Slices of a relation, each of about `chunk_bytes` of heap and TOAST. Together they cover every
/// page that exists or will exist: the last slice is open, so rows that moved to new pages between
/// plan and snapshot are not missed. Sizes are those of the files, so a table that was never
/// analysed is cut like any other.
///
/// A page is never cut: values beside the heap that hang on one page (some two hundred pointers at
/// most) travel in one chunk, of whatever size. That costs no memory, because chunks are streams.
pub fn split(relation: &Relation, chunk_bytes: u64) -> Vec<PlannedChunk> {
    let wanted = relation.bytes.div_ceil(chunk_bytes.max(1)).clamp(1, MOST);
    let chunks = u32::try_from(wanted.min(relation.pages.max(1))).unwrap_or(1);
    if chunks == 1 {
        return vec![PlannedChunk::WHOLE];
    }
    // Page numbers are 32 bits wide in PostgreSQL (`BlockNumber`).
    let pages = u32::try_from(relation.pages).unwrap_or(u32::MAX - 1);
    let first_page = |index: u32| {
        let page = u64::from(pages) * u64::from(index) / u64::from(chunks);
        u32::try_from(page).unwrap_or(u32::MAX - 1)
    };
    (0..chunks)
        .map(|index| PlannedChunk {
            no: index + 1,
            pages: Some(PageRange {
                from_page: first_page(index),
                to_page: (index + 1 < chunks).then(|| first_page(index + 1)),
            }),
            oids: None,
        })
        .collect()
}

/// Slices of the large objects by OID, each of about `chunk_bytes`. Together they cover every OID,
/// so an object that is made between plan and snapshot is in one of them.
pub fn split_large_objects(objects: &LargeObjects, chunk_bytes: u64) -> Vec<PlannedChunk> {
    let bounds = &objects.bounds;
    let wanted = objects.bytes.div_ceil(chunk_bytes.max(1));
    let chunks = usize::try_from(wanted)
        .unwrap_or(usize::MAX)
        .clamp(1, bounds.len().max(1));
    if chunks == 1 {
        return vec![PlannedChunk::WHOLE];
    }
    let first_oid = |index: usize| match index {
        0 => 0,
        _ => bounds[bounds.len() * index / chunks],
    };
    (0..chunks)
        .zip(1..)
        .map(|(index, no)| PlannedChunk {
            no,
            pages: None,
            oids: Some(OidRange {
                from_oid: first_oid(index),
                to_oid: (index + 1 < chunks).then(|| first_oid(index + 1)),
            }),
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use towpath_model::QualifiedName;
    use towpath_model::inventory::RelationKind;

    pub(crate) fn relation(pages: u64, bytes: u64) -> Relation {
        Relation {
            name: QualifiedName::new("public", "t"),
            oid: 1,
            kind: RelationKind::Table,
            owner: "postgres".to_owned(),
            extension: None,
            readable: true,
            row_security: false,
            force_row_security: false,
            unlogged: false,
            is_child: false,
            pages,
            bytes,
            index_bytes: 0,
            estimated_rows: -1,
            columns: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn every_page_is_in_exactly_one_slice(pages in 0u64..5_000, per_page in 0u64..200_000, chunk in 1u64..10_000_000, probe in 0u32..6_000) {
            let chunks = split(&relation(pages, pages * per_page), chunk);
            let holding = chunks
                .iter()
                .filter(|chunk| match chunk.pages {
                    None => true,
                    Some(range) => {
                        probe >= range.from_page && range.to_page.is_none_or(|to| probe < to)
                    }
                })
                .count();
            prop_assert_eq!(holding, 1);
            prop_assert!(chunks.iter().enumerate().all(|(i, c)| c.no as usize == i + 1));
        }
    }

    proptest! {
        #[test]
        fn every_oid_is_in_exactly_one_slice(
            oids in proptest::collection::btree_set(1u32.., 0..300),
            bytes in 0u64..1_000_000,
            chunk in 1u64..10_000,
            probe in proptest::num::u32::ANY,
        ) {
            let objects = LargeObjects { bytes, bounds: oids.into_iter().collect(), ..LargeObjects::default() };
            let chunks = split_large_objects(&objects, chunk);
            let holding = chunks
                .iter()
                .filter(|chunk| chunk.oids.is_none_or(|range| {
                    probe >= range.from_oid && range.to_oid.is_none_or(|to| probe < to)
                }))
                .count();
            prop_assert_eq!(holding, 1);
            prop_assert!(chunks.iter().enumerate().all(|(i, c)| c.no as usize == i + 1));
        }
    }

    #[test]
    fn a_table_of_no_pages_is_one_chunk() {
        assert_eq!(split(&relation(0, 0), 1), vec![PlannedChunk::WHOLE]);
    }

    #[test]
    fn a_terabyte_plans_well() {
        let chunks = split(&relation(134_217_728, 1 << 40), 64 << 20);
        assert_eq!(chunks.len(), 10_000);
        assert_eq!(chunks.last().and_then(|last| last.pages?.to_page), None);
    }
}
