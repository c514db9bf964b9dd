//! Errors of a server, stripped of anything that could be a value of a row.

use std::error::Error;
use std::fmt;

use sqlx::postgres::PgDatabaseError;
use towpath_model::connection::Side;
use towpath_model::{ErrorKind, Failure};

/// What a server answered. `DETAIL` and `CONTEXT` are left out: they quote values of rows.
#[derive(Debug, Clone)]
pub struct ServerError {
    /// SQLSTATE.
    pub code: String,
    /// The primary message, values taken out.
    pub message: String,
    /// Hint of the server.
    pub hint: Option<String>,
    /// Constraint, as in `public.orders orders_pkey`.
    pub constraint: Option<String>,
}

impl ServerError {
    fn of(error: &PgDatabaseError) -> Self {
        let constraint = error.constraint().map(|name| {
            let table = error
                .table()
                .map(|table| format!("{table} "))
                .unwrap_or_default();
            format!("{table}{name}")
        });
        Self {
            code: error.code().to_owned(),
            message: redact_message(error.code(), error.message()),
            hint: error
                .hint()
                .filter(|_| !error.code().starts_with("P0"))
                .map(str::to_owned),
            constraint,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {}", self.message, self.code)?;
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint}")?;
        }
        f.write_str(")")?;
        match &self.hint {
            Some(hint) => write!(f, "; the server adds: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for ServerError {}

/// Takes values of rows out of a message. Messages of class 22 (data exception) and internal errors
/// quote the offending value; what a function of the user's raises is free text. Other classes quote
/// names of objects only.
pub fn redact_message(code: &str, message: &str) -> String {
    match code.get(..2) {
        Some("P0") => "a function raised an error (its text is not shown)".to_owned(),
        Some("22" | "XX") => without_quoted(message),
        // The one syntax error that is of a value: of `to_tsquery`.
        _ if code == "42601" && message.contains("tsquery") => without_quoted(message),
        _ => message.to_owned(),
    }
}

/// A message without what is between its first and its last quotation mark: a value may hold some
/// itself. Servers quote as their language does.
fn without_quoted(message: &str) -> String {
    const MARKS: [char; 9] = ['"', '«', '»', '„', '“', '”', '‹', '›', '`'];
    let Some(from) = message.find(MARKS) else {
        return message.to_owned();
    };
    let after = message.rfind(MARKS).filter(|last| *last > from);
    let after = after.and_then(|last| message.get(last..)).unwrap_or("");
    let after = after.trim_start_matches(MARKS);
    format!("{}(value not shown){after}", &message[..from])
}

/// Turns an error of the driver into a letter.
pub(crate) fn failure(side: Side, doing: impl Into<String>, error: sqlx::Error) -> Failure {
    let fallback = match side {
        Side::Source => ErrorKind::Source,
        Side::Target => ErrorKind::Target,
    };
    let doing = doing.into();
    match error {
        sqlx::Error::Database(database) => {
            let server = match database.try_downcast::<PgDatabaseError>() {
                Ok(error) => ServerError::of(&error),
                Err(_) => return Failure::new(fallback, doing),
            };
            let (kind, hint) = match past_a_gigabyte(&server) {
                true => (fallback, Some(PAST_A_GIGABYTE.to_owned())),
                false => explain(&server.code, side, fallback),
            };
            let letter = Failure::new(kind, doing).because(server);
            match hint {
                Some(hint) => letter.hint(hint),
                None => letter,
            }
        }
        sqlx::Error::Io(cause) => Failure::new(ErrorKind::Connect, doing)
            .because(cause)
            .hint(format!("the {side} closed the connection or cannot be reached; the same command resumes")),
        sqlx::Error::Tls(cause) => Failure::new(ErrorKind::Tls, doing).because(cause).hint(format!(
            "pass the {side}'s root certificates with --{side}-root-cert FILE; RDS and Supabase each publish theirs"
        )),
        other => Failure::new(fallback, doing).because(other),
    }
}

/// What no server does: PostgreSQL bounds what it builds in memory at 1 GB (`MaxAllocSize`).
const PAST_A_GIGABYTE: &str = "a row is larger than 1 GB in the form it travels in, which no COPY of PostgreSQL can \
     move: as CSV bytea counts twice and a quote counts twice, and in binary all values of a row count together; \
     find it by octet_length() of its columns, and move it into a large object or split it";

/// Whether the server gave up because of the size of one row.
fn past_a_gigabyte(error: &ServerError) -> bool {
    let says = |words: &str| error.message.contains(words);
    match error.code.as_str() {
        "XX000" => says("invalid memory alloc request size"),
        // The buffer that a row is put together in; the words changed with 17.
        "54000" => says("out of memory") || says("string buffer exceeds"),
        _ => false,
    }
}

/// Adds to a refusal of rows what a missing name may mean: values of `regclass` and its kin travel
/// as names, and whatever is made after the rows has none yet.
pub(crate) fn explain_name(letter: Failure) -> Failure {
    let server = letter.source().and_then(|cause| cause.downcast_ref());
    let names = ["42P01", "42704", "42883", "42725", "3F000"];
    match server {
        Some(ServerError { code, .. }) if names.contains(&code.as_str()) => letter.hint(
            "a column of type regclass, regproc, regrole or their kin names an object that is not on the target \
             while rows are loaded: an index, one that stayed on the source, or a function of which there are \
             several; make it text or NULL on the source, then begin with --new-run",
        ),
        _ => letter,
    }
}

fn explain(code: &str, side: Side, fallback: ErrorKind) -> (ErrorKind, Option<String>) {
    match code {
        "28P01" | "28000" => (
            ErrorKind::Authentication,
            Some(format!("check user and password of the {side} URL, and that the server's pg_hba.conf or security group admits this host with TLS")),
        ),
        "3D000" => (ErrorKind::Config, Some(format!("check the database name of the {side} URL"))),
        "53300" => (
            ErrorKind::Connect,
            Some(format!("the {side} has no connection left; lower --jobs, or close other sessions")),
        ),
        "57P01" | "57P02" | "57P03" | "08006" | "08001" | "08003" => (
            ErrorKind::Connect,
            Some(format!("the {side} is restarting or ended the session; the same command resumes")),
        ),
        "53100" => (
            fallback,
            Some(format!("the disk of the {side} is full: give it room, then the same command resumes")),
        ),
        "57014" => (
            fallback,
            Some(format!("somebody or a timeout cancelled the statement on the {side}; the same command resumes")),
        ),
        "55P03" => (
            fallback,
            Some(format!("somebody waits for an exclusive lock on that table of the {side}: let their ALTER TABLE or TRUNCATE end, then begin again")),
        ),
        "42501" if side == Side::Source => (
            fallback,
            Some("the source login must be able to read every table that goes: on Supabase use the role postgres".to_owned()),
        ),
        _ => (fallback, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_past_a_gigabyte_is_known_by_what_servers_say() {
        let says = |code: &str, message: &str| {
            past_a_gigabyte(&ServerError {
                code: code.to_owned(),
                message: message.to_owned(),
                hint: None,
                constraint: None,
            })
        };
        assert!(says(
            "XX000",
            "invalid memory alloc request size 1258291203"
        ));
        assert!(says("54000", "out of memory"));
        assert!(says(
            "54000",
            "string buffer exceeds maximum allowed length (1073741823 bytes)"
        ));
        assert!(!says(
            "54000",
            "index row size 3000 exceeds btree version 4 maximum 2704"
        ));
        assert!(!says("53200", "out of memory"));
    }

    #[test]
    fn values_of_rows_are_not_quoted() {
        let shown = redact_message(
            "22P02",
            "invalid input syntax for type integer: \"hunter2\"",
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("invalid input syntax for type integer"));
        let range = redact_message("22003", "value \"99999999999\" is out of range");
        assert!(
            !range.contains("999") && range.contains("out of range"),
            "{range}"
        );
        // Values may hold quotes, and servers quote as their language does.
        for message in [
            "invalid input syntax for type integer: \"a\"hunter2\"",
            "ungültige Eingabesyntax für Typ integer: »hunter2«",
            "ungültige Eingabesyntax für Typ integer: „hunter2“",
            "syntaxe en entrée invalide pour le type integer : « hunter2 »",
        ] {
            let shown = redact_message("22P02", message);
            assert!(
                !shown.contains("hunter2") && shown.ends_with("(value not shown)"),
                "{shown}"
            );
        }
        let query = redact_message("42601", "syntax error in tsquery: \"hunter2 &\"");
        assert_eq!(query, "syntax error in tsquery: (value not shown)");
        assert!(!redact_message("P0001", "hunter2 is too short").contains("hunter2"));
        assert_eq!(
            redact_message("42P01", "relation: \"x\""),
            "relation: \"x\""
        );
    }
}
