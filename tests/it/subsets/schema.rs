//! Random tables that refer to each other, rules over them, and what the rules mean in plain SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use towpath_model::clone_rules::{Children, SubsetRules, TableRule, WholeTable};
use towpath_model::keys::Reference;
use towpath_model::masking::{PlannedMask, Transformer, Uniqueness};
use towpath_model::plan::{Format, PlannedChunk, PlannedTable, RowSource};
use towpath_model::{QualifiedName, TableId};
use towpath_tests::SplitMix64;
use towpath_tests::pg::psql;

use super::Rows;

/// Schemas and parts of names.
const SCHEMAS: [&str; 3] = ["public", "App \"Data\"", "ü.x"];
const WORDS: [&str; 6] = ["t", "Order", "se\"lect", "a.b", "tid", "c"];
const REGION: &str = "Region ü";

/// What a reference leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `id`.
    Id,
    /// `id` and the region.
    Both,
    /// Text whose case says nothing.
    Word,
}

#[derive(Debug)]
pub struct Table {
    pub name: QualifiedName,
    /// Those that hold rows; itself, or its partitions.
    pub leaves: Vec<QualifiedName>,
    pub is_partitioned: bool,
    /// Columns of the primary key.
    pub key: Vec<String>,
}

#[derive(Debug)]
pub struct Link {
    pub child: usize,
    pub parent: usize,
    pub columns: Vec<String>,
    pub parent_columns: Vec<String>,
    pub is_declared: bool,
    pub condition: Option<String>,
    pub nullable: bool,
    /// Under which rows `c` and `p` belong together.
    on: String,
}

#[derive(Debug, Default)]
pub struct World {
    pub tables: Vec<Table>,
    pub links: Vec<Link>,
    pub sql: String,
}

/// Rules, and what else is left out.
#[derive(Debug)]
pub struct Rules {
    pub subset: SubsetRules,
    pub empty: Vec<QualifiedName>,
    /// Links whose columns are masked to NULL.
    pub nulled: BTreeSet<usize>,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn sql_name(name: &QualifiedName) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.name))
}

impl World {
    pub fn random(random: &mut SplitMix64) -> Self {
        let mut world = Self::default();
        for schema in &SCHEMAS[1..] {
            let _ = writeln!(world.sql, "create schema {};", quoted(schema));
        }
        for no in 0..4 + random.below(4) {
            world.table(random, no);
        }
        for no in 0..3 + random.below(9) {
            world.link(random, no);
        }
        world
    }

    fn table(&mut self, random: &mut SplitMix64, no: usize) {
        let name = QualifiedName::new(
            *random.pick(&SCHEMAS),
            format!("{}{no}", random.pick(&WORDS)),
        );
        let sql = sql_name(&name);
        let is_partitioned = random.once_in(4);
        let columns = format!(
            "id integer not null, {} text not null, word \"ext. ü\".citext not null, n integer",
            quoted(REGION)
        );
        let own = |suffix: &str| {
            QualifiedName::new(name.schema.clone(), format!("{}{suffix}", name.name))
        };
        let (mut leaves, mut key) = (vec![name.clone()], vec!["id".to_owned()]);
        let mut define = String::new();
        if is_partitioned {
            key.push(REGION.to_owned());
            leaves = vec![own(" a"), own(" b"), own(" c")];
            let [a, b, c] = [&leaves[0], &leaves[1], &leaves[2]].map(sql_name);
            let middle = sql_name(&own(" rest"));
            let _ = write!(
                define,
                "create table {sql} ({columns}, primary key (id, {region})) partition by list ({region});
                 create table {a} partition of {sql} for values in ('a');
                 create table {middle} partition of {sql} default partition by range (id);
                 create table {b} partition of {middle} for values from (minvalue) to (20);
                 create table {c} partition of {middle} default;",
                region = quoted(REGION)
            );
        } else {
            let primary = match random.below(4) {
                0 => {
                    key.clear();
                    "unique (id)"
                }
                1 => {
                    key = vec![REGION.to_owned(), "id".to_owned()];
                    "unique (id), primary key (\"Region ü\", id)"
                }
                _ => "primary key (id)",
            };
            let _ = write!(
                define,
                "create table {sql} ({columns}, {primary}, unique (id, {}), unique (word));",
                quoted(REGION)
            );
        }
        let rows = random.below(60);
        let _ = writeln!(
            self.sql,
            "{define}
             insert into {sql} select n, (array['a', 'b', 'c'])[1 + n % 3], 'Word' || n, n from generate_series(1, {rows}) n;
             delete from {sql} where id % 7 = {};",
            random.below(9)
        );
        if !is_partitioned && random.once_in(5) {
            let heir = own(" heir");
            let _ = writeln!(
                self.sql,
                "create table {heir} () inherits ({sql});
                 insert into {heir} select n, 'a', 'Word' || n, n from generate_series(1, 20) n;",
                heir = sql_name(&heir)
            );
            self.tables.push(Table {
                name: heir.clone(),
                leaves: vec![heir],
                is_partitioned: false,
                key: Vec::new(),
            });
        }
        self.tables.push(Table {
            name,
            leaves,
            is_partitioned,
            key,
        });
    }

