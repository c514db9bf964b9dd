//! Questions to the catalog whether something is there already, as SQL conditions.
//!
//! Catalogs and columns are those of the PostgreSQL manual, chapter "System Catalogs".

use towpath_model::name::{QualifiedName, quote_identifier, quote_literal};
use towpath_model::structure::{ObjectId, ObjectKind};

/// A literal in the middle of an expression.
pub(super) fn literal(text: &str) -> String {
    quote_literal(text).trim().to_owned()
}

/// The OID of a relation; NULL when there is none.
pub(super) fn relation(schema: &str, name: &str) -> String {
    let quoted = QualifiedName::new(schema, name).quoted();
    format!("pg_catalog.to_regclass({})", literal(&quoted))
}

/// The OID of a type as an object's arguments name it; 0 for the operand that is none.
fn type_of(arg: &str) -> String {
    if arg == "none" {
        return "0".to_owned();
    }
    let (name, array) = match arg.strip_suffix("[]") {
        Some(name) => (name, "[]"),
        None => (arg, ""),
    };
    let quoted = match name.split_once('.') {
        Some((schema, name)) => QualifiedName::new(schema, name).quoted(),
        None => quote_identifier(name),
    };
    format!(
        "pg_catalog.to_regtype({})",
        literal(&format!("{quoted}{array}"))
    )
}

fn exists(catalog: &str, conditions: &[String]) -> String {
    format!(
        "exists (select from pg_catalog.{catalog} where {})",
        conditions.join(" and ")
    )
}

fn is(column: &str, value: &str) -> String {
    format!("{column} = {}", literal(value))
}

fn in_schema(column: &str, schema: &str) -> String {
    format!(
        "{column} = (select oid from pg_catalog.pg_namespace where nspname = {})",
        literal(schema)
    )
}

/// Whether an object is there. Nothing for kinds that have a clause of their own for it.
pub(super) fn is_there(id: &ObjectId) -> Option<String> {
    let schema = id.schema.as_deref().unwrap_or_default();
    let name = id.name.as_str();
    let args = id.args.as_deref().unwrap_or_default();
    let hanging = |catalog: &str, on: &str, column: &str, extra: &str| {
        let table = id.on.as_deref().unwrap_or_default();
        let mut conditions = vec![
            format!("{on} = {}", relation(schema, table)),
            is(column, name),
        ];
        if !extra.is_empty() {
            conditions.push(extra.to_owned());
        }
        exists(catalog, &conditions)
    };
    let named = |catalog: &str, column: &str| exists(catalog, &[is(column, name)]);
    let plain = |catalog: &str, column: &str, namespace: &str| {
        exists(catalog, &[is(column, name), in_schema(namespace, schema)])
    };
    let of_method = |catalog: &str, prefix: &str| {
        let method = format!(
            "{prefix}method = (select oid from pg_catalog.pg_am where amname = {})",
            literal(args)
        );
        let conditions = [
            is(&format!("{prefix}name"), name),
            in_schema(&format!("{prefix}namespace"), schema),
            method,
        ];
        exists(catalog, &conditions)
    };
    Some(match id.kind {
        ObjectKind::Type | ObjectKind::Domain => plain("pg_type", "typname", "typnamespace"),
        ObjectKind::Operator => {
            let (left, right) = args.split_once(',')?;
            exists(
                "pg_operator",
                &[
                    is("oprname", name),
                    in_schema("oprnamespace", schema),
                    format!("oprleft = {}", type_of(left)),
                    format!("oprright = {}", type_of(right)),
                    // One that another names as its commutator is there before it is made.
                    "oprcode <> 0".to_owned(),
                ],
            )
        }
        ObjectKind::Cast => {
            let (source, target) = args.split_once(',')?;
            exists(
                "pg_cast",
                &[
                    format!("castsource = {}", type_of(source)),
                    format!("casttarget = {}", type_of(target)),
                ],
            )
        }
        ObjectKind::OperatorClass => of_method("pg_opclass", "opc"),
        ObjectKind::OperatorFamily => of_method("pg_opfamily", "opf"),
        ObjectKind::Conversion => plain("pg_conversion", "conname", "connamespace"),
        ObjectKind::TextSearchConfiguration => plain("pg_ts_config", "cfgname", "cfgnamespace"),
        ObjectKind::TextSearchDictionary => plain("pg_ts_dict", "dictname", "dictnamespace"),
        ObjectKind::TextSearchParser => plain("pg_ts_parser", "prsname", "prsnamespace"),
        ObjectKind::TextSearchTemplate => plain("pg_ts_template", "tmplname", "tmplnamespace"),
        ObjectKind::Constraint => hanging("pg_constraint", "conrelid", "conname", ""),
        ObjectKind::Trigger => hanging("pg_trigger", "tgrelid", "tgname", "not tgisinternal"),
        ObjectKind::Policy => hanging("pg_policy", "polrelid", "polname", ""),
        ObjectKind::View | ObjectKind::MaterializedView | ObjectKind::Table => {
            format!("({} is not null)", relation(schema, name))
        }
        ObjectKind::AccessMethod => named("pg_am", "amname"),
        ObjectKind::ForeignDataWrapper => named("pg_foreign_data_wrapper", "fdwname"),
        ObjectKind::Publication => named("pg_publication", "pubname"),
        ObjectKind::Subscription => named("pg_subscription", "subname"),
        ObjectKind::EventTrigger => named("pg_event_trigger", "evtname"),
        _ => return None,
    })
}

