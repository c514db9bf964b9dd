//! Random schemas that a customer's login can make, the same for the same seed: types, tables with
//! rows, and whatever hangs on them, under names that need quotes.

mod types;

use std::fmt::Write as _;

use types::built_in;

use crate::SplitMix64;

/// Words that make a name hostile.
const HOSTILE: [&str; 20] = [
    "", " ", ".", "\"", "'", "\\", "%s", "$$", "-- ", "/*", ";", "ü", "日本", "\n", "\t", "(", "{",
    "UPPER", "1", ":x",
];
const RESERVED: [&str; 8] = [
    "select", "table", "user", "order", "default", "primary", "all", "window",
];
const ROLES: [&str; 4] = ["anon", "authenticated", "service_role", "public"];

/// A type, and how the `n`th value of it is written.
#[derive(Clone)]
struct Type {
    sql: String,
    value: fn(u64) -> String,
    /// Has a default B-tree class, so that an index and a unique constraint may hold it.
    sorts: bool,
    /// Another value than its own literals.
    user: Option<String>,
}

struct Column {
    name: String,
    of: Type,
    generated: bool,
}

struct Table {
    name: String,
    columns: Vec<Column>,
    /// First column is the key, of values 1 and up.
    rows: u64,
    partitioned: bool,
    unlogged: bool,
}

struct Generator {
    random: SplitMix64,
    count: u32,
    sql: String,
    schemas: Vec<String>,
    types: Vec<Type>,
    tables: Vec<Table>,
    views: Vec<(String, Vec<String>)>,
    trigger: String,
    label: String,
}

/// The script of a seed, for the customer's login. It is one transaction.
#[must_use]
pub fn schema(seed: u64) -> String {
    let mut generator = Generator {
        random: SplitMix64(seed),
        count: 0,
        sql: "begin;\nset local search_path = public, extensions;\nset local client_min_messages = warning;\n".to_owned(),
        schemas: vec!["public".to_owned()],
        types: built_in(),
        tables: Vec::new(),
        views: Vec::new(),
        trigger: String::new(),
        label: String::new(),
    };
    generator.write();
    generator.sql.push_str("commit;\n");
    generator.sql
}

/// An identifier as SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

