//! Masks go where the values go: from a parent to its partitions and children, and along keys in both
//! directions, because what is masked on one side only meets no more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use towpath_model::clone_rules::CloneRules;
use towpath_model::keys::{KeyFacts, Reference, condition_of};
use towpath_model::masking::{Condition, Transformer};
use towpath_model::name::{QualifiedName, readable};

use super::{Decision, Place, Voice, Work, shown};

/// Partitions and inheritance children follow their parent: rows are read by way of it, and one
/// column that is masked in some of them only is not masked.
pub(super) fn follow_parents(work: &mut Work, facts: &KeyFacts) {
    for (table, table_facts) in &facts.tables {
        for column in table_facts
            .columns
            .iter()
            .filter(|column| !column.generated)
        {
            let decision = |parent: &QualifiedName| {
                let place = (parent.clone(), column.name.clone());
                work.decisions.get(&place).cloned()
            };
            let is_there = |parent: &&QualifiedName| facts.column(parent, &column.name).is_some();
            let mut above = table_facts.parents.iter().rev().filter(is_there);
            let Some(farthest) = above.clone().next() else {
                continue;
            };
            // The farthest one that has the column says, or the next one that has something to say: a
            // child of two tables holds rows of the one that is masked.
            let decided = above.find_map(|parent| Some((parent, decision(parent)?)));
            let (parent, of_parent) = match decided {
                Some((parent, decision)) => (parent, Some(decision)),
                None => (farthest, None),
            };
            let place = (table.clone(), column.name.clone());
            let own = work.decisions.get(&place).cloned();
            match (of_parent, own) {
                (Some(of_parent), None) => {
                    work.decisions.insert(place, of_parent);
                }
                (Some(of_parent), Some(own)) if own.is_like(&of_parent) => {}
                // What somebody wrote of the parent wins over what nobody wrote of the child.
                (Some(of_parent), Some(own)) if of_parent.voice < own.voice => {
                    work.decisions.insert(place, of_parent);
                }
                (of_parent, Some(own)) => {
                    let differs = match of_parent {
                        Some(of_parent) => {
                            format!("and {parent} another one by {}", of_parent.origin)
                        }
                        None => format!("and {parent}, which it belongs to, none"),
                    };
                    work.refuse(format!(
                        "{} has a mask by {}, {differs}: write one rule for {parent}, its partitions and children follow it",
                        shown(table, &column.name),
                        own.origin,
                    ));
                }
                (None, None) => {}
            }
        }
    }
}

/// Two columns that hold the same values.
struct Link<'r> {
    reference: &'r Reference,
    child: Place,
    parent: Place,
}

fn links<'r>(reference: &'r Reference) -> impl Iterator<Item = Link<'r>> {
    let pairs = reference
        .child_columns
        .iter()
        .zip(&reference.parent_columns);
    pairs.map(move |(child, parent)| Link {
        reference,
        child: (reference.child.clone(), child.clone()),
        parent: (reference.parent.clone(), parent.clone()),
    })
}

fn called(reference: &Reference) -> String {
    match reference.is_declared {
        true => format!("reference {}", reference.name),
        false => format!(
            "foreign key {} of {}",
            readable(&reference.name),
            reference.child
        ),
    }
}

/// Masks of columns that keys tie together.
pub(super) fn follow_references(
    work: &mut Work,
    rules: &CloneRules,
    declared: &[Reference],
    facts: &KeyFacts,
) {
    let (whole, partial): (Vec<&Reference>, Vec<&Reference>) = facts
        .references
        .iter()
        .chain(declared)
        .partition(|reference| reference.condition.is_none());
    let whole: Vec<Link<'_>> = whole.into_iter().flat_map(links).collect();
    let partial: Vec<Link<'_>> = partial.into_iter().flat_map(links).collect();
    for component in components(work, &whole, facts) {
        agree(work, &component, &whole);
    }
    for link in &whole {
        lead_somewhere(work, link);
    }
    for link in &partial {
        lead_on(work, link, rules, facts);
    }
    forget(work, &whole, facts);
}

