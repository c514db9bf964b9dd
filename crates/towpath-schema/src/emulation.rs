//! Stand-ins for functions of the platform, made of nothing but SQL.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use towpath_model::name::quote_identifier;
use towpath_model::structure::{ObjectId, ObjectKind};

/// When a stand-in is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Whenever the source has the original.
    Always,
    /// When something of the user's calls it.
    WhenUsed,
}

/// A function as it is made, in the words in which the catalog shows it again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    pub id: ObjectId,
    /// As `pg_get_function_arguments` shows them.
    pub arguments: &'static str,
    /// As `pg_get_function_result` shows it.
    pub returns: &'static str,
    pub language: &'static str,
    pub volatility: &'static str,
    pub is_strict: bool,
    /// Rows that the planner expects of a function that returns a set.
    pub rows: Option<u32>,
    pub body: String,
}

/// What the server makes of it besides.
const DEFAULTS: [(&str, bool); 2] = [("security_definer", false), ("leakproof", false)];

impl Definition {
    /// The statement that makes it.
    pub(crate) fn sql(&self) -> String {
        let strict = if self.is_strict { " strict" } else { "" };
        format!(
            "create or replace function {}.{}({}) returns {}\nlanguage {} {}{strict}\nas $towpath${}$towpath$",
            quote_identifier(self.id.schema.as_deref().unwrap_or_default()),
            quote_identifier(&self.id.name),
            self.arguments,
            self.returns,
            self.language,
            self.volatility,
            self.body
        )
    }

    /// What the catalog must show of it, so that a stand-in somebody has changed is found.
    pub(crate) fn aspects(&self) -> BTreeMap<String, Value> {
        let mut aspects: BTreeMap<String, Value> = [
            ("kind", json!("function")),
            ("language", json!(self.language)),
            ("body", json!(self.body)),
            ("arguments", json!(self.arguments)),
            ("returns", json!(self.returns)),
            ("volatility", json!(self.volatility)),
            ("strict", json!(self.is_strict)),
            ("parallel", json!("unsafe")),
            ("cost", json!("100")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        for (name, value) in DEFAULTS {
            aspects.insert(name.to_owned(), Value::from(value));
        }
        if let Some(rows) = self.rows {
            aspects.insert("rows".to_owned(), Value::from(rows.to_string()));
        }
        aspects
    }
}

/// A function made anew.
pub(crate) struct StandIn {
    schema: &'static str,
    name: &'static str,
    args: &'static str,
    pub need: Need,
    arguments: &'static str,
    returns: &'static str,
    volatility: &'static str,
    body: &'static str,
}

impl StandIn {
    /// The function itself.
    pub(crate) fn definition(&self) -> Definition {
        Definition {
            id: ObjectId::of(ObjectKind::Function, self.schema, self.name).with_args(self.args),
            arguments: self.arguments,
            returns: self.returns,
            language: "sql",
            volatility: self.volatility,
            is_strict: false,
            rows: None,
            body: self.body.to_owned(),
        }
    }
}

/// A claim is looked up in the setting of its own first, then in the document of all claims; an
/// empty setting is what a session without claims has, and an empty claim is none: both count as
/// absent.
const STAND_INS: [StandIn; 7] = [
    StandIn {
        schema: "auth",
        name: "uid",
        args: "",
        need: Need::Always,
        arguments: "",
        returns: "uuid",
        volatility: "stable",
        body: "
    select nullif(coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    ), '')::uuid
",
    },
    StandIn {
        schema: "auth",
        name: "role",
        args: "",
        need: Need::Always,
        arguments: "",
        returns: "text",
        volatility: "stable",
        body: "
    select nullif(coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    ), '')
",
    },
    StandIn {
        schema: "auth",
        name: "email",
        args: "",
        need: Need::Always,
        arguments: "",
        returns: "text",
        volatility: "stable",
        body: "
    select nullif(coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    ), '')
",
    },
    StandIn {
        schema: "auth",
        name: "jwt",
        args: "",
        need: Need::Always,
        arguments: "",
        returns: "jsonb",
        volatility: "stable",
        body: "
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
",
    },
    StandIn {
        schema: "storage",
        name: "foldername",
        args: "pg_catalog.text",
        need: Need::WhenUsed,
        arguments: "name text",
        returns: "text[]",
        volatility: "immutable",
        body: "
    select path[1:array_length(path, 1) - 1] from string_to_array(name, '/') as path
",
    },
    StandIn {
        schema: "storage",
        name: "filename",
        args: "pg_catalog.text",
        need: Need::WhenUsed,
        arguments: "name text",
        returns: "text",
        volatility: "immutable",
        body: "
    select path[array_length(path, 1)] from string_to_array(name, '/') as path
",
    },
    StandIn {
        schema: "storage",
        name: "extension",
        args: "pg_catalog.text",
        need: Need::WhenUsed,
        arguments: "name text",
        returns: "text",
        volatility: "immutable",
        body: "
    select reverse(split_part(reverse(path[array_length(path, 1)]), '.', 1))
    from string_to_array(name, '/') as path
",
    },
];

/// The stand-in of a function of the platform, when there is one.
pub(crate) fn stand_in(function: &ObjectId) -> Option<&'static StandIn> {
    if function.kind != ObjectKind::Function {
        return None;
    }
    STAND_INS.iter().find(|stand_in| {
        function.schema.as_deref() == Some(stand_in.schema)
            && function.name == stand_in.name
            && function.args.as_deref().unwrap_or_default() == stand_in.args
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stand_in_parses_as_the_function_it_stands_for() {
        for stand_in in &STAND_INS {
            let definition = stand_in.definition();
            let node = crate::statement::parse(&definition.sql()).unwrap();
            let subject = crate::classify::subject(&node, &Default::default()).unwrap();
            assert_eq!(subject.object, definition.id);
            assert!(super::stand_in(&subject.object).is_some());
        }
    }
}
