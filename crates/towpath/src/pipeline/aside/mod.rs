//! Databases beside the target's own: what a rehearsal and a clone have in common.

pub mod keeper;
pub mod roles;

use serde::Deserialize;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::{Result, RunId};
use towpath_postgres::{Session, SessionOptions};

use crate::context::Context;

/// Another database on the same server.
pub fn of_database(target: &ConnectionUrl, database: &str) -> ConnectionUrl {
    ConnectionUrl {
        database: database.to_owned(),
        ..target.clone()
    }
}

/// Connects for work on databases themselves.
pub async fn connect(
    context: &Context,
    url: &ConnectionUrl,
    run: &RunId,
    what: &str,
) -> Result<Session> {
    let options: SessionOptions =
        context.session_options(Side::Target, &format!("towpath/{run}/{what}"));
    let mut session = Session::connect(url, Side::Target, &options).await?;
    // A setting of the login's own must not end what is waited for here.
    session
        .execute("set statement_timeout = 0; set idle_session_timeout = 0")
        .await?;
    Ok(session)
}

/// The statement that comments on a database: its mark.
pub fn marking(database: &str, mark: &str) -> String {
    format!(
        "comment on database {} is {}",
        quote_identifier(database),
        quote_literal(mark)
    )
}

#[derive(Deserialize)]
struct DatabaseRow {
    encoding: String,
    collate: String,
    ctype: String,
    provider: String,
    locale: Option<String>,
    rules: Option<String>,
}

/// The statement that makes a database in which text is sorted and encoded as in the one of the
/// session. From `template0`, which nobody has changed and nobody is connected to.
pub async fn creation(session: &mut Session, database: &str) -> Result<String> {
    let like: DatabaseRow = session
        .fetch_one(
            "select pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
                    d.datcollate as collate, d.datctype as ctype,
                    d.datlocprovider::text as provider,
                    coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale',
                             pg_catalog.to_jsonb(d) ->> 'daticulocale') as locale,
                    pg_catalog.to_jsonb(d) ->> 'daticurules' as rules
               from pg_catalog.pg_database d
              where d.datname = pg_catalog.current_database()",
            &[],
        )
        .await?;
    let mut sql = format!(
        "create database {} template template0 encoding {} lc_collate {} lc_ctype {}",
        quote_identifier(database),
        quote_literal(&like.encoding),
        quote_literal(&like.collate),
        quote_literal(&like.ctype)
    );
    let (provider, word) = match like.provider.as_str() {
        "i" => ("icu", "icu_locale"),
        "b" => ("builtin", "builtin_locale"),
        _ => ("libc", ""),
    };
    sql.push_str(&format!(" locale_provider {provider}"));
    if let (Some(locale), false) = (&like.locale, word.is_empty()) {
        sql.push_str(&format!(" {word} {}", quote_literal(locale)));
    }
    if let Some(rules) = &like.rules {
        sql.push_str(&format!(" icu_rules {}", quote_literal(rules)));
    }
    Ok(sql)
}
