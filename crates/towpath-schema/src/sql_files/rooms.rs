//! Which file a statement belongs to.
//!
//! Files are applied in the order of their paths, so nothing may need what a later file makes. The
//! kinds of objects have a usual order, and most of a schema follows it; what does not (a function
//! that takes a row of a table, a table whose check calls that function) moves to a later file, as
//! far as its needs make it, and at last to one that keeps the order of the whole.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::script::{Phase, Statement};
use towpath_model::structure::{ObjectId, ObjectKind};

/// A file, and what its head says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub path: String,
    pub holds: &'static str,
}

/// Files before the data, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Roles,
    Schemas,
    Types,
    Functions,
    TypesOfFunctions,
    Tables,
    TableDetails,
    FunctionsOfTables,
    Views,
    Intertwined,
}

impl Room {
    const fn file(self) -> (&'static str, &'static str) {
        match self {
            Room::Roles => ("00-roles.sql", "Roles and their memberships."),
            Room::Schemas => ("10-schemas-extensions.sql", "Schemas and extensions."),
            Room::Types => ("20-types.sql", "Types, domains and collations."),
            Room::Functions => (
                "30-functions.sql",
                "Functions, operators, casts, text search, languages and foreign servers.",
            ),
            Room::TypesOfFunctions => (
                "35-types-that-need-functions.sql",
                "Types and domains that call functions.",
            ),
            Room::Tables => (
                "40-tables",
                "A table or sequence, without keys and indexes.",
            ),
            Room::TableDetails => (
                "42-table-details.sql",
                "Defaults, identities, partitions and options of tables, and owners of sequences.",
            ),
            Room::FunctionsOfTables => (
                "45-functions-that-need-tables.sql",
                "Functions that name tables in their arguments or results.",
            ),
            Room::Views => ("50-views.sql", "Views and materialized views."),
            Room::Intertwined => (
                "55-intertwined.sql",
                "What needs each other across kinds, in the order that works.",
            ),
        }
    }
}

/// The files in which objects of a kind can be, earliest first.
fn rooms_of(kind: ObjectKind) -> &'static [Room] {
    match kind {
        ObjectKind::Role => &[Room::Roles],
        ObjectKind::Schema | ObjectKind::Extension => &[Room::Schemas],
        ObjectKind::Type | ObjectKind::Domain | ObjectKind::Collation => {
            &[Room::Types, Room::TypesOfFunctions, Room::Intertwined]
        }
        ObjectKind::Table | ObjectKind::ForeignTable | ObjectKind::Sequence => {
            &[Room::Tables, Room::Intertwined]
        }
        ObjectKind::View | ObjectKind::MaterializedView => &[Room::Views, Room::Intertwined],
        _ => &[Room::Functions, Room::FunctionsOfTables, Room::Intertwined],
    }
}

/// The place of each statement.
pub(super) fn places(
    statements: &[&Statement],
    needs: &BTreeMap<ObjectId, BTreeSet<ObjectId>>,
) -> Vec<Place> {
    let rooms = settled(statements, needs);
    let mut tables: BTreeMap<&ObjectId, usize> = BTreeMap::new();
    for statement in statements.iter().filter(|s| s.phase == Phase::PreData) {
        let next = tables.len() + 1;
        if rooms.get(&statement.object) == Some(&Room::Tables) {
            tables.entry(&statement.object).or_insert(next);
        }
    }
    let width = tables.len().to_string().len().max(4);
    statements
        .iter()
        .map(|statement| {
            if statement.phase != Phase::PreData {
                let (path, holds) = after_the_data(statement.phase);
                return Place {
                    path: path.to_owned(),
                    holds,
                };
            }
            let room = rooms
                .get(&statement.object)
                .copied()
                .unwrap_or(Room::Intertwined);
            let room = match room {
                // These may name other tables, which may be made later.
                Room::Tables if !is_of_itself(&statement.sql) => Room::TableDetails,
                room => room,
            };
            let (path, holds) = room.file();
            let path = match (room, tables.get(&statement.object)) {
                (Room::Tables, Some(number)) => {
                    format!(
                        "{path}/{number:0width$}-{}.sql",
                        file_name(&statement.object)
                    )
                }
                _ => path.to_owned(),
            };
            Place { path, holds }
        })
        .collect()
}

/// A statement that makes a table or speaks of nothing else.
fn is_of_itself(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default();
    word.eq_ignore_ascii_case("create") || word.eq_ignore_ascii_case("comment")
}

/// The earliest room of each object in which everything it needs is there. Rooms only ever move to
/// later ones, and there are few, so this ends however objects need each other.
fn settled<'s>(
    statements: &[&'s Statement],
    needs: &BTreeMap<ObjectId, BTreeSet<ObjectId>>,
) -> BTreeMap<&'s ObjectId, Room> {
    let mut rooms: BTreeMap<&ObjectId, Room> = statements
        .iter()
        .filter(|statement| statement.phase == Phase::PreData)
        .filter_map(|statement| {
            let first = rooms_of(statement.object.kind).first()?;
            Some((&statement.object, *first))
        })
        .collect();
    loop {
        let mut moved = Vec::new();
        for (id, room) in &rooms {
            let latest = needs
                .get(*id)
                .into_iter()
                .flatten()
                .filter_map(|needed| rooms.get(needed))
                .max();
            let Some(latest) = latest.filter(|latest| *latest > room) else {
                continue;
            };
            let next = rooms_of(id.kind).iter().find(|room| *room >= latest);
            if let Some(next) = next {
                moved.push((*id, *next));
            }
        }
        if moved.is_empty() {
            return rooms;
        }
        rooms.extend(moved);
    }
}

fn after_the_data(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::PreData | Phase::Index => ("60-indexes.sql", "Indexes, those of keys included."),
        Phase::Constraint | Phase::IndexAttach => (
            "70-constraints.sql",
            "Primary keys, unique, exclusion and check constraints, and statistics.",
        ),
        Phase::ForeignKey | Phase::ForeignKeyValidate => ("75-foreign-keys.sql", "Foreign keys."),
        Phase::View => (
            "78-late-views.sql",
            "Rules, views that need keys, contents of materialized views, comments.",
        ),
        Phase::Trigger => ("80-triggers.sql", "Triggers and their states."),
        Phase::Policy => ("85-policies.sql", "Row-level security and its policies."),
        Phase::Grant => ("90-grants.sql", "Privileges."),
        Phase::Last => (
            "99-last.sql",
            "Default privileges, settings, publications, event triggers and owners.",
        ),
    }
}

/// A name that every file system takes. The number in front of it tells equal ones apart.
fn file_name(object: &ObjectId) -> String {
    const LONGEST: usize = 80;
    let schema = object.schema.as_deref().unwrap_or_default();
    format!("{schema}.{}", object.name)
        .chars()
        .take(LONGEST)
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect()
}
