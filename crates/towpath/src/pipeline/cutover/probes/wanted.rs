//! What the configuration wants to be asked. Read whole before anything is fenced: a pattern that
//! does not compile, or a file that is not there, is no reason to undo a switch.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};
use towpath_model::connection::ConnectionUrl;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_verify::AccessClaims;
use url::Url;

use crate::context::Context;
use crate::http;
use crate::pipeline::access;

/// Stands for every function.
const EVERY: &str = "*";

/// Everything that is asked.
pub struct Wanted {
    pub calls: Vec<Call>,
    pub answers: Vec<(String, Regex)>,
    pub sql: bool,
    pub tables: Vec<Table>,
    pub http: Vec<Url>,
    pub statuses: Vec<RangeInclusive<u16>>,
    pub alarms: Vec<String>,
    pub silent_alarm_fails: bool,
    pub sessions: Sessions,
    pub timeout: Duration,
    pub attempts: u32,
    pub interval: Duration,
}

/// A function that is invoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name or ARN; nothing for every function.
    pub function: Option<String>,
    pub qualifier: Option<String>,
    pub payload: Vec<u8>,
}

/// A table that consumers must find filled.
pub struct Table {
    pub name: QualifiedName,
    pub reader: Option<AccessClaims>,
}

/// What sessions on the source after the switch mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// They are told.
    Report,
    /// They are a failure.
    Fail,
    /// Nobody looks.
    Off,
}

impl Wanted {
    /// Reads the settings. `target` is what consumers get, for patterns that name it.
    pub fn of(context: &Context, target: &ConnectionUrl) -> Result<Self> {
        let settings = &context.settings;
        let calls = settings.list("probe.invoke");
        let urls = settings.list("probe.http");
        let sessions = ["report", "fail", "off"];
        Ok(Self {
            calls: calls
                .iter()
                .map(|item| call(item, settings.directory()))
                .collect::<Result<_>>()?,
            answers: answers(settings.text("probe.expect"), target)?,
            sql: settings.word("probe.sql", &["auto", "off"])? == "auto",
            tables: tables(context)?,
            http: urls
                .iter()
                .map(|url| http::url(url, "one of probe.http", true))
                .collect::<Result<_>>()?,
            statuses: statuses(&settings.list("probe.http_status"))?,
            alarms: settings.list("probe.alarms"),
            silent_alarm_fails: settings.word("probe.alarms_without_data", &["pass", "fail"])?
                == "fail",
            sessions: match settings.word("probe.source_sessions", &sessions)? {
                "fail" => Sessions::Fail,
                "off" => Sessions::Off,
                _ => Sessions::Report,
            },
            timeout: Duration::from_secs(settings.number("probe.timeout_s")?),
            attempts: u32::try_from(settings.number("probe.attempts")?).unwrap_or(u32::MAX),
            interval: Duration::from_secs(settings.number("probe.interval_s")?),
        })
    }

    /// The patterns for the answer of a function: its own, or those for every function.
    pub fn answers_of(&self, function: &str) -> Vec<&Regex> {
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let answers = self.answers.iter().filter(|(name, _)| wanted(name));
            answers.map(|(_, pattern)| pattern).collect::<Vec<_>>()
        };
        let own = of(&|name| name != EVERY && same(name, function));
        if own.is_empty() {
            return of(&|name| name == EVERY);
        }
        own
    }

    /// The calls of these functions: those that name one, and `*` for the others.
    pub fn calls_of(&self, functions: &[String]) -> Vec<Call> {
        let mut calls = Vec::new();
        for function in functions {
            let own = self.calls.iter().filter(|call| call.is_of(function));
            let before = calls.len();
            calls.extend(own.cloned());
            if calls.len() == before {
                let every = self.calls.iter().filter(|call| call.function.is_none());
                calls.extend(every.map(|call| Call {
                    function: Some(function.clone()),
                    ..call.clone()
                }));
            }
        }
        calls
    }

    /// Every call, with these functions for `*`.
    pub fn all_calls(&self, functions: &[String]) -> Vec<Call> {
        let mut calls = self.calls_of(functions);
        let is_of_them = |call: &Call| functions.iter().any(|function| call.is_of(function));
        let others = |call: &&Call| call.function.is_some() && !is_of_them(call);
        calls.extend(self.calls.iter().filter(others).cloned());
        calls
    }
}

impl Call {
    fn is_of(&self, function: &str) -> bool {
        self.function
            .as_ref()
            .is_some_and(|name| same(name, function))
    }

