//! A look at a clone's rows that tells three things: whether the columns that are not masked are the
//! source's, whether masked values are what they were, and whether originals are anywhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use towpath_mask::Originals;
use towpath_mask::originals::{ColumnKey, Looks, may_meet_by_chance};
use towpath_model::digest::{RowDigest, RunKey};
use towpath_model::keys::KeyFacts;
use towpath_model::masking::{PlannedMask, Transformer};
use towpath_model::name::readable;
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::{QualifiedName, TableId};

use super::CloneContext;
use super::fields::{Cut, Places};
use super::texts::{Form, Known};
use crate::options::VerifyContext;
use crate::row_digest::RowDigester;
use crate::row_stream::RowVisitor;
use crate::side::Visits;

/// What a column's hits mean.
#[derive(Debug, Clone, PartialEq)]
enum Role {
    /// It is masked by a condition: what that spares is somebody's, and meant to be.
    MaskedInPart,
    /// It is masked, and holds nothing of the source's but what its mask makes by chance.
    Masked(Transformer),
    /// It may stay as it is.
    Allowed,
    /// Nobody said anything about it.
    Plain,
}

impl Role {
    fn of(mask: &PlannedMask) -> Self {
        match mask.condition {
            Some(_) => Self::MaskedInPart,
            None => Self::Masked(mask.transformer.clone()),
        }
    }
}

struct Column {
    name: String,
    form: Option<Form>,
    /// Its type, where values of it cannot be read.
    unknown: Option<String>,
    role: Role,
}

impl Column {
    fn is_masked(&self) -> bool {
        matches!(self.role, Role::Masked(_) | Role::MaskedInPart)
    }
}

/// A table that is read.
pub(super) struct Layout {
    id: TableId,
    name: QualifiedName,
    /// Rows of it were exported.
    is_filled: bool,
    cut: Cut,
    columns: Vec<Column>,
    /// Places of the columns that are not masked; nothing where none is.
    unmasked: Option<Vec<usize>>,
    /// Places of the key's columns, where none of them is masked.
    key: Option<Vec<usize>>,
}

/// What was found in a column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ColumnFound {
    /// Values read.
    pub(super) values: u64,
    /// What looked personal within them.
    pub(super) personal: u64,
    /// Values that hold a secret in a column that nobody spoke of.
    pub(super) secrets: u64,
    /// Values that hold originals where none should be, by what these look like.
    pub(super) hits: BTreeMap<Looks, u64>,
    /// The same where parts of a value are masked by what may make them by chance.
    pub(super) by_chance: BTreeMap<Looks, u64>,
    /// Originals and secrets where they are allowed.
    pub(super) allowed: u64,
    /// Masked values compared with what they were.
    pub(super) cells: u64,
    /// Those that are what they were.
    pub(super) same: u64,
}

impl ColumnFound {
    fn add(&mut self, other: Self) {
        self.values += other.values;
        self.personal += other.personal;
        self.secrets += other.secrets;
        self.allowed += other.allowed;
        self.cells += other.cells;
        self.same += other.same;
        for (all, more) in [
            (&mut self.hits, other.hits),
            (&mut self.by_chance, other.by_chance),
        ] {
            for (looks, count) in more {
                *all.entry(looks).or_default() += count;
            }
        }
    }
}

/// What was found in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableFound {
    /// Digest of the columns that are not masked.
    pub(super) unmasked: RowDigest,
    /// Columns with texts or masks.
    pub(super) columns: BTreeMap<String, ColumnFound>,
    /// Why not all of it could be read.
    pub(super) unreadable: Option<String>,
}

/// The reading of all tables.
pub(super) struct Scan {
    key: RunKey,
    originals: Option<Arc<Originals>>,
    /// By number of the table in the plan; nothing where there is nothing to look at.
    layouts: Vec<Option<Arc<Layout>>>,
    found: Mutex<BTreeMap<usize, TableFound>>,
}

