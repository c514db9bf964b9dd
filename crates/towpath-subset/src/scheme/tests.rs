use std::collections::BTreeMap;

use towpath_model::TableId;
use towpath_model::keys::TableFacts;
use towpath_model::masking::{Condition, PlannedMask, Uniqueness};
use towpath_model::plan::{Format, PlannedChunk, RowSource};
use towpath_model::stop::Stop;

use super::*;

/// Tables `a`, or `p/x` for partition `x` of `p`; references `child>parent`.
struct World {
    facts: KeyFacts,
    tables: Vec<PlannedTable>,
    stop: Stop,
}

fn name(name: &str) -> QualifiedName {
    QualifiedName::new("public", name)
}

fn world(tables: &[&str], references: &[&str]) -> World {
    let mut facts = KeyFacts::default();
    let mut planned = Vec::new();
    for table in tables {
        let parents: Vec<QualifiedName> = match table.split_once('/') {
            Some((parent, _)) => vec![name(parent)],
            None => Vec::new(),
        };
        for parent in &parents {
            facts
                .tables
                .entry(parent.clone())
                .or_default()
                .is_partitioned = true;
        }
        let own = table.rsplit('/').next().map(name).unwrap();
        facts.tables.insert(
            own.clone(),
            TableFacts {
                parents,
                ..TableFacts::default()
            },
        );
        planned.push(PlannedTable {
            id: TableId::of(&own),
            name: own,
            columns: Vec::new(),
            key: Vec::new(),
            types: Vec::new(),
            rows: RowSource::Table,
            expressions: BTreeMap::new(),
            masks: BTreeMap::new(),
            subset: None,
            format: Format::Binary,
            format_reason: None,
            bytes: 0,
            estimated_rows: -1,
            force_row_security: false,
            chunks: vec![PlannedChunk::WHOLE],
        });
    }
    for reference in references {
        let (child, parent) = reference.split_once('>').unwrap();
        facts.references.push(Reference {
            name: (*reference).to_owned(),
            child: name(child),
            child_columns: vec![format!("{parent}_id")],
            parent: name(parent),
            parent_columns: vec!["id".to_owned()],
            is_full: false,
            condition: None,
            is_declared: false,
            is_period: false,
        });
    }
    World {
        facts,
        tables: planned,
        stop: Stop::default(),
    }
}

fn percent() -> SubsetRules {
    SubsetRules {
        percent: Some(10.0),
        ..SubsetRules::default()
    }
}

fn rule(table: &str) -> TableRule {
    TableRule {
        table: table.to_owned(),
        ..TableRule::default()
    }
}

fn where_rule(table: &str) -> TableRule {
    TableRule {
        condition: Some("true".to_owned()),
        ..rule(table)
    }
}

fn with(tables: Vec<TableRule>) -> SubsetRules {
    SubsetRules {
        tables,
        ..SubsetRules::default()
    }
}

impl World {
    fn scheme<'w>(
        &'w self,
        rules: &'w SubsetRules,
        empty: &'w [QualifiedName],
    ) -> Result<Scheme<'w>> {
        Scheme::of(&Choice {
            rules,
            facts: &self.facts,
            declared: &[],
            tables: &self.tables,
            empty,
            search_path: "public",
            stop: &self.stop,
        })
    }

    /// What becomes of every table: a letter each, small where it may hold rows that cannot go, and
    /// where the choice begins.
    fn fates(&self, rules: &SubsetRules, empty: &[&str]) -> String {
        let empty: Vec<QualifiedName> = empty.iter().map(|table| name(table)).collect();
        let scheme = self.scheme(rules, &empty).unwrap();
        let mut text = String::new();
        for leaf in &scheme.leaves {
            let letter = match leaf.fate {
                Fate::None => 'N',
                Fate::Whole => 'W',
                Fate::All => 'A',
                Fate::Chosen => 'C',
            };
            text.push(match leaf.is_affected {
                true => letter.to_ascii_lowercase(),
                false => letter,
            });
        }
        for start in &scheme.starts {
            text.push_str(&format!(" {}{:?}", start.table.name, start.leaves));
        }
        text
    }

    fn refusal(&self, rules: &SubsetRules) -> String {
        let failure = self.scheme(rules, &[]).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Config);
        failure.to_string()
    }
}

#[test]
fn roots_are_what_refers_to_nothing_and_is_referred_to() {
    let tables = world(
        &["a", "b", "c", "alone", "tree"],
        &["b>a", "c>b", "a>a", "tree>tree"],
    );
    assert_eq!(tables.fates(&percent(), &[]), "CCCWW a{0}");
    let circle = world(&["a", "b", "c", "d"], &["a>b", "b>a", "c>a", "d>c"]);
    assert_eq!(circle.fates(&percent(), &[]), "CCCC a{0} b{1}");
    // Whole, although its partitions refer to each other.
    let parts = world(&["p/x", "p/y", "a"], &["p>p"]);
    assert!(
        parts
            .refusal(&percent())
            .contains("no table for the choice")
    );
    let parts = world(&["p/x", "p/y", "a"], &["p>p", "a>p"]);
    assert_eq!(parts.fates(&percent(), &[]), "CCC p{0, 1}");
}