    fn link(&mut self, random: &mut SplitMix64, no: usize) {
        let (child, parent) = (
            random.below(self.tables.len()),
            random.below(self.tables.len()),
        );
        let is_heir = |at: usize| self.tables[at].name.name.ends_with(" heir");
        let is_declared = random.once_in(4);
        if is_heir(child) || is_heir(parent) {
            return;
        }
        let (child_sql, parent_sql) = (
            sql_name(&self.tables[child].name),
            sql_name(&self.tables[parent].name),
        );
        let kind = match (self.tables[parent].is_partitioned, random.below(3)) {
            (true, _) | (_, 0) => Key::Both,
            (_, 1) => Key::Id,
            _ => Key::Word,
        };
        let (parent_columns, types): (&[&str], &[&str]) = match (kind, is_declared) {
            (Key::Id, true) => (&["id"], &["text"]),
            (Key::Id, false) => (&["id"], &["bigint"]),
            (Key::Both, true) => (&["id", REGION], &["text", "text"]),
            (Key::Both, false) => (&["id", REGION], &["integer", "text"]),
            (Key::Word, _) => (&["word"], &["\"ext. ü\".citext"]),
        };
        let columns: Vec<String> = (0..types.len()).map(|at| format!("R{no} {at}")).collect();
        for (column, type_name) in columns.iter().zip(types) {
            let _ = writeln!(
                self.sql,
                "alter table {child_sql} add {} {type_name};",
                quoted(column)
            );
        }
        let condition = (is_declared && random.once_in(2)).then(|| {
            let _ = writeln!(
                self.sql,
                "alter table {child_sql} add \"K{no}\" text;
                 update {child_sql} set \"K{no}\" = case when id % 3 = 0 then 'x' else 'y''' end;"
            );
            format!("\"K{no}\" = 'y'''")
        });
        let nullable = !random.once_in(3);
        let is_full = kind == Key::Both && !is_declared && random.once_in(2);
        // Any row of the parent's, in another case.
        let sets: Vec<String> = columns
            .iter()
            .zip(parent_columns)
            .map(|(column, parent)| {
                let value = match *parent {
                    "word" => "upper(p.word::text)::\"ext. ü\".citext".to_owned(),
                    other if is_declared => format!("p.{}::text", quoted(other)),
                    other => format!("p.{}", quoted(other)),
                };
                format!("{} = {value}", quoted(column))
            })
            .collect();
        let only = |at: usize| {
            if self.tables[at].is_partitioned {
                ""
            } else {
                "only "
            }
        };
        let _ = writeln!(
            self.sql,
            "update {}{child_sql} c set {} from (
                 select *, row_number() over (order by id) - 1 as at, count(*) over () as of from {}{parent_sql}
             ) p where p.at = abs(hashint4(c.id + {no})) % p.of {};",
            only(child),
            sets.join(", "),
            only(parent),
            if nullable { "and c.id % 4 <> 1" } else { "" },
        );
        let list = |columns: &[String]| {
            let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
            columns.join(", ")
        };
        if nullable && columns.len() == 2 && !is_full {
            // Half a key leads nowhere.
            let _ = writeln!(
                self.sql,
                "update {}{child_sql} set {} = null where id % 11 = 2;",
                only(child),
                quoted(&columns[1])
            );
        }
        let dangles = random.once_in(3) && kind != Key::Word;
        if dangles && (is_declared || !self.tables[child].is_partitioned) {
            let value = if is_declared { "'77777'" } else { "77777" };
            let _ = writeln!(
                self.sql,
                "update {}{child_sql} set {} = {value} where id % 9 = 4 and {} is not null;",
                only(child),
                quoted(&columns[0]),
                quoted(&columns[0])
            );
        }
        let parent_columns: Vec<String> = parent_columns
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        if !is_declared {
            let not_valid = dangles
                && !self.tables[child].is_partitioned
                && !self.tables[parent].is_partitioned;
            if dangles && !not_valid {
                let _ = writeln!(
                    self.sql,
                    "update {}{child_sql} set {} where {} = 77777;",
                    only(child),
                    columns
                        .iter()
                        .map(|column| format!("{} = null", quoted(column)))
                        .collect::<Vec<_>>()
                        .join(", "),
                    quoted(&columns[0])
                );
            }
            let _ = writeln!(
                self.sql,
                "alter table {child_sql} add constraint \"link {no}\" foreign key ({}) references {parent_sql} ({}){}{};",
                list(&columns),
                list(&parent_columns),
                if is_full { " match full" } else { "" },
                if not_valid { " not valid" } else { "" }
            );
        }
        let on: Vec<String> = columns
            .iter()
            .zip(&parent_columns)
            .map(|(column, parent)| match is_declared && parent != "word" {
                true => format!("c.{} = p.{}::text", quoted(column), quoted(parent)),
                false => format!("c.{} = p.{}", quoted(column), quoted(parent)),
            })
            .chain(condition.iter().map(|condition| format!("c.{condition}")))
            .collect();
        self.links.push(Link {
            child,
            parent,
            columns,
            parent_columns,
            is_declared,
            condition,
            nullable,
            on: on.join(" and "),
        });
    }

    /// References that no constraint holds.
    pub fn declared(&self) -> Vec<Reference> {
        let declared = self.links.iter().filter(|link| link.is_declared);
        declared
            .map(|link| Reference {
                name: "declared".to_owned(),
                child: self.tables[link.child].name.clone(),
                child_columns: link.columns.clone(),
                parent: self.tables[link.parent].name.clone(),
                parent_columns: link.parent_columns.clone(),
                is_full: false,
                condition: link.condition.clone(),
                is_declared: true,
                is_period: false,
            })
            .collect()
    }

    /// Tables as a plan has them.
    pub fn planned(&self, rules: &Rules) -> Vec<PlannedTable> {
        let mut planned = Vec::new();
        for (at, table) in self.tables.iter().enumerate() {
            let nulled = rules.nulled.iter().map(|link| &self.links[*link]);
            let masks: BTreeMap<String, PlannedMask> = nulled
                .filter(|link| link.child == at)
                .flat_map(|link| &link.columns)
                .map(|column| (column.clone(), null_mask()))
                .collect();
            for leaf in &table.leaves {
                planned.push(self::planned(leaf, &table.key, &masks));
            }
        }
        planned
    }

    fn rule<'r>(&self, rules: &'r Rules, at: usize) -> Option<&'r TableRule> {
        let name = sql_name(&self.tables[at].name);
        rules.subset.tables.iter().find(|rule| rule.table == name)
    }

    fn is_root(&self, rules: &Rules, at: usize) -> bool {
        rules
            .subset
            .roots
            .contains(&sql_name(&self.tables[at].name))
    }

    fn is_none(&self, rules: &Rules, at: usize) -> bool {
        rules.empty.contains(&self.tables[at].name)
            || self.rule(rules, at).and_then(|rule| rule.rows) == Some(WholeTable::None)
    }

    fn is_start(&self, rules: &Rules, at: usize) -> bool {
        let rule = self.rule(rules, at);
        let chooses = rule.is_some_and(|rule| {
            rule.condition.is_some() || rule.percent.is_some() || rule.limit.is_some()
        });
        let is_root = self.is_root(rules, at) && rule.is_none_or(|rule| rule.rows.is_none());
        !self.is_none(rules, at) && (chooses || is_root)
    }

    /// The links that hold, and that rows may go along.
    fn live<'w>(&'w self, rules: &'w Rules) -> impl Iterator<Item = &'w Link> {
        let links = self.links.iter().enumerate();
        links
            .filter(|(no, _)| !rules.nulled.contains(no))
            .map(|(_, link)| link)
    }

    /// Tables that some table where the choice begins is connected with, in any direction.
    fn connected(&self, rules: &Rules) -> BTreeSet<usize> {
        let tables = 0..self.tables.len();
        let mut connected: BTreeSet<usize> =
            tables.filter(|at| self.is_start(rules, *at)).collect();
        for _ in 0..self.tables.len() {
            for link in self.live(rules) {
                let ends = [link.child, link.parent];
                if ends.iter().any(|at| connected.contains(at))
                    && !ends.iter().any(|at| self.is_none(rules, *at))
                {
                    connected.extend(ends);
                }
            }
        }
        connected
    }

    /// Tables that refer to a table without rows, or to one that does.
    fn affected(&self, rules: &Rules) -> BTreeSet<usize> {
        let mut affected = BTreeSet::new();
        for _ in 0..self.tables.len() {
            for link in self.live(rules) {
                if self.is_none(rules, link.parent) || affected.contains(&link.parent) {
                    affected.insert(link.child);
                }
            }
        }
        affected.retain(|at| !self.is_none(rules, *at));
        affected
    }

    fn from(&self, at: usize) -> String {
        let table = &self.tables[at];
        let only = if table.is_partitioned { "" } else { "only " };
        format!("{only}{}", sql_name(&table.name))
    }

    /// Whether the choice begins with the rows that its rules tell of.
    pub fn check_starts(&self, url: &str, rules: &Rules, starts: &Rows) -> Result<(), String> {
        for at in 0..self.tables.len() {
            let rule = self.rule(rules, at);
            if !self.is_start(rules, at) {
                continue;
            }
            let found: BTreeSet<&String> = self.tables[at]
                .leaves
                .iter()
                .flat_map(|leaf| &starts[leaf])
                .collect();
            let of_root = TableRule {
                percent: rules.subset.percent,
                limit: rules.subset.limit,
                ..TableRule::default()
            };
            let chooses = |rule: &&TableRule| {
                rule.condition.is_some() || rule.percent.is_some() || rule.limit.is_some()
            };
            let rule = rule.filter(chooses).unwrap_or(&of_root);
            let condition = rule.condition.as_deref().unwrap_or("true");
            let all: usize = psql(
                url,
                &format!("set search_path = public, \"ext. ü\"; select count(*) from {} where {condition}\n", self.from(at)),
            )
            .parse()
            .expect("a count");
            let name = &self.tables[at].name;
            let found = self.tables[at]
                .leaves
                .iter()
                .map(|leaf| starts[leaf].len())
                .sum::<usize>()
                .max(found.len());
            match (rule.percent, rule.limit) {
                (None, None) if found != all => {
                    return Err(format!("{name}: begins with {found} rows of {all}"));
                }
                (None, Some(limit)) if found != all.min(usize::try_from(limit).expect("small")) => {
                    return Err(format!(
                        "{name}: begins with {found} rows, limit {limit} of {all}"
                    ));
                }
                (Some(_), limit)
                    if found > all
                        || limit.is_some_and(|limit| {
                            found > usize::try_from(limit).expect("small")
                        }) =>
                {
                    return Err(format!("{name}: begins with {found} rows of {all}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What rules mean, by the server: rows are marked until no statement marks any more.
    pub fn expected(&self, url: &str, rules: &Rules, starts: &Rows) -> Rows {
        let tables = 0..self.tables.len();
        let none: Vec<usize> = tables
            .clone()
            .filter(|at| self.is_none(rules, *at))
            .collect();
        let (connected, affected) = (self.connected(rules), self.affected(rules));
        let goes_all = |at: usize| {
            self.rule(rules, at).and_then(|rule| rule.rows) == Some(WholeTable::All)
                && connected.contains(&at)
                && !none.contains(&at)
        };
        let follows = |at: usize| {
            let rule = self.rule(rules, at);
            let children = rule.and_then(|rule| rule.children);
            match rule.and_then(|rule| rule.rows) {
                Some(WholeTable::All) => children == Some(Children::Follow),
                _ => children != Some(Children::Leave),
            }
        };
        let mut sql = "set search_path = public, \"ext. ü\", pg_temp;
            create temp table forbidden (rel oid, place tid, primary key (rel, place));
            create temp table kept (rel oid, place tid, leads boolean, primary key (rel, place));\n"
            .to_owned();
        let mut forbid = Vec::new();
        for link in self.live(rules) {
            if none.contains(&link.child) {
                continue;
            }
            let marked = match none.contains(&link.parent) {
                true => "",
                false => " join forbidden f on f.rel = p.tableoid and f.place = p.ctid",
            };
            forbid.push(format!(
                "insert into forbidden select distinct c.tableoid, c.ctid from {} c join {} p on {}{marked}
                 on conflict do nothing",
                self.from(link.child),
                self.from(link.parent),
                link.on
            ));
        }
        until_nothing_changes(&mut sql, &forbid);
        for at in tables.clone() {
            let leads = follows(at);
            if self.is_start(rules, at) {
                for leaf in &self.tables[at].leaves {
                    for place in &starts[leaf] {
                        let _ = writeln!(
                            sql,
                            "insert into kept values ({}::regclass, '{place}', {leads}) on conflict do nothing;",
                            literal(leaf)
                        );
                    }
                }
            } else if goes_all(at) {
                let _ = writeln!(
                    sql,
                    "insert into kept select tableoid, ctid, {leads} from {};",
                    self.from(at)
                );
            }
        }
        let _ = writeln!(
            sql,
            "delete from kept k using forbidden f where k.rel = f.rel and k.place = f.place;"
        );
        let mut keep = Vec::new();
        for link in self.live(rules) {
            if none.contains(&link.child) || none.contains(&link.parent) {
                continue;
            }
            let (child, parent) = (self.from(link.child), self.from(link.parent));
            let leads = follows(link.child);
            keep.push(format!(
                "insert into kept select distinct c.tableoid, c.ctid, {leads}
                 from {child} c join {parent} p on {}
                 join kept k on k.rel = p.tableoid and k.place = p.ctid and k.leads
                 where not exists (select from forbidden f where f.rel = c.tableoid and f.place = c.ctid)
                 on conflict (rel, place) do update set leads = true where excluded.leads and not kept.leads",
                link.on
            ));
            keep.push(format!(
                "insert into kept select distinct p.tableoid, p.ctid, false
                 from {child} c join {parent} p on {}
                 join kept k on k.rel = c.tableoid and k.place = c.ctid
                 on conflict do nothing",
                link.on
            ));
        }
        until_nothing_changes(&mut sql, &keep);
        let mut expected = Rows::new();
        for at in tables {
            let listed = match (none.contains(&at), connected.contains(&at)) {
                (true, _) => "where false",
                (false, true) if !goes_all(at) || affected.contains(&at) => {
                    "where exists (select from kept k where k.rel = t.tableoid and k.place = t.ctid)"
                }
                (false, false) if affected.contains(&at) => {
                    "where not exists (select from forbidden f where f.rel = t.tableoid and f.place = t.ctid)"
                }
                _ => continue,
            };
            for (no, leaf) in self.tables[at].leaves.iter().enumerate() {
                let _ = writeln!(
                    sql,
                    "select '{at} {no} ' || t.ctid from only {} t {listed};",
                    sql_name(leaf)
                );
                expected.insert(leaf.clone(), BTreeSet::new());
            }
        }
        for line in psql(url, &sql).lines() {
            let mut parts = line.splitn(3, ' ');
            let mut number = || parts.next()?.parse::<usize>().ok();
            let (at, no) = (number().expect("a table"), number().expect("a leaf"));
            let place = parts.next().expect("a place");
            let leaf = &self.tables[at].leaves[no];
            let rows = expected.get_mut(leaf).expect("a listed table");
            rows.insert(place.to_owned());
        }
        expected
    }
}

/// A table of a plan, as far as a choice looks.
pub fn planned(
    name: &QualifiedName,
    key: &[String],
    masks: &BTreeMap<String, PlannedMask>,
) -> PlannedTable {
    PlannedTable {
        id: TableId::of(name),
        name: name.clone(),
        columns: Vec::new(),
        key: key.to_vec(),
        types: Vec::new(),
        rows: RowSource::Table,
        expressions: BTreeMap::new(),
        masks: masks.clone(),
        subset: None,
        format: Format::Binary,
        format_reason: None,
        bytes: 0,
        estimated_rows: -1,
        force_row_security: false,
        chunks: vec![PlannedChunk::WHOLE],
    }
}

fn literal(name: &QualifiedName) -> String {
    format!("'{}'", sql_name(name).replace('\'', "''"))
}

fn until_nothing_changes(sql: &mut String, statements: &[String]) {
    sql.push_str("do $loop$ declare n bigint; changed boolean := true; begin\nwhile changed loop changed := false;\n");
    for statement in statements {
        let _ = writeln!(
            sql,
            "{statement}; get diagnostics n = row_count; changed := changed or n > 0;"
        );
    }
    sql.push_str("end loop; end $loop$;\n");
}

fn null_mask() -> PlannedMask {
    PlannedMask {
        transformer: Transformer::Null,
        locale: towpath_model::masking::Locale::En,
        domain: "null".to_owned(),
        condition: None,
        base_type: "text".to_owned(),
        reads: Default::default(),
        max_chars: None,
        uniqueness: Uniqueness::Lossy,
        origin: "a test".to_owned(),
    }
}

impl Rules {
    pub fn random(random: &mut SplitMix64, world: &World) -> Self {
        let mut subset = SubsetRules {
            seed: random
                .once_in(2)
                .then(|| format!("seed {}", random.below(9))),
            ..SubsetRules::default()
        };
        let mut empty = Vec::new();
        for table in &world.tables {
            let name = sql_name(&table.name);
            let mut rule = TableRule {
                table: name.clone(),
                ..TableRule::default()
            };
            let column = quoted(&table.name.name);
            match random.below(14) {
                0 | 1 => {
                    rule.condition = Some(format!(
                        "{column}.id % 5 = {} or n = 3 -- and; more",
                        random.below(5)
                    ));
                }
                2 => {
                    rule.percent =
                        Some(5.0 + f64::from(u32::try_from(random.below(30)).expect("small")))
                }
                3 => rule.limit = Some(u64::try_from(random.below(9)).expect("small")),
                4 => rule.rows = Some(WholeTable::None),
                5 => rule.rows = Some(WholeTable::All),
                6 => empty.extend(table.leaves.len().eq(&1).then(|| table.name.clone())),
                7 | 8 => subset.roots.push(name),
                _ => {}
            }
            rule.children = match random.below(6) {
                0 => Some(Children::Leave),
                1 => Some(Children::Follow),
                _ => None,
            };
            if rule
                != (TableRule {
                    table: rule.table.clone(),
                    ..TableRule::default()
                })
            {
                subset.tables.push(rule);
            }
        }
        if !subset.roots.is_empty() {
            subset.percent = random.once_in(2).then_some(20.0);
            subset.limit = random.once_in(4).then_some(7);
        }
        let links = world.links.iter().enumerate();
        let nulled = links
            .filter(|(_, link)| link.nullable && random.once_in(6))
            .map(|(no, _)| no)
            .collect();
        Self {
            subset,
            empty,
            nulled,
        }
    }
}
