//! The choice itself: from the rows that it begins with to all that belong to them, by batches of
//! places, until nothing new comes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::references::{from_item, meets, rows_of};
use towpath_model::subset::KeptRows;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::Choice;
use crate::marks::Marks;
use crate::places::{self, Found};
use crate::scheme::{Edge, Fate, Scheme, Start};

/// Places asked about at once. What they are joined with may be read from its beginning to its end
/// each time, so a few large batches are better than many; one is 4 MB on its way.
const BATCH: usize = 250_000;

/// A hundredth of all hashes.
const ONE_PERCENT: &str = "92233720368547758.07";

/// Chooses rows of a scheme.
pub async fn close(
    session: &mut Session,
    choice: &Choice<'_>,
    scheme: &Scheme<'_>,
) -> Result<KeptRows> {
    let by_oid = oids(session, scheme).await?;
    let mut closing = Closing {
        session,
        choice,
        scheme,
        rows: Rows::new(scheme, by_oid),
    };
    closing.forbid().await?;
    closing.begin().await?;
    closing.go_on().await?;
    closing.rest().await?;
    let mut tables = closing.rows.tables;
    Ok(scheme.answer(|at| std::mem::take(&mut tables[at].kept).into_rows()))
}

/// Where planned tables are found in answers.
async fn oids(session: &mut Session, scheme: &Scheme<'_>) -> Result<HashMap<u32, usize>> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
        is_detached: bool,
        #[serde(flatten)]
        name: QualifiedName,
    }
    // The catalog is as the snapshot has it, the function looks at what is there now, and so does a
    // query of a partitioned table: rows of what is no partition any more would be passed over.
    let rows: Vec<Row> = session
        .fetch(
            "select c.oid::int8 as oid, n.nspname as schema, c.relname as name,
                    c.relispartition and pg_catalog.pg_partition_root(c.oid) is null as is_detached
               from pg_catalog.pg_class c
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'r'",
            &[],
        )
        .await?;
    let by_name: HashMap<QualifiedName, (u32, bool)> = rows
        .into_iter()
        .map(|row| (row.name, (row.oid, row.is_detached)))
        .collect();
    let gone =
        |what| Err(Failure::new(ErrorKind::Source, what).hint("the same command looks anew"));
    let oid_of = |(at, table): (usize, &QualifiedName)| match by_name.get(table) {
        Some((oid, false)) => Ok((*oid, at)),
        Some((_, true)) => gone(format!("table {table} was just detached as a partition")),
        None => gone(format!("table {table} is not on the source any more")),
    };
    let names = scheme.leaves.iter().map(|leaf| &leaf.table.name);
    names.enumerate().map(oid_of).collect()
}

/// What is known of the rows of a table.
#[derive(Debug, Default)]
struct State {
    /// They refer to what does not go, or to what refers to it.
    forbidden: Marks,
    /// They go.
    kept: Marks,
    /// Chosen, or child of such a one: its children follow.
    leading: Marks,
    /// New ones whose parents have not been looked for, by the reference that they were found by, if
    /// one: it leads back to a row that goes already.
    without_parents: BTreeMap<Option<usize>, Vec<u64>>,
    /// New ones whose children have not been looked for.
    without_children: Vec<u64>,
    /// How many references it has, and whether any leads to it: nobody waits to be asked for nothing.
    references: usize,
    is_referred_to: bool,
}

/// Rows of the tables of a scheme, as they become known.
struct Rows<'s, 'c> {
    scheme: &'s Scheme<'c>,
    by_oid: HashMap<u32, usize>,
    tables: Vec<State>,
}

/// Why a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is where the choice begins, or may as well be.
    Chosen,
    /// It refers to one whose children follow.
    ChildBy(usize),
    /// Another one refers to it.
    Parent,
}

impl<'s, 'c> Rows<'s, 'c> {
    fn new(scheme: &'s Scheme<'c>, by_oid: HashMap<u32, usize>) -> Self {
        let state = |at| State {
            references: scheme.to_parents(at).count(),
            is_referred_to: scheme.to_children(at).next().is_some(),
            ..State::default()
        };
        Self {
            scheme,
            by_oid,
            tables: (0..scheme.leaves.len()).map(state).collect(),
        }
    }

