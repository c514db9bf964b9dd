//! Texts that the server writes from its catalogs, as every major version would write them.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_model::definition::{portable, portable_view};
use towpath_model::structure::ObjectKind;

/// Keys of aspects, and of what is within them, that hold SQL. Names, labels, comments and values
/// of options are what they are.
const EXPRESSIONS: [&str; 14] = [
    "arguments",
    "collation",
    "default",
    "definition",
    "generated",
    "index",
    "parent",
    "partition_bound",
    "partition_key",
    "returns",
    "type",
    "using",
    "where",
    "with_check",
];

/// Respells what two versions write differently.
pub(super) fn unify(kind: ObjectKind, aspects: &mut BTreeMap<String, Value>) {
    // The default of a base type is its input, and a server's type is any word.
    if matches!(kind, ObjectKind::Type | ObjectKind::ForeignServer) {
        return;
    }
    for (key, value) in aspects {
        let is_query =
            key == "definition" && matches!(kind, ObjectKind::View | ObjectKind::MaterializedView);
        match value {
            Value::String(text) if is_query => *text = portable_view(text),
            // The text of a function is the user's, unless the server keeps it as a tree.
            Value::String(text) if key == "body" && is_tree(text) => *text = portable(text),
            value => respell(key, value),
        }
    }
}

/// A body that was parsed when the function was made. No other text that is valid in any language
/// begins like this.
fn is_tree(body: &str) -> bool {
    body.starts_with("BEGIN ATOMIC\n") || body.starts_with("RETURN ")
}

fn respell(key: &str, value: &mut Value) {
    match value {
        Value::String(text) if EXPRESSIONS.contains(&key) => *text = portable(text),
        Value::Array(items) => items.iter_mut().for_each(|item| respell(key, item)),
        Value::Object(fields) => fields
            .iter_mut()
            .for_each(|(key, value)| respell(key, value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unified(kind: ObjectKind, aspects: Value) -> Value {
        let mut aspects = serde_json::from_value(aspects).unwrap();
        unify(kind, &mut aspects);
        serde_json::to_value(aspects).unwrap()
    }

    #[test]
    fn only_what_the_server_writes_is_respelled() {
        let table = json!({
            "columns": [{"name": "\"json\"", "default": "f(\"json\")", "comment": "\"json\""}],
            "options": ["user_catalog_table=\"json\""],
        });
        let expected = json!({
            "columns": [{"name": "\"json\"", "default": "f(json)", "comment": "\"json\""}],
            "options": ["user_catalog_table=\"json\""],
        });
        assert_eq!(unified(ObjectKind::Table, table), expected);
        let enumeration = json!({"labels": ["\"json\""], "default": "\"json\""});
        assert_eq!(unified(ObjectKind::Type, enumeration.clone()), enumeration);
    }

    #[test]
    fn bodies_of_the_user_stay_as_they_are() {
        let function = json!({"body": "select t.\"json\" from t"});
        assert_eq!(unified(ObjectKind::Function, function.clone()), function);
        let parsed = json!({"body": "RETURN \"json\""});
        assert_eq!(
            unified(ObjectKind::Function, parsed),
            json!({"body": "RETURN json"})
        );
    }

    #[test]
    fn queries_of_views_lose_needless_relations() {
        let view = json!({"definition": " SELECT t.a FROM public.t;"});
        let same = json!({"definition": " SELECT a FROM public.t;"});
        assert_eq!(unified(ObjectKind::View, view.clone()), same);
        assert_eq!(unified(ObjectKind::Rule, view.clone()), view);
    }
}
