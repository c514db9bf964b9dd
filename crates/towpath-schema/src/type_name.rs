//! Type names of the parse tree in the form of the catalog: qualified, unquoted, `[]` for arrays.

use pg_query::NodeEnum;
use pg_query::protobuf::{FunctionParameter, FunctionParameterMode, Node, TypeName};

/// The strings of a list of string nodes.
pub(crate) fn strings(nodes: &[Node]) -> Vec<String> {
    nodes
        .iter()
        .filter_map(|node| match &node.node {
            Some(NodeEnum::String(text)) => Some(text.sval.clone()),
            _ => None,
        })
        .collect()
}

/// Schema and name of a qualified name; a name without schema belongs to `pg_catalog`, because the
/// dump was written with an empty search path.
pub(crate) fn qualified(nodes: &[Node]) -> (String, String) {
    let mut parts = strings(nodes);
    let name = parts.pop().unwrap_or_default();
    let schema = parts.pop().unwrap_or_else(|| "pg_catalog".to_owned());
    (schema, name)
}

/// `pg_catalog.int4`, `public.mood[]`.
pub(crate) fn catalog_name(type_name: &TypeName) -> String {
    let (schema, name) = qualified(&type_name.names);
    let array = if type_name.array_bounds.is_empty() {
        ""
    } else {
        "[]"
    };
    format!("{schema}.{name}{array}")
}

/// The argument types that tell overloads apart, of a list of types.
pub(crate) fn of_types(nodes: &[Node]) -> String {
    let names: Vec<String> = nodes
        .iter()
        .map(|node| match &node.node {
            Some(NodeEnum::TypeName(type_name)) => catalog_name(type_name),
            // The parser leaves out a missing operand of a prefix operator.
            _ => "none".to_owned(),
        })
        .collect();
    names.join(",")
}

/// The same of the parameters of a function: those that go in.
pub(crate) fn of_parameters<'a>(
    parameters: impl IntoIterator<Item = &'a FunctionParameter>,
) -> String {
    let names: Vec<String> = parameters
        .into_iter()
        .filter(|parameter| {
            !matches!(
                parameter.mode(),
                FunctionParameterMode::FuncParamOut | FunctionParameterMode::FuncParamTable
            )
        })
        .filter_map(|parameter| parameter.arg_type.as_ref().map(catalog_name))
        .collect();
    names.join(",")
}

/// The function parameters among nodes.
pub(crate) fn parameters(nodes: &[Node]) -> impl Iterator<Item = &FunctionParameter> {
    nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::FunctionParameter(parameter)) => Some(parameter.as_ref()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(sql: &str) -> String {
        let tree = pg_query::parse(sql, 0).unwrap().protobuf;
        match tree.stmts[0].stmt.as_ref().unwrap().node.as_ref().unwrap() {
            NodeEnum::CreateFunctionStmt(function) => {
                of_parameters(parameters(&function.parameters))
            }
            _ => panic!("not a function"),
        }
    }

    #[test]
    fn argument_types_are_spelt_as_in_the_catalog() {
        let head = |list: &str| format!("create function f({list}) returns int language sql as ''");
        assert_eq!(
            args(&head(
                "a integer, out b text, variadic c public.mood[], d \"char\", e timestamp with time zone"
            )),
            "pg_catalog.int4,public.mood[],pg_catalog.char,pg_catalog.timestamptz"
        );
        assert_eq!(
            args(&head(
                "a double precision, inout b text, c character varying, d \"My S\".\"T x\""
            )),
            "pg_catalog.float8,pg_catalog.text,pg_catalog.varchar,My S.T x"
        );
        assert_eq!(args(&head("")), "");
    }
}