    /// Marks a row that cannot go.
    fn forbid(&mut self, within: &BTreeSet<usize>, found: Found) {
        let Some((table, place)) = self.known(found, within) else {
            return;
        };
        let state = &mut self.tables[table];
        if self.scheme.leaves[table].fate != Fate::None
            && state.forbidden.add(place)
            && state.is_referred_to
        {
            state.without_children.push(place);
        }
    }

    fn keep(&mut self, within: &BTreeSet<usize>, found: Found, why: Why) {
        let Some((table, place)) = self.known(found, within) else {
            return;
        };
        let leaf = &self.scheme.leaves[table];
        let state = &mut self.tables[table];
        if leaf.fate == Fate::None || state.forbidden.holds(place) {
            return;
        }
        if state.kept.add(place) {
            let (found_by, others) = match why {
                Why::ChildBy(no) => (Some(no), state.references > 1),
                Why::Chosen | Why::Parent => (None, state.references > 0),
            };
            if others {
                let work = state.without_parents.entry(found_by).or_default();
                work.push(place);
            }
        }
        let leads = why != Why::Parent && leaf.brings_children && state.is_referred_to;
        if leads && state.leading.add(place) {
            state.without_children.push(place);
        }
    }

    /// A row of one of some tables; others may come along, a partition that is not copied.
    fn known(&self, (oid, place): Found, within: &BTreeSet<usize>) -> Option<(usize, u64)> {
        let table = *self.by_oid.get(&oid)?;
        within.contains(&table).then_some((table, place))
    }

    /// Rows whose children are to be looked for, of the table that has most: later rounds find more
    /// at once.
    fn next_leading(&mut self) -> Option<(usize, Vec<u64>)> {
        let of_tables = self
            .tables
            .iter_mut()
            .map(|state| &mut state.without_children);
        let (table, work) = of_tables.enumerate().max_by_key(|(_, work)| work.len())?;
        Some((table, batch(work)?))
    }

    /// Rows whose parents are to be looked for, likewise, and what they were found by.
    fn next_orphans(&mut self) -> Option<(usize, Option<usize>, Vec<u64>)> {
        let of_tables = self.tables.iter_mut().enumerate();
        let work = of_tables.flat_map(|(table, state)| {
            let work = state.without_parents.iter_mut();
            work.map(move |(found_by, work)| (table, *found_by, work))
        });
        let (table, found_by, work) = work.max_by_key(|(_, _, work)| work.len())?;
        Some((table, found_by, batch(work)?))
    }
}

struct Closing<'s, 'c> {
    session: &'s mut Session,
    choice: &'s Choice<'c>,
    scheme: &'s Scheme<'c>,
    rows: Rows<'s, 'c>,
}

impl<'s, 'c> Closing<'s, 'c> {
    /// Marks what cannot go: rows that refer to tables that stay empty, and so on down.
    async fn forbid(&mut self) -> Result<()> {
        let scheme = self.scheme;
        let empty = |at: &usize| scheme.leaves[*at].fate == Fate::None;
        for table in (0..scheme.leaves.len()).filter(empty) {
            self.forbid_children(table, &[]).await?;
        }
        while let Some((table, batch)) = self.rows.next_leading() {
            let batch = places::hold(self.session, &batch).await?;
            self.forbid_children(table, &batch).await?;
        }
        Ok(())
    }

    async fn forbid_children(&mut self, table: usize, which: &[String]) -> Result<()> {
        let scheme = self.scheme;
        for (_, edge) in scheme.to_children(table) {
            let query = self.children(edge, table, which);
            self.follow(edge, &query, |rows, found| {
                rows.forbid(&edge.children, found);
            })
            .await?;
        }
        Ok(())
    }

