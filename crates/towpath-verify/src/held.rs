//! Rows that are held because they may differ, and what is said of those that do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use towpath_model::verification::{RowChange, RowDifference, ValueDifference};

use crate::buckets::{Filter, RowHash};
use crate::row_digest::HashedRows;
use crate::row_fields::{Field, RowShape};
use crate::row_stream::RowVisitor;
use crate::row_value;

/// Bytes of held rows, about.
const HELD_BYTES: u64 = 64 << 20;

/// Bytes that a held row takes beside its own.
const BESIDE: u64 = 128;

/// Bytes of a row that is held as it is; of longer ones, what their fields are known by.
const WHOLE: usize = 2048;

/// Bytes of a field that are held of a long row. Keys of an index are never as long.
const HEAD: usize = 512;
const HEAD_OF_KEY: usize = 8192;

/// How many rows of a table may be held, when they are about as long as this.
pub(crate) fn rows_max(bytes_of_row: u64, columns: usize) -> u64 {
    let most = WHOLE.max(columns * (HEAD + 64)) as u64;
    HELD_BYTES / (bytes_of_row.min(most) + BESIDE)
}

/// Which of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// The export, or the source.
    Expected,
    /// The target.
    Found,
}

/// A row, whole or by its fields.
enum HeldRow {
    Whole(Box<[u8]>),
    Fields(Vec<HeldField>),
}

/// What is known of a field: enough to tell it from others and to show its beginning.
#[derive(Clone)]
struct HeldField {
    hash: blake3::Hash,
    length: usize,
    /// Nothing is NULL.
    head: Option<Box<[u8]>>,
}

impl HeldField {
    fn of(field: &Field<'_>, head: usize) -> Self {
        let bytes = field.as_deref().unwrap_or_default();
        Self {
            hash: blake3::hash(bytes),
            length: bytes.len(),
            head: field
                .as_ref()
                .map(|bytes| Box::from(&bytes[..bytes.len().min(head)])),
        }
    }

    fn differs(&self, other: &Self) -> bool {
        self.hash != other.hash || self.head.is_none() != other.head.is_none()
    }
}

impl HeldRow {
    fn of(shape: &RowShape, row: &[u8]) -> Self {
        match row.len() <= WHOLE {
            true => Self::Whole(Box::from(row)),
            false => Self::Fields(held_fields(shape, row)),
        }
    }

    fn identity(&self, shape: &RowShape) -> Option<blake3::Hash> {
        match self {
            Self::Whole(row) => identity_of(shape, &shape.fields(row)),
            Self::Fields(fields) => identity(shape, |at| fields.get(at).map(|field| field.hash)),
        }
    }

    fn fields(&self, shape: &RowShape) -> Vec<HeldField> {
        match self {
            Self::Whole(row) => held_fields(shape, row),
            Self::Fields(fields) => fields.clone(),
        }
    }
}

fn held_fields(shape: &RowShape, row: &[u8]) -> Vec<HeldField> {
    let fields = shape.fields(row);
    let fields = fields.iter().enumerate();
    fields
        .map(|(at, field)| match shape.key.contains(&at) {
            true => HeldField::of(field, HEAD_OF_KEY),
            false => HeldField::of(field, HEAD),
        })
        .collect()
}

/// The identity of a key: nothing where the table has none, or the row not all of it.
fn identity(
    shape: &RowShape,
    field: impl Fn(usize) -> Option<blake3::Hash>,
) -> Option<blake3::Hash> {
    if shape.key.is_empty() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    for at in &shape.key {
        hasher.update(field(*at)?.as_bytes());
    }
    Some(hasher.finalize())
}

