//! Statements that are not applied and may be wanted elsewhere, without their secrets.

use pg_query::NodeEnum;
use pg_query::protobuf::Token;
use towpath_model::schema::AppendixEntry;
use towpath_model::structure::ObjectKind;

use crate::decision::Decisions;
use crate::setting::looks_secret;
use crate::statement::Piece;

const REDACTED: &str = "'***'";

/// The entry of a dropped statement, when somebody may want it: what the user hung on the
/// platform's tables, and what depended on something dropped.
pub(crate) fn entry(piece: &Piece, decisions: &Decisions) -> Option<AppendixEntry> {
    if matches!(piece.node, NodeEnum::GrantStmt(_)) {
        return None;
    }
    let report = decisions.report(&piece.subject.object)?;
    let is_wanted = match piece.subject.object.kind {
        ObjectKind::Policy
        | ObjectKind::EventTrigger
        | ObjectKind::Publication
        | ObjectKind::UserMapping => {
            report.rule != "extension-member" && report.reason != "belongs to the platform"
        }
        _ => matches!(report.rule.as_str(), "dependent" | "webhook" | "superuser"),
    };
    is_wanted.then(|| AppendixEntry {
        object: piece.subject.object.clone(),
        sql: without_secrets(piece),
    })
}

/// Every literal of a statement that is known to carry secrets is replaced; elsewhere those that
/// look like one.
fn without_secrets(piece: &Piece) -> String {
    let all = matches!(
        piece.subject.object.kind,
        ObjectKind::UserMapping
            | ObjectKind::Trigger
            | ObjectKind::ForeignServer
            | ObjectKind::Setting
    );
    without_literals(&piece.sql, |literal| all || literal_looks_secret(literal))
}

/// Replaces string literals; a statement that cannot be scanned is not shown at all.
fn without_literals(sql: &str, is_secret: impl Fn(&str) -> bool) -> String {
    let Ok(scanned) = pg_query::scan(sql) else {
        return "-- not shown".to_owned();
    };
    let mut clean = String::with_capacity(sql.len());
    let mut at = 0;
    for token in &scanned.tokens {
        let (Ok(start), Ok(end)) = (usize::try_from(token.start), usize::try_from(token.end))
        else {
            continue;
        };
        let is_literal = matches!(
            token.token(),
            Token::Sconst | Token::Usconst | Token::Xconst | Token::Bconst
        );
        let (Some(before), Some(text)) = (sql.get(at..start), sql.get(start..end)) else {
            return "-- not shown".to_owned();
        };
        clean.push_str(before);
        clean.push_str(if is_literal && is_secret(text) {
            REDACTED
        } else {
            text
        });
        at = end;
    }
    clean.push_str(sql.get(at..).unwrap_or_default());
    clean
}

/// A token, a key, a header: long without a space, or named as one.
fn literal_looks_secret(literal: &str) -> bool {
    let inner = literal.trim_matches('\'');
    let is_long = inner.len() >= 24 && !inner.contains(char::is_whitespace);
    is_long || inner.contains("eyJ") || looks_secret(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Names, subject};
    use crate::statement::{Section, parse};

    fn piece(sql: &str) -> Piece {
        let node = parse(sql).unwrap();
        Piece {
            sql: sql.to_owned(),
            section: Section::PostData,
            subject: subject(&node, &Names::default()).unwrap(),
            node,
        }
    }

    #[test]
    fn webhook_headers_and_passwords_are_not_shown() {
        let shown = without_secrets(&piece(
            "CREATE TRIGGER w AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION supabase_functions.http_request('https://x', 'POST', '{\"Authorization\":\"Bearer tok\"}')",
        ));
        assert!(
            !shown.contains("Bearer") && shown.contains("http_request('***'"),
            "{shown}"
        );
        let shown = without_secrets(&piece(
            "CREATE USER MAPPING FOR postgres SERVER s OPTIONS (\n    password 'hunter2'\n)",
        ));
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn a_policy_keeps_its_plain_words() {
        let sql =
            "CREATE POLICY p ON storage.objects FOR SELECT USING ((bucket_id = 'avatars'::text))";
        assert_eq!(without_secrets(&piece(sql)), sql);
        let shown = without_secrets(&piece(
            "CREATE POLICY p ON storage.objects FOR SELECT USING (t = 'eyJhbGciOi')",
        ));
        assert!(!shown.contains("eyJ"));
    }
}