impl Scan {
    /// Of all tables that anything is looked at in.
    pub(super) fn new(
        context: &VerifyContext,
        clone: &CloneContext,
        originals: Option<Arc<Originals>>,
        facts: &KeyFacts,
    ) -> Self {
        let ids_are_masked = masks_ids(&context.plan);
        let tables = context.plan.tables.iter().enumerate();
        let layouts = tables.map(|(table_no, table)| {
            let mut layout = Layout::of(table, clone, facts, &context.key, ids_are_masked);
            let exported = context.exported(table_no);
            layout.is_filled = exported.is_ok_and(|it| it.digest.rows > 0);
            let is_read = layout.unmasked.is_some() || originals.is_some();
            (is_read && table.rows.is_table()).then(|| Arc::new(layout))
        });
        Self {
            layouts: layouts.collect(),
            key: context.key.clone(),
            originals,
            found: Mutex::default(),
        }
    }

    /// Columns of which nobody can say what they hold, by type.
    pub(super) fn unknown(&self) -> BTreeMap<&str, Vec<String>> {
        let mut unknown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for layout in self.filled() {
            for column in layout.columns.iter().filter(|it| !it.is_masked()) {
                if let Some(type_name) = column.unknown.as_deref() {
                    let place = format!("{}.{}", layout.name, readable(&column.name));
                    unknown.entry(type_name).or_default().push(place);
                }
            }
        }
        unknown
    }

    /// Masked tables of which no row can be told to be the same as one of the source.
    pub(super) fn without_key(&self) -> Vec<&QualifiedName> {
        self.filled()
            .filter(|it| it.unmasked.is_some() && it.key.is_none())
            .map(|it| &it.name)
            .collect()
    }

    /// Tables that hold anything.
    fn filled(&self) -> impl Iterator<Item = &Layout> {
        let layouts = self.layouts.iter().flatten().map(Arc::as_ref);
        layouts.filter(|layout| layout.is_filled)
    }

    /// What was found, by number of the table in the plan.
    pub(super) fn found(&self) -> BTreeMap<usize, TableFound> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn enter(&self, table_no: usize, found: TableFound) {
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(table_no).or_default();
        known.unmasked.add(&found.unmasked);
        known.unreadable = known.unreadable.take().or(found.unreadable);
        for (column, found) in found.columns {
            known.columns.entry(column).or_default().add(found);
        }
    }
}

impl Visits for Scan {
    fn visitor(self: Arc<Self>, table_no: usize) -> Option<Box<dyn RowVisitor>> {
        let layout = self.layouts.get(table_no)?.clone()?;
        let is_seen =
            layout.unmasked.is_some() || layout.columns.iter().any(|it| it.form.is_some());
        if !is_seen {
            return None;
        }
        let reading = Reading::new(layout, self.originals.clone(), &self.key);
        Some(Box::new(PieceScan {
            table_no,
            reading: Some(reading),
            scan: self,
        }))
    }

    fn refused(&self, table_no: usize, reason: String) {
        let unreadable = TableFound {
            unreadable: Some(reason),
            ..TableFound::default()
        };
        self.enter(table_no, unreadable);
    }
}

/// Whether ids are masked on purpose: elsewhere those that stay tell of nobody.
fn masks_ids(plan: &Plan) -> bool {
    let mut masks = plan.tables.iter().flat_map(|table| table.masks.values());
    masks.any(|mask| mask.transformer == Transformer::Uuid)
}

impl Layout {
    fn of(
        table: &PlannedTable,
        clone: &CloneContext,
        facts: &KeyFacts,
        key: &RunKey,
        ids_are_masked: bool,
    ) -> Self {
        let column = |(at, name): (usize, &String)| {
            let mask = table.masks.get(name);
            let known = facts.column(&table.name, name);
            let base_type = match (mask, known) {
                (Some(mask), _) => mask.base_type.as_str(),
                (None, Some(known)) => known.base_type.as_str(),
                (None, None) => table.types.get(at).map_or("", String::as_str),
            };
            let is_allowed = || {
                let mut allowed = clone.allowed.iter();
                allowed.any(|it| it.column == *name && is_of(&table.name, &it.table, facts))
            };
            let known = Known::of(table.format, base_type);
            Column {
                name: name.clone(),
                form: match known {
                    Known::Texts(form) => Some(form),
                    // Masks of ids make ids, which another row may have had.
                    Known::Ids(form) => Some(form).filter(|_| ids_are_masked && mask.is_none()),
                    Known::NoText | Known::Unknown => None,
                },
                unknown: (known == Known::Unknown).then(|| base_type.to_owned()),
                role: match mask {
                    Some(mask) => Role::of(mask),
                    None if is_allowed() => Role::Allowed,
                    None => Role::Plain,
                },
            }
        };
        let columns: Vec<Column> = table.columns.iter().enumerate().map(column).collect();
        let unmasked = (0..columns.len()).filter(|at| !columns[*at].is_masked());
        let place = |name: &String| {
            let at = columns.iter().position(|column| column.name == *name)?;
            (!columns[at].is_masked()).then_some(at)
        };
        let primary: Option<Vec<usize>> = table.key.iter().map(place).collect();
        Self {
            id: table.id.clone(),
            name: table.name.clone(),
            is_filled: false,
            cut: Cut::of(table, key),
            unmasked: (!table.masks.is_empty()).then(|| unmasked.collect()),
            key: primary.filter(|key| !key.is_empty()),
            columns,
        }
    }
}

