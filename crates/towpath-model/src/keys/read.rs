//! Facts about keys, read out of a structure. What hangs on columns is told there by the text in which
//! the server defines it (`pg_get_constraintdef`, `pg_get_indexdef`), always with an empty search
//! path, so that every name of a table has its schema.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::text::{Definition, Group, qualified};
use super::{Check, ColumnFacts, KeyFacts, Reference, TableFacts, UniqueKey};
use crate::name::{QualifiedName, quote_identifier};
use crate::structure::{ObjectKind, SchemaObject, Structure};

/// What enums are called, whatever their name: their text form is one of their labels.
const ENUM: &str = "enum";

impl KeyFacts {
    /// Of a structure.
    pub fn of(structure: &Structure) -> Self {
        let types = Types::of(structure);
        let mut facts = Self::default();
        for object in objects(structure, ObjectKind::Table) {
            if let Some(name) = name_of(object) {
                facts.tables.insert(name, table(object, &types));
            }
        }
        let nearest: BTreeMap<QualifiedName, Vec<QualifiedName>> = facts
            .tables
            .iter()
            .map(|(name, table)| (name.clone(), table.parents.clone()))
            .collect();
        for table in facts.tables.values_mut() {
            table.parents = ancestors(&table.parents, &nearest);
        }
        for (name, table) in &facts.tables {
            for column in &table.columns {
                facts.checks.extend(types.checks(name, column));
            }
        }
        for object in objects(structure, ObjectKind::Constraint) {
            constraint(&mut facts, object);
        }
        for object in objects(structure, ObjectKind::Index) {
            index(&mut facts, object);
        }
        facts.references.sort();
        facts.uniques.sort();
        facts.checks.sort();
        facts
    }

    /// A column of a table.
    pub fn column(&self, table: &QualifiedName, column: &str) -> Option<&ColumnFacts> {
        let table = self.tables.get(table)?;
        table.columns.iter().find(|facts| facts.name == column)
    }
}

fn objects(structure: &Structure, kind: ObjectKind) -> impl Iterator<Item = &SchemaObject> {
    structure
        .objects
        .values()
        .filter(move |object| object.id.kind == kind)
}

fn name_of(object: &SchemaObject) -> Option<QualifiedName> {
    let schema = object.id.schema.as_ref()?;
    Some(QualifiedName::new(schema, &object.id.name))
}

/// The table that a constraint or an index hangs on.
fn on(object: &SchemaObject) -> Option<QualifiedName> {
    let (schema, table) = (object.id.schema.as_ref()?, object.id.on.as_ref()?);
    Some(QualifiedName::new(schema, table))
}

fn text<'o>(object: &'o SchemaObject, aspect: &str) -> Option<&'o str> {
    object.aspects.get(aspect)?.as_str()
}

fn table(object: &SchemaObject, types: &Types<'_>) -> TableFacts {
    let columns = object.aspects.get("columns").and_then(Value::as_array);
    let parents = text(object, "partition_of").into_iter();
    let inherits = object.aspects.get("inherits").and_then(Value::as_array);
    let inherits = inherits.into_iter().flatten().filter_map(Value::as_str);
    let told = columns.map_or(&[][..], Vec::as_slice);
    let mut columns: Vec<ColumnFacts> = told
        .iter()
        .filter_map(|column| types.column(column))
        .collect();
    if columns.iter().any(|column| column.generated) {
        compute(&mut columns, told);
    }
    let partition_key = Definition::new(text(object, "partition_key").unwrap_or_default());
    TableFacts {
        partition_columns: partition_key
            .brackets(0)
            .map_or_else(Vec::new, |(key, _)| involved(&columns, [key])),
        columns,
        parents: parents.chain(inherits).filter_map(qualified).collect(),
        is_partitioned: object.aspects.contains_key("partition_key"),
    }
}

/// Labels of an enum.
fn labels(object: &SchemaObject) -> Vec<String> {
    let labels = object.aspects.get("labels").and_then(Value::as_array);
    let labels = labels.into_iter().flatten().filter_map(Value::as_str);
    labels.map(str::to_owned).collect()
}

/// Enters what generated columns are computed of.
fn compute(columns: &mut [ColumnFacts], told: &[Value]) {
    let all = columns.to_vec();
    for column in columns.iter_mut().filter(|column| column.generated) {
        let is_it = |told: &&Value| told.get("name").and_then(Value::as_str) == Some(&column.name);
        let told = told.iter().find(is_it);
        let expression = told.and_then(|told| told.get("generated")?.as_str());
        column.computed_of =
            expression.map_or_else(Vec::new, |it| involved(&all, [Definition::new(it).rest(0)]));
    }
}

