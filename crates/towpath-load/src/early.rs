//! What may be built on a table while the rows of others are still on their way.

use std::collections::{HashMap, HashSet};

use towpath_model::QualifiedName;
use towpath_model::script::{Phase, Statement};
use towpath_model::structure::ObjectKind;

/// Statements after the data that need nothing but the rows of their own table, and what the others
/// are about. They make nothing count: that begins with the sealed manifest.
#[derive(Debug, Clone, Default)]
pub struct Early {
    /// By table, in the script's order: indexes, then the keys that take them over.
    pub(crate) by_table: HashMap<QualifiedName, Vec<Statement>>,
    /// Tables that get something later which ANALYZE has a look at: indexes of expressions and
    /// extended statistics.
    pub(crate) looked_at_later: HashSet<QualifiedName>,
    /// Every statement of the script.
    pub(crate) numbers: Vec<u32>,
}

impl Early {
    /// Takes from the post-data script what may come early.
    pub fn of(post_data: Vec<Statement>) -> Self {
        let mut early = Self::default();
        for statement in post_data {
            early.numbers.push(statement.no);
            let Some(table) = statement.table.clone() else {
                continue;
            };
            if needs_own_rows_only(&statement) {
                early.by_table.entry(table).or_default().push(statement);
            } else if matches!(
                statement.phase,
                Phase::Index | Phase::Constraint | Phase::IndexAttach
            ) {
                early.looked_at_later.insert(table);
            }
        }
        early
    }

    /// The early statements of a table.
    pub(crate) fn of_table(&self, table: &QualifiedName) -> &[Statement] {
        self.by_table.get(table).map_or(&[], Vec::as_slice)
    }
}

/// Whether a statement builds an index, or a constraint that is one, of nothing but its own table's
/// rows.
///
/// A function of the user's is called immutable by whoever made it, and may read other tables all the
/// same: an index over it has to wait until those are full, or it would hold what was never true.
/// pg_dump writes under an empty search path, so a name that has no schema is the server's own, and
/// the server's immutable functions read no table. Text that cannot be told waits too.
fn needs_own_rows_only(statement: &Statement) -> bool {
    let Some(sql) = without_quotes(&statement.sql) else {
        return false;
    };
    let definition = match (statement.phase, statement.object.kind) {
        (Phase::Index, _) => sql.split_once(" USING ").map(|(_, rest)| rest),
        (Phase::Constraint, ObjectKind::Constraint) => constraint(&sql),
        _ => None,
    };
    definition.is_some_and(|rest| !rest.contains('.'))
}

/// What a constraint says, when it is one that lives in an index.
fn constraint(sql: &str) -> Option<&str> {
    let (_, rest) = sql.split_once(" ADD CONSTRAINT ")?;
    let (_, definition) = rest.split_once(' ')?;
    ["PRIMARY KEY ", "UNIQUE ", "EXCLUDE "]
        .iter()
        .any(|kind| definition.starts_with(kind))
        .then_some(definition)
}

/// The text with every quoted name and literal made a plain word, so that nothing in them is taken
/// for syntax; nothing when a quote is open at the end.
fn without_quotes(sql: &str) -> Option<String> {
    let mut plain = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(['"', '\'', '$']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let quote = from.chars().next()?;
        if quote == '$' {
            return None;
        }
        let (_, after) = from[1..].split_once(quote)?;
        plain.push('q');
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::script::Effect;
    use towpath_model::structure::ObjectId;

    fn statement(phase: Phase, kind: ObjectKind, sql: &str) -> Statement {
        Statement {
            no: 1,
            phase,
            object: ObjectId::on(kind, "public", "t", "x"),
            table: Some(QualifiedName::new("public", "t")),
            effect: Effect::Make,
            sql: sql.to_owned(),
        }
    }

    fn is_early(phase: Phase, sql: &str) -> bool {
        let kind = match phase {
            Phase::Index => ObjectKind::Index,
            _ => ObjectKind::Constraint,
        };
        needs_own_rows_only(&statement(phase, kind, sql))
    }

    #[test]
    fn an_index_of_columns_and_of_the_servers_own_functions_comes_early() {
        for sql in [
            "CREATE INDEX i ON public.t USING btree (a, b DESC) INCLUDE (c)",
            "CREATE UNIQUE INDEX \"a.b ' c\" ON \"a USING b\".\"t.\"\"u\" USING btree (\"x.y\") WITH (fillfactor='70')",
            "CREATE INDEX i ON public.t USING btree (lower(a)) WHERE (b = 'x.y''z'::text)",
            "CREATE INDEX i ON public.t USING gin (a gin_trgm_ops)",
        ] {
            assert!(is_early(Phase::Index, sql), "{sql}");
        }
    }

    #[test]
    fn an_index_that_may_read_other_tables_waits() {
        for sql in [
            "CREATE INDEX i ON public.t USING btree (public.rate_of(a))",
            "CREATE INDEX i ON public.t USING btree (a) WHERE public.is_known(b)",
            "CREATE INDEX i ON public.t USING btree (((a)::public.checked))",
            "CREATE INDEX i ON public.t USING btree (((a OPERATOR(public.+) b)))",
            "CREATE INDEX i ON public.t USING btree (\"odd\".\"f\"(a))",
            "CREATE INDEX i ON public.t USING btree ((a || $$x$$))",
        ] {
            assert!(!is_early(Phase::Index, sql), "{sql}");
        }
    }

    #[test]
    fn of_the_constraints_those_come_early_that_are_indexes() {
        for (early, sql) in [
            (
                true,
                "ALTER TABLE ONLY public.t ADD CONSTRAINT x PRIMARY KEY USING INDEX x",
            ),
            (
                true,
                "ALTER TABLE ONLY public.t ADD CONSTRAINT \"x y\" UNIQUE (a)",
            ),
            (
                true,
                "ALTER TABLE ONLY public.t ADD CONSTRAINT x EXCLUDE USING gist (a WITH &&)",
            ),
            (
                false,
                "ALTER TABLE ONLY public.t ADD CONSTRAINT x EXCLUDE USING gist (public.f(a) WITH &&)",
            ),
            (
                false,
                "ALTER TABLE public.t ADD CONSTRAINT x CHECK ((a > 1)) NOT VALID",
            ),
            (
                false,
                "ALTER TABLE public.t ADD CONSTRAINT \" PRIMARY KEY \" CHECK (flag) NOT VALID",
            ),
        ] {
            assert_eq!(is_early(Phase::Constraint, sql), early, "{sql}");
        }
        let foreign = "ALTER TABLE ONLY public.t ADD CONSTRAINT x UNIQUE (a)";
        assert!(!is_early(Phase::ForeignKey, foreign));
    }
}
