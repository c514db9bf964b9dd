//! Whether the database will take what masks make of its columns. All that it would refuse is refused
//! here, at once, with the way out: after hours of copying it would be too late.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::keys::{ColumnFacts, KeyFacts, Reference, UniqueKey};
use towpath_model::masking::{Condition, PlannedMask, Transformer, Uniqueness};
use towpath_model::name::readable;
use towpath_model::plan::{Format, PlannedTable};

use super::{Decision, Place, Resolved, Voice, Work, shown};
use crate::codec::Codec;
use crate::rules::title;
use crate::transform::{fits, printed, uniqueness};

/// What enums are called below their names.
const ENUM: &str = "enum";

/// Characters that masked columns take at most.
type Rooms = BTreeMap<Place, Option<u32>>;

/// Turns decisions into masks of planned tables.
pub(super) fn fit(
    work: &mut Work,
    facts: &KeyFacts,
    declared: &[Reference],
    tables: &[PlannedTable],
) -> Resolved {
    let rooms = rooms(work, facts, declared);
    let mut resolved = Resolved::default();
    for table in tables.iter().filter(|table| table.rows.is_table()) {
        let Some(table_facts) = facts.tables.get(&table.name) else {
            continue;
        };
        let mut masks = BTreeMap::new();
        for column in &table_facts.columns {
            let place = (table.name.clone(), column.name.clone());
            let Some(decision) = work.decisions.get(&place).cloned() else {
                continue;
            };
            if !table.columns.contains(&column.name) {
                continue;
            }
            // What keys tie together has one room, or long values would be cut here and not there.
            let room = rooms.get(&place).copied().flatten();
            let columns = &table_facts.columns;
            if let Some(mut mask) = planned(work, table, columns, column, &decision, room) {
                mask.reads = reads(&table_facts.columns, &mask);
                masks.insert(column.name.clone(), mask);
            }
        }
        if masks.is_empty() {
            continue;
        }
        if table.format == Format::Binary
            && let Some(reason) = needs_text(table, &table_facts.columns, &masks)
        {
            resolved.as_csv.insert(table.name.clone(), reason);
        }
        resolved.masks.insert(table.name.clone(), masks);
    }
    uniques(work, facts, &rooms);
    types_of_keys(work, facts, declared);
    whole_keys(work, facts);
    computed(work, facts);
    partition_keys(work, facts);
    resolved
}

/// Characters that a column of a type takes at most.
fn max_chars(base_type: &str) -> Option<u32> {
    let element = base_type.strip_suffix("[]").unwrap_or(base_type);
    match element {
        "name" => return Some(63),
        "\"char\"" => return Some(1),
        "character" => return Some(1),
        _ => {}
    }
    let limit = element
        .strip_prefix("character varying(")
        .or_else(|| element.strip_prefix("character("))?;
    limit.strip_suffix(')')?.parse().ok()
}

/// The room of every masked column: of those that keys tie together the least.
fn rooms(work: &Work, facts: &KeyFacts, declared: &[Reference]) -> Rooms {
    let own = |place: &Place| {
        let column = facts.column(&place.0, &place.1)?;
        max_chars(&column.base_type)
    };
    let mut rooms: Rooms = work
        .decisions
        .keys()
        .map(|place| (place.clone(), own(place)))
        .collect();
    let least = |one: Option<u32>, other: Option<u32>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    // Of names that masks have: a schema of ten thousand partitions has a million columns.
    let names: BTreeSet<&str> = work
        .decisions
        .keys()
        .map(|(_, column)| column.as_str())
        .collect();
    let mut ties: Vec<[Place; 2]> = Vec::new();
    for reference in facts.references.iter().chain(declared) {
        let pairs = reference
            .child_columns
            .iter()
            .zip(&reference.parent_columns);
        ties.extend(pairs.map(|(child, parent)| {
            [
                (reference.child.clone(), child.clone()),
                (reference.parent.clone(), parent.clone()),
            ]
        }));
    }
    for (table, table_facts) in &facts.tables {
        for parent in &table_facts.parents {
            let columns = table_facts.columns.iter();
            let masked = columns.filter(|column| names.contains(column.name.as_str()));
            ties.extend(masked.map(|column| {
                [
                    (table.clone(), column.name.clone()),
                    (parent.clone(), column.name.clone()),
                ]
            }));
        }
    }
    ties.retain(|tie| tie.iter().all(|place| rooms.contains_key(place)));
    loop {
        let mut is_changed = false;
        for [one, other] in &ties {
            let (a, b) = (
                rooms.get(one).copied().flatten(),
                rooms.get(other).copied().flatten(),
            );
            let both = least(a, b);
            if a != both || b != both {
                rooms.insert(one.clone(), both);
                rooms.insert(other.clone(), both);
                is_changed = true;
            }
        }
        if !is_changed {
            return rooms;
        }
    }
}

