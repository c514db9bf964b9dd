//! Fast refresh: stored chunks of the clone before are used again where their table is proven to be
//! what it was.
//!
//! The proof is by transaction ids, and is a count. A row version does not change once it is written.
//! So when every version that the new snapshot shows was written by a transaction that had ended
//! before the old snapshot was taken, each of them was shown by the old one, too; and when they are as
//! many as the old one showed, they are the same ones. Only `xmin` is read, no value of any row.
//! ADR 31 tells what else has to hold, and what this costs beside reading the rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use towpath_model::clone::CloneMark;
use towpath_model::connection::Side;
use towpath_model::digest::{Hash, RunKey};
use towpath_model::document::Document;
use towpath_model::manifest::Manifest;
use towpath_model::plan::{Plan, PlannedChunk, PlannedTable};
use towpath_model::{QualifiedName, Result, RunId, TableId};
use towpath_postgres::{Session, SnapshotHolder};
use towpath_store::RunStore;

use crate::context::Context;
use crate::pipeline::clone::{Cloning, Order, Sealed, clone_plan};
use crate::run_files;

/// Folder of the identities of a run's tables, as they were in the snapshots of its seals.
const IDENTITIES: &str = "identities";

/// Transactions between two snapshots from which on 32 bits could not tell new from old.
const TOO_FAR_APART: u64 = 1 << 31;

/// What tables are, beside their names: another one of the same name, or another column of the same
/// name, has rows of its own, whose transactions say nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Identities {
    /// Cluster, database, timeline and start of the server.
    database: String,
    /// Of each table a hash of its OID and of number and type of each column.
    tables: BTreeMap<TableId, Hash>,
    /// Tables all of whose types are PostgreSQL's own and are written the same whatever else there is
    /// in the database.
    plain: BTreeSet<TableId>,
}

impl Document for Identities {
    const FORMAT: &'static str = "towpath-table-identities";
    const VERSION: u32 = 1;
}

impl Identities {
    async fn of(session: &mut Session, plan: &Plan) -> Result<Self> {
        #[derive(Deserialize)]
        struct Found {
            schema: String,
            name: String,
            what: String,
            plain: bool,
        }
        // A disk that was put back has cluster and timeline of the one it was copied from, and gives
        // the same transaction ids to other transactions. It cannot come without a start.
        let place = session
            .scalar(
                "select d.oid || '/' || pg_catalog.left(
                            pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)
                        || '/' || pg_catalog.to_char(
                            pg_catalog.pg_postmaster_start_time() at time zone 'UTC',
                            'YYYYMMDDHH24MISSUS')
                   from pg_catalog.pg_database d
                  where d.datname = pg_catalog.current_database()",
                &[],
            )
            .await?;
        // Other kinds of storage have their own idea of `xmin`. What is written of an OID alias or of a
        // privilege is the name of something else, which may get another one.
        let found: Vec<Found> = session
            .fetch(
                "select n.nspname as schema, c.relname as name,
                        c.oid || ' ' || pg_catalog.string_agg(
                            pg_catalog.concat_ws(':', a.attnum, a.atttypid, a.atttypmod,
                                                 pg_catalog.quote_ident(a.attname)),
                            ' ' order by a.attnum) as what,
                        pg_catalog.bool_and(t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                                            and t.typtype = 'b' and t.typname !~ '^_?(reg|aclitem)') as plain
                   from pg_catalog.pg_class c
                   join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                   join pg_catalog.pg_attribute a
                     on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                   join pg_catalog.pg_type t on t.oid = a.atttypid
                   join pg_catalog.pg_am m on m.oid = c.relam and m.amname = 'heap'
                  where c.relkind = 'r' and c.relpersistence = 'p'
                  group by c.oid, n.nspname, c.relname",
                &[],
            )
            .await?;
        let cluster = &plan.source.facts.system_identifier;
        let mut identities = Self {
            database: match (cluster, place) {
                (Some(cluster), Some(place)) => format!("{cluster}/{place}"),
                _ => String::new(),
            },
            ..Self::default()
        };
        for table in found {
            let id = TableId::of(&QualifiedName::new(&table.schema, &table.name));
            if plan.table(&id).is_none() {
                continue;
            }
            let what = Hash::of(table.what.as_bytes());
            identities.tables.insert(id.clone(), what);
            if table.plain {
                identities.plain.insert(id);
            }
        }
        Ok(identities)
    }

    /// Whether a table is still the one that it was.
    fn agree(&self, before: &Self, table: &TableId) -> bool {
        let of = |identities: &Self| identities.tables.get(table).copied();
        !self.database.is_empty()
            && self.database == before.database
            && of(self).is_some()
            && of(self) == of(before)
    }
}

