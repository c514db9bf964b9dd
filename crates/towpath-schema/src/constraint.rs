//! Keys and foreign keys, each as the two statements that let the slow part run beside others.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ConstrType, Constraint, DropBehavior, IndexElem,
    IndexStmt, Node, ObjectType, SortByDir, SortByNulls,
};
use towpath_model::Result;
use towpath_model::name::quote_identifier;

use crate::statement::deparse;
use crate::type_name::strings;

/// The constraint that a statement adds, when it adds one.
pub(crate) fn added(node: &NodeEnum) -> Option<(&AlterTableStmt, &Constraint)> {
    let NodeEnum::AlterTableStmt(statement) = node else {
        return None;
    };
    let [command] = statement.cmds.as_slice() else {
        return None;
    };
    let Some(NodeEnum::AlterTableCmd(command)) = &command.node else {
        return None;
    };
    match command.def.as_ref()?.node.as_ref()? {
        NodeEnum::Constraint(constraint)
            if command.subtype() == AlterTableType::AtAddConstraint =>
        {
            Some((statement, constraint))
        }
        _ => None,
    }
}

/// A key in two steps.
#[derive(Debug, PartialEq)]
pub(crate) struct SplitKey {
    /// Builds the unique index: slow, beside others.
    pub index: String,
    /// Lets the constraint take it over: quick, under a lock.
    pub constraint: String,
}

/// Splits a primary key or unique constraint. Gives nothing for other constraints and for those
/// with periods, which no index can carry.
pub(crate) fn split_key(
    statement: &AlterTableStmt,
    constraint: &Constraint,
) -> Result<Option<SplitKey>> {
    let is_key = matches!(
        constraint.contype(),
        ConstrType::ConstrPrimary | ConstrType::ConstrUnique
    );
    if !is_key || constraint.without_overlaps || !constraint.indexname.is_empty() {
        return Ok(None);
    }
    let Some(relation) = &statement.relation else {
        return Ok(None);
    };
    let mut relation = relation.clone();
    relation.inh = true;
    let index = IndexStmt {
        idxname: constraint.conname.clone(),
        relation: Some(relation),
        access_method: "btree".to_owned(),
        index_params: strings(&constraint.keys).into_iter().map(element).collect(),
        index_including_params: strings(&constraint.including)
            .into_iter()
            .map(element)
            .collect(),
        options: constraint.options.clone(),
        unique: true,
        nulls_not_distinct: constraint.nulls_not_distinct,
        ..IndexStmt::default()
    };
    let taken_over = Constraint {
        keys: Vec::new(),
        including: Vec::new(),
        options: Vec::new(),
        nulls_not_distinct: false,
        indexname: constraint.conname.clone(),
        ..constraint.clone()
    };
    Ok(Some(SplitKey {
        index: deparse(&NodeEnum::IndexStmt(Box::new(index)))?,
        constraint: deparse(&altered(statement, taken_over))?,
    }))
}

fn element(column: String) -> Node {
    Node {
        node: Some(NodeEnum::IndexElem(Box::new(IndexElem {
            name: column,
            ordering: SortByDir::SortbyDefault.into(),
            nulls_ordering: SortByNulls::SortbyNullsDefault.into(),
            ..IndexElem::default()
        }))),
    }
}

fn altered(statement: &AlterTableStmt, constraint: Constraint) -> NodeEnum {
    let command = AlterTableCmd {
        subtype: AlterTableType::AtAddConstraint.into(),
        def: Some(Box::new(Node {
            node: Some(NodeEnum::Constraint(Box::new(constraint))),
        })),
        behavior: DropBehavior::DropRestrict.into(),
        ..AlterTableCmd::default()
    };
    NodeEnum::AlterTableStmt(AlterTableStmt {
        relation: statement.relation.clone(),
        objtype: ObjectType::ObjectTable.into(),
        cmds: vec![Node {
            node: Some(NodeEnum::AlterTableCmd(Box::new(command))),
        }],
        missing_ok: false,
    })
}

