//! Foreign keys of tables that are brought up to the source: not asked row by row, because rows come
//! table by table, and proven afterwards.

use serde::Deserialize;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::guards::{CHANGED, Names, Role};

/// A foreign key as it was declared: those that partitions have of it come and go with it.
#[derive(Debug, Clone, Deserialize)]
struct Reference {
    constraint: String,
    schema: String,
    name: String,
    is_partitioned: bool,
    to_schema: String,
    to_name: String,
    to_is_partitioned: bool,
    is_validated: bool,
    is_full: bool,
    definition: String,
    comment: Option<String>,
    pairs: Vec<Pair>,
}

/// A column, the operator that compares, and the column referred to.
#[derive(Debug, Clone, Deserialize)]
struct Pair {
    column: String,
    to_column: String,
    operator_schema: String,
    operator: String,
    collation_schema: Option<String>,
    collation: Option<String>,
}

/// The foreign keys of some tables, in either direction.
#[derive(Debug)]
pub(crate) struct References {
    all: Vec<Reference>,
    role: Role,
}

impl References {
    /// Finds them. Names in definitions are qualified when the search path is empty.
    pub(crate) async fn of(session: &mut Session, names: &Names, role: Role) -> Result<Self> {
        let sql = format!(
            "with recursive changed as ({CHANGED}), family as (
                 select oid from changed
                 union
                 select p.oid
                   from family f
                   join pg_catalog.pg_inherits i on i.inhrelid = f.oid
                   join pg_catalog.pg_class p on p.oid = i.inhparent and p.relkind = 'p'
             )
             select c.conname as constraint,
                    n.nspname as schema, r.relname as name, r.relkind = 'p' as is_partitioned,
                    fn.nspname as to_schema, fr.relname as to_name,
                    fr.relkind = 'p' as to_is_partitioned,
                    c.convalidated as is_validated,
                    c.confmatchtype = 'f' as is_full,
                    pg_catalog.pg_get_constraintdef(c.oid) as definition,
                    pg_catalog.obj_description(c.oid, 'pg_constraint') as comment,
                    (select pg_catalog.json_agg(pg_catalog.json_build_object(
                                'column', a.attname, 'to_column', fa.attname,
                                'operator_schema', opn.nspname, 'operator', op.oprname,
                                'collation_schema', cn.nspname, 'collation', co.collname)
                                order by k.at)
                       from rows from (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey),
                                       pg_catalog.unnest(c.conpfeqop))
                            with ordinality as k (key, to_key, operator, at)
                       join pg_catalog.pg_attribute a
                         on a.attrelid = c.conrelid and a.attnum = k.key
                       join pg_catalog.pg_attribute fa
                         on fa.attrelid = c.confrelid and fa.attnum = k.to_key
                       join pg_catalog.pg_operator op on op.oid = k.operator
                       join pg_catalog.pg_namespace opn on opn.oid = op.oprnamespace
                       left join pg_catalog.pg_collation co on co.oid = fa.attcollation
                       left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace) as pairs
               from pg_catalog.pg_constraint c
               join pg_catalog.pg_class r on r.oid = c.conrelid
               join pg_catalog.pg_namespace n on n.oid = r.relnamespace
               join pg_catalog.pg_class fr on fr.oid = c.confrelid
               join pg_catalog.pg_namespace fn on fn.oid = fr.relnamespace
              where c.contype = 'f' and c.conparentid = 0
                and (c.conrelid in (select oid from family)
                     or c.confrelid in (select oid from family))
              order by n.nspname, r.relname, c.conname"
        );
        session.use_search_path("").await?;
        let all = session.fetch(&sql, &names.parameters()).await?;
        Ok(Self { all, role })
    }

    /// Makes sure that nobody asks them while rows change. A replica is not asked anyway; for others
    /// they go, and come back in the same transaction.
    pub(crate) async fn take_off(&self, session: &mut Session) -> Result<()> {
        if self.role == Role::Replica {
            return Ok(());
        }
        for reference in &self.all {
            let sql = format!(
                "alter table {} drop constraint {}",
                reference.table(),
                quote_identifier(&reference.constraint)
            );
            session.execute(&sql).await.map_err(|failure| {
                failure
                    .while_doing(format!("could not take {} off", reference.told()))
                    .hint("let the target's login set session_replication_role, or let it own both tables")
            })?;
        }
        Ok(())
    }

    /// Puts them back, which proves them; where they stayed, they are proven here.
    pub(crate) async fn prove(&self, session: &mut Session) -> Result<()> {
        for reference in &self.all {
            match self.role {
                Role::Origin => reference.make(session).await?,
                Role::Replica => reference.look(session).await?,
            }
        }
        Ok(())
    }
}

impl Reference {
    fn table(&self) -> String {
        QualifiedName::new(&self.schema, &self.name).quoted()
    }

    fn told(&self) -> String {
        let table = QualifiedName::new(&self.schema, &self.name);
        format!("foreign key {} of {table} on target", self.constraint)
    }

    async fn make(&self, session: &mut Session) -> Result<()> {
        let (table, name) = (self.table(), quote_identifier(&self.constraint));
        let add = format!(
            "alter table {table} add constraint {name} {}",
            self.definition
        );
        session.execute(&add).await.map_err(|failure| {
            failure.while_doing(format!("could not put {} back", self.told()))
        })?;
        let Some(comment) = &self.comment else {
            return Ok(());
        };
        let comment = quote_literal(comment);
        session
            .execute(&format!(
                "comment on constraint {name} on {table} is {comment}"
            ))
            .await
    }

    /// One that was never validated promises nothing of the rows that are there.
    async fn look(&self, session: &mut Session) -> Result<()> {
        if !self.is_validated {
            return Ok(());
        }
        match session.scalar(&self.orphan(), &[]).await? {
            None => Ok(()),
            Some(_) => Err(Failure::new(
                ErrorKind::Blocked,
                format!(
                    "the source holds rows that {} refuses: what they refer to is not there",
                    self.told()
                ),
            )
            .hint("somebody wrote them past the constraint; mend them on the source")),
        }
    }

    /// A row that refers to nothing.
    fn orphan(&self) -> String {
        let only = |is_partitioned: bool| if is_partitioned { "" } else { "only " };
        let columns: Vec<String> = self
            .pairs
            .iter()
            .map(|pair| format!("c.{} is not null", quote_identifier(&pair.column)))
            .collect();
        let refers = columns.join(if self.is_full { " or " } else { " and " });
        let same: Vec<String> = self.pairs.iter().map(Pair::same).collect();
        format!(
            "select 'row' from {}{} as c
              where ({refers})
                and not exists (select from {}{} as p where {})
              limit 1",
            only(self.is_partitioned),
            self.table(),
            only(self.to_is_partitioned),
            QualifiedName::new(&self.to_schema, &self.to_name).quoted(),
            same.join(" and ")
        )
    }
}

impl Pair {
    /// Under the collation of the column referred to, as the constraint itself compares.
    fn same(&self) -> String {
        let collate = match (&self.collation_schema, &self.collation) {
            (Some(schema), Some(name)) => {
                format!(" collate {}", QualifiedName::new(schema, name).quoted())
            }
            _ => String::new(),
        };
        format!(
            "p.{} operator({}.{}) c.{}{collate}",
            quote_identifier(&self.to_column),
            quote_identifier(&self.operator_schema),
            self.operator,
            quote_identifier(&self.column)
        )
    }
}