/// Whether a table is another one, or a partition or child of it.
pub(super) fn is_of(table: &QualifiedName, other: &QualifiedName, facts: &KeyFacts) -> bool {
    let parents = facts.tables.get(table).map(|table| &table.parents);
    table == other || parents.is_some_and(|parents| parents.contains(other))
}

/// Reads a piece of a table.
struct PieceScan {
    table_no: usize,
    scan: Arc<Scan>,
    /// Until its end is told.
    reading: Option<Reading>,
}

impl RowVisitor for PieceScan {
    fn row(&mut self, row: &[u8]) {
        if let Some(reading) = &mut self.reading {
            reading.row(row);
        }
    }

    fn end(&mut self) {
        if let Some(reading) = self.reading.take() {
            self.scan.enter(self.table_no, reading.finish());
        }
    }
}

/// The rows of a table, or of a piece of it.
struct Reading {
    layout: Arc<Layout>,
    originals: Option<Arc<Originals>>,
    /// What the cells of masked columns were noted under.
    cells: Vec<Option<ColumnKey>>,
    digester: Option<RowDigester>,
    found: Vec<ColumnFound>,
    /// Kept for their room.
    places: Places,
    projected: Vec<u8>,
    malformed: u64,
}

impl Reading {
    fn new(layout: Arc<Layout>, originals: Option<Arc<Originals>>, key: &RunKey) -> Self {
        let digester = || RowDigester::new(key.bytes());
        let columns = layout.columns.iter();
        let cells = columns.map(|column| {
            let originals = originals.as_ref().filter(|_| column.is_masked())?;
            Some(originals.column(&layout.id, &column.name))
        });
        Self {
            cells: cells.collect(),
            digester: layout.unmasked.is_some().then(digester),
            found: vec![ColumnFound::default(); layout.columns.len()],
            layout,
            originals,
            places: Vec::new(),
            projected: Vec::new(),
            malformed: 0,
        }
    }

    fn row(&mut self, row: &[u8]) {
        let layout = self.layout.clone();
        if !layout.cut.cut(row, &mut self.places) {
            self.malformed += 1;
            return;
        }
        if let (Some(unmasked), Some(digester)) = (&layout.unmasked, &mut self.digester) {
            let (places, out) = (&self.places, &mut self.projected);
            layout.cut.project(row, places, unmasked, out);
            digester.row(out);
        }
        if let Some(originals) = self.originals.clone() {
            self.cells(&originals, row);
            self.values(&originals, row);
        }
    }

    fn finish(self) -> TableFound {
        let named = self.layout.columns.iter().zip(self.found);
        let columns = named
            .filter(|(_, found)| *found != ColumnFound::default())
            .map(|(column, found)| (column.name.clone(), found));
        TableFound {
            columns: columns.collect(),
            unmasked: self.digester.map(RowDigester::finish).unwrap_or_default(),
            unreadable: (self.malformed > 0)
                .then(|| format!("{} rows cannot be told apart", self.malformed)),
        }
    }

    /// Masked values against what the source has in the same row.
    fn cells(&mut self, originals: &Originals, row: &[u8]) {
        let (layout, places) = (&self.layout, &self.places);
        let (Some(_), Some(key)) = (&layout.unmasked, &layout.key) else {
            return;
        };
        let value = |at: usize| {
            let place = places.get(at)?.as_ref()?;
            Some(layout.cut.value(row, place))
        };
        let Some(key) = originals.row(key.iter().filter_map(|at| value(*at))) else {
            return;
        };
        for (at, cells) in self.cells.iter().enumerate() {
            let Some(cells) = cells else {
                continue;
            };
            if let Some(value) = value(at) {
                self.found[at].cells += 1;
                let is_same = originals.holds_cell(*cells, key, &value);
                self.found[at].same += u64::from(is_same);
            }
        }
    }

