//! Whether an evidence agrees with itself: digests add up again, every difference has its broken
//! link and every broken link its difference, and what is shown is what the levels claim.
//!
//! A signature says who wrote it. This says that what was written can be true.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::clone::{CloneFinding, MaskedTable};
use towpath_model::custody::{ChunkCustody, ChunkLinks, Link, TableCustody};
use towpath_model::digest::RowDigest;
use towpath_model::masking::MaskTally;
use towpath_model::verification::{Difference, Measure, Verification};
use towpath_model::{ChunkId, QualifiedName};

use crate::options::Level;

/// Contradictions told at most; one is enough to prove nothing.
const TOLD: usize = 5;

/// What cannot be true together; nothing when the evidence agrees with itself.
pub fn contradictions(verification: &Verification) -> Vec<String> {
    let mut finding = Finding {
        verification,
        levels: BTreeSet::new(),
        found: Vec::new(),
    };
    finding.levels();
    finding.documents();
    finding.chunks();
    finding.files();
    finding.rows();
    finding.counts();
    finding.catalog();
    finding.both_sides();
    finding.clone();
    finding.found.truncate(TOLD);
    finding.found
}

struct Finding<'v> {
    verification: &'v Verification,
    levels: BTreeSet<Level>,
    found: Vec<String>,
}

impl<'v> Finding<'v> {
    fn unless(&mut self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so && self.found.len() < TOLD {
            self.found.push(what());
        }
    }

    fn differences(&self) -> impl Iterator<Item = &'v Difference> + use<'v> {
        self.verification.differences.iter()
    }

    fn levels(&mut self) {
        for label in &self.verification.levels {
            match Level::named(label) {
                Some(level) => {
                    let is_new = self.levels.insert(level);
                    self.unless(is_new, || format!("level {label} is named twice"));
                }
                None => self.found.push(format!("there is no level {label:?}")),
            }
        }
        let any = !self.levels.is_empty();
        self.unless(any, || "it looked at nothing".to_owned());
        let needs_target = self.levels.iter().any(|level| *level != Level::Chunks);
        let is_named = self.verification.target_database.is_some();
        self.unless(is_named || !needs_target, || {
            "it does not say which target it looked at".to_owned()
        });
    }

