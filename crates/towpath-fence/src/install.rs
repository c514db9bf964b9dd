//! What a fence is made of, as SQL.

use serde::Serialize;
use towpath_model::RunId;
use towpath_model::cutover::FenceMode;
use towpath_model::name::{quote_identifier, quote_literal};

use crate::tables::{Strength, Table};
use crate::{ROW_TRIGGER, TRIGGER};

/// First key of the advisory lock that waiting clients wait for: `towp`.
pub(crate) const LOCK_CLASS: i32 = 0x746f_7770;

/// Begins a transaction that writes whatever the database's default says, and that no setting of
/// role or database ends.
pub(crate) const BEGIN: &str = "begin transaction isolation level read committed, read write; \
    set local search_path = ''; set local statement_timeout = 0; set local lock_timeout = '10s'; \
    set local idle_in_transaction_session_timeout = 0; set local client_min_messages = warning; \
    select pg_catalog.set_config(s.name, '0', true) from pg_catalog.pg_settings s \
    where s.name = 'transaction_timeout'";

/// Schema, function and notes. Nobody but the owner gets any right on them: the right to run a
/// trigger's function is asked for when the trigger is made (PostgreSQL manual, "CREATE TRIGGER").
pub(crate) fn schema(run: &RunId, mode: FenceMode, key: i32, message: &str) -> String {
    let comment = format!(
        "fence of towpath run {run}: writes to the tables that it has moved are refused; `towpath unfence {run}` lifts it"
    );
    let comment = quote_literal(&comment);
    format!(
        "create schema towpath_fence;
         revoke all on schema towpath_fence from public;
         comment on schema towpath_fence is {comment};
         {function};
         revoke all on function towpath_fence.refuse() from public",
        function = function(&refusing(run, mode, key, message)),
    )
}

/// `security invoker`: it must not be able to do more than whoever writes. The search path is
/// pinned, so that nothing of the caller's is called.
fn function(body: &str) -> String {
    format!(
        "create or replace function towpath_fence.refuse() returns trigger
         language plpgsql security invoker set search_path = ''
         as {}",
        quote_literal(body)
    )
}

/// The function as it lets writes pass: what runs it next lets them pass, without any lock.
pub(crate) fn opened() -> String {
    function(&format!("begin\n{PASS}\nend"))
}

const PASS: &str = "    if tg_level = 'ROW' then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    return null;";

/// 25006 (`read_only_sql_transaction`) is what a server says whose database cannot be written to:
/// drivers and poolers know it, and none of them repeats the statement by itself.
fn refusing(run: &RunId, mode: FenceMode, key: i32, message: &str) -> String {
    let refuse = format!(
        "    raise exception using errcode = '25006', message = {},
        detail = pg_catalog.concat('Table ', tg_table_schema, '.', tg_table_name, ' was moved by towpath run ', {}, '.');",
        quote_literal(message),
        quote_literal(run.as_str()),
    );
    match mode {
        FenceMode::Refuse => format!("begin\n{refuse}\nend"),
        // Whoever holds the other side of the lock lets go of it when the switch is done, and when
        // it dies. The comment says whether the fence was opened meanwhile: it can be read without
        // any right, by a statement of its own, and so with a snapshot of its own.
        FenceMode::Wait => format!(
            "declare
    said text;
begin
    perform pg_catalog.pg_advisory_xact_lock_shared({LOCK_CLASS}, {key});
    select pg_catalog.obj_description(t.tgfoid, 'pg_proc') into said
    from pg_catalog.pg_trigger t
    where t.tgrelid = tg_relid and t.tgname = tg_name;
    if (said::jsonb ->> 'is_open')::boolean then
    {PASS}
    end if;
{refuse}
end"
        ),
    }
}

/// The triggers of a table.
pub(crate) fn triggers(table: &Table) -> String {
    let name = table.quoted();
    let on = |trigger: &str, events: &str, level: &str| {
        let trigger = quote_identifier(trigger);
        let create = format!(
            "create trigger {trigger} before {events} on {name} for each {level} execute function towpath_fence.refuse()"
        );
        match table.strength() {
            Strength::Always => {
                format!("{create}; alter table only {name} enable always trigger {trigger}")
            }
            Strength::Weak | Strength::Open => create,
        }
    };
    let statement = on(
        TRIGGER,
        "insert or update or delete or truncate",
        "statement",
    );
    match table.wants_row_trigger() {
        true => format!(
            "{statement}; {}",
            on(ROW_TRIGGER, "insert or update or delete", "row")
        ),
        false => statement,
    }
}

/// What is noted about a table, against which the fence is proven later. The server adds what it
/// has: `put_up`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TableNote {
    oid: u32,
    name: String,
    quoted: String,
    strength: &'static str,
    triggers: u8,
}

impl TableNote {
    pub(crate) fn of(table: &Table) -> Self {
        let strength = table.strength();
        Self {
            oid: table.oid,
            name: table.name().to_string(),
            quoted: table.quoted(),
            strength: strength.label(),
            triggers: match (strength, table.wants_row_trigger()) {
                (Strength::Open, _) => 0,
                (_, true) => 2,
                (_, false) => 1,
            },
        }
    }
}

/// The statement that notes the fence, as the comment of its function. A table would be published
/// where a publication is for all tables, and subscribers that have none stop at its first row.
pub(crate) fn note(text: &str) -> String {
    format!(
        "comment on function towpath_fence.refuse() is {}",
        quote_literal(text)
    )
}
