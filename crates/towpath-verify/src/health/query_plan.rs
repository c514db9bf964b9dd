//! Plans as `explain (verbose, format json)` gives them, and in what one is worse than another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use towpath_model::QualifiedName;
use towpath_model::health::QueryPlan;

/// Plans that cost less than this, in the planner's unit, are done before anybody notices.
const WORTH_TELLING: f64 = 10.0;

/// The same in milliseconds.
const WORTH_TELLING_MS: f64 = 10.0;

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    depth: usize,
    kind: String,
    relation: Option<QualifiedName>,
    index: Option<String>,
}

/// A plan, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    nodes: Vec<Node>,
    pub cost: f64,
    /// Names before a parenthesis: functions, and some that are none.
    pub functions: Vec<String>,
    /// Uses an operator whose function nobody can tell.
    pub has_unknown_operators: bool,
}

impl Plan {
    /// Of the server's answer.
    pub(super) fn read(answer: &Value) -> Self {
        let top = answer.pointer("/0/Plan").unwrap_or(&Value::Null);
        let mut nodes = Vec::new();
        collect(top, 0, None, &mut nodes);
        let mut texts = Vec::new();
        collect_texts(top, &mut texts);
        let functions: BTreeSet<String> = texts.iter().flat_map(|text| called(text)).collect();
        Self {
            nodes,
            cost: top.get("Total Cost").and_then(Value::as_f64).unwrap_or(0.0),
            functions: functions.into_iter().collect(),
            has_unknown_operators: texts.iter().any(|text| text.contains("OPERATOR(")),
        }
    }

    /// Relations that it reads.
    pub(super) fn relations(&self) -> BTreeSet<&QualifiedName> {
        let nodes = self.nodes.iter();
        nodes.filter_map(|node| node.relation.as_ref()).collect()
    }

    /// It changes or locks rows.
    pub(super) fn writes(&self) -> bool {
        let mut kinds = self.nodes.iter().map(|node| node.kind.as_str());
        kinds.any(|kind| matches!(kind, "ModifyTable" | "LockRows"))
    }

    /// In the form that is written down.
    pub(super) fn told(&self, cost: f64, time_ms: Option<f64>) -> QueryPlan {
        QueryPlan {
            cost,
            time_ms,
            nodes: self.nodes.iter().map(Node::told).collect(),
        }
    }

    /// How often each relation is read from end to end.
    fn scanned(&self) -> BTreeMap<&QualifiedName, usize> {
        let mut scanned = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.kind == "Seq Scan") {
            if let Some(relation) = &node.relation {
                *scanned.entry(relation).or_default() += 1;
            }
        }
        scanned
    }

    /// Indexes that a relation is read by.
    fn indexes(&self, relation: &QualifiedName) -> BTreeSet<&str> {
        let nodes = self.nodes.iter();
        nodes
            .filter(|node| node.relation.as_ref() == Some(relation))
            .filter_map(|node| node.index.as_deref())
            .collect()
    }
}

impl Node {
    fn told(&self) -> String {
        let mut text = format!("{} {}", self.depth, self.kind);
        if let Some(relation) = &self.relation {
            text.push_str(&format!(" on {relation}"));
        }
        if let Some(index) = &self.index {
            text.push_str(&format!(" using {index}"));
        }
        text
    }
}

/// `heap` is what a bitmap is made for: its own node does not say.
fn collect(value: &Value, depth: usize, heap: Option<&QualifiedName>, nodes: &mut Vec<Node>) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let Some(kind) = text("Node Type") else {
        return;
    };
    let own = text("Schema")
        .zip(text("Relation Name"))
        .map(|(schema, name)| QualifiedName::new(schema, name));
    let of_bitmap = (kind == "Bitmap Index Scan")
        .then(|| heap.cloned())
        .flatten();
    nodes.push(Node {
        depth,
        kind: kind.to_owned(),
        relation: own.clone().or(of_bitmap),
        index: text("Index Name").map(str::to_owned),
    });
    let passed = match kind {
        "Bitmap Heap Scan" => own.as_ref(),
        "BitmapAnd" | "BitmapOr" => heap,
        _ => None,
    };
    let below = value.get("Plans").and_then(Value::as_array);
    for child in below.into_iter().flatten() {
        collect(child, depth + 1, passed, nodes);
    }
}

fn collect_texts<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Object(fields) => fields
            .values()
            .for_each(|field| collect_texts(field, texts)),
        _ => {}
    }
}