impl Generator {
    fn pick<'p>(&mut self, among: &[&'p str]) -> &'p str {
        self.random.pick::<&'p str>(among)
    }

    fn line(&mut self, statement: &str) {
        self.sql.push_str(statement);
        self.sql.push_str(";\n");
    }

    /// A name nobody has, bare.
    fn bare(&mut self, word: &str) -> String {
        self.count += 1;
        let mut name = if self.random.once_in(8) {
            self.pick(&RESERVED).to_owned()
        } else {
            format!("{}{word}{}", self.pick(&HOSTILE), self.pick(&HOSTILE))
        };
        write!(name, "{}", self.count).expect("write to a string");
        if self.random.once_in(15) {
            while name.len() < 62 {
                name.push('_');
            }
            name.push('é');
            while name.len() > 63 {
                let at = name.char_indices().nth(2).map_or(0, |(at, _)| at);
                let end = name[at..]
                    .char_indices()
                    .nth(1)
                    .map_or(name.len(), |(length, _)| at + length);
                name.replace_range(at..end, "");
            }
            // What was cut may have told it from others.
            let unique = format!("{}", self.count);
            if !name.contains(&unique) {
                return format!("{word}{unique}");
            }
        }
        name
    }

    fn name(&mut self, word: &str) -> String {
        let bare = self.bare(word);
        quoted(&bare)
    }

    fn any_schema(&mut self) -> String {
        let at = self.random.below(self.schemas.len());
        self.schemas[at].clone()
    }

    fn in_schema(&mut self, word: &str) -> String {
        let schema = self.any_schema();
        let name = self.name(word);
        format!("{schema}.{name}")
    }

    fn comment(&mut self, on: &str) {
        if self.random.once_in(3) {
            let word = self.pick(&HOSTILE);
            let text = literal(&format!("comment {word} of 'it' \\ {}", self.count));
            self.line(&format!("comment on {on} is {text}"));
        }
    }

    fn write(&mut self) {
        for _ in 0..=self.random.below(2) {
            let schema = self.name("schema");
            self.line(&format!("create schema {schema}"));
            self.comment(&format!("schema {schema}"));
            let role = self.pick(&ROLES);
            self.line(&format!("grant usage on schema {schema} to {role}"));
            self.schemas.push(schema);
        }
        self.default_privileges();
        self.user_types();
        self.functions();
        for _ in 0..4 + self.random.below(4) {
            self.table();
        }
        for _ in 0..=self.random.below(2) {
            self.partitioned();
        }
        self.inheritance();
        self.foreign_keys();
        for _ in 0..3 + self.random.below(5) {
            self.view();
        }
        for at in 0..self.tables.len() {
            self.hang_on(at);
        }
        self.publication();
    }

    fn default_privileges(&mut self) {
        for _ in 0..self.random.below(3) {
            let schema = self.any_schema();
            let role = self.pick(&ROLES);
            let what = self.pick(&[
                "select on tables",
                "usage on sequences",
                "execute on functions",
                "usage on types",
            ]);
            self.line(&format!(
                "alter default privileges in schema {schema} grant {what} to {role}"
            ));
        }
    }

    fn user_types(&mut self) {
        for _ in 0..=self.random.below(3) {
            let name = self.in_schema("enum");
            self.line(&format!(
                "create type {name} as enum ('a', 'it''s \"b\"', E'c\\n\\\\', 'd %s')"
            ));
            if self.random.once_in(2) {
                self.line(&format!(
                    "alter type {name} add value 'before' before 'it''s \"b\"'"
                ));
            }
            self.comment(&format!("type {name}"));
            if self.random.once_in(2) {
                self.line(&format!("revoke usage on type {name} from public"));
            }
            self.add_type(
                name,
                |n| ["'a'", "'it''s \"b\"'", "'d %s'"][usize::try_from(n % 3).unwrap_or(0)].into(),
                true,
            );
        }
        for _ in 0..=self.random.below(2) {
            let name = self.in_schema("domain");
            let check = self.name("check");
            let default = if self.random.once_in(2) {
                " default 5"
            } else {
                ""
            };
            self.line(&format!("create domain {name} as integer{default} constraint {check} check (value is null or value < 100000)"));
            self.comment(&format!("domain {name}"));
            self.comment(&format!("constraint {check} on domain {name}"));
            self.add_type(name, |n| n.to_string(), true);
            let words = self.in_schema("words");
            self.line(&format!(
                "create domain {words} as varchar check (value in ('x', 'y', 'it''s'))"
            ));
            self.add_type(words, |_| "'y'".into(), true);
        }
        let composite = self.in_schema("pair");
        let (a, b) = (self.name("a"), self.name("b"));
        self.line(&format!(
            "create type {composite} as ({a} text, {b} numeric(5, 1)[])"
        ));
        self.comment(&format!("column {composite}.{a}"));
        self.add_type(composite, |n| format!("row('p {n}', array[{n}])"), true);
        let range = self.in_schema("range");
        self.line(&format!(
            "create type {range} as range (subtype = double precision, subtype_diff = float8mi)"
        ));
        self.add_type(range, |n| format!("'[{n}, 1e9)'"), true);
    }

    fn add_type(&mut self, name: String, value: fn(u64) -> String, sorts: bool) {
        let (sql, user) = (name.clone(), Some(name));
        // Half of the columns have a type of the user's.
        for _ in 0..4 {
            self.types.push(Type {
                sql: sql.clone(),
                value,
                sorts,
                user: user.clone(),
            });
        }
    }

    fn functions(&mut self) {
        self.label = self.in_schema("label");
        let (label, argument) = (self.label.clone(), self.name("arg"));
        self.line(&format!(
            "create function {label}({argument} integer default 1) returns text language sql immutable parallel safe cost 3
             as $f$ select 'n' || $1 || '$$ %s \\' $f$"
        ));
        self.comment(&format!("function {label}(integer)"));
        self.trigger = self.in_schema("note");
        let trigger = self.trigger.clone();
        self.line(&format!(
            "create function {trigger}() returns trigger language plpgsql security definer set search_path = ''
             as $f$ begin if tg_op = 'DELETE' then return old; end if; return new; end $f$"
        ));
        self.line(&format!(
            "revoke execute on function {trigger}() from public"
        ));
        if self.random.once_in(2) {
            let procedure = self.in_schema("proc");
            self.line(&format!("create procedure {procedure}(inout n integer, variadic rest text[] default '{{}}') language plpgsql as 'begin commit; end'"));
        }
        if self.random.once_in(2) {
            let (step, total) = (self.in_schema("step"), self.in_schema("total"));
            self.line(&format!("create function {step}(bigint, integer) returns bigint language sql immutable as 'select $1 + coalesce($2, 0)'"));
            self.line(&format!("create aggregate {total}(integer) (sfunc = {step}, stype = bigint, initcond = '0', parallel = safe)"));
            self.comment(&format!("aggregate {total}(integer)"));
        }
        if let Some(user) = self.types.iter().rev().find_map(|it| it.user.clone()) {
            let takes = self.in_schema("takes");
            self.line(&format!("create function {takes}({user}, {user}[] default null) returns table (x {user}, y text) language sql stable rows 7 as 'select $1, null::text'"));
            if self.random.once_in(2) {
                self.line(&format!(
                    "grant execute on function {takes}({user}, {user}[]) to anon"
                ));
            }
        }
        let sequence = self.in_schema("seq");
        let options = self.pick(&[
            "increment by -2 minvalue -500 maxvalue 0 cycle",
            "as smallint start with 9 cache 4",
            "increment by 7 maxvalue 700",
        ]);
        self.line(&format!("create sequence {sequence} {options}"));
        self.comment(&format!("sequence {sequence}"));
    }

    fn columns(&mut self, most: usize) -> Vec<Column> {
        (0..self.random.below(most))
            .map(|_| {
                let at = self.random.below(self.types.len());
                let of = self.types[at].clone();
                Column {
                    name: self.name("col"),
                    of,
                    generated: false,
                }
            })
            .collect()
    }

    fn definition(&mut self, column: &Column) -> String {
        let mut text = format!("{} {}", column.name, column.of.sql);
        if self.random.once_in(4) {
            write!(text, " default {}", (column.of.value)(7)).expect("write to a string");
        }
        if self.random.once_in(5) {
            text.push_str(" not null");
        }
        text
    }

    fn table(&mut self) {
        let name = self.in_schema("table");
        let key = self.name("id");
        let kind = self.pick(&[
            "integer",
            "bigint generated by default as identity (increment by 3)",
            "serial",
            "bigint generated always as identity",
        ]);
        let mut columns = vec![Column {
            name: key.clone(),
            of: self.types[0].clone(),
            generated: false,
        }];
        columns.extend(self.columns(9));
        let mut parts = vec![format!("{key} {kind}")];
        let gone = self.name("gone");
        for (at, column) in columns.iter().enumerate().skip(1) {
            parts.push(self.definition(column));
            if at == 2 {
                parts.push(format!("{gone} text"));
            }
        }
        if self.random.once_in(3) {
            let made = self.name("made");
            parts.push(format!(
                "{made} text generated always as ({}({key}::integer)) stored",
                self.label
            ));
            columns.push(Column {
                name: made,
                of: self.types[3].clone(),
                generated: true,
            });
        }
        let status = self.name("status");
        parts.push(format!(
            "{status} varchar(8) default 'new' check ({status} in ('new', 'paid', 'it''s'))"
        ));
        columns.push(Column {
            name: status,
            of: Type {
                sql: "varchar".into(),
                value: |n| ["'new'", "'paid'", "null"][usize::try_from(n % 3).unwrap_or(0)].into(),
                sorts: true,
                user: None,
            },
            generated: false,
        });
        let constraint = self.name("key");
        let deferrable = self.pick(&["", "", " deferrable initially deferred"]);
        parts.push(format!(
            "constraint {constraint} primary key ({key}){deferrable}"
        ));
        let unlogged = if self.random.once_in(6) {
            "unlogged "
        } else {
            ""
        };
        let options = self.pick(&[
            "",
            " with (fillfactor = 66)",
            " with (autovacuum_enabled = off, toast.autovacuum_enabled = off)",
        ]);
        self.line(&format!(
            "create {unlogged}table {name} ({}){options}",
            parts.join(", ")
        ));
        if columns.len() > 3 {
            self.line(&format!("alter table {name} drop column if exists {gone}"));
        }
        self.line(&format!("alter table {name} add check ({key} > -5), add constraint {} check ({key} is not null) not valid", quoted("no'w")));
        self.comment(&format!("constraint {constraint} on {name}"));
        let rows = 1 + self.random.number() % 12;
        self.insert(&name, &columns, rows, kind.contains("always"));
        self.tables.push(Table {
            name,
            columns,
            rows,
            partitioned: false,
            unlogged: !unlogged.is_empty(),
        });
    }

    fn insert(&mut self, name: &str, columns: &[Column], rows: u64, overriding: bool) {
        let into: Vec<&Column> = columns.iter().filter(|column| !column.generated).collect();
        let names: Vec<&str> = into.iter().map(|column| column.name.as_str()).collect();
        let system = if overriding {
            " overriding system value"
        } else {
            ""
        };
        let values: Vec<String> = (1..=rows)
            .map(|n| {
                let row: Vec<String> = into
                    .iter()
                    .enumerate()
                    .map(|(at, column)| {
                        if at == 0 {
                            n.to_string()
                        } else {
                            (column.of.value)(n)
                        }
                    })
                    .collect();
                format!("({})", row.join(", "))
            })
            .collect();
        self.line(&format!(
            "insert into {name} ({}){system} values {}",
            names.join(", "),
            values.join(",\n  ")
        ));
    }

    fn partitioned(&mut self) {
        let name = self.in_schema("parts");
        let (key, region) = (self.name("id"), self.name("region"));
        let mut columns = vec![Column {
            name: key.clone(),
            of: self.types[0].clone(),
            generated: false,
        }];
        columns.extend(self.columns(5));
        let described: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.of.sql))
            .collect();
        let by = self.pick(&["range", "list", "hash"]);
        self.line(&format!(
            "create table {name} ({}, {region} text default 'eu') partition by {by} ({key})",
            described.join(", ")
        ));
        let bounds: [&str; 3] = match by {
            "range" => [
                "from (minvalue) to (4)",
                "from (4) to (9)",
                "from (9) to (maxvalue)",
            ],
            "list" => [
                "in (1, 2, 3, null)",
                "in (4, 5, 6)",
                "in (7, 8, 9, 10, 11, 12)",
            ],
            _ => [
                "with (modulus 2, remainder 0)",
                "with (modulus 4, remainder 1)",
                "with (modulus 4, remainder 3)",
            ],
        };
        let values = |bound: &str| format!("for values {bound}");
        let first = self.in_schema("part");
        let below = if self.random.once_in(2) {
            format!(" partition by list ({region})")
        } else {
            String::new()
        };
        self.line(&format!(
            "create table {first} partition of {name} {}{below}",
            values(bounds[0])
        ));
        if !below.is_empty() {
            let leaf = self.in_schema("leaf");
            self.line(&format!(
                "create table {leaf} partition of {first} for values in ('eu', null)"
            ));
            let rest = self.in_schema("leaf");
            self.line(&format!("create table {rest} partition of {first} default"));
        }
        let second = self.in_schema("part");
        self.line(&format!(
            "create table {second} partition of {name} {} with (fillfactor = 77)",
            values(bounds[1])
        ));
        // The last has its columns the other way round, and holes.
        let third = self.in_schema("part");
        let mut turned = described.clone();
        turned.insert(0, format!("{region} text default 'us'"));
        turned.reverse();
        turned.insert(1, "gone integer".to_owned());
        self.line(&format!("create table {third} ({})", turned.join(", ")));
        self.line(&format!("alter table {third} drop column gone"));
        self.line(&format!(
            "alter table {name} attach partition {third} {}",
            values(bounds[2])
        ));
        if below.is_empty() && self.random.once_in(2) {
            self.line(&format!("alter table {name} add primary key ({key})"));
        }
        let rows = 12;
        self.insert(&name, &columns, rows, false);
        self.tables.push(Table {
            name,
            columns,
            rows,
            partitioned: true,
            unlogged: false,
        });
    }

    fn inheritance(&mut self) {
        let (mother, child) = (self.in_schema("mother"), self.in_schema("child"));
        let (id, own) = (self.name("id"), self.name("own"));
        let check = self.name("check");
        self.line(&format!("create table {mother} ({id} integer, v text default 'm', constraint {check} check ({id} > 0))"));
        self.line(&format!(
            "create table {child} ({own} text, v text default 'c') inherits ({mother})"
        ));
        self.line(&format!("insert into {mother} ({id}) values (1)"));
        self.line(&format!(
            "insert into {child} ({id}, {own}) values (2, 'x')"
        ));
        self.comment(&format!("column {child}.{own}"));
    }

    fn foreign_keys(&mut self) {
        let plain: Vec<usize> = (0..self.tables.len())
            .filter(|at| !self.tables[*at].partitioned)
            .collect();
        for at in plain.clone() {
            let to = plain[self.random.below(plain.len())];
            let (from, rows) = (self.tables[at].name.clone(), self.tables[to].rows);
            // What a crash empties, only what it empties too may refer to.
            let lasts = self.tables[to].unlogged && !self.tables[at].unlogged;
            if lasts || !self.random.once_in(2) {
                continue;
            }
            let target = self.tables[to].name.clone();
            let key = self.tables[to].columns[0].name.clone();
            let unique = self.name("target");
            let (column, constraint) = (self.name("fk"), self.name("fkey"));
            self.line("set constraints all immediate");
            self.line(&format!("create unique index {unique} on {target} ({key})"));
            let action = self.pick(&[
                "",
                " on delete cascade",
                " on update set null on delete restrict",
                " deferrable initially deferred",
                " match full on delete set default",
            ]);
            self.line(&format!(
                "alter table {from} add column {column} integer default {rows}"
            ));
            self.line(&format!("alter table {from} add constraint {constraint} foreign key ({column}) references {target} ({key}){action}"));
            self.comment(&format!("constraint {constraint} on {from}"));
        }
        self.line("set constraints all immediate");
    }

    fn view(&mut self) {
        let over_view = !self.views.is_empty() && self.random.once_in(3);
        let (from, columns) = if over_view {
            let at = self.random.below(self.views.len());
            self.views[at].clone()
        } else {
            let at = self.random.below(self.tables.len());
            let table = &self.tables[at];
            (
                table.name.clone(),
                table
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect(),
            )
        };
        let kept: Vec<String> = columns
            .iter()
            .enumerate()
            .filter(|(at, _)| *at == 0 || *at % 2 == 1)
            .map(|(_, name)| name.clone())
            .collect();
        let made = self.name("made");
        let name = self.in_schema("view");
        let last = columns[columns.len() - 1].clone();
        let filter = self
            .pick(&[
                "true",
                "X::text not in ('a', 'b')",
                "X is not null",
                "(X::text)::varchar in ('new', 'paid')",
            ])
            .replace('X', &last);
        let text = format!(
            "select {}, {}({}::integer) as {made} from {from} as t where {filter}",
            kept.join(", "),
            self.label,
            kept[0]
        );
        if self.random.once_in(3) {
            let data = self.pick(&["with data", "with no data"]);
            self.line(&format!("create materialized view {name} as {text} {data}"));
            let index = self.name("mvidx");
            self.line(&format!("create index {index} on {name} ({made})"));
            self.comment(&format!("materialized view {name}"));
            // Nothing leans on it: one without data cannot be read when another is filled.
            return;
        }
        let options = self.pick(&[
            "",
            " with (security_invoker = true)",
            " with (security_barrier = true)",
        ]);
        self.line(&format!("create view {name}{options} as {text}"));
        self.comment(&format!("view {name}"));
        let role = self.pick(&ROLES);
        self.line(&format!("grant select ({made}) on {name} to {role} "));
        let mut columns = kept;
        columns.push(made);
        self.views.push((name, columns));
    }

    fn hang_on(&mut self, at: usize) {
        let name = self.tables[at].name.clone();
        let key = self.tables[at].columns[0].name.clone();
        let partitioned = self.tables[at].partitioned;
        let sorting: Vec<String> = self.tables[at]
            .columns
            .iter()
            .filter(|column| column.of.sorts)
            .map(|column| column.name.clone())
            .collect();
        let all: Vec<String> = self.tables[at]
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        for _ in 0..self.random.below(4) {
            let (index, column) = (
                self.name("idx"),
                sorting[self.random.below(sorting.len())].clone(),
            );
            let order = self.pick(&["", " desc", " nulls first"]);
            let rest = self
                .pick(&[
                    "",
                    " include (K)",
                    " where K > 2",
                    " with (fillfactor = 71)",
                ])
                .replace('K', &key);
            self.line(&format!(
                "create index {index} on {name} ({column}{order}){rest}"
            ));
            self.comment(&format!("index {}.{index}", schema_of(&name)));
        }
        if self.random.once_in(3) {
            let index = self.name("expr");
            self.line(&format!(
                "create index {index} on {name} (({}({key}::integer)), ({key} + 1))",
                self.label
            ));
        }
        if sorting.len() > 1 && self.random.once_in(3) {
            let statistics = self.in_schema("stat");
            self.line(&format!(
                "create statistics {statistics} on {}, {} from {name}",
                sorting[0], sorting[1]
            ));
        }
        let column = all[self.random.below(all.len())].clone();
        self.comment(&format!("table {name}"));
        self.comment(&format!("column {name}.{column}"));
        if self.random.once_in(3) {
            self.line(&format!(
                "alter table {name} alter column {column} set statistics 123"
            ));
        }
        let trigger = self.name("trg");
        let when = self
            .pick(&[
                "",
                " when (new.K > 0)",
                " when (new.K in (1, 2) and new.K is not null)",
            ])
            .replace('K', &format!("{key}::integer"));
        self.line(&format!("create trigger {trigger} before insert or update on {name} for each row{when} execute function {}('a', {})", self.trigger, literal("it's \\ %")));
        if !partitioned {
            let state = self.pick(&["enable", "disable", "enable replica", "enable always"]);
            self.line(&format!("alter table {name} {state} trigger {trigger}"));
        }
        self.comment(&format!("trigger {trigger} on {name}"));
        self.policies(&name, &key);
        for _ in 0..self.random.below(3) {
            let (role, right) = (
                self.pick(&ROLES),
                self.pick(&[
                    "select",
                    "insert",
                    "delete",
                    "all",
                    "select (K)",
                    "update (K)",
                ])
                .replace('K', &column),
            );
            let verb = if self.random.once_in(3) {
                "revoke"
            } else {
                "grant"
            };
            let word = if verb == "revoke" { "from" } else { "to" };
            self.line(&format!("{verb} {right} on {name} {word} {role}"));
        }
        if !partitioned && self.random.once_in(4) {
            let rule = self.name("rule");
            self.line(&format!(
                "create rule {rule} as on delete to {name} where old.{key} < 0 do also nothing"
            ));
        }
    }

    fn policies(&mut self, table: &str, key: &str) {
        if self.random.once_in(2) {
            return;
        }
        self.line(&format!("alter table {table} enable row level security"));
        for _ in 0..=self.random.below(3) {
            let policy = self.name("policy");
            let role = self.pick(&ROLES);
            let kind = self.pick(&["permissive", "permissive", "restrictive"]);
            let clause = self
                .pick(&[
                    "for select to R using (K > 1)",
                    "for insert to R with check (K in (1, 2))",
                    "to R using (K::text = (auth.uid())::text) with check (true)",
                    "for update to R using (true)",
                    "for delete to R using (auth.jwt() ->> 'aal' = 'aal2')",
                ])
                .replace('R', role)
                .replace('K', key);
            self.line(&format!(
                "create policy {policy} on {table} as {kind} {clause}"
            ));
            self.comment(&format!("policy {policy} on {table}"));
        }
    }

    fn publication(&mut self) {
        if self.random.once_in(2) {
            let lasting = self.tables.iter().find(|table| !table.unlogged);
            let Some(table) = lasting.map(|table| table.name.clone()) else {
                return;
            };
            let name = self.name("pub");
            self.line(&format!(
                "create publication {name} for table {table} with (publish = 'insert')"
            ));
        }
    }
}

/// The schema of a qualified name made here.
fn schema_of(name: &str) -> &str {
    let mut within = false;
    for (at, c) in name.char_indices() {
        match c {
            '"' => within = !within,
            '.' if !within => return &name[..at],
            _ => {}
        }
    }
    name
}