    /// The root, that digests add up, and the differences about both.
    fn documents(&mut self) {
        let Verification {
            run,
            manifest,
            chain,
            ..
        } = self.verification;
        let root = chain.manifest(run, *manifest).compute_root();
        self.unless(Link::compare(manifest, &root) == chain.root, || {
            format!("its chain gives the manifest {root}, and it names {manifest}")
        });
        let told: BTreeSet<(Option<&QualifiedName>, &str)> = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::Chain { table, link, .. } => Some((table.as_ref(), link.as_str())),
                _ => None,
            })
            .collect();
        let mut broken = BTreeSet::new();
        let mut enter = |table: Option<&'v QualifiedName>, name: &'static str, link: Link| {
            if link.is_broken() {
                broken.insert((table, name));
            }
            link.was_looked_at()
        };
        let mut unseen = Vec::new();
        for (name, link) in [("root", chain.root), ("planned", chain.planned)] {
            if !enter(None, name, link) {
                unseen.push(name.to_owned());
            }
        }
        for table in &chain.tables {
            for (name, link) in [("complete", table.complete), ("sum", table.sum)] {
                if !enter(Some(&table.name), name, link) {
                    unseen.push(format!("{name} of {}", table.name));
                }
            }
        }
        self.unless(unseen.is_empty(), || {
            format!("these links were not looked at: {}", unseen.join(", "))
        });
        self.unless(told == broken, || {
            "the differences are not those of the broken documents".to_owned()
        });
        for table in &chain.tables {
            self.unless(table.adds_up() == table.sum, || {
                format!("the chunks of {} add up to something else", table.name)
            });
        }
    }

    fn chunks(&mut self) {
        let claimed = self.levels.contains(&Level::Chunks);
        let chain = &self.verification.chain;
        let count = if claimed {
            chain.chunks().count() as u64
        } else {
            0
        };
        self.unless(self.verification.chunks_checked == count, || {
            format!(
                "it says {} chunks and shows {count}",
                self.verification.chunks_checked
            )
        });
        let mut told: BTreeMap<&ChunkId, Vec<&Difference>> = BTreeMap::new();
        for difference in self.differences() {
            if let Difference::ChunkMissing { chunk, .. } | Difference::ChunkCorrupt { chunk, .. } =
                difference
            {
                told.entry(chunk).or_default().push(difference);
            }
        }
        for table in &chain.tables {
            for chunk in &table.chunks {
                let id = &chunk.chunk.chunk;
                let differences = told.remove(id).unwrap_or_default();
                let agrees = match claimed {
                    true => agrees_with(chunk, &differences),
                    false => chunk.links == ChunkLinks::default() && differences.is_empty(),
                };
                self.unless(agrees && id.table == table.table, || {
                    format!("chunk {id} and what is said of it do not agree")
                });
            }
        }
        let strange = told.into_keys().next();
        self.unless(strange.is_none(), || {
            format!("it tells of a chunk that is not in it: {strange:?}")
        });
    }

    fn files(&mut self) {
        let claimed = self.levels.contains(&Level::Chunks);
        let told: BTreeSet<&str> = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::FileCorrupt { key, .. } => Some(key.as_str()),
                _ => None,
            })
            .collect();
        let files = &self.verification.chain.files;
        let broken: BTreeSet<&str> = files
            .iter()
            .filter(|file| file.stored.is_broken())
            .map(|file| file.file.key.as_str())
            .collect();
        let looked_at = files.iter().all(|it| it.stored.was_looked_at() == claimed);
        self.unless(looked_at && told == broken, || {
            "its schema files and what is said of them do not agree".to_owned()
        });
    }

    /// Of every table: what the level `rows` found, and what is said of it.
    fn rows(&mut self) {
        let verification = self.verification;
        let measured = self
            .levels
            .contains(&Level::Rows)
            .then_some(verification.source);
        let proofs = by_name(verification.tables.iter().map(|it| (&it.table, it)));
        let live = by_name(verification.live.iter().map(|it| (&it.table, it)));
        let no_more = proofs.len() == verification.tables.len()
            && live.len() == verification.live.len()
            && (measured == Some(Measure::Manifest) || proofs.is_empty())
            && (measured == Some(Measure::Live) || live.is_empty());
        self.unless(no_more, || {
            "it shows tables that it did not look at, or one twice".to_owned()
        });
        let mut told: BTreeMap<&QualifiedName, Digests> = BTreeMap::new();
        let mut unreadable = BTreeSet::new();
        for difference in self.differences() {
            match difference {
                Difference::Rows {
                    table,
                    expected,
                    found,
                    ..
                } => {
                    let before = told.insert(table, (*expected, *found));
                    self.unless(before.is_none(), || format!("{table} differs twice"));
                }
                Difference::TableUnreadable { table, .. } => {
                    unreadable.insert(table);
                }
                _ => {}
            }
        }
        for table in &verification.chain.tables {
            let name = &table.name;
            let told = told.remove(name);
            let is_unreadable = unreadable.contains(name);
            let agrees = match measured {
                None => is_unlinked(table) && told.is_none(),
                Some(Measure::Manifest) => {
                    let proof = proofs.get(name).map(|it| (it.expected, it.found));
                    agrees_with_export(table, proof, told, is_unreadable)
                }
                // What is compared with the source says nothing of the export.
                Some(Measure::Live) => {
                    let agrees = live.get(name).map_or(is_unreadable, |it| {
                        let differ = (it.source != it.target).then_some((it.source, it.target));
                        it.exported == table.digest && told == differ
                    });
                    is_unlinked(table) && agrees
                }
            };
            self.unless(agrees, || {
                format!("table {name} and what is said of it do not agree")
            });
        }
        self.unless(told.is_empty(), || {
            "it tells of rows of a table that is not in it".to_owned()
        });
    }

    fn counts(&mut self) {
        let claimed = self.levels.contains(&Level::Counts);
        let verification = self.verification;
        let told: BTreeSet<(&QualifiedName, u64, u64)> = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::Counts {
                    table,
                    expected,
                    found,
                } => Some((table, *expected, *found)),
                _ => None,
            })
            .collect();
        let unequal: BTreeSet<(&QualifiedName, u64, u64)> = verification
            .counts
            .iter()
            .filter(|count| count.expected != count.found)
            .map(|count| (&count.table, count.expected, count.found))
            .collect();
        let exported: BTreeMap<&QualifiedName, u64> = verification
            .chain
            .tables
            .iter()
            .map(|table| (&table.name, table.expected().rows))
            .collect();
        let is_exported = verification
            .counts
            .iter()
            .all(|count| exported.get(&count.table) == Some(&count.expected));
        let counted: BTreeSet<_> = verification.counts.iter().map(|it| &it.table).collect();
        let unreadable: BTreeSet<_> = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::TableUnreadable { table, .. } => Some(table),
                _ => None,
            })
            .collect();
        let is_whole = match claimed {
            true => exported
                .keys()
                .all(|table| counted.contains(table) || unreadable.contains(table)),
            false => counted.is_empty(),
        };
        self.unless(told == unequal && is_exported && is_whole, || {
            "its counts and what is said of them do not agree".to_owned()
        });
    }

    fn catalog(&mut self) {
        let verification = self.verification;
        let sequences = &verification.chain.sequences;
        let count = match self.levels.contains(&Level::Sequences) {
            true => sequences.len() as u64,
            false => 0,
        };
        let are_its_own = self.differences().all(|difference| match difference {
            // Those of a clone may stand where it has set them.
            Difference::Sequence { expected, found } => {
                let is_known = sequences.contains(expected) || verification.clone.is_some();
                count > 0 && is_known && found.as_ref() != Some(expected)
            }
            _ => true,
        });
        self.unless(
            verification.sequences_checked == count && are_its_own,
            || "its sequences and what is said of them do not agree".to_owned(),
        );
        let claimed = self.levels.contains(&Level::Schema);
        let is_told = self
            .differences()
            .any(|difference| matches!(difference, Difference::Structure(_)));
        self.unless(
            claimed || (verification.objects_checked == 0 && !is_told),
            || "it tells of a structure that it did not look at".to_owned(),
        );
    }

    fn both_sides(&mut self) {
        let verification = self.verification;
        let claimed = self.levels.contains(&Level::Access);
        let told = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::Access(difference) => Some(difference),
                _ => None,
            });
        let shown = verification.access.iter().flat_map(|it| &it.differences);
        let agrees = verification.access.is_some() == claimed && told.eq(shown);
        self.unless(agrees, || {
            "what roles may do and what is said of it do not agree".to_owned()
        });
        let claimed = self.levels.contains(&Level::Health);
        let told = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::Health(finding) => Some(finding.clone()),
                _ => None,
            });
        let shown = verification.health.iter().flat_map(|it| it.findings());
        let agrees = verification.health.is_some() == claimed && told.eq(shown);
        self.unless(agrees, || {
            "the checklist and what is said of it do not agree".to_owned()
        });
    }

    /// What masking did, as chunks, proof and findings tell it.
    fn clone(&mut self) {
        let verification = self.verification;
        let told: Vec<&CloneFinding> = self
            .differences()
            .filter_map(|difference| match difference {
                Difference::Clone(finding) => Some(finding),
                _ => None,
            })
            .collect();
        let Some(proof) = &verification.clone else {
            self.unless(told.is_empty(), || {
                "it tells of a clone that it did not look at".to_owned()
            });
            return;
        };
        let differing: BTreeSet<&QualifiedName> = told
            .iter()
            .filter_map(|finding| match finding {
                CloneFinding::Unmasked { table, .. } => Some(table),
                _ => None,
            })
            .collect();
        for table in &verification.chain.tables {
            let mut sum = MaskTally::default();
            let tallies = table
                .chunks
                .iter()
                .filter_map(|it| it.chunk.masked.as_ref());
            tallies.for_each(|tally| sum.add(tally));
            let shown = proof
                .columns
                .iter()
                .find(|it| it.table == table.name)
                .map(|it| &it.columns);
            let agrees = match shown {
                Some(columns) => *columns == sum.columns || differing.contains(&table.name),
                None => sum.columns.is_empty(),
            };
            self.unless(agrees, || {
                format!(
                    "what masking did to {} is not what its chunks say",
                    table.name
                )
            });
        }
        let unchanged: BTreeSet<(&QualifiedName, &str)> = told
            .iter()
            .filter_map(|finding| match finding {
                CloneFinding::Unchanged { table, column, .. } => Some((table, column.as_str())),
                _ => None,
            })
            .collect();
        let columns = proof
            .columns
            .iter()
            .flat_map(|MaskedTable { table, columns }| {
                let columns = columns.iter();
                columns.map(move |(column, tally)| (table, column.as_str(), tally))
            });
        let mut left = columns.filter(|(_, _, tally)| tally.unchanged > 0);
        let are_told = left.all(|(table, column, _)| unchanged.contains(&(table, column)));
        self.unless(are_told, || {
            "values that are what they were are among no difference".to_owned()
        });
        let all = proof.columns.len();
        let equal = usize::try_from(proof.unmasked_tables).unwrap_or(usize::MAX);
        let is_whole = equal <= all && equal + differing.len() >= all;
        self.unless(is_whole, || {
            format!("{equal} of {all} masked tables are equal, and no difference tells of the rest")
        });
        let is_scanned = proof.masks.is_none() || proof.residual.is_some();
        self.unless(is_scanned || !proof.not_looked_at.is_empty(), || {
            "it does not say why nobody looked for originals".to_owned()
        });
        let originals = told
            .iter()
            .any(|it| matches!(it, CloneFinding::Original { .. }));
        self.unless(!originals || proof.residual.is_some(), || {
            "it tells of originals that it did not look for".to_owned()
        });
    }
}