/// Parents and theirs, nearest first.
fn ancestors(
    parents: &[QualifiedName],
    nearest: &BTreeMap<QualifiedName, Vec<QualifiedName>>,
) -> Vec<QualifiedName> {
    let mut found: Vec<QualifiedName> = Vec::new();
    let mut queue: VecDeque<&QualifiedName> = parents.iter().collect();
    while let Some(parent) = queue.pop_front() {
        if !found.contains(parent) {
            found.push(parent.clone());
            queue.extend(nearest.get(parent).into_iter().flatten());
        }
    }
    found
}

/// Domains and enums.
struct Types<'s> {
    domains: BTreeMap<QualifiedName, &'s SchemaObject>,
    /// With their labels.
    enums: BTreeMap<QualifiedName, Vec<String>>,
}

impl<'s> Types<'s> {
    fn of(structure: &'s Structure) -> Self {
        let is_enum = |object: &&SchemaObject| text(object, "kind") == Some(ENUM);
        Self {
            domains: objects(structure, ObjectKind::Domain)
                .filter_map(|object| Some((name_of(object)?, object)))
                .collect(),
            enums: objects(structure, ObjectKind::Type)
                .filter(is_enum)
                .filter_map(|object| Some((name_of(object)?, labels(object))))
                .collect(),
        }
    }

    fn column(&self, column: &Value) -> Option<ColumnFacts> {
        let type_name = column.get("type")?.as_str()?;
        let is = |aspect: &str| column.get(aspect).and_then(Value::as_bool) == Some(true);
        let by_domain = self
            .chain(type_name)
            .iter()
            .any(|domain| domain.aspects.get("not_null").and_then(Value::as_bool) == Some(true));
        Some(ColumnFacts {
            name: column.get("name")?.as_str()?.to_owned(),
            type_name: type_name.to_owned(),
            base_type: self.base(type_name),
            labels: self.labels(type_name),
            not_null: is("not_null") || by_domain,
            generated: column.get("generated").is_some() || column.get("generated_kind").is_some(),
            comment: column
                .get("comment")
                .and_then(Value::as_str)
                .map(str::to_owned),
            // Told when all columns are known.
            computed_of: Vec::new(),
        })
    }

    /// Labels of the enum below all domains.
    fn labels(&self, type_name: &str) -> Vec<String> {
        let labels = qualified(self.below(type_name)).and_then(|name| self.enums.get(&name));
        labels.cloned().unwrap_or_default()
    }

    /// What is below all domains.
    fn below<'t>(&self, type_name: &'t str) -> &'t str
    where
        's: 't,
    {
        let chain = self.chain(type_name);
        let last = chain.last().and_then(|domain| text(domain, "type"));
        last.unwrap_or(type_name)
    }

    /// The domains between a type and what is below them, outermost first.
    fn chain(&self, type_name: &str) -> Vec<&'s SchemaObject> {
        let mut chain: Vec<&SchemaObject> = Vec::new();
        let mut next = qualified(type_name);
        while let Some(domain) = next.and_then(|name| self.domains.get(&name)) {
            // The server lets no domain be below itself; a structure is only what somebody wrote.
            if chain.len() > self.domains.len() {
                break;
            }
            chain.push(domain);
            next = text(domain, "type").and_then(qualified);
        }
        chain
    }

    /// The type below all domains. Elements of arrays are looked through likewise.
    fn base(&self, type_name: &str) -> String {
        let below = self.below(type_name);
        if let Some(element) = below.strip_suffix("[]") {
            return format!("{}[]", self.base(element));
        }
        match qualified(below) {
            Some(name) if self.enums.contains_key(&name) => ENUM.to_owned(),
            _ => below.to_owned(),
        }
    }

    /// Checks of a column's domains, as checks of the table.
    fn checks(&self, table: &QualifiedName, column: &ColumnFacts) -> Vec<Check> {
        let mut checks = Vec::new();
        for domain in self.chain(&column.type_name) {
            let constraints = domain.aspects.get("constraints").and_then(Value::as_array);
            for constraint in constraints.into_iter().flatten() {
                let of = |key: &str| constraint.get(key).and_then(Value::as_str);
                let (Some(name), Some(definition)) = (of("name"), of("definition")) else {
                    continue;
                };
                let definition = Definition::new(definition);
                if let Some((expression, _)) = definition.brackets(0) {
                    checks.push(Check {
                        name: name.to_owned(),
                        table: table.clone(),
                        columns: vec![column.name.clone()],
                        expression: expression.with("VALUE", &quote_identifier(&column.name)),
                    });
                }
            }
        }
        checks
    }
}

fn constraint(facts: &mut KeyFacts, object: &SchemaObject) {
    let (Some(table), Some(text_of)) = (on(object), text(object, "definition")) else {
        return;
    };
    let definition = Definition::new(text_of);
    let is_copy = object.aspects.contains_key("parent");
    match text(object, "type") {
        Some("foreign key") if !is_copy => {
            let reference = reference(&object.id.name, &table, &definition);
            facts.references.extend(reference);
        }
        Some(kind @ ("primary key" | "unique" | "exclude")) if !is_copy => {
            let key = unique(
                facts,
                &object.id.name,
                table,
                &definition,
                kind == "exclude",
            );
            facts.uniques.extend(key);
        }
        Some("check") => {
            if let Some((expression, _)) = definition.brackets(0) {
                facts.checks.push(Check {
                    name: object.id.name.clone(),
                    columns: involved(columns_of(facts, &table), [expression]),
                    table,
                    expression: expression.text().to_owned(),
                });
            }
        }
        _ => {}
    }
}

