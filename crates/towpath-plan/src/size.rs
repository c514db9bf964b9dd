//! How big chunks are.
//!
//! Bytes first: a chunk is what is lost when a connection breaks, what the loader waits for at the
//! beginning and what the others wait for at the end, so it is a small part of the whole. Time is
//! the bound at the other end: at half of the slowest rate assumed (`plan.rs`) the biggest chunk
//! moves in some seconds, so that a retry stays cheap on a database of any size.

use towpath_model::inventory::Relation;

/// Less than this is not worth a request to the store and a transaction on the target.
const SMALLEST: u64 = 32 << 20;

/// More than this is a retry that hurts.
const BIGGEST: u64 = 256 << 20;

/// Chunks of the whole for each job: at the end, while the last ones are under way, no more than
/// this part of the time is a job without work.
const PER_JOB: u64 = 16;

/// Slices of a table whose bytes are mostly in TOAST are this much finer, because heap pages say
/// little about what hangs on them: the heaviest slice may hold several times its share.
const FINER: u64 = 4;

/// What decides the size of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkSize {
    /// The size of the whole and the number of jobs.
    Auto {
        /// Jobs that will work at it.
        jobs: u32,
    },
    /// The operator.
    Bytes(u64),
}

impl ChunkSize {
    /// Bytes of heap and TOAST of a chunk, where all tables together have `whole_bytes`.
    pub fn of_whole(self, whole_bytes: u64) -> u64 {
        match self {
            Self::Auto { jobs } => {
                (whole_bytes / (PER_JOB * u64::from(jobs.max(1)))).clamp(SMALLEST, BIGGEST)
            }
            Self::Bytes(bytes) => bytes.max(1),
        }
    }

    /// The same for chunks of one table.
    pub fn of_table(self, whole_bytes: u64, relation: &Relation) -> u64 {
        let bytes = self.of_whole(whole_bytes);
        match self {
            Self::Auto { .. } if mostly_toast(relation) => bytes / FINER,
            Self::Auto { .. } | Self::Bytes(_) => bytes,
        }
    }
}

/// Whether most bytes of a table are not in its heap, by the size that pages usually have.
fn mostly_toast(relation: &Relation) -> bool {
    relation.bytes / 2 > relation.pages.saturating_mul(8192)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::tests::relation;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn chunks_of(size: ChunkSize, whole: u64, pages: u64, bytes: u64) -> usize {
        let relation = relation(pages, bytes);
        crate::split(&relation, size.of_table(whole, &relation)).len()
    }

    #[test]
    fn tables_of_any_size_plan_well() {
        let auto = ChunkSize::Auto { jobs: 4 };
        let heap = |bytes: u64| chunks_of(auto, bytes, bytes / 8192, bytes);
        assert_eq!(heap(8192), 1, "one row");
        assert_eq!(heap(30 << 20), 1);
        assert_eq!(heap(GIB), 32);
        assert_eq!(heap(100 * GIB), 400);
        assert_eq!(heap(1024 * GIB), 4096);
        assert_eq!(heap(32 * 1024 * GIB), 10_000);
    }

    #[test]
    fn the_size_of_the_operator_is_taken_as_it_is() {
        assert_eq!(ChunkSize::Bytes(1 << 20).of_whole(1024 * GIB), 1 << 20);
        assert_eq!(ChunkSize::Bytes(0).of_whole(1), 1);
    }

    #[test]
    fn values_outside_of_the_heap_make_finer_slices() {
        let auto = ChunkSize::Auto { jobs: 2 };
        // A gibibyte of documents of 1 MiB each: their heap is a handful of pages.
        assert_eq!(chunks_of(auto, GIB, 10, GIB), 10);
        // With smaller documents there are pages enough.
        assert_eq!(chunks_of(auto, GIB, 2_000, GIB), 128);
        assert_eq!(chunks_of(auto, GIB, GIB / 8192, GIB), 32);
    }

    proptest! {
        #[test]
        fn chunks_are_neither_too_many_nor_too_big(
            shift in 0u32..46,
            part in 1u64..=100,
            jobs in 1u32..=64,
            toast in 1u64..=1_000,
        ) {
            let whole = (1u64 << shift).max(8192);
            let bytes = (whole / 100 * part).max(8192);
            // PostgreSQL manual, "PostgreSQL Limits": 4,294,967,295 pages.
            let pages = (bytes / 8192 / toast).clamp(1, u64::from(u32::MAX));
            let auto = ChunkSize::Auto { jobs };
            let chunks = chunks_of(auto, whole, pages, bytes) as u64;
            prop_assert!((1..=10_000).contains(&chunks));
            prop_assert!(chunks <= pages);
            let each = bytes.div_ceil(chunks);
            prop_assert!(each <= BIGGEST || chunks == 10_000 || chunks == pages, "{each}");
            // The biggest table gives work to every job until shortly before the end.
            if part == 100 && whole / SMALLEST >= PER_JOB * u64::from(jobs) && pages > 100_000 {
                prop_assert!(chunks >= (4 * u64::from(jobs)).min(10_000));
            }
        }
    }
}