/// Whether the links of a chunk that was looked at are what its difference says, and all there.
fn agrees_with(chunk: &ChunkCustody, differences: &[&Difference]) -> bool {
    let links = chunk.links;
    match differences {
        [] => links.all().into_iter().all(Link::is_held),
        [Difference::ChunkMissing { key, .. }] => {
            let others = [links.raw, links.rows];
            *key == chunk.chunk.key
                && links.stored.is_broken()
                && !others.into_iter().any(Link::was_looked_at)
        }
        [Difference::ChunkCorrupt { key, link, .. }] => {
            let first = match link.as_str() {
                "stored bytes" => links.stored,
                "compression" | "raw bytes" => links.raw,
                _ => links.rows,
            };
            *key == chunk.chunk.key
                && first.is_broken()
                && links.all().into_iter().all(Link::was_looked_at)
        }
        _ => false,
    }
}

/// What should be there and what is.
type Digests = (RowDigest, RowDigest);

fn by_name<'t, T>(
    tables: impl Iterator<Item = (&'t QualifiedName, T)>,
) -> BTreeMap<&'t QualifiedName, T> {
    tables.collect()
}

/// Whether nothing is said of the target.
fn is_unlinked(table: &TableCustody) -> bool {
    table.target.is_none() && !table.loaded.was_looked_at()
}

/// Whether link, proof and difference of a table tell the same of the target.
fn agrees_with_export(
    table: &TableCustody,
    proof: Option<Digests>,
    told: Option<Digests>,
    is_unreadable: bool,
) -> bool {
    let Some(found) = table.target else {
        return table.loaded.is_broken() && is_unreadable && proof.is_none() && told.is_none();
    };
    let both = (table.expected(), found);
    let differ = (both.0 != found).then_some(both);
    proof == Some(both) && told == differ && table.loaded == Link::compare(&both.0, &found)
}