/// A foreign key in two steps.
#[derive(Debug, PartialEq)]
pub(crate) struct SplitForeignKey {
    /// Adds it without looking at rows.
    pub add: String,
    /// Looks at the rows, unless the source never did either.
    pub validate: Option<String>,
}

/// Splits a foreign key.
pub(crate) fn split_foreign_key(
    statement: &AlterTableStmt,
    constraint: &Constraint,
    original: &str,
) -> Result<Option<SplitForeignKey>> {
    if constraint.contype() != ConstrType::ConstrForeign {
        return Ok(None);
    }
    if constraint.skip_validation {
        return Ok(Some(SplitForeignKey {
            add: original.to_owned(),
            validate: None,
        }));
    }
    let Some(relation) = &statement.relation else {
        return Ok(None);
    };
    let unchecked = Constraint {
        skip_validation: true,
        initially_valid: false,
        ..constraint.clone()
    };
    Ok(Some(SplitForeignKey {
        add: deparse(&altered(statement, unchecked))?,
        validate: Some(format!(
            "alter table {}.{} validate constraint {}",
            quote_identifier(&relation.schemaname),
            quote_identifier(&relation.relname),
            quote_identifier(&constraint.conname)
        )),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::parse;

    fn key(sql: &str) -> SplitKey {
        let node = parse(sql).unwrap();
        let (statement, constraint) = added(&node).unwrap();
        split_key(statement, constraint).unwrap().unwrap()
    }

    #[test]
    fn a_primary_key_is_an_index_that_a_constraint_takes_over() {
        let split = key(
            r#"ALTER TABLE ONLY public."Order Items" ADD CONSTRAINT "the ""key""" PRIMARY KEY ("Order") INCLUDE (note) WITH (fillfactor='70')"#,
        );
        assert_eq!(
            split.index,
            r#"CREATE UNIQUE INDEX "the ""key""" ON public."Order Items" USING btree ("Order") INCLUDE (note) WITH (fillfactor='70')"#
        );
        assert_eq!(
            split.constraint,
            r#"ALTER TABLE ONLY public."Order Items" ADD CONSTRAINT "the ""key""" PRIMARY KEY USING INDEX "the ""key""""#
        );
    }

    #[test]
    fn lateness_stays_with_the_constraint_and_nulls_with_the_index() {
        let split = key(
            "ALTER TABLE ONLY public.t ADD CONSTRAINT k UNIQUE NULLS NOT DISTINCT (a, b) DEFERRABLE INITIALLY DEFERRED",
        );
        assert!(
            split.index.contains("NULLS NOT DISTINCT"),
            "{}",
            split.index
        );
        assert!(!split.constraint.contains("NULLS"), "{}", split.constraint);
        assert!(
            split.constraint.contains("DEFERRABLE INITIALLY DEFERRED"),
            "{}",
            split.constraint
        );
    }

    #[test]
    fn a_foreign_key_is_added_unchecked_and_validated_later() {
        let sql = "ALTER TABLE ONLY public.a ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES public.b(id) ON DELETE SET NULL DEFERRABLE";
        let node = parse(sql).unwrap();
        let (statement, constraint) = added(&node).unwrap();
        let split = split_foreign_key(statement, constraint, sql)
            .unwrap()
            .unwrap();
        assert!(split.add.ends_with("NOT VALID"), "{}", split.add);
        assert!(
            split.add.contains("ON DELETE SET NULL DEFERRABLE"),
            "{}",
            split.add
        );
        assert_eq!(
            split.validate.as_deref(),
            Some(r#"alter table "public"."a" validate constraint "f""#)
        );
        let sql = format!("{sql} NOT VALID");
        let node = parse(&sql).unwrap();
        let (statement, constraint) = added(&node).unwrap();
        let split = split_foreign_key(statement, constraint, &sql)
            .unwrap()
            .unwrap();
        assert_eq!(
            split,
            SplitForeignKey {
                add: sql,
                validate: None
            }
        );
    }
}