    /// How it is called in what is told.
    pub fn told(&self) -> String {
        let function = self.function.as_deref().unwrap_or(EVERY);
        match &self.qualifier {
            Some(qualifier) => format!("{function}:{qualifier}"),
            None => function.to_owned(),
        }
    }
}

/// Whether two texts name one function: a name alone means that name anywhere.
pub fn same(left: &str, right: &str) -> bool {
    let both_whole = left.starts_with("arn:") && right.starts_with("arn:");
    left == right || (!both_whole && name_of(left) == name_of(right))
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME` holds the name in its seventh place.
fn name_of(function: &str) -> &str {
    match function.strip_prefix("arn:") {
        Some(rest) => rest.split(':').nth(5).unwrap_or(function),
        None => function,
    }
}

fn refuse(key: &str, why: impl Into<String>) -> Failure {
    Failure::new(
        ErrorKind::Config,
        format!("{key} cannot be used: {}", why.into()),
    )
}

fn call(item: &str, directory: &Path) -> Result<Call> {
    let (target, file) = match item.split_once('=') {
        Some((target, file)) => (target.trim(), Some(file.trim())),
        None => (item, None),
    };
    let payload = match file {
        None => b"{}".to_vec(),
        Some(file) => {
            let path = directory.join(file);
            let bytes = std::fs::read(&path).map_err(|cause| {
                refuse("probe.invoke", format!("could not read {}", path.display())).because(cause)
            })?;
            serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|cause| {
                refuse("probe.invoke", format!("{} is not JSON", path.display())).at(format!(
                    "line {}, column {}",
                    cause.line(),
                    cause.column()
                ))
            })?;
            bytes
        }
    };
    let (function, qualifier) = qualified(target);
    if function.is_empty() || qualifier.is_some_and(str::is_empty) {
        return Err(
            refuse("probe.invoke", format!("{item:?} names no function"))
                .hint("write FUNCTION, FUNCTION:ALIAS, or either with =FILE"),
        );
    }
    Ok(Call {
        function: (function != EVERY).then(|| function.to_owned()),
        qualifier: qualifier.map(str::to_owned),
        payload,
    })
}

/// A qualifier stands behind a name, or behind the seven parts of an ARN.
fn qualified(text: &str) -> (&str, Option<&str>) {
    let parts = if text.starts_with("arn:") { 7 } else { 1 };
    match text.match_indices(':').nth(parts - 1) {
        Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn answers(text: &str, target: &ConnectionUrl) -> Result<Vec<(String, Regex)>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (function, pattern) = line.split_once(char::is_whitespace).ok_or_else(|| {
                refuse("probe.expect", "a line holds one word only")
                    .hint("write lines of FUNCTION and a pattern, or * and a pattern")
            })?;
            let pattern = pattern
                .trim()
                .replace("{target_host}", &regex::escape(&target.host))
                .replace("{target_port}", &target.port.to_string())
                .replace("{target_database}", &regex::escape(&target.database));
            // Bytes: what a function answers need not be UTF-8.
            let pattern = RegexBuilder::new(&pattern)
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
                .map_err(|cause| {
                    refuse("probe.expect", format!("the pattern for {function}")).because(cause)
                })?;
            Ok((function.to_owned(), pattern))
        })
        .collect()
}

fn statuses(items: &[String]) -> Result<Vec<RangeInclusive<u16>>> {
    items
        .iter()
        .map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let number = |text: &str| text.trim().parse::<u16>().ok();
            match (number(first), number(last)) {
                (Some(first), Some(last)) if (100..=last).contains(&first) && last < 600 => {
                    Ok(first..=last)
                }
                _ => Err(refuse(
                    "probe.http_status",
                    format!("{item:?} is no status and no range of them"),
                )
                .hint("write 200-299, or 200-299,401")),
            }
        })
        .collect()
}

fn tables(context: &Context) -> Result<Vec<Table>> {
    let items = context.settings.list("probe.tables");
    let readers = match context.settings.path("verify.access_claims") {
        Some(path) if items.iter().any(|item| item.contains('@')) => access::claims(&path)?,
        _ => Vec::new(),
    };
    items.iter().map(|item| table(item, &readers)).collect()
}

fn table(item: &str, readers: &[AccessClaims]) -> Result<Table> {
    let (name, reader) = match item.split_once('@') {
        Some((name, reader)) => (name, Some(reader.trim())),
        None => (item, None),
    };
    let reader = reader
        .map(|wanted| {
            let found = readers.iter().find(|reader| reader.name == wanted);
            found.cloned().ok_or_else(|| {
                refuse(
                    "probe.tables",
                    format!("verify.access_claims names nobody {wanted:?}"),
                )
            })
        })
        .transpose()?;
    let (schema, table) = name.split_once('.').ok_or_else(|| {
        refuse("probe.tables", format!("{item:?} is no table")).hint("write SCHEMA.TABLE")
    })?;
    // As the catalog holds it; quotes, where somebody put them, are not part of a name.
    let plain = |part: &str| part.trim().trim_matches('"').to_owned();
    Ok(Table {
        name: QualifiedName::new(plain(schema), plain(table)),
        reader,
    })
}

/// Nothing but patterns.
#[cfg(test)]
pub fn of_answers(expect: &str, target: &ConnectionUrl) -> Wanted {
    Wanted {
        calls: Vec::new(),
        answers: answers(expect, target).unwrap(),
        sql: true,
        tables: Vec::new(),
        http: Vec::new(),
        statuses: Vec::new(),
        alarms: Vec::new(),
        silent_alarm_fails: false,
        sessions: Sessions::Off,
        timeout: Duration::ZERO,
        attempts: 1,
        interval: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::connection::Side;

    use super::*;

    fn of(item: &str) -> Call {
        call(item, Path::new("/nowhere")).unwrap()
    }

    fn wanted(calls: &[&str], expect: &str) -> Wanted {
        let target = ConnectionUrl::parse("postgres://u@db.x:5433/app", Side::Target).unwrap();
        Wanted {
            calls: calls.iter().map(|item| of(item)).collect(),
            ..of_answers(expect, &target)
        }
    }

    #[test]
    fn a_call_is_a_name_or_an_arn_with_or_without_a_qualifier() {
        assert_eq!(of("orders-api").told(), "orders-api");
        assert_eq!(of("orders-api:live").qualifier.as_deref(), Some("live"));
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:orders-api";
        assert_eq!(of(arn).function.as_deref(), Some(arn));
        let live = of(&format!("{arn}:live"));
        assert_eq!(live.function.as_deref(), Some(arn));
        assert_eq!(live.qualifier.as_deref(), Some("live"));
        assert_eq!(of("*").function, None);
        for wrong in ["=x", ":live", "orders-api:", "orders-api=missing.json"] {
            let refused = call(wrong, Path::new("/nowhere")).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config, "{wrong}");
        }
    }

    #[test]
    fn each_function_has_its_own_calls_or_those_of_all() {
        let wanted = wanted(&["a:live", "*", "canary"], "");
        let told = |calls: Vec<Call>| calls.iter().map(Call::told).collect::<Vec<_>>();
        let functions = ["a".to_owned(), "b".to_owned()];
        assert_eq!(told(wanted.calls_of(&functions)), ["a:live", "b"]);
        assert_eq!(
            told(wanted.all_calls(&functions)),
            ["a:live", "b", "canary"]
        );
        assert!(wanted.calls_of(&[]).is_empty());
    }

    #[test]
    fn a_function_is_the_same_by_name_and_by_arn() {
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:a";
        assert!(same("a", arn) && same(arn, "a") && same(arn, arn));
        assert!(!same(
            arn,
            "arn:aws:lambda:us-east-1:111122223333:function:a"
        ));
        assert!(!same("a", "b"));
    }

    #[test]
    fn an_answer_is_matched_with_the_target_in_the_pattern() {
        let expect = "a \"port\":\\s*{target_port}\\b\n\n* {target_host}, again";
        let wanted = wanted(&[], expect);
        let matches = |function, body: &str| {
            let patterns = wanted.answers_of(function);
            patterns.len() == 1 && patterns[0].is_match(body.as_bytes())
        };
        assert!(matches("a", "{\"port\": 5433}"));
        assert!(!matches("a", "{\"port\": 54331}"));
        assert!(matches("b", "db.x, again") && !matches("b", "dbax, again"));
        assert!(
            answers(
                "a",
                &ConnectionUrl::parse("postgres://u@h/d", Side::Target).unwrap()
            )
            .is_err()
        );
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let items = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            statuses(&items("200-299,401")).unwrap(),
            [200..=299, 401..=401]
        );
        for wrong in ["2xx", "299-200", "99", "200-600", ""] {
            assert!(statuses(&items(wrong)).is_err(), "{wrong}");
        }
    }
}