    /// Every text against all originals.
    fn values(&mut self, originals: &Originals, row: &[u8]) {
        let layout = &self.layout;
        let columns = layout.columns.iter().zip(&mut self.found);
        for ((column, found), place) in columns.zip(&self.places) {
            let (Some(form), Some(place)) = (column.form, place) else {
                continue;
            };
            found.values += 1;
            let value = layout.cut.value(row, place);
            let mut seen = Seen::default();
            form.texts(&value, &mut |text| {
                originals.look(text, |looks, is_held| {
                    found.personal += 1;
                    seen.take(looks, is_held);
                });
            });
            found.enter(&column.role, seen);
        }
    }
}

/// What is in one value: each only once, however often and in how many readings of it.
#[derive(Default)]
struct Seen {
    held: BTreeSet<Looks>,
    is_secret: bool,
}

impl Seen {
    fn take(&mut self, looks: Looks, is_held: bool) {
        if is_held {
            self.held.insert(looks);
        }
        self.is_secret |= looks == Looks::Secret;
    }
}

impl ColumnFound {
    fn enter(&mut self, role: &Role, mut seen: Seen) {
        if !seen.is_secret && seen.held.is_empty() {
            return;
        }
        match role {
            // A secret in the open is one, whoever it was made for.
            Role::Plain => {
                self.secrets += u64::from(seen.is_secret);
                seen.held.remove(&Looks::Secret);
                count(&mut self.hits, seen.held);
            }
            Role::Allowed => {
                seen.held.remove(&Looks::Secret);
                self.allowed += u64::from(seen.is_secret) + seen.held.len() as u64;
            }
            // What a mask makes may look like anything.
            Role::Masked(mask) => {
                let meets = |looks: &Looks| may_meet_by_chance(mask, *looks);
                let (meeting, held) = seen.held.into_iter().partition(meets);
                count(&mut self.hits, held);
                // Cells are compared as wholes, of which a part changes always.
                if matches!(mask, Transformer::Json { .. } | Transformer::Scrub { .. }) {
                    count(&mut self.by_chance, meeting);
                }
            }
            Role::MaskedInPart => {}
        }
    }
}

