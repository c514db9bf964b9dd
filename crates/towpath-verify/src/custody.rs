//! Enters into the chain of custody what the levels have seen.

use std::collections::{BTreeMap, HashMap, HashSet};

use towpath_model::custody::{Chain, ChunkLinks, Link, TableCustody};
use towpath_model::digest::RowDigest;
use towpath_model::verification::{Difference, TableProof};
use towpath_model::{QualifiedName, TableId};

use crate::tables::SideProof;

/// What documents alone show to be wrong: a manifest that was edited and sealed again can lack a
/// chunk, or hold one twice, and still give its own root.
pub(crate) fn broken_documents(chain: &Chain) -> Vec<Difference> {
    let of_all = [("root", chain.root), ("planned", chain.planned)];
    let mut broken: Vec<Difference> = of_all
        .into_iter()
        .filter(|(_, link)| link.is_broken())
        .map(|(link, _)| Difference::Chain {
            table: None,
            link: link.to_owned(),
            found: match link {
                "root" => "the manifest does not give its own root hash".to_owned(),
                _ => "the manifest holds other tables than the plan".to_owned(),
            },
        })
        .collect();
    for table in &chain.tables {
        let mut add = |link: &str, found: String| {
            broken.push(Difference::Chain {
                table: Some(table.name.clone()),
                link: link.to_owned(),
                found,
            });
        };
        if table.complete.is_broken() {
            let count = table.chunks.len();
            add(
                "complete",
                format!("the manifest's {count} chunks are not those of the plan"),
            );
        }
        if table.sum.is_broken() {
            add("sum", told_sum(table));
        }
    }
    broken
}

fn told_sum(table: &TableCustody) -> String {
    let chunks = table.chunks.iter().map(|it| &it.chunk);
    let rows: u64 = chunks.clone().map(|chunk| chunk.digest.rows).sum();
    let bytes: u64 = chunks.map(|chunk| chunk.raw_bytes).sum();
    format!(
        "the chunks hold {rows} rows in {bytes} bytes, the table {} in {}, or other ones",
        table.digest.rows, table.raw_bytes
    )
}

/// Enters which tables should hold something else than what was exported.
pub(crate) fn enter_caught_up(chain: &mut Chain, caught_up: &BTreeMap<TableId, RowDigest>) {
    for table in &mut chain.tables {
        table.caught_up = caught_up.get(&table.table).copied();
    }
}

/// Enters what was seen of the stored chunks, in the manifest's order.
pub(crate) fn enter_chunks(chain: &mut Chain, links: Vec<ChunkLinks>) {
    let chunks = chain.tables.iter_mut().flat_map(|table| &mut table.chunks);
    for (chunk, links) in chunks.zip(links) {
        chunk.links = links;
    }
}

/// Enters what the target was found to hold.
pub(crate) fn enter_rows(chain: &mut Chain, proof: &SideProof) {
    let found: HashMap<&QualifiedName, &TableProof> = proof
        .tables
        .iter()
        .map(|table| (&table.table, table))
        .collect();
    let unreadable: HashSet<&QualifiedName> = proof
        .differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::TableUnreadable { table, .. } => Some(table),
            _ => None,
        })
        .collect();
    for table in &mut chain.tables {
        if let Some(proof) = found.get(&table.name) {
            table.target = Some(proof.found);
            table.loaded = Link::compare(&table.expected(), &proof.found);
        } else if unreadable.contains(&table.name) {
            table.loaded = Link::BROKEN;
        }
    }
}