/// Whether a type is more than a name that its functions could be made with.
pub(super) fn is_defined(id: &ObjectId) -> String {
    exists(
        "pg_type",
        &[
            is("typname", &id.name),
            in_schema("typnamespace", id.schema.as_deref().unwrap_or_default()),
            "typisdefined".to_owned(),
        ],
    )
}

/// Whether a domain has this constraint.
pub(super) fn has_check(domain: &ObjectId, constraint: &str) -> String {
    let schema = domain.schema.as_deref().unwrap_or_default();
    exists(
        "pg_constraint",
        &[
            format!(
                "contypid = {}",
                type_of(&format!("{schema}.{}", domain.name))
            ),
            is("conname", constraint),
        ],
    )
}

/// Whether a relation is a child of another.
pub(super) fn is_child(child: &str, parent: &str) -> String {
    exists(
        "pg_inherits",
        &[
            format!("inhrelid = {child}"),
            format!("inhparent = {parent}"),
        ],
    )
}

/// Whether a column is an identity column.
pub(super) fn is_identity(table: &str, column: &str) -> String {
    exists(
        "pg_attribute",
        &[
            format!("attrelid = {table}"),
            is("attname", column),
            "attidentity <> ''".to_owned(),
        ],
    )
}

/// Whether a column of a foreign table has options. pg_dump sets all of a column's at once.
pub(super) fn has_options(table: &str, column: &str) -> String {
    exists(
        "pg_attribute",
        &[
            format!("attrelid = {table}"),
            is("attname", column),
            "attfdwoptions is not null".to_owned(),
        ],
    )
}

/// Whether a publication has a table.
pub(super) fn publishes(publication: &str, table: &str) -> String {
    exists(
        "pg_publication_rel",
        &[
            format!(
                "prpubid = (select oid from pg_catalog.pg_publication where pubname = {})",
                literal(publication)
            ),
            format!("prrelid = {table}"),
        ],
    )
}

/// Whether a publication has the tables of a schema.
pub(super) fn publishes_schema(publication: &str, schema: &str) -> String {
    exists(
        "pg_publication_namespace",
        &[
            format!(
                "pnpubid = (select oid from pg_catalog.pg_publication where pubname = {})",
                literal(publication)
            ),
            in_schema("pnnspid", schema),
        ],
    )
}

/// Whether a text search configuration maps a kind of token.
pub(super) fn maps(configuration: &ObjectId, token: &str) -> String {
    format!(
        "exists (select from pg_catalog.pg_ts_config c
                join pg_catalog.pg_ts_config_map m on m.mapcfg = c.oid
                cross join lateral pg_catalog.ts_token_type(c.cfgparser) t
                where {} and {} and t.tokid = m.maptokentype and {})",
        is("c.cfgname", &configuration.name),
        in_schema(
            "c.cfgnamespace",
            configuration.schema.as_deref().unwrap_or_default()
        ),
        is("t.alias", token)
    )
}

/// Whether an operator family has members of its own, outside of operator classes.
pub(super) fn has_loose_members(family: &ObjectId) -> String {
    let family = format!(
        "(select f.oid from pg_catalog.pg_opfamily f join pg_catalog.pg_am a on a.oid = f.opfmethod where {} and {} and {})",
        is("f.opfname", &family.name),
        in_schema(
            "f.opfnamespace",
            family.schema.as_deref().unwrap_or_default()
        ),
        is("a.amname", family.args.as_deref().unwrap_or_default())
    );
    exists(
        "pg_depend",
        &[
            "classid in ('pg_catalog.pg_amop'::pg_catalog.regclass, 'pg_catalog.pg_amproc'::pg_catalog.regclass)".to_owned(),
            "refclassid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass".to_owned(),
            format!("refobjid = {family}"),
        ],
    )
}

/// Whether a materialized view holds rows.
pub(super) fn is_populated(view: &str) -> String {
    exists(
        "pg_class",
        &[format!("oid = {view}"), "relispopulated".to_owned()],
    )
}