/// Stores what the tables of a run are, for the run after it; before the run is sealed, in its
/// snapshot, while its tables are locked.
pub async fn remember(store: &RunStore, plan: &Plan, session: &mut Session) -> Result<()> {
    let identities = Identities::of(session, plan).await?;
    store
        .put_numbered(IDENTITIES, &identities)
        .await
        .map(|_| ())
}

/// Enters into a plan which run's chunks may be used again, if there is one whose plan fits, and
/// takes over the slices of the tables that they are of. Whether these are unchanged is proven in the
/// snapshot of the export.
///
/// A table that is cut otherwise by now has grown or shrunk, so it has changed: with slices of long ago
/// all that is new since would be in the last one, night after night.
pub async fn plan(
    context: &Context,
    order: &Order,
    plan: &mut Plan,
    session: &mut Session,
) -> Result<()> {
    if !order.reuse {
        return Ok(());
    }
    let Some(before) = before(context, order).await? else {
        return Ok(());
    };
    let fitting = fitting(order, plan, &before, session).await?;
    let mut takes = false;
    for table in &mut plan.tables {
        let theirs = before.plan.plan.table(&table.id);
        if let Some(theirs) = theirs.filter(|_| fitting.contains(&table.id))
            && cut_alike(&table.chunks, &theirs.chunks)
        {
            table.chunks.clone_from(&theirs.chunks);
            takes = true;
        }
    }
    if let (true, Some(clone)) = (takes, &mut plan.clone) {
        clone.reuses = Some(before.plan.plan.run.clone());
    }
    Ok(())
}

/// Whether slices that were cut before are about those that would be cut now: as many, and the last,
/// which is open, begins no more than a quarter too early.
fn cut_alike(now: &[PlannedChunk], before: &[PlannedChunk]) -> bool {
    let last = |chunks: &[PlannedChunk]| {
        let pages = chunks.last().and_then(|chunk| chunk.pages);
        pages.map_or(0, |pages| u64::from(pages.from_page))
    };
    now.len() == before.len() && last(now) * 4 <= last(before) * 5
}

/// The run of the clone that serves now. Nothing is reused where anything about it cannot be read:
/// a refresh that takes longer is none that fails.
async fn before(context: &Context, order: &Order) -> Result<Option<Sealed>> {
    let Some(mark) = serving(context, order).await? else {
        return Ok(None);
    };
    if mark.store != context.store_location()?.to_string() || mark.from.is_some() {
        return Ok(None);
    }
    Ok(usable(context, &mark.run).await)
}

async fn serving(context: &Context, order: &Order) -> Result<Option<CloneMark>> {
    let options = context.session_options(Side::Target, "towpath/clone");
    let mut session = Session::connect(&order.destination.url, Side::Target, &options).await?;
    let comment = session
        .scalar(
            "select pg_catalog.shobj_description(d.oid, 'pg_database')
               from pg_catalog.pg_database d where d.datname = $1",
            &[&order.destination.name],
        )
        .await?;
    session.close().await;
    Ok(comment.as_deref().and_then(CloneMark::parse))
}

