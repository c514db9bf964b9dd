//! What rules need to know beyond the structure: what depends on what, bodies of functions, exact
//! settings, and which tables cannot be read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::name::QualifiedName;
use towpath_model::structure::{ObjectId, ObjectKind, Structure};
use towpath_postgres::Session;

use crate::classify;
use crate::cron::{self, Job};

/// A catalog by name, and an OID in it.
type Address = (String, u32);

/// Facts of the source, all of one snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// `server_version_num`.
    pub version_num: u32,
    /// Objects that depend on an object, directly.
    pub dependents: BTreeMap<ObjectId, BTreeSet<ObjectId>>,
    /// Bodies of functions that are kept as text: the catalog knows nothing of what they name.
    pub bodies: BTreeMap<ObjectId, Body>,
    /// Settings of roles and of the database, in the words of the catalog.
    pub settings: Vec<SettingRow>,
    /// Settings that any login may change for itself.
    pub user_settings: BTreeSet<String>,
    /// Materialized views that hold rows.
    pub populated: BTreeSet<QualifiedName>,
    /// Tables and sequences the login may not read: pg_dump would fail to lock the ones, and to
    /// look at the others.
    pub unreadable: Vec<QualifiedName>,
    /// Tables of extensions that hold rows of the user's: what the extension's author wants in a
    /// dump.
    pub extension_rows: BTreeSet<ObjectId>,
    /// Functions that triggers and event triggers call.
    pub trigger_functions: BTreeMap<ObjectId, ObjectId>,
    /// Jobs of pg_cron.
    pub jobs: Vec<Job>,
    /// User mappings whose options the login may read.
    pub readable_mappings: BTreeSet<ObjectId>,
    /// The server's `default_text_search_config`, which decides what one-argument searches find.
    pub text_search_config: Option<String>,
    /// Built-in functions that share their names with others.
    pub builtins: Vec<Builtin>,
    /// Names of the server's own operators.
    pub builtin_operators: BTreeSet<String>,
}

/// The text of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Body {
    pub text: String,
    pub language: String,
    /// The search path that the function sets for itself, in the words of the catalog.
    pub search_path: Option<String>,
}

/// A built-in function of the server's that shares its name with a function of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Builtin {
    pub name: String,
    fewest: usize,
    /// None with `variadic`.
    most: Option<usize>,
}

impl Builtin {
    /// Whether it can be called with so many arguments.
    pub(crate) fn takes(&self, count: usize) -> bool {
        self.fewest <= count && self.most.is_none_or(|most| count <= most)
    }
}

/// One setting: of a role everywhere, of the database, or of a role in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct SettingRow {
    pub role: Option<String>,
    pub in_database: bool,
    pub name: String,
    pub value: String,
}

#[derive(Deserialize)]
struct AliasRow {
    catalog: String,
    oid: u32,
    to_catalog: String,
    to_oid: u32,
}

#[derive(Deserialize)]
struct BodyRow {
    oid: u32,
    body: String,
    language: String,
    search_path: Option<String>,
}

#[derive(Deserialize)]
struct NameRow {
    schema: String,
    name: String,
}

#[derive(Deserialize)]
struct MappingRow {
    name: String,
    server: String,
}

#[derive(Deserialize)]
struct ConfigRow {
    oid: u32,
    name: String,
    condition: String,
    is_readable: bool,
}

#[derive(Deserialize)]
struct TriggerRow {
    catalog: String,
    oid: u32,
    function: u32,
}

/// Addresses that stand for others: a view's rule for the view, a default for its table, an array
/// for its element, the index of a constraint for the constraint, a member for its extension.
const ALIASES: &str = include_str!("sql/aliases.sql");
const DEPENDENCIES: &str = include_str!("sql/dependencies.sql");
const SETTINGS: &str = include_str!("sql/settings.sql");
const BODIES: &str = "select p.oid::int8 as oid, p.prosrc as body, l.lanname as language,
       (select pg_catalog.substr(s.setting, 13)
        from pg_catalog.unnest(p.proconfig) as s (setting)
        where s.setting like 'search\\_path=%') as search_path
