//! Statements that are not applied and may be wanted elsewhere, without their secrets.

use pg_query::protobuf::Token;
use towpath_model::schema::AppendixEntry;
use towpath_model::structure::ObjectKind;

use crate::decision::Decisions;
use crate::setting::looks_secret;
use crate::statement::{Form, Piece};

const REDACTED: &str = "'***'";
pub(crate) const NOT_SHOWN: &str = "-- not shown";

/// The entry of a dropped statement, when somebody may want it: what the user hung on the
/// platform's tables, and what depended on something dropped.
pub(crate) fn entry(piece: &Piece, decisions: &Decisions) -> Option<AppendixEntry> {
    if piece.form == Form::Grant {
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

/// A literal may be a row, a key or a password, whatever it looks like. A policy is nothing without
/// the words it compares with, and is read by everybody who may read the catalog: only what looks
/// like a secret is taken out.
fn without_secrets(piece: &Piece) -> String {
    let is_policy = piece.subject.object.kind == ObjectKind::Policy;
    let is_secret = |literal: &str| !is_policy || literal_looks_secret(literal);
    let shown = match piece.form {
        Form::Function => signature(&piece.sql),
        _ => Some(piece.sql.as_str()),
    };
    shown
        .and_then(|sql| without_literals(sql, is_secret))
        .unwrap_or_else(|| NOT_SHOWN.to_owned())
}

/// A function up to its body.
fn signature(sql: &str) -> Option<&str> {
    let mut depth = 0_i32;
    for token in &pg_query::scan(sql).ok()?.tokens {
        match token.token() {
            Token::Ascii40 => depth += 1,
            Token::Ascii41 => depth -= 1,
            Token::As | Token::BeginP | Token::Return if depth == 0 => {
                let start = usize::try_from(token.start).ok()?;
                return sql.get(..start).map(str::trim_end);
            }
            _ => {}
        }
    }
    None
}

/// Replaces string literals and leaves out comments; nothing when the statement cannot be scanned.
pub(crate) fn without_literals(sql: &str, is_secret: impl Fn(&str) -> bool) -> Option<String> {
    let scanned = pg_query::scan(sql).ok()?;
    let mut clean = String::with_capacity(sql.len());
    let mut at = 0;
    for token in &scanned.tokens {
        let start = usize::try_from(token.start).ok()?;
        let end = usize::try_from(token.end).ok()?;
        let text = sql.get(start..end)?;
        clean.push_str(sql.get(at..start)?);
        clean.push_str(match token.token() {
            Token::SqlComment | Token::CComment => "",
            Token::Sconst | Token::Usconst | Token::Xconst | Token::Bconst if is_secret(text) => {
                REDACTED
            }
            _ => text,
        });
        at = end;
    }
    clean.push_str(sql.get(at..)?);
    Some(clean.trim_end().to_owned())
}

/// A token, a key, a header: long without a space, or named as one.
pub(crate) fn literal_looks_secret(literal: &str) -> bool {
    let inner = literal.trim_matches('\'');
    let is_long = inner.len() >= 24 && !inner.contains(char::is_whitespace);
    is_long || inner.contains("eyJ") || looks_secret(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Names;
    use crate::dump::Dump;
    use crate::statement::split;

    fn piece(sql: &str) -> Piece {
        let dump = Dump {
            post_data: format!("{sql};"),
            ..Dump::default()
        };
        split(&dump, &Names::default()).unwrap().remove(0)
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
    fn no_literal_comment_or_body_is_shown() {
        let shown = without_secrets(&piece(
            "CREATE VIEW public.v AS\n SELECT 'plain words' AS a, -- said by the way\n    $x$blue$x$ AS b /* and so */",
        ));
        assert_eq!(
            shown,
            "CREATE VIEW public.v AS\n SELECT '***' AS a, \n    '***' AS b"
        );
        for body in [
            "AS $$ select 'blue' $$",
            "RETURN 'blue'",
            "BEGIN ATOMIC\n SELECT 'blue';\nEND",
        ] {
            let sql = format!(
                "CREATE FUNCTION public.f(a text DEFAULT ('red' || (1)::text)) RETURNS text\n    LANGUAGE sql\n    {body}"
            );
            assert_eq!(
                without_secrets(&piece(&sql)),
                "CREATE FUNCTION public.f(a text DEFAULT ('***' || (1)::text)) RETURNS text\n    LANGUAGE sql"
            );
        }
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