/// A run whose chunks may be used again, if they are there still.
pub async fn usable(context: &Context, run: &RunId) -> Option<Sealed> {
    match Sealed::open(context, run).await {
        Ok(sealed) => Some(sealed),
        Err(failure) => {
            tracing::info!(?failure, "chunks of run {run} cannot be used again");
            None
        }
    }
}

/// Tables whose chunks of the run before would be those of this plan, if their rows are the same.
async fn fitting(
    order: &Order,
    plan: &Plan,
    before: &Sealed,
    session: &mut Session,
) -> Result<BTreeSet<TableId>> {
    let stored = before.store.latest_numbered::<Identities>(IDENTITIES).await;
    let Ok(Some((_, were))) = stored else {
        return Ok(BTreeSet::new());
    };
    let are = Identities::of(session, plan).await?;
    let theirs = &before.plan.plan;
    Ok(which_fit((plan, &are), (theirs, &were), order.residual))
}

/// The same, of plans and of what their tables are.
fn which_fit(
    (plan, are): (&Plan, &Identities),
    (theirs, were): (&Plan, &Identities),
    is_scanned: bool,
) -> BTreeSet<TableId> {
    // Another version may read, write or mask otherwise.
    if plan.made_by != theirs.made_by {
        return BTreeSet::new();
    }
    let keys = [plan, theirs].map(|plan| {
        let masks = plan.clone.as_ref().and_then(|clone| clone.masks.as_ref());
        masks.map(|masks| masks.key_id.clone())
    });
    let fits = |table: &&PlannedTable| {
        let is_masked = !table.masks.is_empty();
        theirs
            .table(&table.id)
            .is_some_and(|theirs| same_shape(table, theirs))
            && are.agree(were, &table.id)
            && (are.plain.contains(&table.id) || plan.pre_data == theirs.pre_data)
            // The residual scan compares with what masked columns held: nobody would have read it.
            && (!is_masked || (keys[0] == keys[1] && !is_scanned))
    };
    let fitting = plan.tables.iter().filter(fits);
    fitting.map(|table| table.id.clone()).collect()
}

/// Whether two plans read the same of a table, in the same form, and mask it alike.
fn same_shape(one: &PlannedTable, other: &PlannedTable) -> bool {
    let goes_whole = |table: &PlannedTable| {
        table.rows.is_table() && table.subset.is_none() && table.expressions.is_empty()
    };
    let read = |table: &PlannedTable| {
        let masks = table.masks.iter().map(|(column, mask)| {
            // Which rule said so is nothing to the values.
            let origin = String::new();
            (
                column.clone(),
                towpath_model::masking::PlannedMask {
                    origin,
                    ..mask.clone()
                },
            )
        });
        let masks: BTreeMap<_, _> = masks.collect();
        (
            table.name.clone(),
            table.columns.clone(),
            table.types.clone(),
            table.format,
            masks,
        )
    };
    goes_whole(one) && goes_whole(other) && read(one) == read(other)
}

/// The key of a planned clone's run: chunks of another run are of that run's key.
pub async fn key(context: &Context, plan: &Plan) -> Result<Option<RunKey>> {
    let Some(run) = clone_plan(plan)?.reuses.as_ref() else {
        return Ok(None);
    };
    let store = context.open_store(run).await?;
    run_files::key(&store).await.map(Some)
}

/// The tables that are proven to hold in this snapshot what they held in that of the run before.
pub async fn unchanged(
    context: &Context,
    cloning: &Cloning,
    plan: &Plan,
    holder: &mut SnapshotHolder,
) -> Result<BTreeSet<TableId>> {
    let Some(before) = &cloning.reuses else {
        return Ok(BTreeSet::new());
    };
    let now = holder.facts().snapshot.clone();
    let fitting = fitting(&cloning.order, plan, before, holder.session()).await?;
    let Some(apart) = apart(&before.manifest, &now) else {
        return Ok(BTreeSet::new());
    };
    let mut unchanged = BTreeSet::new();
    for exported in &before.manifest.tables {
        let id = &exported.table;
        let (Some(table), Some(theirs)) = (plan.table(id), before.plan.plan.table(id)) else {
            continue;
        };
        // Chunks are used again by their numbers.
        if !fitting.contains(id) || table.chunks != theirs.chunks {
            continue;
        }
        context.stop.check()?;
        let counted = holder.session().scalar(&count(table, &apart), &[]).await?;
        if counted == Some(format!("{} 0", exported.digest.rows)) {
            unchanged.insert(id.clone());
        }
    }
    Ok(unchanged)
}

