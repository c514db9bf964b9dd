//! Whether the database will take what masks make of its columns. All that it would refuse is refused
//! here, at once, with the way out: after hours of copying it would be too late.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::keys::{ColumnFacts, KeyFacts, Reference, UniqueKey};
use towpath_model::masking::{Condition, PlannedMask, Transformer, Uniqueness};
use towpath_model::name::{QualifiedName, readable};
use towpath_model::plan::{Format, PlannedTable};

use super::{Decision, Resolved, Work, shown};
use crate::codec::Codec;
use crate::rules::title;
use crate::transform::{fits, uniqueness};

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
            if let Some(mut mask) = planned(work, table, column, &decision, room) {
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
    uniques(work, facts);
    types_of_keys(work, facts, declared);
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
fn rooms(
    work: &Work,
    facts: &KeyFacts,
    declared: &[Reference],
) -> BTreeMap<(QualifiedName, String), Option<u32>> {
    let own = |place: &(QualifiedName, String)| {
        let column = facts.column(&place.0, &place.1)?;
        max_chars(&column.base_type)
    };
    let mut rooms: BTreeMap<_, _> = work
        .decisions
        .keys()
        .map(|place| (place.clone(), own(place)))
        .collect();
    let least = |one: Option<u32>, other: Option<u32>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let mut ties: Vec<[(QualifiedName, String); 2]> = Vec::new();
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
            ties.extend(table_facts.columns.iter().map(|column| {
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
            "{name}, null by {by}: the column takes no NULL; use constant, redact or hash there"
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
fn uniques(work: &mut Work, facts: &KeyFacts) {
    for key in &facts.uniques {
        let masked: Vec<(String, Decision)> = key
            .columns
            .iter()
            .filter_map(|column| {
                let place = (key.table.clone(), column.clone());
                Some((column.clone(), work.decisions.get(&place)?.clone()))
            })
            .collect();
        for (column, decision) in masked {
            unique(work, facts, key, &column, &decision);
        }
    }
}

fn unique(work: &mut Work, facts: &KeyFacts, key: &UniqueKey, column: &str, decision: &Decision) {
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
            fits(&unique, base_type, max_chars(base_type)).is_ok()
        }
        _ => false,
    };
    match held(decision, base_type, max_chars(base_type)) {
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
