//! Which types have the same binary form on any server of one major version.

use std::collections::HashMap;

use serde::Deserialize;

/// Built-in types whose binary form is an OID, holds one, depends on settings, or that no server
/// reads back: of `tsquery`, `int2vector` and `oidvector` the empty one is sent and then refused.
/// All others built in are plain values.
const NOT_PLAIN: [&str; 23] = [
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regclass",
    "regtype",
    "regrole",
    "regnamespace",
    "regconfig",
    "regdictionary",
    "regcollation",
    "regdatabase",
    "xml",
    "tsquery",
    "int2vector",
    "oidvector",
    "aclitem",
    "gtsvector",
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ddl_command",
];

/// Nesting of domains and ranges that is followed. The catalog cannot hold a cycle; the bound is
/// there so that a damaged one cannot hang us.
const DEEPEST: u32 = 32;

/// What kind of type, as far as its binary form is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    /// Has its own functions.
    Base,
    /// Array proper: its binary form names the element's OID.
    Array,
    /// Sends what its base type sends.
    Domain,
    /// Sends its label.
    Enum,
    /// Range or multirange: flags and bounds.
    Range,
    /// Anything else.
    Other,
}

/// A row of `pg_type`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TypeFacts {
    oid: u32,
    name: String,
    form: Form,
    built_in: bool,
    has_binary_form: bool,
    /// Element, base type or subtype.
    inner_oid: Option<u32>,
}

/// Types by OID.
pub(super) struct Types(HashMap<u32, TypeFacts>);

impl Types {
    pub(super) fn new(types: Vec<TypeFacts>) -> Self {
        Self(types.into_iter().map(|facts| (facts.oid, facts)).collect())
    }

    /// Whether values of this type may travel in binary. Unknown types may not.
    pub(super) fn binary_safe(&self, oid: u32) -> bool {
        self.safe_within(oid, DEEPEST)
    }

    fn safe_within(&self, oid: u32, depth: u32) -> bool {
        let Some(facts) = self.0.get(&oid) else {
            return false;
        };
        if depth == 0 || !facts.has_binary_form {
            return false;
        }
        match facts.form {
            Form::Base => facts.is_plain(),
            // The OID in the array is the same everywhere when the element is built in.
            Form::Array => {
                facts.built_in
                    && (facts.inner_oid).is_some_and(|inner| self.safe_within(inner, depth - 1))
            }
            Form::Enum => true,
            Form::Domain | Form::Range => facts
                .inner_oid
                .is_some_and(|inner| self.safe_within(inner, depth - 1)),
            Form::Other => false,
        }
    }
}

impl TypeFacts {
    /// A built-in base type that is nothing but a value. Summaries of BRIN are only ever sent.
    fn is_plain(&self) -> bool {
        self.form == Form::Base
            && self.built_in
            && self.has_binary_form
            && !NOT_PLAIN.contains(&self.name.as_str())
            && !self.name.starts_with("pg_brin_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(oid: u32, name: &str, form: Form, inner_oid: Option<u32>) -> TypeFacts {
        TypeFacts {
            oid,
            name: name.to_owned(),
            form,
            built_in: oid < 10_000,
            has_binary_form: true,
            inner_oid,
        }
    }

    fn types() -> Types {
        Types::new(vec![
            facts(23, "int4", Form::Base, None),
            facts(1007, "_int4", Form::Array, Some(23)),
            facts(2205, "regclass", Form::Base, None),
            facts(2210, "_regclass", Form::Array, Some(2205)),
            facts(142, "xml", Form::Base, None),
            facts(3904, "int4range", Form::Range, Some(23)),
            facts(3905, "_int4range", Form::Array, Some(3904)),
            facts(20_000, "mood", Form::Enum, None),
            facts(20_001, "_mood", Form::Array, Some(20_000)),
            facts(20_002, "good_mood", Form::Domain, Some(20_000)),
            facts(20_003, "mood_range", Form::Range, Some(20_000)),
            facts(20_004, "numbers", Form::Domain, Some(1007)),
            facts(20_005, "_numbers", Form::Array, Some(20_004)),
            facts(20_006, "citext", Form::Base, None),
            facts(20_007, "table_name", Form::Domain, Some(2205)),
            facts(20_008, "point_of_sale", Form::Other, None),
            facts(20_009, "loop", Form::Domain, Some(20_009)),
            TypeFacts {
                has_binary_form: false,
                ..facts(600, "one_way", Form::Base, None)
            },
        ])
    }

    #[test]
    fn plain_values_enums_and_what_is_made_of_them_travel_in_binary() {
        let types = types();
        for oid in [23, 1007, 3904, 3905, 20_000, 20_002, 20_003, 20_004] {
            assert!(types.binary_safe(oid), "{oid}");
        }
    }

    #[test]
    fn oids_extension_types_and_the_unknown_do_not() {
        let types = types();
        for oid in [
            2205, 2210, 142, 20_001, 20_005, 20_006, 20_007, 20_008, 20_009, 600, 1,
        ] {
            assert!(!types.binary_safe(oid), "{oid}");
        }
    }
}