fn identity_of(shape: &RowShape, fields: &[Field<'_>]) -> Option<blake3::Hash> {
    let hash = |field: &Field<'_>| blake3::hash(field.as_deref().unwrap_or_default());
    identity(shape, |at| fields.get(at).map(hash))
}

/// How often a row is on either side.
struct Entry {
    expected: u64,
    found: u64,
    row: HeldRow,
}

impl Entry {
    fn how(&self) -> RowChange {
        match (self.found < self.expected, self.expected) {
            (true, _) => RowChange::Missing,
            (false, 0) => RowChange::Extra,
            (false, _) => RowChange::Duplicated,
        }
    }
}

/// The rows of chosen buckets, of both sides.
pub(crate) struct Held {
    shape: Arc<RowShape>,
    filter: Option<Filter>,
    rows: Mutex<BTreeMap<RowHash, Entry>>,
}

impl Held {
    /// Holds rows that the filter takes; without one, all that it is given.
    pub(crate) fn new(shape: Arc<RowShape>, filter: Option<Filter>) -> Self {
        Self {
            shape,
            filter,
            rows: Mutex::new(BTreeMap::new()),
        }
    }

    fn take(&self, party: Party, hash: &RowHash, row: &[u8]) {
        if self.filter.as_ref().is_some_and(|it| !it.takes(hash)) {
            return;
        }
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = rows.entry(*hash).or_insert_with(|| Entry {
            expected: 0,
            found: 0,
            row: HeldRow::of(&self.shape, row),
        });
        match party {
            Party::Expected => entry.expected += 1,
            Party::Found => entry.found += 1,
        }
    }

    /// What differs, at most `limit` of it, and how much there is.
    pub(crate) fn differing(&self, limit: usize) -> (Vec<Differing>, usize) {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let differing = rows.iter().filter(|(_, it)| it.expected != it.found);
        let mut paired = pair_up(differing.map(|(hash, it)| Sighting {
            how: it.how(),
            identity: it.row.identity(&self.shape),
            hash: *hash,
            twin: None,
        }));
        let count = paired.len();
        paired.truncate(limit);
        let told = |hash: &RowHash| Some(Differing::of(&self.shape, hash, rows.get(hash)?));
        let paired = paired.iter().filter_map(|it| {
            let mut row = told(&it.hash)?;
            if let Some(mut twin) = it.twin.as_ref().and_then(told) {
                row.become_changed(&mut twin);
            }
            Some(row)
        });
        (paired.collect(), count)
    }
}

/// Hands the rows of one party over.
pub(crate) struct Holding {
    pub(crate) held: Arc<Held>,
    pub(crate) party: Party,
}

impl HashedRows for Holding {
    fn take(&mut self, hash: &RowHash, row: &[u8]) {
        self.held.take(self.party, hash, row);
    }
}

/// A row that differs, on its way to be told.
pub(crate) struct Differing {
    how: RowChange,
    times: u64,
    hash: RowHash,
    expected: Option<Vec<HeldField>>,
    found: Option<Vec<HeldField>>,
}

impl Differing {
    fn of(shape: &RowShape, hash: &RowHash, entry: &Entry) -> Self {
        let fields = entry.row.fields(shape);
        let how = entry.how();
        let (expected, found) = match how {
            RowChange::Missing => (Some(fields), None),
            RowChange::Extra | RowChange::Changed | RowChange::Duplicated => (None, Some(fields)),
        };
        Self {
            how,
            times: entry.expected.abs_diff(entry.found),
            hash: *hash,
            expected,
            found,
        }
    }

    fn fields(&self) -> &[HeldField] {
        let fields = self.expected.as_ref().or(self.found.as_ref());
        fields.map_or(&[], Vec::as_slice)
    }

    fn identity(&self, shape: &RowShape) -> Option<blake3::Hash> {
        let fields = self.fields();
        identity(shape, |at| fields.get(at).map(|field| field.hash))
    }

    /// The columns whose values differ, of a row that is on both sides.
    fn differing_columns(&self) -> Vec<usize> {
        let (Some(expected), Some(found)) = (&self.expected, &self.found) else {
            return Vec::new();
        };
        let pairs = expected.iter().zip(found).enumerate();
        pairs
            .filter_map(|(at, (a, b))| a.differs(b).then_some(at))
            .collect()
    }

    /// As it is told.
    pub(crate) fn told(&self, shape: &RowShape, show_values: bool) -> RowDifference {
        let fields = self.fields();
        let key = shape.key.iter().filter_map(|at| {
            let text = match &fields.get(*at)?.head {
                None => "null".to_owned(),
                Some(bytes) => row_value::key_text(shape.format, &shape.types[*at], bytes),
            };
            Some((shape.columns[*at].clone(), text))
        });
        let columns = self.differing_columns();
        RowDifference {
            how: self.how,
            key: key.collect(),
            row: self.hash[..8]
                .iter()
                .map(|it| format!("{it:02x}"))
                .collect(),
            values: show_values.then(|| self.values(shape, &columns)),
            columns: columns
                .iter()
                .map(|at| shape.columns[*at].clone())
                .collect(),
            times: self.times,
        }
    }

    /// The values that differ; of a row that one side does not have, all but the key's.
    fn values(&self, shape: &RowShape, columns: &[usize]) -> Vec<ValueDifference> {
        let shown = |fields: &Option<Vec<HeldField>>, at: usize| {
            let field = fields.as_ref()?.get(at)?;
            Some(match &field.head {
                None => "null".to_owned(),
                Some(head) => row_value::shown(shape.format, &shape.types[at], head, field.length),
            })
        };
        let is_told = |at: &usize| match self.how {
            RowChange::Changed => columns.contains(at),
            RowChange::Missing | RowChange::Extra | RowChange::Duplicated => {
                !shape.key.contains(at)
            }
        };
        (0..shape.columns.len())
            .filter(is_told)
            .map(|at| ValueDifference {
                column: shape.columns[at].clone(),
                expected: shown(&self.expected, at),
                found: shown(&self.found, at),
            })
            .collect()
    }
}

/// A row that differs, before anything is made of it: there may be very many.
struct Sighting {
    how: RowChange,
    identity: Option<blake3::Hash>,
    hash: RowHash,
    twin: Option<RowHash>,
}

/// A missing and an extra row of the same key are one changed row.
fn pair_up(rows: impl Iterator<Item = Sighting>) -> Vec<Sighting> {
    let mut paired: Vec<Sighting> = Vec::new();
    // Places of rows that have no twin yet, by what they are and their key.
    let mut alone: HashMap<(RowChange, blake3::Hash), usize> = HashMap::new();
    for row in rows {
        let Some(identity) = row.identity else {
            paired.push(row);
            continue;
        };
        let twin = match row.how {
            RowChange::Missing => alone.remove(&(RowChange::Extra, identity)),
            RowChange::Extra => alone.remove(&(RowChange::Missing, identity)),
            RowChange::Changed | RowChange::Duplicated => None,
        };
        match twin {
            Some(at) => {
                paired[at].how = RowChange::Changed;
                paired[at].twin = Some(row.hash);
            }
            None => {
                alone.insert((row.how, identity), paired.len());
                paired.push(row);
            }
        }
    }
    paired
}

impl Differing {
    /// Takes the other version of the row.
    fn become_changed(&mut self, twin: &mut Self) {
        self.how = RowChange::Changed;
        self.times = 1;
        self.expected = self.expected.take().or_else(|| twin.expected.take());
        self.found = self.found.take().or_else(|| twin.found.take());
    }
}

/// Twins of rows that seem to be missing or too many, where only a part of the buckets was looked
/// at: the other version of a changed row may be in one that was not.
pub(crate) struct Twins {
    shape: Arc<RowShape>,
    wanted: HashMap<blake3::Hash, usize>,
    met: Mutex<HashMap<usize, Vec<HeldField>>>,
}

impl Twins {
    /// Of those rows that this party lacks.
    pub(crate) fn lacking(shape: &Arc<RowShape>, rows: &[Differing], party: Party) -> Self {
        let how = match party {
            Party::Found => RowChange::Missing,
            Party::Expected => RowChange::Extra,
        };
        let rows = rows.iter().enumerate().filter(|(_, row)| row.how == how);
        Self {
            shape: shape.clone(),
            wanted: rows
                .filter_map(|(at, row)| Some((row.identity(shape)?, at)))
                .collect(),
            met: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Gives the rows their twins.
    pub(crate) fn join(&self, rows: &mut [Differing], party: Party) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, fields) in met.drain() {
            let row = &mut rows[at];
            let (mine, twin) = match party {
                Party::Found => (&row.expected, &mut row.found),
                Party::Expected => (&row.found, &mut row.expected),
            };
            let is_same = |mine: &Vec<HeldField>| {
                let mut pairs = mine.iter().zip(&fields);
                mine.len() == fields.len() && pairs.all(|(a, b)| !a.differs(b))
            };
            // The same row under a key that is there twice is no other version.
            if !mine.as_ref().is_some_and(is_same) {
                *twin = Some(fields);
                row.how = RowChange::Changed;
                row.times = 1;
            }
        }
    }
}

/// Looks for twins among the rows of a party.
pub(crate) struct TwinVisitor(pub(crate) Arc<Twins>);

impl RowVisitor for TwinVisitor {
    fn row(&mut self, bytes: &[u8]) {
        let Twins { shape, wanted, met } = &*self.0;
        let fields = shape.fields(bytes);
        let identity = identity_of(shape, &fields);
        if let Some(at) = identity.and_then(|it| wanted.get(&it)) {
            let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
            met.entry(*at).or_insert_with(|| held_fields(shape, bytes));
        }
    }
}

/// What is done with rows that are read a second time.
#[derive(Clone)]
pub(crate) enum Aim {
    /// They are held, when they are of a chosen bucket.
    Hold(Arc<Held>),
    /// They are looked through for twins.
    FindTwins(Arc<Twins>),
}

impl Aim {
    /// Who is told of the rows of a party.
    pub(crate) fn visitor(&self, key: &[u8; 32], party: Party) -> Box<dyn RowVisitor> {
        match self {
            Aim::Hold(held) => {
                let held = held.clone();
                let holding = Holding { held, party };
                Box::new(crate::row_digest::RowHasher::handing_to(key, holding))
            }
            Aim::FindTwins(twins) => Box::new(TwinVisitor(twins.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::TableId;
    use towpath_model::digest::RunKey;
    use towpath_model::plan::{Format, PlannedTable, RowSource};
    use towpath_model::{QualifiedName, verification::RowChange};

    fn shape(key: &[&str]) -> Arc<RowShape> {
        let name = QualifiedName::new("public", "t");
        let texts = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
        let table = PlannedTable {
            id: TableId::of(&name),
            name,
            columns: texts(&["id", "a", "b"]),
            key: texts(key),
            types: texts(&["integer", "text", "text"]),
            rows: RowSource::Table,
            expressions: BTreeMap::new(),
            masks: std::collections::BTreeMap::new(),
            subset: None,
            format: Format::Csv,
            format_reason: None,
            bytes: 0,
            estimated_rows: 0,
            force_row_security: false,
            chunks: Vec::new(),
        };
        Arc::new(RowShape::of(&table, &RunKey::new([7; 32])))
    }

    /// What is told of these rows, one line each.
    fn told(key: &[&str], expected: &[&str], found: &[&str]) -> Vec<String> {
        let shape = shape(key);
        let held = Held::new(shape.clone(), None);
        for (party, rows) in [(Party::Expected, expected), (Party::Found, found)] {
            for row in rows {
                let line = format!("{row}\n");
                held.take(
                    party,
                    blake3::hash(line.as_bytes()).as_bytes(),
                    line.as_bytes(),
                );
            }
        }
        let (rows, count) = held.differing(100);
        assert_eq!(rows.len(), count);
        let mut told: Vec<String> = rows
            .iter()
            .map(|row| {
                let told = row.told(&shape, false);
                let key: Vec<&str> = told.key.iter().map(|(_, value)| value.as_str()).collect();
                format!(
                    "{:?} {} {} x{}",
                    told.how,
                    key.join("/"),
                    told.columns.join("+"),
                    told.times
                )
            })
            .collect();
        told.sort();
        told
    }

    #[test]
    fn rows_with_a_key() {
        let told = told(
            &["id"],
            &["1,x,y", "2,x,y", "3,x,y", "4,x,y", "5,x,y"],
            &["1,x,y", "2,x,z", "3,y,z", "4,x,y", "4,x,y", "6,x,y"],
        );
        assert_eq!(
            told,
            [
                "Changed 2 b x1",
                "Changed 3 a+b x1",
                "Duplicated 4  x1",
                "Extra 6  x1",
                "Missing 5  x1"
            ]
        );
    }

    #[test]
    fn rows_without_a_key_have_a_multiplicity() {
        let told = told(
            &[],
            &["1,x,y", "1,x,y", "1,x,y", "2,x,y", "3,x,y"],
            &["1,x,y", "2,x,y", "2,x,y", "2,x,y", "4,x,y", "4,x,y"],
        );
        assert_eq!(
            told,
            [
                "Duplicated   x2",
                "Extra   x2",
                "Missing   x1",
                "Missing   x2"
            ]
        );
    }

    #[test]
    fn the_other_version_of_a_row_is_looked_for_where_nobody_looked() {
        let shape = shape(&["id"]);
        let held = Held::new(shape.clone(), None);
        held.take(Party::Expected, &[1; 32], b"1,x,y\n");
        held.take(Party::Found, &[2; 32], b"2,x,y\n");
        let (mut rows, _) = held.differing(100);
        for (party, there) in [
            (Party::Found, &b"1,x,z\n"[..]),
            (Party::Expected, b"7,x,y\n"),
        ] {
            let twins = Arc::new(Twins::lacking(&shape, &rows, party));
            assert!(!twins.is_empty());
            TwinVisitor(twins.clone()).row(there);
            twins.join(&mut rows, party);
        }
        let told = rows.iter().map(|row| row.told(&shape, true));
        let told: Vec<(RowChange, Vec<String>)> = told.map(|row| (row.how, row.columns)).collect();
        assert_eq!(
            told,
            [
                (RowChange::Changed, vec!["b".to_owned()]),
                (RowChange::Extra, vec![])
            ]
        );
    }

    #[test]
    fn null_and_the_empty_text_differ_and_values_are_shown_when_asked_for() {
        let shape = shape(&["id"]);
        let held = Held::new(shape.clone(), None);
        let null = format!("1,{},y\n", RunKey::new([7; 32]).null_marker());
        held.take(Party::Expected, &[1; 32], null.as_bytes());
        held.take(Party::Found, &[2; 32], b"1,,y\n");
        let (rows, _) = held.differing(100);
        let told = rows[0].told(&shape, true);
        assert_eq!(told.columns, ["a"]);
        let values = told.values.unwrap();
        assert_eq!(values[0].expected.as_deref(), Some("null"));
        assert_eq!(values[0].found.as_deref(), Some("\"\""));
        assert_eq!(values.len(), 1);
        assert_eq!(rows[0].told(&shape, false).values, None);
    }

    #[test]
    fn long_rows_are_held_by_what_their_fields_are_known_by() {
        let shape = shape(&["id"]);
        let held = Held::new(shape.clone(), None);
        let long = |last: &str| format!("1,{},{last}\n", "x".repeat(100_000));
        held.take(Party::Expected, &[1; 32], long("y").as_bytes());
        held.take(Party::Found, &[2; 32], long("z").as_bytes());
        for entry in held.rows.lock().unwrap().values() {
            let HeldRow::Fields(fields) = &entry.row else {
                panic!("held whole");
            };
            let heads = fields.iter().filter_map(|it| it.head.as_ref());
            assert!(heads.map(|head| head.len()).sum::<usize>() < 1000);
        }
        let (rows, _) = held.differing(100);
        assert_eq!(rows[0].told(&shape, false).columns, ["b"]);
    }
}