/// The mask of one column, unless it cannot be.
fn planned(
    work: &mut Work,
    table: &PlannedTable,
    columns: &[ColumnFacts],
    column: &ColumnFacts,
    decision: &Decision,
    room: Option<u32>,
) -> Option<PlannedMask> {
    let name = shown(&table.name, &column.name);
    let by = &decision.origin;
    let what = title(&decision.transformer);
    if let Err(why) = fits(&decision.transformer, &column.base_type, room) {
        work.refuse(format!("{name}, {what} by {by}: {why}"));
        return None;
    }
    if decision.transformer == Transformer::Null && column.not_null {
        work.refuse(format!(
            "{name}, null by {by}: the column takes no NULL; use another mask: uuid for ids, else constant, redact or hash"
        ));
        return None;
    }
    if let Transformer::Constant { value } = &decision.transformer
        && let Some(room) = room
        && value.chars().count() > usize::try_from(room).unwrap_or(usize::MAX)
    {
        work.refuse(format!(
            "{name}, constant by {by}: the value is longer than {room} characters, which is all that the column takes; use a shorter one"
        ));
        return None;
    }
    for (other, why) in used(&decision.transformer, decision.condition.as_ref()) {
        let is_there = table.columns.iter().any(|it| it == other);
        if !is_there {
            work.refuse(format!(
                "{name}, {what} by {by}: {why} {}, which is no column that {} is copied with; name another one",
                readable(other),
                table.name
            ));
            return None;
        }
    }
    if let Err(why) = says(decision, column, columns) {
        work.refuse(format!("{name}, {what} by {by}: {why}"));
        return None;
    }
    Some(PlannedMask {
        transformer: decision.transformer.clone(),
        locale: decision.locale,
        domain: decision.domain.clone(),
        condition: decision.condition.clone(),
        base_type: column.base_type.clone(),
        reads: BTreeMap::new(),
        max_chars: room,
        uniqueness: held(decision, &column.base_type, room),
        origin: by.clone(),
    })
}

/// Whether what rules say of values could ever be one: a constant and a condition are told by the text
/// that the type prints. A condition on any other text holds in no row, and then nothing is masked.
fn says(decision: &Decision, column: &ColumnFacts, columns: &[ColumnFacts]) -> Result<(), String> {
    // Of other types constants are looked at where their fit is.
    if let Transformer::Constant { value } = &decision.transformer
        && column.base_type == ENUM
    {
        is_printed(value, column)?;
    }
    let Some(condition) = &decision.condition else {
        return Ok(());
    };
    match columns.iter().find(|it| it.name == condition.column) {
        Some(other) => holds_for_some(condition, other),
        None => Ok(()),
    }
}

/// Whether every value that a condition lists is one that the column's type prints.
pub(super) fn holds_for_some(condition: &Condition, column: &ColumnFacts) -> Result<(), String> {
    for value in condition.is.iter().chain(&condition.is_not).flatten() {
        is_printed(value, column)
            .map_err(|why| format!("its condition is on {}, and {why}", readable(&column.name)))?;
    }
    Ok(())
}

/// Whether a text is one that a column's type prints.
fn is_printed(value: &str, column: &ColumnFacts) -> Result<(), String> {
    let of = &column.type_name;
    if column.base_type == ENUM {
        return match column.labels.iter().any(|label| label == value) {
            true => Ok(()),
            false => Err(format!(
                "'{value}' is no label of {of}, which has {}",
                column.labels.join(", ")
            )),
        };
    }
    match printed(value, &column.base_type) {
        Ok(()) => Ok(()),
        Err(Some(text)) => Err(format!(
            "type {of} prints '{value}' otherwise: write '{text}'"
        )),
        Err(None) => Err(format!("type {of} never prints '{value}'")),
    }
}

/// Whether distinct values stay distinct. What a condition spares may be what another value becomes.
fn held(decision: &Decision, base_type: &str, room: Option<u32>) -> Uniqueness {
    let by_itself = uniqueness(&decision.transformer, base_type, room);
    match (&decision.condition, by_itself) {
        (Some(_), Uniqueness::Preserved) => Uniqueness::NotGuaranteed,
        _ => by_itself,
    }
}

