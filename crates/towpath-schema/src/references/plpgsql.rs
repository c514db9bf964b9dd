//! The SQL inside of a PL/pgSQL body, statement by statement, and whether a call always gets there.
//!
//! The language has few statements of its own around SQL that it hands to the server as text
//! (PostgreSQL manual, "PL/pgSQL - SQL Procedural Language"), so a body is cut up by its key words
//! and each piece is parsed as SQL. The parser of the language itself is of no use here: it wants
//! to know every type that a body names.

use towpath_model::schema::Certainty;

use super::words::{Word, scan};

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    pub text: String,
    pub kind: Kind,
    pub certainty: Certainty,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole statement.
    Statement,
    /// Expressions, separated by commas, or whatever may follow `select`.
    Expression,
    /// An expression whose text is run as a statement.
    Dynamic,
    /// The type of a variable.
    Type,
}

/// What `end` closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    /// `begin`, with the number of pieces before it.
    Block(usize),
    /// `if` and `case`.
    Branch,
    /// `loop`, which may run no round.
    Rounds,
    /// `loop` alone, which runs at least one.
    Forever,
}

/// Cuts up a body; nothing when the scanner cannot read it.
pub(super) fn fragments(body: &str) -> Option<Vec<Fragment>> {
    let words = scan(body)?;
    let mut reader = Reader {
        body,
        words: &words,
        at: 0,
        opened: Vec::new(),
        may_have_left: false,
        in_declarations: false,
        found: Vec::new(),
    };
    while reader.at < words.len() {
        reader.statement();
    }
    Some(reader.found)
}

struct Reader<'t> {
    body: &'t str,
    words: &'t [Word<'t>],
    at: usize,
    opened: Vec<Opened>,
    /// Some earlier statement may have ended the call or the round.
    may_have_left: bool,
    in_declarations: bool,
    found: Vec<Fragment>,
}

impl<'t> Reader<'t> {
    fn statement(&mut self) {
        let word = self.words[self.at];
        if word.text == ";" {
            self.at += 1;
            return;
        }
        if word.text == "<<" {
            self.at = self.find_from(self.at, |w| w.text == ">>") + 1;
            return;
        }
        if word.token == pg_query::protobuf::Token::Ident && word.text.starts_with('"') {
            return self.other();
        }
        let key = word.text.to_ascii_lowercase();
        if self.in_declarations && key != "begin" {
            // A block may repeat the word before each of its declarations.
            if key == "declare" {
                self.at += 1;
                return;
            }
            return self.declaration();
        }
        if self.is_assignment() {
            return self.assignment();
        }
        match key.as_str() {
            "declare" => {
                self.in_declarations = true;
                self.at += 1;
            }
            "begin" => {
                self.in_declarations = false;
                self.opened.push(Opened::Block(self.found.len()));
                self.at += 1;
            }
            "exception" => self.handlers(),
            "end" => {
                self.opened.pop();
                self.skip();
            }
            "if" => {
                self.until(&["then"], Kind::Expression);
                self.opened.push(Opened::Branch);
            }
            "elsif" | "elseif" => self.until(&["then"], Kind::Expression),
            "else" => self.at += 1,
            "case" => self.case(),
            "when" => self.when(),
            "loop" => {
                self.opened.push(Opened::Forever);
                self.at += 1;
            }
            "while" => {
                self.until(&["loop"], Kind::Expression);
                self.opened.push(Opened::Rounds);
            }
            "for" => self.rounds(),
            "foreach" => {
                self.at = self.find(|w| w.is("array")).unwrap_or(self.at);
                self.until(&["loop"], Kind::Expression);
                self.opened.push(Opened::Rounds);
            }
            "return" => self.leave_with_result(),
            "exit" | "continue" => {
                if let Some(when) = self.find(|w| w.is("when")) {
                    self.at = when;
                    self.until(&[], Kind::Expression);
                } else {
                    self.skip();
                }
                self.may_have_left = true;
            }
            "raise" => self.raise(),
            "execute" => self.execute(),
            "perform" | "assert" => self.until(&[], Kind::Expression),
            "open" => self.open(),
            "get" | "fetch" | "move" | "close" | "null" | "commit" | "rollback" => self.skip(),
            _ => self.other(),
        }
    }