/// How far two snapshots are apart.
struct Apart {
    /// First transaction that the later one cannot see, its lower 32 bits.
    end: u32,
    /// Transactions before that one that the earlier one may not have seen ended.
    new: u64,
}

/// Nothing where ids cannot tell: the later snapshot is none, or too much lies in between.
fn apart(before: &Manifest, now: &str) -> Option<Apart> {
    let bound = |snapshot: &str, at: usize| snapshot.split(':').nth(at)?.parse::<u64>().ok();
    // All below the lower bound had ended. What lies between the bounds is not asked for one by one:
    // the list of those that ran names no subtransactions.
    let ended = bound(&before.snapshot, 0)?;
    let (first, end) = (bound(&before.snapshot, 1)?, bound(now, 1)?);
    let new = end.checked_sub(ended)?;
    (first <= end && new < TOO_FAR_APART).then_some(Apart {
        end: u32::try_from(end & u64::from(u32::MAX)).ok()?,
        new,
    })
}

/// Counts rows, and among them those that the earlier snapshot may not have shown. `xmin` has 32 bits;
/// how far it lies behind the end of this snapshot is exact for whatever is new, and for what is older
/// than four billion transactions it may seem new, which costs an export.
fn count(table: &PlannedTable, apart: &Apart) -> String {
    let behind = format!(
        "(({}::int8 - xmin::pg_catalog.text::int8 + 4294967296) % 4294967296)",
        apart.end
    );
    format!(
        "select count(*) || ' ' || count(*) filter (where {behind} <= {}) from only {}",
        apart.new,
        table.name.quoted()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(snapshot: &str) -> Manifest {
        Manifest {
            run: "20260101-000000-aaaa".parse().unwrap(),
            plan: Hash::of(b""),
            snapshot: snapshot.to_owned(),
            snapshot_lsn: String::new(),
            snapshot_at: String::new(),
            sealed_at: String::new(),
            files: Vec::new(),
            sequences: Vec::new(),
            tables: Vec::new(),
            root: Hash::of(b""),
        }
    }

    /// A plan of two tables, the second masked, and what its tables are.
    fn planned() -> (Plan, Identities) {
        let report = crate::report::sample::report(2, |no| format!("t{no}"));
        let mut plan = crate::report::sample::clone(report).plan;
        let mut are = Identities {
            database: "cluster/5/00000001/1".to_owned(),
            ..Identities::default()
        };
        plan.tables.reverse();
        for table in &mut plan.tables {
            table.subset = None;
            are.tables.insert(table.id.clone(), Hash::of(b"16401 1:23"));
            are.plain.insert(table.id.clone());
        }
        (plan, are)
    }

    #[test]
    fn a_table_fits_only_where_all_that_made_its_chunks_is_the_same() {
        type Other = fn(&mut Plan, &mut Identities);
        let (plan, are) = planned();
        let fit = |change: Other, is_scanned| {
            let (mut theirs, mut were) = planned();
            change(&mut theirs, &mut were);
            let fitting = which_fit((&plan, &are), (&theirs, &were), is_scanned);
            let places = plan.tables.iter().map(|table| fitting.contains(&table.id));
            places.collect::<Vec<_>>()
        };
        assert_eq!(fit(|_, _| {}, false), [true, true]);
        assert_eq!(fit(|_, _| {}, true), [true, false], "its rows want reading");
        let key: Other = |plan, _| {
            let clone = plan.clone.as_mut().unwrap();
            clone.masks.as_mut().unwrap().key_id = "another".to_owned();
        };
        assert_eq!(fit(key, false), [true, false]);
        let mask: Other = |plan, _| {
            let masks = plan.tables[1].masks.values_mut();
            masks.for_each(|mask| mask.domain = "another".to_owned());
        };
        assert_eq!(fit(mask, false), [true, false]);
        let origin: Other = |plan, _| {
            let masks = plan.tables[1].masks.values_mut();
            masks.for_each(|mask| mask.origin = "another".to_owned());
        };
        assert_eq!(fit(origin, false), [true, true]);
        let none: [Other; 4] = [
            |plan, _| plan.made_by = "another".to_owned(),
            |_, were| were.database = "cluster/5/00000001/2".to_owned(),
            |_, were| were.database = String::new(),
            |_, were| were.tables.clear(),
        ];
        for (no, change) in none.into_iter().enumerate() {
            assert_eq!(fit(change, false), [false, false], "{no}");
        }
        let first: [Other; 5] = [
            |plan, _| plan.tables[0].columns.push("more".to_owned()),
            |plan, _| plan.tables[0].types[0] = "int8".to_owned(),
            |plan, _| plan.tables[0].format = towpath_model::plan::Format::Csv,
            |plan, _| plan.tables[0].subset = Some(towpath_model::subset::TableSubset::Empty),
            |plan, were| {
                let id = plan.tables[0].id.clone();
                were.tables.insert(id, Hash::of(b"16402 1:23"));
            },
        ];
        for (no, change) in first.into_iter().enumerate() {
            assert_eq!(fit(change, false), [false, true], "{no}");
        }
    }

    #[test]
    fn types_of_others_want_the_same_schema() {
        let ((plan, mut are), (mut theirs, were)) = (planned(), planned());
        are.plain.clear();
        let fit = |theirs: &Plan| which_fit((&plan, &are), (theirs, &were), false).len();
        assert_eq!(fit(&theirs), 2);
        theirs.pre_data = Hash::of(b"create type");
        assert_eq!(fit(&theirs), 0);
    }

    #[test]
    fn a_table_that_has_grown_is_cut_anew() {
        let cut = |pages: u32, count: u32| -> Vec<PlannedChunk> {
            let at = |no: u32| pages / count * no;
            let slices = (0..count).map(|no| PlannedChunk {
                no: no + 1,
                pages: Some(towpath_model::plan::PageRange {
                    from_page: at(no),
                    to_page: (no + 1 < count).then(|| at(no + 1)),
                }),
                oids: None,
            });
            slices.collect()
        };
        let whole = vec![PlannedChunk::WHOLE];
        assert!(cut_alike(&whole, &whole));
        assert!(cut_alike(&cut(1000, 4), &cut(1000, 4)));
        assert!(cut_alike(&cut(1200, 4), &cut(1000, 4)));
        assert!(!cut_alike(&cut(1000, 4), &whole));
        assert!(!cut_alike(&cut(1000, 5), &cut(1000, 4)));
        // As many slices as there are at most.
        assert!(!cut_alike(&cut(2_000_000, 10_000), &cut(1_000_000, 10_000)));
    }

    #[test]
    fn what_ran_in_the_earlier_snapshot_counts_as_new() {
        let apart = |before: &str, now| apart(&manifest(before), now).map(|it| (it.end, it.new));
        assert_eq!(apart("100:105:100,103", "200:210:"), Some((210, 110)));
        assert_eq!(apart("100:100:", "100:100:"), Some((100, 0)));
        // Another epoch.
        let end = (1u64 << 32) + 5;
        let now = format!("{end}:{end}:");
        assert_eq!(apart("4294967290:4294967290:", &now), Some((5, 11)));
        // A cluster that went back, ids that have gone around, and no snapshot at all.
        assert_eq!(apart("200:210:", "100:105:"), None);
        assert_eq!(apart("200:210:205", "205:209:"), None);
        assert_eq!(apart("10:10:", &now), None);
        assert_eq!(apart("", "200:210:"), None);
    }
}
