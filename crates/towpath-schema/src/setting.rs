//! Settings of roles and of the database: which may go, and how they are written.

use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::secret_text::{self, Handling};

use crate::rules::Evidence;
use crate::source::SettingRow;

/// Whether a setting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// It goes.
    Carried,
    /// Its name says that its value is a secret.
    Secret,
    /// The target refuses settings nobody declares.
    Refused,
    /// It makes a database refuse writes.
    Fence,
    /// Its value is a superuser's to choose.
    Privileged,
}

/// The first version that refuses settings nobody declares to everybody but superusers.
const REFUSES_UNKNOWN: u32 = 150_000;

/// Whether a setting of this name goes to the target.
pub(crate) fn carriage(name: &str, evidence: &Evidence<'_>) -> Carriage {
    let is_secret = looks_secret(name)
        || evidence
            .source
            .settings
            .iter()
            .filter(|row| row.name.eq_ignore_ascii_case(name))
            .any(|row| secret_text::looks_secret(&row.value).is_some());
    if is_secret && evidence.options.secrets == Handling::Redact {
        return Carriage::Secret;
    }
    let name = name.to_lowercase();
    // An operator who stops writers by this setting means the source, never the target.
    if name == "default_transaction_read_only" {
        return Carriage::Fence;
    }
    let is_custom = name.contains('.');
    if is_custom && evidence.target.version_num >= REFUSES_UNKNOWN && !evidence.target.is_superuser
    {
        return Carriage::Refused;
    }
    if is_custom || evidence.source.user_settings.contains(&name) {
        Carriage::Carried
    } else {
        Carriage::Privileged
    }
}

/// Words in the name of a setting, an option or a column that mark a secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with("app.settings.")
        || [
            "secret",
            "password",
            "passwd",
            "token",
            "key",
            "credential",
            "jwt",
            "dsn",
            "bearer",
        ]
        .iter()
        .any(|word| name.contains(word))
}

/// `set name to value` as it ends an `alter role` or `alter database`.
pub(crate) fn clause(name: &str, value: &str) -> String {
    let quoted = name
        .split('.')
        .map(quote_identifier)
        .collect::<Vec<_>>()
        .join(".");
    // The catalog holds list settings as SQL already: each element quoted where it must be.
    let value = match name.to_lowercase().as_str() {
        "search_path" | "temp_tablespaces" => match value.trim() {
            "" | "\"\"" => "''".to_owned(),
            list => list.to_owned(),
        },
        _ => quote_literal(value).trim().to_owned(),
    };
    format!("set {quoted} to {value}")
}

/// A statement on the current database, whose name differs between source and target.
pub(crate) fn on_current_database(before: &str, after: &str) -> String {
    format!(
        "do $towpath$ begin execute format({}, current_database()); end $towpath$",
        quote_literal(&format!(
            "{} %I {}",
            before.replace('%', "%%"),
            after.replace('%', "%%")
        ))
        .trim()
    )
}

/// The statement that makes a setting on the target, when it is of a role everywhere, of the
/// database, or of a role in it.
pub(crate) fn statement(row: &SettingRow) -> String {
    let clause = clause(&row.name, &row.value);
    match (&row.role, row.in_database) {
        (Some(role), false) => format!("alter role {} {clause}", quote_identifier(role)),
        (Some(role), true) => on_current_database(
            &format!("alter role {} in database", quote_identifier(role)),
            &clause,
        ),
        (None, _) => on_current_database("alter database", &clause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_the_catalog_holds_them() {
        assert_eq!(
            clause("search_path", "\"\\$user\", public, \"App Data\""),
            "set \"search_path\" to \"\\$user\", public, \"App Data\""
        );
        assert_eq!(clause("search_path", "\"\""), "set \"search_path\" to ''");
        assert_eq!(
            clause("app.region", "it's"),
            "set \"app\".\"region\" to 'it''s'"
        );
        let row = SettingRow {
            role: None,
            in_database: true,
            name: "statement_timeout".to_owned(),
            value: "5%".to_owned(),
        };
        assert!(pg_query::parse(&statement(&row), 0).is_ok());
        assert!(statement(&row).contains("%I") && statement(&row).contains("5%%"));
    }

    #[test]
    fn names_of_secrets_are_known() {
        assert!(looks_secret("app.settings.jwt_secret"));
        assert!(looks_secret("app.partner_key"));
        assert!(!looks_secret("app.region"));
    }
}