/// Names that stand right before a parenthesis. Names in quotes and in literals are among them: one
/// too many is no harm.
fn called(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices('(') {
        let before = &text[..at];
        let name = match before.strip_suffix('"') {
            Some(quoted) => quoted.rsplit('"').next().unwrap_or_default(),
            None => {
                let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                let start = before.rfind(|c| !is_name(c)).map_or(0, |place| {
                    place + before[place..].chars().next().map_or(1, char::len_utf8)
                });
                &before[start..]
            }
        };
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names
}

/// What a query costs on both sides.
pub(super) struct Both<'p> {
    pub source: &'p Plan,
    pub target: &'p Plan,
    /// What the target's plan would cost under the settings of the source: the unit is the same then.
    pub target_cost_alike: f64,
    pub source_ms: Option<f64>,
    pub target_ms: Option<f64>,
}

/// In what the target is worse, if at all. A table that is read from end to end where the source uses
/// an index is told when that costs more: of a small one it is the better way.
pub(super) fn regressions(both: &Both<'_>, threshold: f64) -> Vec<String> {
    let mut told = Vec::new();
    let before = both.source.scanned();
    for (relation, times) in both.target.scanned() {
        let indexes = both.source.indexes(relation);
        let is_new = times > before.get(relation).copied().unwrap_or(0);
        if is_new && !indexes.is_empty() && both.target.cost > both.source.cost {
            let indexes: Vec<&str> = indexes.into_iter().collect();
            told.push(format!(
                "reads all of {relation}, where the source uses {}",
                indexes.join(", ")
            ));
        }
    }
    let (source, target) = (both.source.cost, both.target_cost_alike);
    if target >= WORTH_TELLING && target >= threshold * source {
        told.push(format!("costs {} as much", times(target, source)));
    }
    if let (Some(source), Some(target)) = (both.source_ms, both.target_ms)
        && target >= WORTH_TELLING_MS
        && target >= threshold * source
    {
        told.push(format!("takes {} as long", times(target, source)));
    }
    told
}

fn times(target: f64, source: f64) -> String {
    if source > 0.0 {
        format!("{:.1} times", target / source)
    } else {
        "many times".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(node: Value) -> Plan {
        Plan::read(&json!([{ "Plan": node }]))
    }

    fn by_index() -> Plan {
        plan(json!({
            "Node Type": "Aggregate", "Total Cost": 8.4, "Output": ["app.total(o.price)"],
            "Plans": [{
                "Node Type": "Bitmap Heap Scan", "Schema": "public", "Relation Name": "orders",
                "Plans": [{"Node Type": "Bitmap Index Scan", "Index Name": "orders_customer"}],
            }],
        }))
    }

    fn from_end_to_end(cost: f64) -> Plan {
        plan(json!({
            "Node Type": "Seq Scan", "Total Cost": cost, "Schema": "public",
            "Relation Name": "orders",
        }))
    }

    fn worse(source: &Plan, target: &Plan) -> Vec<String> {
        let both = Both {
            source,
            target,
            target_cost_alike: target.cost,
            source_ms: None,
            target_ms: None,
        };
        regressions(&both, 2.0)
    }

    #[test]
    fn a_bitmap_is_of_the_table_above_it() {
        let read = by_index();
        let orders = QualifiedName::new("public", "orders");
        assert_eq!(read.indexes(&orders), BTreeSet::from(["orders_customer"]));
        assert_eq!(
            read.told(8.4, None).nodes,
            [
                "0 Aggregate",
                "1 Bitmap Heap Scan on public.orders",
                "2 Bitmap Index Scan on public.orders using orders_customer",
            ]
        );
    }

    #[test]
    fn a_lost_index_is_told_by_table_and_cost() {
        let told = worse(&by_index(), &from_end_to_end(900.0)).join("; ");
        assert!(told.contains("reads all of public.orders, where the source uses orders_customer"));
        assert!(told.contains("107.1 times"), "{told}");
    }

    #[test]
    fn a_small_table_may_be_read_as_a_whole() {
        assert!(worse(&by_index(), &from_end_to_end(1.1)).is_empty());
        assert!(worse(&from_end_to_end(900.0), &from_end_to_end(1000.0)).is_empty());
    }

    #[test]
    fn a_query_that_writes_is_known_by_its_plan() {
        let deletes = plan(json!({
            "Node Type": "CTE Scan",
            "Plans": [{"Node Type": "ModifyTable", "Operation": "Delete"}],
        }));
        assert!(deletes.writes());
        assert!(!by_index().writes());
    }

    #[test]
    fn functions_are_known_by_their_parenthesis() {
        assert_eq!(by_index().functions, ["total"]);
        let names = called(r#"app."My Func"((a + lower(b))), größe(x) and (c > 1)"#);
        assert_eq!(names, ["My Func", "lower", "größe"]);
    }
}