#[test]
fn what_no_choice_reaches_goes_whole() {
    let tables = world(&["a", "b", "c", "d"], &["b>a", "d>c"]);
    assert_eq!(tables.fates(&with(vec![where_rule("b")]), &[]), "CCWW b{1}");
    let roots = SubsetRules {
        roots: vec!["c".to_owned()],
        ..SubsetRules::default()
    };
    assert_eq!(tables.fates(&roots, &[]), "WWCC c{2}");
    assert!(!roots.is_everything(), "roots alone choose");
    let whole = TableRule {
        rows: Some(WholeTable::All),
        ..rule("a")
    };
    assert_eq!(tables.fates(&with(vec![whole.clone()]), &[]), "WWWW");
    assert_eq!(
        tables.fates(&with(vec![whole, where_rule("b")]), &[]),
        "ACWW b{1}"
    );
}

#[test]
fn what_refers_to_an_empty_table_is_looked_at_and_connects_nothing() {
    let tables = world(&["a", "b", "c", "d"], &["b>a", "c>b", "b>d"]);
    let none = TableRule {
        rows: Some(WholeTable::None),
        ..rule("b")
    };
    assert_eq!(tables.fates(&with(vec![none.clone()]), &[]), "WNwW");
    assert_eq!(
        tables.fates(&with(vec![none, where_rule("a")]), &[]),
        "CNwW a{0}"
    );
    assert_eq!(tables.fates(&SubsetRules::default(), &["a"]), "NwwW");
    let scheme = SubsetRules::default();
    let empty = [name("c")];
    let scheme = tables.scheme(&scheme, &empty).unwrap();
    assert!(!scheme.asks_the_source());
    assert_eq!(scheme.without_rows().tables.len(), 1);
}

#[test]
fn a_reference_that_is_masked_to_null_holds_nothing_together() {
    let mask = |condition| PlannedMask {
        transformer: Transformer::Null,
        locale: towpath_model::masking::Locale::En,
        domain: String::new(),
        condition,
        base_type: String::new(),
        reads: Default::default(),
        max_chars: None,
        uniqueness: Uniqueness::Lossy,
        origin: String::new(),
    };
    let mut tables = world(&["a", "b"], &["b>a"]);
    let masks = |tables: &mut World, mask| {
        tables.tables[1].masks.insert("a_id".to_owned(), mask);
    };
    masks(&mut tables, mask(None));
    assert_eq!(tables.fates(&SubsetRules::default(), &["a"]), "NW");
    masks(&mut tables, mask(Some(Condition::default())));
    assert_eq!(tables.fates(&SubsetRules::default(), &["a"]), "Nw");
    masks(&mut tables, mask(None));
    let reference = &mut tables.facts.references[0];
    reference.is_full = true;
    reference.child_columns.push("other".to_owned());
    assert_eq!(tables.fates(&SubsetRules::default(), &["a"]), "Nw");
}

#[test]
fn the_nearest_rule_of_a_partition_counts() {
    let tables = world(&["p/x", "p/y", "a"], &["a>p"]);
    let rules = with(vec![where_rule("p"), where_rule("y")]);
    assert_eq!(tables.fates(&rules, &[]), "CCC p{0} y{1}");
    let none = TableRule {
        rows: Some(WholeTable::None),
        ..rule("y")
    };
    let rules = with(vec![where_rule("p"), none]);
    assert_eq!(tables.fates(&rules, &[]), "CNc p{0}");
}

#[test]
fn rules_that_cannot_be_meant_are_refused() {
    let tables = world(&["a", "b"], &["b>a"]);
    let refusal = |rules: Vec<TableRule>| tables.refusal(&with(rules));
    assert!(refusal(vec![where_rule("nobody")]).contains("no table public.nobody"));
    assert!(refusal(vec![where_rule("a b")]).contains("names no table"));
    assert!(refusal(vec![where_rule("a"), rule("public.a")]).contains("two rules"));
    let both = TableRule {
        rows: Some(WholeTable::All),
        ..where_rule("a")
    };
    assert!(refusal(vec![both]).contains("as a whole"));
    for percent in [-1.0, 100.1, f64::NAN, f64::INFINITY] {
        let rule = TableRule {
            percent: Some(percent),
            ..rule("a")
        };
        assert!(refusal(vec![rule]).contains("between 0 and 100"));
    }
    let roots = SubsetRules {
        roots: vec!["c".to_owned()],
        ..SubsetRules::default()
    };
    assert!(tables.refusal(&roots).contains("no table public.c"));
}