/// Columns that hold each other's values, each set of them once. A column that becomes NULL refers to
/// nothing, so nothing has to meet there.
fn components(work: &Work, links: &[Link<'_>], facts: &KeyFacts) -> Vec<Vec<Place>> {
    let mut ties: BTreeMap<&Place, Vec<&Place>> = BTreeMap::new();
    for link in links {
        let is_null = |place: &Place| {
            let decision = work.decisions.get(place);
            decision.is_some_and(|it| it.transformer == Transformer::Null)
        };
        if !is_null(&link.child) && !is_null(&link.parent) {
            ties.entry(&link.child).or_default().push(&link.parent);
            ties.entry(&link.parent).or_default().push(&link.child);
        }
    }
    // A partition's column is its table's. Only of names that keys have: a schema of ten thousand
    // partitions has a million columns.
    let names: BTreeSet<&str> = ties.keys().map(|(_, column)| column.as_str()).collect();
    let mut kin: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
    for (table, table_facts) in &facts.tables {
        for parent in &table_facts.parents {
            let columns = table_facts.columns.iter().map(|column| &column.name);
            for column in columns.filter(|column| names.contains(column.as_str())) {
                if facts.column(parent, column).is_some() {
                    let own = (table.clone(), column.clone());
                    let above = (parent.clone(), column.clone());
                    kin.entry(own.clone()).or_default().push(above.clone());
                    kin.entry(above).or_default().push(own);
                }
            }
        }
    }
    let mut seen: BTreeSet<Place> = BTreeSet::new();
    let mut found = Vec::new();
    for start in ties.keys() {
        if seen.contains(*start) {
            continue;
        }
        let mut component = Vec::new();
        let mut queue = VecDeque::from([(*start).clone()]);
        seen.insert((*start).clone());
        while let Some(place) = queue.pop_front() {
            let tied = ties.get(&place).into_iter().flatten().copied();
            for next in tied.chain(kin.get(&place).into_iter().flatten()) {
                if seen.insert(next.clone()) {
                    queue.push_back(next.clone());
                }
            }
            component.push(place);
        }
        found.push(component);
    }
    found
}

/// One mask for all of a component, or none.
fn agree(work: &mut Work, component: &[Place], links: &[Link<'_>]) {
    let decided: Vec<(&Place, Decision)> = component
        .iter()
        .filter_map(|place| Some((place, work.decisions.get(place)?.clone())))
        .collect();
    // Who says most counts, and of those the first in the order of names: the order of rules or of
    // the catalog must not decide what values become.
    let Some((first, decision)) = decided
        .iter()
        .min_by_key(|(place, decision)| (decision.voice, *place))
    else {
        return;
    };
    for (place, other) in &decided {
        if other.is_like(decision) {
            continue;
        }
        let both = format!(
            "{} by {}, and {} by {}",
            shown(&first.0, &first.1),
            decision.origin,
            shown(&place.0, &place.1),
            other.origin
        );
        if other.voice == decision.voice {
            work.refuse(format!(
                "keys tie these columns together, and their masks differ: {both}; give both the same transformer, domain and condition, or mask only one and let the keys take it to the other"
            ));
        } else {
            work.warn(format!(
                "keys tie these columns together: {both}; the mask of the first is used for both"
            ));
        }
    }
    if let Some(condition) = &decision.condition
        && component.len() > 1
    {
        work.refuse(format!(
            "{} is masked only by a condition on {}, and keys tie it to other columns, which would not meet then; mask it always, or leave it",
            shown(&first.0, &first.1),
            condition.column
        ));
        return;
    }
    let own = work.decisions.get(*first).cloned();
    for place in component {
        let is_its_own = work
            .decisions
            .get(place)
            .is_some_and(|it| it.is_like(decision));
        if !is_its_own && let Some(own) = &own {
            let origin = reason(place, links);
            work.decisions.insert(place.clone(), own.by(&origin));
        }
    }
}

/// Of a column that becomes NULL in some rows only the others go on to refer to what they did.
fn lead_somewhere(work: &mut Work, link: &Link<'_>) {
    let conditional = |place: &Place| {
        let decision = work.decisions.get(place)?;
        let condition = decision.condition.as_ref()?;
        (decision.transformer == Transformer::Null).then(|| condition.column.clone())
    };
    let child = work.decisions.get(&link.child);
    let is_masked = work.decisions.contains_key(&link.parent);
    let why = match (conditional(&link.child), conditional(&link.parent)) {
        (_, Some(column)) if !child.is_some_and(Decision::leaves_nothing) => {
            (&link.parent, &link.child, "which refers to it", column)
        }
        (Some(column), None) if is_masked => (
            &link.child,
            &link.parent,
            "which it refers to and which is masked",
            column,
        ),
        _ => return,
    };
    let (place, other, how, column) = why;
    let why = format!(
        "{} becomes NULL only by a condition on {}, and rows of {}, {how} by {}, would not meet the others; mask it always, or leave it",
        shown(&place.0, &place.1),
        readable(&column),
        shown(&other.0, &other.1),
        called(link.reference)
    );
    work.refuse(why);
}

/// The key that ties a column.
fn reason(place: &Place, links: &[Link<'_>]) -> String {
    let those = links
        .iter()
        .find(|link| link.child == *place)
        .or_else(|| links.iter().find(|link| link.parent == *place));
    those.map_or_else(
        || "the table that it belongs to".to_owned(),
        |link| called(link.reference),
    )
}

/// A reference that holds in some rows only: they get the mask of what they refer to, the others are
/// spared.
fn lead_on(work: &mut Work, link: &Link<'_>, rules: &CloneRules, facts: &KeyFacts) {
    let of_parent = work.decisions.get(&link.parent).cloned();
    let own = work.decisions.get(&link.child).cloned();
    let name = called(link.reference);
    // Two rules may lead from one column to the same other one, each in rows of its own.
    let condition = rules
        .references
        .iter()
        .filter_map(|rule| rule.when.as_ref())
        .find(|when| condition_of(when, &link.child.0, facts) == link.reference.condition)
        .cloned();
    let (child, parent) = (
        shown(&link.child.0, &link.child.1),
        shown(&link.parent.0, &link.parent.1),
    );
    let is_gone = own.as_ref().is_some_and(Decision::leaves_nothing);
    if let Some(of_parent) = of_parent
        .as_ref()
        .filter(|it| it.condition.is_some() && !is_gone)
    {
        work.refuse(format!(
            "{parent} is masked only by a condition, by {}, and {child} refers to it by {name}: rows would lead nowhere; mask {parent} always, or leave it",
            of_parent.origin
        ));
        return;
    }
    match (of_parent, own) {
        (None, None) => {}
        (None, Some(own)) if own.transformer == Transformer::Null => {}
        // The mask is for other rows, which another reference may lead elsewhere.
        (None, Some(own)) if are_apart(own.condition.as_ref(), condition.as_ref()) => {}
        (None, Some(own)) => work.refuse(format!(
            "{child} is masked by {}, and {parent}, which it refers to by {name}, is not: rows would lead nowhere; mask {parent} as well, or say when {child} is masked",
            own.origin
        )),
        (Some(of_parent), None) => {
            let decision = Decision {
                condition,
                ..of_parent.by(&name)
            };
            decide_with_kin(work, &link.child, &decision, facts);
        }
        (Some(of_parent), Some(own)) => {
            let alike = Decision {
                condition: own.condition.clone(),
                ..of_parent.clone()
            };
            let together = joined(own.condition.as_ref(), condition.as_ref());
            match (own.is_like(&alike), together) {
                (true, Some(together)) => {
                    let own = Decision {
                        condition: together,
                        ..own
                    };
                    decide_with_kin(work, &link.child, &own, facts);
                }
                _ if is_gone => {}
                _ => work.refuse(format!(
                    "{child} is masked by {}, and {parent}, which it refers to by {name}, by {}: rows would lead nowhere; give both the same transformer and domain",
                    own.origin, of_parent.origin
                )),
            }
        }
    }
}

/// Whether no row can meet both conditions.
fn are_apart(one: Option<&Condition>, other: Option<&Condition>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    if one.column != other.column {
        return false;
    }
    let excludes = |one: &Condition, other: &Condition| {
        let listed = |values: &Option<Vec<String>>, value: &String| {
            values.as_ref().is_some_and(|values| values.contains(value))
        };
        let takes = |value: &String| other.is.is_none() || listed(&other.is, value);
        let values = one.is.as_ref();
        values.is_some_and(|values| {
            other.is_null == Some(true)
                || values
                    .iter()
                    .all(|value| !takes(value) || listed(&other.is_not, value))
        }) || (one.is_null == Some(true) && other.is_null == Some(false))
    };
    excludes(one, other) || excludes(other, one)
}

/// A condition that holds where either does; nothing where that cannot be said. Outer: always.
fn joined(one: Option<&Condition>, other: Option<&Condition>) -> Option<Option<Condition>> {
    let (Some(one), Some(other)) = (one, other) else {
        return Some(None);
    };
    if one == other {
        return Some(Some(one.clone()));
    }
    let only_is = |condition: &Condition| {
        condition.is_not.is_none() && condition.is_null.is_none() && condition.is.is_some()
    };
    if one.column != other.column || !only_is(one) || !only_is(other) {
        return None;
    }
    let mut values: Vec<String> = one.is.iter().chain(&other.is).flatten().cloned().collect();
    values.sort();
    values.dedup();
    Some(Some(Condition {
        is: Some(values),
        ..one.clone()
    }))
}

/// What refers to a column that becomes NULL becomes NULL as well.
fn forget(work: &mut Work, links: &[Link<'_>], facts: &KeyFacts) {
    let is_null = |work: &Work, place: &Place| {
        let decision = work.decisions.get(place);
        decision.is_some_and(Decision::leaves_nothing)
    };
    let mut is_changed = true;
    while is_changed {
        is_changed = false;
        for link in links {
            if !is_null(work, &link.parent) || is_null(work, &link.child) {
                continue;
            }
            let name = called(link.reference);
            if let Some(own) = work.decisions.get(&link.child).cloned()
                && own.voice < Voice::Reference
            {
                work.refuse(format!(
                    "{} becomes NULL, and {}, which refers to it by {name}, is masked by {}: rows would lead nowhere",
                    shown(&link.parent.0, &link.parent.1),
                    shown(&link.child.0, &link.child.1),
                    own.origin
                ));
                continue;
            }
            let Some(of_parent) = work.decisions.get(&link.parent).cloned() else {
                continue;
            };
            decide_with_kin(work, &link.child, &of_parent.by(&name), facts);
            is_changed = true;
        }
    }
}

/// Decides a column of a table, and of the partitions and children that hold its rows.
fn decide_with_kin(work: &mut Work, place: &Place, decision: &Decision, facts: &KeyFacts) {
    let (table, column) = place;
    let kin = facts.tables.iter();
    let kin = kin.filter(|(_, facts)| facts.parents.contains(table));
    for name in kin.map(|(name, _)| name).chain([table]) {
        let place = (name.clone(), column.clone());
        work.decisions.insert(place, decision.clone());
    }
}