/// Columns of the same row that a mask looks at, and what for.
fn used<'m>(
    transformer: &'m Transformer,
    condition: Option<&'m Condition>,
) -> Vec<(&'m str, &'static str)> {
    let mut columns = match transformer {
        Transformer::DateShift {
            subject: Some(subject),
            ..
        } => vec![(subject.as_str(), "its subject is")],
        Transformer::Scrub { columns } => columns
            .iter()
            .map(|column| (column.as_str(), "it scrubs values of"))
            .collect(),
        Transformer::Json { rules, .. } => rules
            .iter()
            .flat_map(|rule| used(&rule.transformer, None))
            .collect(),
        _ => Vec::new(),
    };
    columns.extend(condition.map(|it| (it.column.as_str(), "its condition is on")));
    columns
}

/// The other columns that a mask reads, with the types that their values are read as.
fn reads(columns: &[ColumnFacts], mask: &PlannedMask) -> BTreeMap<String, String> {
    let used = used(&mask.transformer, mask.condition.as_ref());
    let is_read = |column: &&ColumnFacts| used.iter().any(|(name, _)| *name == column.name);
    columns
        .iter()
        .filter(is_read)
        .map(|column| (column.name.clone(), column.base_type.clone()))
        .collect()
}

/// Why rows cannot travel in their binary form: a column that a mask must read is of a type whose
/// form is not known.
fn needs_text(
    table: &PlannedTable,
    columns: &[ColumnFacts],
    masks: &BTreeMap<String, PlannedMask>,
) -> Option<String> {
    let mut read: BTreeSet<&str> = masks.keys().map(String::as_str).collect();
    for mask in masks.values() {
        let others = used(&mask.transformer, mask.condition.as_ref());
        read.extend(others.into_iter().map(|(column, _)| column));
    }
    let unknown = columns.iter().find(|column| {
        read.contains(column.name.as_str())
            && table.columns.contains(&column.name)
            && Codec::of(Format::Binary, &column.base_type).is_none()
    })?;
    Some(format!(
        "the binary form of type {} is not known, and the mask must read {}",
        unknown.type_name,
        readable(&unknown.name)
    ))
}

/// Keys that would not be unique any more.
fn uniques(work: &mut Work, facts: &KeyFacts, rooms: &Rooms) {
    for key in &facts.uniques {
        let behind = behind(key, facts);
        for column in key.columns.iter().chain(&behind) {
            let place = (key.table.clone(), column.clone());
            if let Some(decision) = work.decisions.get(&place).cloned() {
                let room = rooms.get(&place).copied().flatten();
                unique(work, facts, key, column, &decision, room);
            }
        }
    }
}

/// Columns that generated columns of a key are computed of.
fn behind(key: &UniqueKey, facts: &KeyFacts) -> Vec<String> {
    let generated = key
        .columns
        .iter()
        .filter_map(|column| facts.column(&key.table, column));
    let mut behind: Vec<String> = generated
        .flat_map(|column| column.computed_of.iter().cloned())
        .filter(|column| !key.columns.contains(column))
        .collect();
    behind.sort();
    behind.dedup();
    behind
}

fn unique(
    work: &mut Work,
    facts: &KeyFacts,
    key: &UniqueKey,
    column: &str,
    decision: &Decision,
    room: Option<u32>,
) {
    let name = shown(&key.table, column);
    let (what, by) = (title(&decision.transformer), &decision.origin);
    let key_name = readable(&key.name);
    if key.is_exclusion {
        work.refuse(format!(
            "{name}, {what} by {by}: exclusion constraint {key_name} may not hold for masked values; mask other columns of the table"
        ));
        return;
    }
    if decision.transformer == Transformer::Null {
        if key.within.iter().any(|it| it == column) {
            work.warn(format!(
                "{name}, null by {by}: {key_name} has it in an expression or a condition, and may hold no more for rows that have NULL there; the clone fails then, and the one before it goes on serving"
            ));
        }
        // Any number of NULLs is unique, unless somebody said otherwise.
        if key.nulls_are_equal {
            work.refuse(format!(
                "{name}, null by {by}: {key_name} takes one NULL only; use a transformer that keeps values distinct: format-preserving, uuid, hash, or fake with unique = true"
            ));
        }
        return;
    }
    let base_type = facts
        .column(&key.table, column)
        .map(|column| column.base_type.as_str())
        .unwrap_or_default();
    let can_be_unique = match &decision.transformer {
        Transformer::Fake {
            what,
            locale,
            unique: false,
        } => {
            let unique = Transformer::Fake {
                what: *what,
                locale: *locale,
                unique: true,
            };
            fits(&unique, base_type, room).is_ok()
        }
        _ => false,
    };
    match held(decision, base_type, room) {
        Uniqueness::Preserved => {}
        _ if can_be_unique => work.refuse(format!(
            "{name}, {what} by {by}: {key_name} needs distinct values; add unique = true"
        )),
        Uniqueness::NotGuaranteed => work.warn(format!(
            "{name}, {what} by {by}: {key_name} needs distinct values, and two may meet by chance; the clone fails then, and the one before it goes on serving"
        )),
        Uniqueness::Lossy => work.refuse(format!(
            "{name}, {what} by {by}: {key_name} needs distinct values, and {what} makes equal ones; use a transformer that keeps them distinct: format-preserving, uuid or hash"
        )),
    }
}