    /// How sure it is that a call gets here.
    fn certainty(&self) -> Certainty {
        let is_straight = self
            .opened
            .iter()
            .all(|opened| matches!(opened, Opened::Block(_) | Opened::Forever));
        if is_straight && !self.may_have_left {
            Certainty::Surely
        } else {
            Certainty::Perhaps
        }
    }

    fn add(&mut self, kind: Kind, from: usize, to: usize) {
        let (Some(first), Some(last)) = (
            self.words.get(from),
            to.checked_sub(1).and_then(|at| self.words.get(at)),
        ) else {
            return;
        };
        if from >= to {
            return;
        }
        let text = self.body.get(first.start..last.end).unwrap_or_default();
        self.found.push(Fragment {
            text: text.to_owned(),
            kind,
            certainty: self.certainty(),
        });
    }

    /// The first word from here on, outside of parentheses, and before the end of the statement.
    fn find(&self, wanted: impl Fn(&Word<'t>) -> bool) -> Option<usize> {
        let at = self.find_from(self.at, |word| word.text == ";" || wanted(word));
        self.words.get(at).filter(|word| wanted(word)).map(|_| at)
    }

    /// The first such word outside of parentheses, or the end.
    fn find_from(&self, from: usize, wanted: impl Fn(&Word<'t>) -> bool) -> usize {
        let mut depth = 0_u32;
        for (at, word) in self.words.iter().enumerate().skip(from) {
            if depth == 0 && wanted(word) {
                return at;
            }
            match word.text {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.words.len()
    }

    fn end(&self) -> usize {
        self.find_from(self.at, |word| word.text == ";")
    }

    fn skip(&mut self) {
        self.at = self.end() + 1;
    }

    /// Takes what stands between the key word here and one of these, or the end of the statement.
    fn until(&mut self, keys: &[&str], kind: Kind) {
        let to = self
            .find(|word| keys.iter().any(|key| word.is(key)))
            .unwrap_or_else(|| self.end());
        self.add(kind, self.at + 1, to);
        self.at = to + 1;
    }

    /// `name [constant] type [collate x] [not null] [default expression]`, a cursor, or an alias.
    fn declaration(&mut self) {
        let end = self.end();
        let is_cursor = self.find(|word| word.is("cursor"));
        if is_cursor.is_some_and(|at| at <= self.at + 3) {
            if let Some(query) = self.find(|word| word.is("for") || word.is("is")) {
                self.add(Kind::Statement, query + 1, end);
                // It runs when it is opened, if it is.
                if let Some(last) = self.found.last_mut() {
                    last.certainty = Certainty::Perhaps;
                }
            }
        } else if !self.words.get(self.at + 1).is_some_and(|w| w.is("alias")) {
            let from = match self.words.get(self.at + 1) {
                Some(word) if word.is("constant") => self.at + 2,
                _ => self.at + 1,
            };
            let is_value = |word: &Word<'_>| word.is("default") || matches!(word.text, ":=" | "=");
            let value = self.find(is_value);
            let to = self
                .find(|word| is_value(word) || word.is("collate") || word.is("not"))
                .unwrap_or(end);
            self.add(Kind::Type, from, to);
            if let Some(value) = value {
                self.add(Kind::Expression, value + 1, end);
            }
        }
        self.at = end + 1;
    }

    /// Everything before the handlers of a block is caught by them.
    fn handlers(&mut self) {
        if let Some(Opened::Block(before)) = self.opened.last().copied() {
            for caught in self.found.iter_mut().skip(before) {
                caught.certainty = Certainty::Perhaps;
            }
            self.opened.pop();
            self.opened.push(Opened::Branch);
        }
        self.at += 1;
    }

    fn case(&mut self) {
        let when = self
            .find(|word| word.is("when"))
            .unwrap_or_else(|| self.end());
        self.add(Kind::Expression, self.at + 1, when);
        self.at = when;
        self.opened.push(Opened::Branch);
    }

    /// A branch of `case`, or a handler, whose conditions are words and not expressions.
    fn when(&mut self) {
        self.until(&["then"], Kind::Expression);
    }

    fn rounds(&mut self) {
        let end = self
            .find(|word| word.is("loop"))
            .unwrap_or_else(|| self.end());
        let source = self.find_from(self.at, |word| word.is("in")) + 1;
        if source < end {
            let first = self.words[source];
            let is_range = |at: usize| self.words[at].text == "..";
            if first.is("execute") {
                self.dynamic(source + 1, end);
            } else if let Some(dots) = (source..end).find(|at| is_range(*at)) {
                let from = if first.is("reverse") {
                    source + 1
                } else {
                    source
                };
                self.add(Kind::Expression, from, dots);
                let by = (dots..end)
                    .find(|at| self.words[*at].is("by"))
                    .unwrap_or(end);
                self.add(Kind::Expression, dots + 1, by);
                self.add(Kind::Expression, by + 1, end);
            } else {
                self.add(Kind::Statement, source, end);
            }
        }
        self.at = end + 1;
        self.opened.push(Opened::Rounds);
    }

    fn leave_with_result(&mut self) {
        let next = self.words.get(self.at + 1);
        let is = |word: &str| next.is_some_and(|next| next.is(word));
        if is("next") {
            self.at += 1;
            self.until(&[], Kind::Expression);
        } else if is("query") {
            self.at += 2;
            if self.words.get(self.at).is_some_and(|w| w.is("execute")) {
                self.execute();
            } else {
                let end = self.end();
                self.add(Kind::Statement, self.at, end);
                self.at = end + 1;
            }
        } else {
            self.until(&[], Kind::Expression);
            self.may_have_left = true;
        }
    }

    /// `raise [level] 'format', expressions using option = expression`.
    fn raise(&mut self) {
        let end = self.end();
        let has_no_level = |word: &Word<'_>| {
            !["debug", "log", "info", "notice", "warning"]
                .iter()
                .any(|level| word.is(level))
        };
        let leaves = self.words.get(self.at + 1).is_none_or(has_no_level);
        let using = self.find(|word| word.is("using")).unwrap_or(end);
        if let Some(comma) = self.find(|word| word.text == ",").filter(|at| *at < using) {
            self.add(Kind::Expression, comma + 1, using);
        }
        self.add(Kind::Expression, using + 1, end);
        if leaves {
            self.may_have_left = true;
        }
        self.at = end + 1;
    }

    fn execute(&mut self) {
        let end = self.end();
        self.dynamic(self.at + 1, end);
        self.at = end + 1;
    }

    /// `expression [into target] [using expressions]`, in either order.
    fn dynamic(&mut self, from: usize, end: usize) {
        let is_option = |word: &Word<'_>| word.is("into") || word.is("using");
        let option = self.find_from(from, is_option).min(end);
        self.add(Kind::Dynamic, from, option);
        let using = self.find_from(from, |word| word.is("using")).min(end);
        let to = self.find_from(using, |word| word.is("into")).min(end);
        self.add(Kind::Expression, using + 1, to);
    }

    /// `open cursor [[no] scroll] for query`, `for execute`, or with arguments.
    fn open(&mut self) {
        let end = self.end();
        if let Some(query) = self.find(|word| word.is("for")) {
            if self.words.get(query + 1).is_some_and(|w| w.is("execute")) {
                self.dynamic(query + 2, end);
            } else {
                self.add(Kind::Statement, query + 1, end);
            }
        }
        self.at = end + 1;
    }

    /// As the language tells it: a name, its fields and subscripts, and then the sign.
    fn is_assignment(&self) -> bool {
        let mut at = self.at;
        let is_name = |at: usize| self.words.get(at).is_some_and(|word| word.name().is_some());
        let text = |at: usize| self.words.get(at).map_or("", |word| word.text);
        let is_param = self
            .words
            .get(at)
            .is_some_and(|word| word.token == pg_query::protobuf::Token::Param);
        if !is_name(at) && !is_param {
            return false;
        }
        at += 1;
        loop {
            match text(at) {
                ":=" | "=" => return true,
                "." => at += 2,
                "[" => at = self.find_from(at + 1, |word| word.text == "]") + 1,
                _ => return false,
            }
        }
    }

    fn assignment(&mut self) {
        let end = self.end();
        let sign = self
            .find(|word| matches!(word.text, ":=" | "="))
            .unwrap_or(end);
        self.add(Kind::Expression, sign + 1, end);
        self.at = end + 1;
    }

    /// A statement of SQL; the variables that it fills are no part of it.
    fn other(&mut self) {
        if self
            .words
            .get(self.at)
            .is_some_and(|word| word.text.starts_with('"'))
            && self.is_assignment()
        {
            return self.assignment();
        }
        let end = self.end();
        let into = (self.at + 1..end).find(|at| {
            self.words[*at].is("into")
                && !["insert", "merge", "import"]
                    .iter()
                    .any(|before| self.words[*at - 1].is(before))
                && self.depth_between(self.at, *at) == 0
        });
        match into {
            None => self.add(Kind::Statement, self.at, end),
            Some(into) => {
                let after = self.after_targets(into, end);
                let start = self.words[self.at].start;
                let head = self.body.get(start..self.words[into].start);
                let tail = match self.words.get(after) {
                    Some(word) if after < end => self.body.get(word.start..self.words[end - 1].end),
                    _ => Some(""),
                };
                self.found.push(Fragment {
                    text: format!("{} {}", head.unwrap_or_default(), tail.unwrap_or_default()),
                    kind: Kind::Statement,
                    certainty: self.certainty(),
                });
            }
        }
        self.at = end + 1;
    }

    fn depth_between(&self, from: usize, to: usize) -> i32 {
        self.words[from..to]
            .iter()
            .map(|word| match word.text {
                "(" | "[" => 1,
                ")" | "]" => -1,
                _ => 0,
            })
            .sum()
    }

    /// Behind `into [strict] a, b.c, d[1]`.
    fn after_targets(&self, into: usize, end: usize) -> usize {
        let mut at = into + 1;
        if self.words.get(at).is_some_and(|word| word.is("strict")) {
            at += 1;
        }
        loop {
            at += 1;
            while at < end {
                match self.words[at].text {
                    "." => at += 2,
                    "[" => at = self.find_from(at + 1, |word| word.text == "]") + 1,
                    _ => break,
                }
            }
            if at < end && self.words[at].text == "," {
                at += 1;
            } else {
                return at.min(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str) -> Vec<String> {
        fragments(body)
            .unwrap()
            .into_iter()
            .map(|fragment| {
                let kind = match fragment.kind {
                    Kind::Statement => "s",
                    Kind::Expression => "e",
                    Kind::Dynamic => "d",
                    Kind::Type => "t",
                };
                let sure = match fragment.certainty {
                    Certainty::Surely => "!",
                    Certainty::Perhaps => "?",
                };
                let text: Vec<&str> = fragment.text.split_whitespace().collect();
                format!("{kind}{sure} {}", text.join(" "))
            })
            .collect()
    }

    #[test]
    fn a_body_falls_into_its_statements() {
        let body = "
            <<outer>>
            declare
                n integer := net.count(1);
                v vault.secrets%rowtype;
                k constant \"Odd\".\"T\" not null default 'x;y';
                c cursor (lim int) for select * from cron.job where id < lim;
                a alias for $1;
            begin
                -- perform gone.away();
                n = n + s.f(1);
                v.id := (select max(id) from t);
                arr[s.i(1)] := 2;
                select x, y into strict v.id, n from s.t where a = 1;
                with q as (insert into s.log select 1 returning id) select id into n from q;
                insert into s.u values (1) returning id into n;
                perform s.g(case when a then b end);
                execute format('select %I.x()', n) into n using s.h(1), 2;
                return query select * from s.r;
                return next s.nn();
                call s.p(1);
                raise notice 'a, %', s.r1(), s.r2() using hint = s.r3();
                for i in reverse s.lo() .. s.hi() by 2 loop perform s.body(); end loop;
                for r in execute 'select 1' using 3 loop null; end loop;
                for r in select * from s.q loop null; end loop;
                foreach x slice 1 in array s.arr() loop null; end loop;
                open c(1); open d for select 1 from s.d; open e for execute s.e();
                fetch c into n; get diagnostics n = row_count;
                delete from s.z;
            end outer;";
        assert_eq!(
            shown(body),
            [
                "t! integer",
                "e! net.count(1)",
                "t! vault.secrets%rowtype",
                "t! \"Odd\".\"T\"",
                "e! 'x;y'",
                "s? select * from cron.job where id < lim",
                "e! n + s.f(1)",
                "e! (select max(id) from t)",
                "e! 2",
                "s! select x, y from s.t where a = 1",
                "s! with q as (insert into s.log select 1 returning id) select id from q",
                "s! insert into s.u values (1) returning id",
                "e! s.g(case when a then b end)",
                "d! format('select %I.x()', n)",
                "e! s.h(1), 2",
                "s! select * from s.r",
                "e! s.nn()",
                "s! call s.p(1)",
                "e! s.r1(), s.r2()",
                "e! hint = s.r3()",
                "e! s.lo()",
                "e! s.hi()",
                "e! 2",
                "e? s.body()",
                "d! 'select 1'",
                "e! 3",
                "s! select * from s.q",
                "e! s.arr()",
                "s! select 1 from s.d",
                "d! s.e()",
                "s! delete from s.z",
            ]
        );
    }

    #[test]
    fn only_what_every_call_reaches_is_sure() {
        let body = "begin
            if s.a() then perform s.b(); elsif s.c() then null; else perform s.d(); end if;
            case s.e() when s.f() then perform s.g(); else null; end case;
            begin perform s.caught(); exception when others then perform s.handler(); end;
            while s.w() loop perform s.x(); end loop;
            loop perform s.once(); exit when s.out(); perform s.later(); end loop;
            perform s.after();
        end";
        assert_eq!(
            shown(body),
            [
                "e! s.a()",
                "e? s.b()",
                "e? s.c()",
                "e? s.d()",
                "e! s.e()",
                "e? s.f()",
                "e? s.g()",
                "e? s.caught()",
                "e? others",
                "e? s.handler()",
                "e! s.w()",
                "e? s.x()",
                "e! s.once()",
                "e! s.out()",
                "e? s.later()",
                "e? s.after()",
            ]
        );
        let early =
            "begin if tg_op = 'DELETE' then return old; end if; perform s.x(); return new; end";
        assert_eq!(
            shown(early),
            ["e! tg_op = 'DELETE'", "e? old", "e? s.x()", "e? new"]
        );
    }

    #[test]
    fn no_body_stops_the_reader() {
        for body in [
            "",
            ";",
            "begin",
            "end",
            "begin end end",
            "for",
            "if",
            "<<",
            "declare x",
            "execute",
            "select into",
            "a := ",
            "a[",
            "raise",
            "open",
            "case",
            "begin exception",
            "return",
            "foreach x in array",
            "for i in 1..",
            "\"q\"",
            "\"q\" := 1",
            "into into into",
            "$1 := 2",
        ] {
            fragments(body).unwrap();
        }
        assert_eq!(fragments("'open"), None);
    }
}