    /// Marks what the choice begins with.
    async fn begin(&mut self) -> Result<()> {
        let scheme = self.scheme;
        for start in &scheme.starts {
            self.choose(start).await?;
        }
        for (at, leaf) in scheme.leaves.iter().enumerate() {
            if leaf.fate == Fate::All {
                let itself = BTreeSet::from([at]);
                self.every_row(at, |rows, found| rows.keep(&itself, found, Why::Chosen))
                    .await?;
            }
        }
        Ok(())
    }

    /// Follows references both ways until nothing new comes.
    async fn go_on(&mut self) -> Result<()> {
        let scheme = self.scheme;
        loop {
            if let Some((table, batch)) = self.rows.next_leading() {
                let batch = places::hold(self.session, &batch).await?;
                for (no, edge) in scheme.to_children(table) {
                    // Such references may lead to several rows.
                    let why = match edge.reference.is_declared || edge.reference.is_period {
                        true => Why::Chosen,
                        false => Why::ChildBy(no),
                    };
                    let query = self.children(edge, table, &batch);
                    self.follow(edge, &query, |rows, found| {
                        rows.keep(&edge.children, found, why);
                    })
                    .await?;
                }
            } else if let Some((table, found_by, batch)) = self.rows.next_orphans() {
                let batch = places::hold(self.session, &batch).await?;
                let others = scheme
                    .to_parents(table)
                    .filter(|(no, _)| found_by != Some(*no));
                for (_, edge) in others {
                    let query = self.parents(edge, table, &batch);
                    self.follow(edge, &query, |rows, found| {
                        rows.keep(&edge.parents, found, Why::Parent);
                    })
                    .await?;
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Rows of tables that no choice reaches and that hold some that cannot go.
    async fn rest(&mut self) -> Result<()> {
        let scheme = self.scheme;
        for (at, leaf) in scheme.leaves.iter().enumerate() {
            if leaf.fate == Fate::Whole && leaf.is_affected {
                self.every_row(at, |rows, (_, place)| {
                    let state = &mut rows.tables[at];
                    if !state.forbidden.holds(place) {
                        state.kept.add(place);
                    }
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Rows that refer to rows of a table: to all, or to those that conditions tell.
    fn children(&self, edge: &Edge<'_>, parent: usize, which: &[String]) -> String {
        let (reference, facts) = (edge.reference, self.choice.facts);
        let parent = &self.scheme.leaves[parent].table.name;
        let condition: Vec<String> = reference.condition.iter().cloned().collect();
        format!(
            "select c.rel, c.place from ({}) as c where exists (select from ({}) as p where {})",
            rows_of(
                &reference.child,
                &reference.child_columns,
                facts,
                &condition
            ),
            rows_of(parent, &reference.parent_columns, facts, which),
            meets(reference, facts)
        )
    }

    /// Rows that those of a table refer to.
    fn parents(&self, edge: &Edge<'_>, child: usize, which: &[String]) -> String {
        let (reference, facts) = (edge.reference, self.choice.facts);
        let child = &self.scheme.leaves[child].table.name;
        let conditions: Vec<String> = which.iter().chain(&reference.condition).cloned().collect();
        format!(
            "select p.rel, p.place from ({}) as p where exists (select from ({}) as c where {})",
            rows_of(&reference.parent, &reference.parent_columns, facts, &[]),
            rows_of(child, &reference.child_columns, facts, &conditions),
            meets(reference, facts)
        )
    }

    async fn follow(
        &mut self,
        edge: &Edge<'_>,
        query: &str,
        take: impl FnMut(&mut Rows<'s, 'c>, Found),
    ) -> Result<()> {
        let reference = edge.reference;
        self.ask(query, take).await.map_err(|failure| {
            failure.while_doing(format!(
                "could not follow reference {} of table {}",
                reference.name, reference.child
            ))
        })
    }

    async fn every_row(
        &mut self,
        table: usize,
        take: impl FnMut(&mut Rows<'s, 'c>, Found),
    ) -> Result<()> {
        let name = &self.scheme.leaves[table].table.name;
        let query = format!("select tableoid, ctid from only {}", name.quoted());
        self.ask(&query, take).await
    }

    /// Gives `take` the rows that a query finds, one by one: a table's worth of them is put down once.
    async fn ask(
        &mut self,
        query: &str,
        mut take: impl FnMut(&mut Rows<'s, 'c>, Found),
    ) -> Result<()> {
        self.choice.stop.check()?;
        let rows = &mut self.rows;
        Box::pin(places::read(self.session, query, |found| {
            take(rows, found);
        }))
        .await
    }

    /// Marks rows that a choice begins with.
    async fn choose(&mut self, start: &Start<'_>) -> Result<()> {
        let query = self.start_query(start);
        // The condition is not told: it may hold a value.
        let refused = |failure: Failure| match (start.condition, failure.kind()) {
            (Some(_), ErrorKind::Source) => Failure::new(
                ErrorKind::Config,
                format!(
                    "subset: the source refuses the condition of table {}",
                    start.table
                ),
            )
            .because(failure)
            .hint("it is one boolean expression in SQL over the table's columns"),
            _ => failure.while_doing(format!("could not choose rows of table {}", start.table)),
        };
        // One statement and no other, which the simple protocol of a COPY does not care for.
        let one: Result<Vec<serde_json::Value>> =
            self.session.fetch(&format!("{query}\nlimit 0"), &[]).await;
        one.map_err(refused)?;
        let query = match start.limit {
            None => query,
            Some(limit) => format!("{query}\nlimit {limit}"),
        };
        self.ask(&query, |rows, found| {
            rows.keep(&start.leaves, found, Why::Chosen);
        })
        .await
        .map_err(refused)
    }

    fn start_query(&self, start: &Start<'_>) -> String {
        let oids = self
            .rows
            .by_oid
            .iter()
            .filter(|(_, table)| start.leaves.contains(table));
        let oids: Vec<String> = oids.map(|(oid, _)| oid.to_string()).collect();
        let mut conditions = vec![format!(
            "tableoid = any ('{{{}}}'::pg_catalog.oid[])",
            oids.join(",")
        )];
        // Before the hash: where it is an error for some rows, it is the operator's own. The line
        // ends, because a comment may end the text.
        conditions.extend(
            start
                .condition
                .map(|condition| format!("(\n{condition}\n)")),
        );
        let key = self.key(start);
        // Without its sign, so that what is below a threshold is what comes first.
        let hash = format!(
            "(pg_catalog.hashtextextended({key}, {}) & 9223372036854775807)",
            self.scheme.seed
        );
        if let Some(percent) = start.percent.filter(|percent| *percent < 100.0) {
            conditions.push(format!(
                "{hash} < ({percent}::pg_catalog.numeric * {ONE_PERCENT})::pg_catalog.int8"
            ));
        }
        let order = match start.limit {
            None => String::new(),
            Some(_) => format!("\norder by {hash}, {key}"),
        };
        format!(
            "select tableoid, ctid from {}\nwhere {}{order}",
            from_item(&start.table, self.choice.facts),
            conditions.join("\nand ")
        )
    }

    /// What tells rows apart, as text: the key of all the tables that are meant, or the whole row.
    fn key(&self, start: &Start<'_>) -> String {
        let mut keys = start
            .leaves
            .iter()
            .map(|at| &self.scheme.leaves[*at].table.key);
        let first = keys.next().filter(|key| !key.is_empty());
        match first {
            Some(first) if keys.all(|key| key == first) => {
                let columns: Vec<String> =
                    first.iter().map(|name| quote_identifier(name)).collect();
                format!("row({})::pg_catalog.text", columns.join(", "))
            }
            _ => format!(
                "row({}.*)::pg_catalog.text",
                quote_identifier(&start.table.name)
            ),
        }
    }
}

/// Takes a batch off work that is to be done: neighbours, so that they are found in one stretch of the
/// table.
fn batch(work: &mut Vec<u64>) -> Option<Vec<u64>> {
    // Sorted but for what came since.
    work.sort();
    let batch = work.split_off(work.len().saturating_sub(BATCH));
    (!batch.is_empty()).then_some(batch)
}
