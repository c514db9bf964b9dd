//! The statements of a dump: original bytes, tree, and the object each is about.

use pg_query::NodeEnum;
use towpath_model::{ErrorKind, Failure, Result};

use crate::classify::{Names, Subject, subject};
use crate::depth;
use crate::dump::Dump;

/// Which half of the dump a statement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    PreData,
    PostData,
}

/// One statement of the dump.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// The original bytes, without leading comments and without the semicolon.
    pub sql: String,
    pub form: Form,
    pub section: Section,
    pub subject: Subject,
}

/// What is remembered of a statement's tree. The trees of a schema of thousands of tables fill
/// gigabytes; one that is needed is parsed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Extension,
    Schema,
    Function,
    MaterializedView,
    Grant,
    DefaultPrivileges,
    /// Any other that may be replayed changed.
    Changeable,
    /// One that is replayed as it is, or not at all.
    Fixed,
}

impl Form {
    fn of(node: &NodeEnum) -> Self {
        match node {
            NodeEnum::CreateExtensionStmt(_) => Self::Extension,
            NodeEnum::CreateSchemaStmt(_) => Self::Schema,
            NodeEnum::CreateFunctionStmt(_) => Self::Function,
            NodeEnum::CreateTableAsStmt(_) => Self::MaterializedView,
            NodeEnum::GrantStmt(_) => Self::Grant,
            NodeEnum::AlterDefaultPrivilegesStmt(_) => Self::DefaultPrivileges,
            NodeEnum::CreateStmt(_)
            | NodeEnum::IndexStmt(_)
            | NodeEnum::CreateSeqStmt(_)
            | NodeEnum::AlterSeqStmt(_)
            | NodeEnum::ViewStmt(_) => Self::Fixed,
            _ => Self::Changeable,
        }
    }
}

impl Piece {
    /// The tree, parsed again.
    pub(crate) fn tree(&self) -> Result<NodeEnum> {
        parse(&self.sql)
    }
}

/// Splits both sections. Session settings of the dump are left out: whoever applies the statements
/// brings its own.
pub(crate) fn split(dump: &Dump, names: &Names) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for (section, text) in [
        (Section::PreData, &dump.pre_data),
        (Section::PostData, &dump.post_data),
    ] {
        for sql in slices(text)? {
            pieces.extend(piece(sql, section, names)?);
        }
    }
    Ok(pieces)
}

fn slices(text: &str) -> Result<Vec<&str>> {
    // The scanner-based splitter is wrong for `begin atomic` bodies.
    let slices = pg_query::split_with_parser(text).map_err(|cause| {
        Failure::new(ErrorKind::Schema, "could not parse the dump of the source").because(cause)
    })?;
    Ok(slices
        .into_iter()
        .map(without_leading_comments)
        .filter(|sql| !sql.is_empty())
        .collect())
}

fn without_leading_comments(sql: &str) -> &str {
    let mut rest = sql.trim();
    while rest.starts_with("--") {
        rest = rest
            .split_once('\n')
            .map_or("", |(_, after)| after)
            .trim_start();
    }
    rest
}

fn piece(sql: &str, section: Section, names: &Names) -> Result<Option<Piece>> {
    let node = parse(sql)?;
    if is_session_setting(&node) {
        return Ok(None);
    }
    let subject = subject(&node, names).ok_or_else(|| {
        Failure::new(
            ErrorKind::Schema,
            format!("could not tell what a statement of the dump is about: {}", head(sql)),
        )
        .hint("please report this statement: no rule can decide about it, so it is not applied blindly")
    })?;
    Ok(Some(Piece {
        sql: sql.to_owned(),
        form: Form::of(&node),
        section,
        subject,
    }))
}

/// The tree of one statement.
pub(crate) fn parse(sql: &str) -> Result<NodeEnum> {
    let failure = || {
        Failure::new(
            ErrorKind::Schema,
            format!("could not parse a statement of the dump: {}", head(sql)),
        )
    };
    let tree = match pg_query::parse(sql, 0) {
        // Valid, and too deep.
        Err(pg_query::Error::Decode(cause)) => depth::shallower(sql)
            .iter()
            .find_map(|shallower| pg_query::parse(shallower, 0).ok())
            .ok_or_else(|| failure().because(cause)),
        other => other.map_err(|cause| failure().because(cause)),
    }?
    .protobuf;
    match <[_; 1]>::try_from(tree.stmts) {
        Ok([statement]) => statement
            .stmt
            .and_then(|node| node.node)
            .ok_or_else(failure),
        Err(_) => Err(failure()),
    }
}

/// Writes a tree as SQL.
pub(crate) fn deparse(node: &NodeEnum) -> Result<String> {
    let failure = || Failure::new(ErrorKind::Schema, "could not write a rewritten statement");
    let sql = node
        .deparse(pg_query::DeparseOptions::default())
        .map_err(|cause| failure().because(cause))?;
    if sql.contains(depth::MARK) {
        return Err(failure()
            .because("its expression is nested too deep")
            .hint("write the expression on the source as a function, and call that"));
    }
    Ok(sql)
}

/// The first words of a statement: names, never values.
fn head(sql: &str) -> String {
    sql.split_whitespace().take(5).collect::<Vec<_>>().join(" ")
}

fn is_session_setting(node: &NodeEnum) -> bool {
    matches!(node, NodeEnum::VariableSetStmt(_) | NodeEnum::SelectStmt(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_body_survive_the_split() {
        let body = "CREATE FUNCTION public.f() RETURNS text\n    LANGUAGE sql\n    AS $_$ select ';\r\n\t-- x' $_$";
        let text = format!("--\n-- Name: f\n--\n\nSET x = 1;\n\n{body};\n\n\n--\n-- done\n--\n\n");
        let dump = Dump {
            pre_data: text,
            post_data: String::new(),
        };
        let pieces = split(&dump, &Names::default()).unwrap();
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].sql, body);
    }

    #[test]
    fn atomic_bodies_are_one_statement() {
        let text = "CREATE FUNCTION public.f() RETURNS bigint LANGUAGE sql\n BEGIN ATOMIC\n SELECT 1;\n SELECT 2;\nEND;\n\nCREATE TABLE public.t (id integer);";
        assert_eq!(slices(text).unwrap().len(), 2);
    }
}