/// Two columns of a key whose text forms differ are masked apart, and meet no more.
fn types_of_keys(work: &mut Work, facts: &KeyFacts, declared: &[Reference]) {
    for reference in facts.references.iter().chain(declared) {
        let pairs = reference
            .child_columns
            .iter()
            .zip(&reference.parent_columns);
        for (child, parent) in pairs {
            let place = (reference.child.clone(), child.clone());
            let Some(decision) = work.decisions.get(&place) else {
                continue;
            };
            let (Some(own), Some(other)) = (
                facts.column(&reference.child, child),
                facts.column(&reference.parent, parent),
            ) else {
                continue;
            };
            let is_null = decision.transformer == Transformer::Null;
            // The text form of a UUID is one and the same wherever it is kept.
            let is_uuid = decision.transformer == Transformer::Uuid;
            if is_null || is_uuid || is_same_text(&own.base_type, &other.base_type) {
                continue;
            }
            let why = format!(
                "{}, {} by {}: it is of type {}, and {}, which it refers to by {}, of type {}; values of two types are masked apart and would not meet; leave the key as it is, and mask what it leads to",
                shown(&reference.child, child),
                title(&decision.transformer),
                decision.origin,
                own.type_name,
                shown(&reference.parent, parent),
                readable(&reference.name),
                other.type_name
            );
            work.refuse(why);
        }
    }
}

/// Whether equal values of two types are one text.
fn is_same_text(one: &str, other: &str) -> bool {
    let stem = |name: &str| match name.split_once('(') {
        Some((stem, _)) if !name.contains('"') => stem.trim_end().to_owned(),
        _ => name.to_owned(),
    };
    let (one, other) = (stem(one), stem(other));
    let is_text = |name: &str| matches!(name, "text" | "character varying");
    one == other || (is_text(&one) && is_text(&other))
}

/// A foreign key of `MATCH FULL` is NULL as a whole, or not at all.
fn whole_keys(work: &mut Work, facts: &KeyFacts) {
    for reference in facts.references.iter().filter(|it| it.is_full) {
        let null = |column: &&String| {
            let place = (reference.child.clone(), (*column).clone());
            let decision = work.decisions.get(&place);
            decision.is_some_and(Decision::leaves_nothing)
        };
        let columns = &reference.child_columns;
        let nulls = columns.iter().filter(null).count();
        if nulls > 0 && nulls < columns.len() {
            work.refuse(format!(
                "{}: foreign key {} matches in full, and masks make only some of its columns NULL: mask {} with null as well",
                reference.child,
                readable(&reference.name),
                columns
                    .iter()
                    .filter(|column| !null(column))
                    .map(|column| readable(column))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
    }
}

/// A generated column that a key ties to a masked one is computed of others, and meets it no more.
fn computed(work: &mut Work, facts: &KeyFacts) {
    let tied: Vec<String> = work
        .decisions
        .iter()
        .filter(|(_, decision)| decision.voice == Voice::Reference)
        .filter(|((table, column), _)| {
            let column = facts.column(table, column);
            column.is_some_and(|column| column.generated)
        })
        .map(|((table, column), decision)| {
            format!(
                "{} is generated, and {} ties it to a masked column: values would not meet; leave the key as it is, and mask what it leads to",
                shown(table, column),
                decision.origin
            )
        })
        .collect();
    for why in tied {
        work.refuse(why);
    }
}

/// Rows whose partition would be another one.
fn partition_keys(work: &mut Work, facts: &KeyFacts) {
    for (table, table_facts) in &facts.tables {
        for column in &table_facts.partition_columns {
            let place = (table.clone(), column.clone());
            if let Some(decision) = work.decisions.get(&place) {
                let why = format!(
                    "{}, {} by {}: the column decides in which partition a row is, and masked rows would not fit theirs; mask other columns, or leave it",
                    shown(table, column),
                    title(&decision.transformer),
                    decision.origin
                );
                work.refuse(why);
            }
        }
    }
}
