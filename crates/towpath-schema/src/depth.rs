//! Statements whose tree is deeper than can be handed over from the parser.
//!
//! The parser's answer comes in a form whose reader refuses more than a hundred levels, which a
//! view with fifty `||` in a row has. What such a statement makes is told by its head, so the depth
//! of it is cut out, the rest is parsed, and the statement itself is replayed as it is. A mark stays
//! where something was cut out: a tree with the mark is never written as SQL.

use pg_query::protobuf::Token;

use crate::references::words::{Word, scan};

/// Stands for what was cut out.
pub(crate) const MARK: &str = "towpath_left_out";

/// How many parentheses deep a statement is left whole, tried in this order.
const DEPTHS: [usize; 5] = [16, 10, 6, 4, 2];

/// Shallower forms of a statement that make the same object, best first.
pub(crate) fn shallower(sql: &str) -> Vec<String> {
    let Some(words) = scan(sql) else {
        return Vec::new();
    };
    let heads = head_of_view(sql, &words);
    let cut = DEPTHS
        .iter()
        .map(|depth| without_depth(sql, &words, *depth));
    heads.into_iter().chain(cut).collect()
}

/// `create view … as`, with another query.
fn head_of_view(sql: &str, words: &[Word<'_>]) -> Option<String> {
    let is_view = words.first()?.is("create") && words.iter().take(5).any(|w| w.is("view"));
    let mut depth = 0_usize;
    let query = words.iter().find(|word| {
        match word.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && word.is("as")
    })?;
    let head = sql.get(..query.end)?;
    is_view.then(|| format!("{head} select {MARK}"))
}

/// The same without what is more parentheses deep than this. A group behind a name holds arguments,
/// any other one is a value or a table: a query can be both.
fn without_depth(sql: &str, words: &[Word<'_>], most: usize) -> String {
    let mut text = String::with_capacity(sql.len());
    let (mut depth, mut at) = (0_usize, 0_usize);
    for (place, word) in words.iter().enumerate() {
        if word.text == "(" {
            depth += 1;
            if depth == most + 1 {
                let has_arguments = place > 0 && is_name(words[place - 1].token);
                text.push_str(sql.get(at..word.end).unwrap_or_default());
                text.push_str(if has_arguments { "" } else { "select " });
                text.push_str(MARK);
            }
        } else if word.text == ")" {
            if depth == most + 1 {
                at = word.start;
            }
            depth = depth.saturating_sub(1);
        }
    }
    text.push_str(sql.get(at..).unwrap_or_default());
    text
}

/// Whether a token is a name, and no key word that an expression may follow.
fn is_name(token: Token) -> bool {
    matches!(
        token,
        Token::Ident | Token::Uident | Token::Coalesce | Token::Greatest | Token::Least
    )
}

#[cfg(test)]
mod tests {
    use pg_query::NodeEnum;

    use super::*;
    use crate::statement::{deparse, parse};

    fn chain(of: usize) -> String {
        (0..of).fold("a".to_owned(), |chain, _| format!("({chain} || 'x'::text)"))
    }

    fn joined(of: usize) -> String {
        (0..of).fold("t".to_owned(), |chain, i| {
            format!("({chain}\n JOIN s.t{i} ON ((t{i}.id = t.id)))")
        })
    }

    #[test]
    fn statements_of_any_depth_tell_what_they_make() {
        let deep = chain(300);
        for sql in [
            format!(
                "CREATE VIEW a.v WITH (security_barrier='true') AS\n SELECT {deep} AS x\n FROM {}",
                joined(80)
            ),
            format!(
                "CREATE MATERIALIZED VIEW a.v AS\n SELECT 1 {}\nWITH NO DATA",
                "UNION SELECT 2 ".repeat(100)
            ),
            format!(
                "CREATE TABLE a.t (id numeric(10,2) NOT NULL, x text GENERATED ALWAYS AS ({deep}) STORED, CONSTRAINT c CHECK (({deep} <> ''::text)))"
            ),
            format!(
                "CREATE INDEX i ON a.t USING btree (lower({deep})) WHERE ({deep} = ANY (ARRAY['a'::text]))"
            ),
            format!(
                "CREATE POLICY p ON a.t USING ((EXISTS ( SELECT 1 FROM {} WHERE ({deep} IS NOT NULL))))",
                joined(60)
            ),
            format!("ALTER TABLE ONLY a.t ADD CONSTRAINT c CHECK ({deep} <> '')"),
            format!("ALTER TABLE ONLY a.t ALTER COLUMN x SET DEFAULT {deep}"),
        ] {
            let node = parse(&sql).unwrap_or_else(|failure| panic!("{failure:?}: {}", &sql[..60]));
            let subject = crate::classify::subject(&node, &Default::default()).unwrap();
            assert_eq!(
                subject.object.schema.as_deref(),
                Some("a"),
                "{}",
                &sql[..60]
            );
            // Written anew, it would be another statement.
            assert!(deparse(&node).is_err(), "{}", &sql[..60]);
        }
    }

    #[test]
    fn what_is_not_deep_stays_whole() {
        let node = parse("CREATE VIEW a.v AS SELECT (((1 + 2)))").unwrap();
        assert!(matches!(node, NodeEnum::ViewStmt(_)));
        assert!(!deparse(&node).unwrap().contains(MARK));
        assert!(parse("CREATE VIEW a.v AS SELEC 1").is_err());
    }
}