fn count(counts: &mut BTreeMap<Looks, u64>, found: BTreeSet<Looks>) {
    for looks in found {
        *counts.entry(looks).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use towpath_model::clone::AllowedColumn;

    use super::*;

    fn mask(with: serde_json::Value) -> serde_json::Value {
        json!({"transformer": with, "domain": "d", "base_type": "text", "uniqueness": "lossy",
               "origin": "a rule"})
    }

    /// `mail` and `code` are masked, `code` by what makes values of the kind there is.
    fn table() -> PlannedTable {
        let name = QualifiedName::new("public", "people");
        serde_json::from_value(json!({
            "id": TableId::of(&name), "name": name,
            "columns": ["id", "mail", "code", "note", "support"], "key": ["id"],
            "types": ["integer", "text", "text", "text", "text"],
            "masks": {
                "mail": mask(json!({"with": "fake", "what": "email"})),
                "code": mask(json!({"with": "format-preserving"})),
            },
            "format": "csv", "bytes": 0, "estimated_rows": 0, "force_row_security": false,
            "chunks": [{"no": 1, "pages": null}],
        }))
        .unwrap()
    }

    fn originals() -> Arc<Originals> {
        let originals = Originals::new(10, 10);
        let id = table().id;
        for (key, column, value) in [
            ("1", "mail", "one@posteo.de"),
            ("2", "mail", "two@posteo.de"),
            ("1", "code", "AB12CD34EF56GH78"),
        ] {
            originals.note_value(value);
            let row = originals.row([key]).expect("of few rows all are looked at");
            originals.note_cell(originals.column(&id, column), row, value.as_bytes());
        }
        Arc::new(originals)
    }

    fn read(rows: &[&str]) -> TableFound {
        let clone = CloneContext {
            allowed: vec![AllowedColumn {
                table: table().name,
                column: "support".to_owned(),
                reason: String::new(),
                hits: 0,
            }],
            ..CloneContext::default()
        };
        let key = RunKey::new([7; 32]);
        let layout = Layout::of(&table(), &clone, &KeyFacts::default(), &key, false);
        let mut reading = Reading::new(Arc::new(layout), Some(originals()), &key);
        rows.iter().for_each(|row| reading.row(row.as_bytes()));
        reading.finish()
    }

    #[test]
    fn a_clone_as_it_should_be_has_no_hit() {
        let found = read(&["1,fake@example.org,XY12CD34EF56GH79,plain,us@posteo.de\n"]);
        assert!(found.unreadable.is_none());
        assert_eq!(found.unmasked.rows, 1);
        for (column, found) in &found.columns {
            let hits = found.hits.len() as u64 + found.same + found.allowed + found.secrets;
            assert_eq!(hits, 0, "{column}");
        }
        assert_eq!(found.columns["mail"].cells, 1);
    }

    #[test]
    fn a_masked_value_that_is_what_it_was_is_found_by_its_row() {
        let found = read(&[
            "1,one@posteo.de,AB12CD34EF56GH78,,\n",
            "3,\"two@posteo.de\",x,,\n",
        ]);
        assert_eq!(found.columns["mail"].same, 1);
        assert_eq!(found.columns["code"].same, 1);
        assert_eq!(found.columns["mail"].hits[&Looks::Email], 2);
        // By chance another row's, says its mask.
        assert!(found.columns["code"].hits.is_empty());
    }

    #[test]
    fn originals_and_secrets_elsewhere_are_found_unless_they_are_allowed() {
        let key = "-----BEGIN PRIVATE KEY-----";
        let found = read(&[
            &format!("9,,,\"call, or write to Two@posteo.de\",two@posteo.de {key}\n"),
            &format!("8,,,{key},\n"),
        ]);
        let note = &found.columns["note"];
        assert_eq!((note.hits[&Looks::Email], note.secrets), (1, 1));
        let support = &found.columns["support"];
        assert_eq!((support.allowed, support.secrets), (2, 0));
        assert!(support.hits.is_empty());
    }

    #[test]
    fn what_a_mask_makes_within_a_value_is_told_apart() {
        let mask = json!({"with": "json", "rest": "redact",
                          "rules": [{"path": "n", "with": "fake", "what": "name"}]});
        let role = Role::Masked(serde_json::from_value(mask).unwrap());
        let mut seen = Seen::default();
        for looks in [Looks::Name, Looks::Email, Looks::Email] {
            seen.take(looks, true);
        }
        let mut found = ColumnFound::default();
        found.enter(&role, seen);
        assert_eq!(found.hits, BTreeMap::from([(Looks::Email, 1)]));
        assert_eq!(found.by_chance, BTreeMap::from([(Looks::Name, 1)]));
    }

    #[test]
    fn ids_are_read_where_ids_are_masked() {
        let id = "7f3c0d7e-3b1a-4c57-9a53-0b7e3a0c9d11";
        let mut table = table();
        table.types[3] = "uuid".to_owned();
        let key = RunKey::new([7; 32]);
        let originals = Originals::new(10, 10);
        originals.note_value(id);
        let originals = Arc::new(originals);
        let hits = |are_masked| {
            let clone = CloneContext::default();
            let layout = Layout::of(&table, &clone, &KeyFacts::default(), &key, are_masked);
            let mut reading = Reading::new(Arc::new(layout), Some(originals.clone()), &key);
            reading.row(format!("1,,,{id},\n").as_bytes());
            let found = reading.finish();
            let note = found.columns.get("note");
            note.and_then(|it| it.hits.get(&Looks::Uuid).copied())
        };
        assert_eq!((hits(true), hits(false)), (Some(1), None));
    }

    #[test]
    fn another_value_of_a_column_that_is_not_masked_is_another_digest() {
        let one = read(&["1,a,b,c,d\n"]).unmasked;
        assert_eq!(one, read(&["1,x,y,c,d\n"]).unmasked);
        assert_ne!(one, read(&["1,a,b,x,d\n"]).unmasked);
        assert_ne!(one, read(&["1,a,b,\\N,d\n"]).unmasked);
        assert!(read(&["1,a,b\n"]).unreadable.is_some());
    }
}
