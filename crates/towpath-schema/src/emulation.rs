//! Stand-ins for functions of the platform, made of nothing but SQL.

use towpath_model::structure::{ObjectId, ObjectKind};

/// When a stand-in is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Whenever the source has the original.
    Always,
    /// When something of the user's calls it.
    WhenUsed,
}

/// A function made anew.
pub(crate) struct StandIn {
    schema: &'static str,
    name: &'static str,
    args: &'static str,
    pub need: Need,
    pub sql: &'static str,
}

/// A claim is looked up in the setting of its own first, then in the document of all claims; an
/// empty setting is what a session without claims has, and counts as absent.
const STAND_INS: [StandIn; 7] = [
    StandIn {
        schema: "auth",
        name: "uid",
        args: "",
        need: Need::Always,
        sql: "create or replace function auth.uid() returns uuid
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$",
    },
    StandIn {
        schema: "auth",
        name: "role",
        args: "",
        need: Need::Always,
        sql: "create or replace function auth.role() returns text
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$",
    },
    StandIn {
        schema: "auth",
        name: "email",
        args: "",
        need: Need::Always,
        sql: "create or replace function auth.email() returns text
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$$",
    },
    StandIn {
        schema: "auth",
        name: "jwt",
        args: "",
        need: Need::Always,
        sql: "create or replace function auth.jwt() returns jsonb
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$",
    },
    StandIn {
        schema: "storage",
        name: "foldername",
        args: "pg_catalog.text",
        need: Need::WhenUsed,
        sql: "create or replace function storage.foldername(name text) returns text[]
language sql immutable
as $$
    select path[1:array_length(path, 1) - 1] from string_to_array(name, '/') as path
$$",
    },
    StandIn {
        schema: "storage",
        name: "filename",
        args: "pg_catalog.text",
        need: Need::WhenUsed,
        sql: "create or replace function storage.filename(name text) returns text
language sql immutable
as $$
    select path[array_length(path, 1)] from string_to_array(name, '/') as path
$$",
    },
    StandIn {
        schema: "storage",
        name: "extension",
        args: "pg_catalog.text",
        need: Need::WhenUsed,
        sql: "create or replace function storage.extension(name text) returns text
language sql immutable
as $$
    select reverse(split_part(reverse(path[array_length(path, 1)]), '.', 1))
    from string_to_array(name, '/') as path
$$",
    },
];

/// The stand-in of a function, when there is one.
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
            let node = crate::statement::parse(stand_in.sql).unwrap();
            let subject = crate::classify::subject(&node, &Default::default()).unwrap();
            assert!(
                super::stand_in(&subject.object).is_some(),
                "{}",
                subject.object
            );
        }
    }
}