from pg_catalog.pg_proc p
join pg_catalog.pg_language l on l.oid = p.prolang
where p.oid >= 16384 and l.lanname not in ('c', 'internal') and p.prosqlbody is null";
const BUILTINS: &str = "select distinct b.proname as name,
       (b.pronargs - b.pronargdefaults)::int4 as fewest,
       case when b.provariadic = 0 then b.pronargs::int4 end as most
from pg_catalog.pg_proc b
where b.pronamespace = 'pg_catalog'::regnamespace
  and exists (select from pg_catalog.pg_proc p
              where p.proname = b.proname and p.pronamespace <> b.pronamespace)
order by 1, 2, 3";
const BUILTIN_OPERATORS: &str = "select distinct 'pg_catalog' as schema, oprname as name
from pg_catalog.pg_operator
where oprnamespace = 'pg_catalog'::regnamespace";
const POPULATED: &str = "select n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm' and c.relispopulated";
const UNREADABLE: &str = "select n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'S')
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and c.relpersistence <> 't'
  and not (pg_catalog.has_table_privilege(c.oid, 'SELECT')
           and pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
order by 1, 2";
const USER_SETTINGS: &str =
    "select 'setting' as schema, name from pg_catalog.pg_settings where context = 'user'";
const TRIGGERS: &str =
    "select 'pg_trigger' as catalog, t.oid::int8 as oid, t.tgfoid::int8 as function
from pg_catalog.pg_trigger t where not t.tgisinternal
union all
select 'pg_event_trigger', e.oid::int8, e.evtfoid::int8 from pg_catalog.pg_event_trigger e";
const CONFIG_TABLES: &str = include_str!("sql/config_tables.sql");
const TEXT_SEARCH_CONFIG: &str = "select pg_catalog.current_setting('default_text_search_config')";

const READABLE_MAPPINGS: &str = "select m.usename as name, m.srvname as server
from pg_catalog.pg_user_mappings m where m.umoptions is not null";

/// Reads the facts.
pub(crate) async fn read(
    session: &mut Session,
    structure: &Structure,
    unreadable: Vec<QualifiedName>,
) -> Result<Source> {
    let ids = Addresses::read(session, structure).await?;
    let edges: Vec<AliasRow> = session.fetch(DEPENDENCIES, &[]).await?;
    let bodies: Vec<BodyRow> = session.fetch(BODIES, &[]).await?;
    let triggers: Vec<TriggerRow> = session.fetch(TRIGGERS, &[]).await?;
    let populated: Vec<NameRow> = session.fetch(POPULATED, &[]).await?;
    let operators: Vec<NameRow> = session.fetch(BUILTIN_OPERATORS, &[]).await?;
    let user_settings: Vec<NameRow> = session.fetch(USER_SETTINGS, &[]).await?;
    Ok(Source {
        version_num: session.version_num(),
        dependents: dependents(&edges, &ids),
        bodies: bodies
            .into_iter()
            .filter_map(|row| {
                let id = ids.plain(&("pg_proc".to_owned(), row.oid))?;
                let body = Body {
                    text: row.body,
                    language: row.language,
                    search_path: row.search_path,
                };
                Some((id.clone(), body))
            })
            .collect(),
        trigger_functions: triggers
            .into_iter()
            .filter_map(|row| {
                let trigger = ids.plain(&(row.catalog, row.oid))?;
                let function = ids.plain(&("pg_proc".to_owned(), row.function))?;
                Some((trigger.clone(), function.clone()))
            })
            .collect(),
        extension_rows: extension_rows(session, &ids).await?,
        settings: session.fetch(SETTINGS, &[]).await?,
        user_settings: user_settings
            .into_iter()
            .map(|row| row.name.to_lowercase())
            .collect(),
        populated: populated.into_iter().map(NameRow::qualified).collect(),
        unreadable,
        jobs: cron::read(session, structure).await?,
        readable_mappings: session
            .fetch::<MappingRow>(READABLE_MAPPINGS, &[])
            .await?
            .into_iter()
            .map(|row| classify::user_mapping(&row.server, &row.name))
            .collect(),
        text_search_config: session.scalar(TEXT_SEARCH_CONFIG, &[]).await?,
        builtins: session.fetch(BUILTINS, &[]).await?,
        builtin_operators: operators.into_iter().map(|row| row.name).collect(),
    })
}

/// The tables and sequences that the login may not read: pg_dump has to be told before it starts.
pub(crate) async fn unreadable(session: &mut Session) -> Result<Vec<QualifiedName>> {
    let rows: Vec<NameRow> = session.fetch(UNREADABLE, &[]).await?;
    Ok(rows.into_iter().map(NameRow::qualified).collect())
}

/// A table that cannot be asked may hold rows, so it counts as one that does.
async fn extension_rows(session: &mut Session, ids: &Addresses) -> Result<BTreeSet<ObjectId>> {
    let tables: Vec<ConfigRow> = session.fetch(CONFIG_TABLES, &[]).await?;
    let mut holding = BTreeSet::new();
    for table in tables {
        let Some(id) = ids.plain(&("pg_class".to_owned(), table.oid)) else {
            continue;
        };
        let sql = format!(
            "select exists (select from only {} {})::text",
            table.name, table.condition
        );
        let is_empty =
            table.is_readable && session.scalar(&sql, &[]).await?.as_deref() == Some("false");
        if !is_empty {
            holding.insert(id.clone());
        }
    }
    Ok(holding)
}

impl NameRow {
    fn qualified(self) -> QualifiedName {
        QualifiedName::new(self.schema, self.name)
    }
}

fn dependents(edges: &[AliasRow], ids: &Addresses) -> BTreeMap<ObjectId, BTreeSet<ObjectId>> {
    let mut dependents: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
    for edge in edges {
        let by = ids.resolved(&(edge.catalog.clone(), edge.oid));
        let on = ids.resolved(&(edge.to_catalog.clone(), edge.to_oid));
        if let (Some(by), Some(on)) = (by, on)
            && by != on
        {
            dependents.entry(on.clone()).or_default().insert(by.clone());
        }
    }
    dependents
}

/// Objects by catalog and OID.
struct Addresses {
    ids: HashMap<Address, ObjectId>,
    aliases: HashMap<Address, Address>,
}

impl Addresses {
    async fn read(session: &mut Session, structure: &Structure) -> Result<Self> {
        let aliases: Vec<AliasRow> = session.fetch(ALIASES, &[]).await?;
        Ok(Self {
            ids: structure
                .objects
                .values()
                .filter_map(|object| {
                    let catalog = catalog_of(object.id.kind)?;
                    Some(((catalog.to_owned(), object.oid), object.id.clone()))
                })
                .collect(),
            aliases: aliases
                .into_iter()
                .map(|row| ((row.catalog, row.oid), (row.to_catalog, row.to_oid)))
                .collect(),
        })
    }

    fn plain(&self, address: &Address) -> Option<&ObjectId> {
        self.ids.get(address)
    }

    fn resolved(&self, address: &Address) -> Option<&ObjectId> {
        let mut address = address;
        // Aliases are at most four deep (default, view, member, extension); a ring would be a
        // defect of the statement that lists them, and must not hang.
        for _ in 0..8 {
            match self.aliases.get(address) {
                Some(next) => address = next,
                None => break,
            }
        }
        self.ids.get(address)
    }
}

/// The catalog of kinds whose dependencies are followed. What a publication or default privileges
/// are about is read from their own statements: they go without what does not go, and are not lost
/// with it.
fn catalog_of(kind: ObjectKind) -> Option<&'static str> {
    match kind {
        ObjectKind::Role
        | ObjectKind::DefaultPrivileges
        | ObjectKind::Publication
        | ObjectKind::Subscription
        | ObjectKind::LargeObject => None,
        followed => towpath_postgres::structure::catalog_of(followed),
    }
}