/// `FOREIGN KEY (a, b) REFERENCES s.t(x, y) MATCH FULL ON DELETE CASCADE`.
fn reference(name: &str, child: &QualifiedName, definition: &Definition<'_>) -> Option<Reference> {
    let (columns, behind) = definition.brackets(0)?;
    let references = definition.keyword("REFERENCES", behind)?;
    let parent = definition.qualified(references + 1)?;
    let (parent_columns, behind) = definition.brackets(references + 4)?;
    let is_full = definition
        .keyword("MATCH", behind)
        .is_some_and(|at| definition.keyword("FULL", at) == Some(at + 1));
    Some(Reference {
        name: name.to_owned(),
        child: child.clone(),
        child_columns: columns.items().iter().filter_map(Group::column).collect(),
        parent,
        parent_columns: parent_columns
            .items()
            .iter()
            .filter_map(Group::column)
            .collect(),
        is_full,
        condition: None,
        is_declared: false,
        is_period: columns.items().iter().any(Group::is_period),
    })
}

/// `PRIMARY KEY (a, b) INCLUDE (c)`, `UNIQUE NULLS NOT DISTINCT (a)`,
/// `EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (…)`.
fn unique(
    facts: &KeyFacts,
    name: &str,
    table: QualifiedName,
    definition: &Definition<'_>,
    is_exclude: bool,
) -> Option<UniqueKey> {
    let (key, behind) = definition.brackets(0)?;
    // A key without overlaps is held by an exclusion.
    let is_exclusion = is_exclude || key.items().last()?.holds("OVERLAPS");
    let columns = if is_exclude {
        involved(
            columns_of(facts, &table),
            [key, condition(definition, behind)],
        )
    } else {
        key.items().iter().filter_map(Group::column).collect()
    };
    Some(UniqueKey {
        name: name.to_owned(),
        table,
        columns,
        within: Vec::new(),
        is_exclusion,
        nulls_are_equal: nulls_are_equal(definition),
    })
}

/// `CREATE UNIQUE INDEX i ON s.t USING btree (lower(a)) INCLUDE (b) WHERE (c IS NULL)`.
fn index(facts: &mut KeyFacts, object: &SchemaObject) {
    let (Some(table), Some(text_of)) = (on(object), text(object, "definition")) else {
        return;
    };
    if !text_of.starts_with("CREATE UNIQUE INDEX ") || object.aspects.contains_key("attached_to") {
        return;
    }
    let definition = Definition::new(text_of);
    let key = || {
        let using = definition.keyword("USING", 0)?;
        definition.brackets(using)
    };
    if let Some((key, behind)) = key()
        && facts.tables.contains_key(&table)
    {
        let columns = involved(
            columns_of(facts, &table),
            [key, condition(&definition, behind)],
        );
        let items = key.items();
        let plain = items.iter().filter(|item| !item.text().contains('('));
        let plain: BTreeSet<String> = plain.filter_map(Group::column).collect();
        facts.uniques.push(UniqueKey {
            name: object.id.name.clone(),
            table,
            within: columns
                .iter()
                .filter(|column| !plain.contains(*column))
                .cloned()
                .collect(),
            columns,
            is_exclusion: false,
            nulls_are_equal: nulls_are_equal(&definition),
        });
    }
}

/// `NULLS NOT DISTINCT`, before or behind the columns.
fn nulls_are_equal(definition: &Definition<'_>) -> bool {
    let nulls = definition.keyword("NULLS", 0);
    nulls.is_some_and(|at| definition.keyword("NOT", at) == Some(at + 1))
}

/// What is behind `WHERE`.
fn condition<'d, 't>(definition: &'d Definition<'t>, from: usize) -> Group<'d, 't> {
    let at = definition.keyword("WHERE", from);
    definition.rest(at.map_or(definition.len(), |at| at + 1))
}

fn columns_of<'f>(facts: &'f KeyFacts, table: &QualifiedName) -> &'f [ColumnFacts] {
    facts
        .tables
        .get(table)
        .map_or(&[], |table| table.columns.as_slice())
}

/// Columns of a table whose names are in texts, in the table's order. A function or a type of the same
/// name is taken for one: rather one too many.
fn involved<const N: usize>(columns: &[ColumnFacts], groups: [Group<'_, '_>; N]) -> Vec<String> {
    let names: BTreeSet<String> = groups.iter().flat_map(Group::names).collect();
    columns
        .iter()
        .filter(|column| names.contains(&column.name))
        .map(|column| column.name.clone())
        .collect()
}

#[cfg(test)]
mod tests;
