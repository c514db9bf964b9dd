//! Dollar quoting that no text can break out of, and the question whether a statement survives a
//! program that cuts files at semicolons.

/// A text in dollar quotes whose tag does not occur in it.
pub(super) fn dollar_quoted(word: &str, text: &str) -> String {
    let mut tag = format!("${word}$");
    let mut number = 1_u32;
    // The part that the text must not hold is the tag without its last sign: a text may end in
    // what begins a tag.
    while text.contains(tag.trim_end_matches('$')) {
        number += 1;
        tag = format!("${word}{number}$");
    }
    format!("{tag}\n{text}\n{tag}")
}

/// Whether programs that know quotes, dollar quotes and comments but no grammar see one statement
/// here, whatever they make of a backslash inside of quotes.
pub(super) fn is_one_statement(sql: &str) -> bool {
    [false, true]
        .into_iter()
        .all(|backslash_escapes| statements(sql, backslash_escapes) == Some(1))
}

/// How many statements such a program sees; nothing when a quote stays open.
fn statements(sql: &str, backslash_escapes: bool) -> Option<usize> {
    let mut rest = sql;
    let mut is_empty = true;
    let mut count = 0;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            ';' => {
                count += usize::from(!is_empty);
                is_empty = true;
                after
            }
            '\'' | '"' => {
                is_empty = false;
                behind_quote(after, c, backslash_escapes && c == '\'')?
            }
            '-' if after.starts_with('-') => after.split_once('\n').map_or("", |(_, rest)| rest),
            '/' if after.starts_with('*') => after.split_once("*/")?.1,
            '$' => {
                is_empty = false;
                match dollar_tag(rest) {
                    Some(tag) => rest[tag.len()..].split_once(tag)?.1,
                    None => after,
                }
            }
            _ => {
                is_empty &= c.is_whitespace();
                after
            }
        };
    }
    Some(count + usize::from(!is_empty))
}

fn behind_quote(text: &str, quote: char, backslash_escapes: bool) -> Option<&str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslash_escapes {
            chars.next();
        } else if c == quote {
            // A doubled quote begins a new quote at once, which comes to the same.
            return Some(&text[at + quote.len_utf8()..]);
        }
    }
    None
}

fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    let word = &tag[1..end - 1];
    let is_word = word.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !word.starts_with(|c: char| c.is_ascii_digit());
    is_word.then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_its_quotes() {
        for text in ["", "$sql$", "$sql", "x $sql$ $sql2$ y", "$$", "a$", "$sql2"] {
            let quoted = dollar_quoted("sql", text);
            assert!(is_one_statement(&quoted), "{quoted}");
            let tag = quoted.lines().next().unwrap();
            assert_eq!(quoted.matches(tag).count(), 2, "{quoted}");
        }
    }

    #[test]
    fn statements_are_counted_as_simple_programs_do() {
        for (sql, is_one) in [
            ("select 1", true),
            ("select 1;", true),
            ("select 1; select 2", false),
            ("select ';', \";\", $$;$$, $a$;$$;$a$ -- ;\n /* ; */", true),
            ("select 'it''s;'", true),
            // The one ends the text at the second quote, the other at the third.
            ("select '\\'; select '", false),
            (
                "create function f() begin atomic select 1; select 2; end",
                false,
            ),
            (
                "create rule r as on insert to t do also (insert into a values (1); delete from b)",
                false,
            ),
            ("select 'open", false),
            ("select $1 + $2", true),
            ("", false),
        ] {
            assert_eq!(is_one_statement(sql), is_one, "{sql}");
        }
    }
}
