//! Whether what a function answered is good, and how a bad answer is told.

use serde_json::Value;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_switch::Answer;

use crate::pipeline::cutover::probes::wanted::Wanted;
use crate::secrets::KnownSecrets;

/// Characters of an answer that are told.
const LONGEST: usize = 240;

/// Judges an answer. Lambda answers 200 when the function failed, too, and a function behind API
/// Gateway or a function URL gives its own status in the body ("Lambda proxy integrations", API
/// Gateway developer guide): one of 400 and more is a failure, unless the configuration says what
/// this function's answer must look like.
pub fn judge(
    answer: &Answer,
    function: &str,
    wanted: &Wanted,
    secrets: &KnownSecrets,
) -> Result<String> {
    let fail = |what: String| Failure::new(ErrorKind::Blocked, format!("lambda {function} {what}"));
    let shown = || shown(&answer.body, secrets);
    if let Some(kind) = &answer.error {
        return Err(fail(format!("failed ({kind})"))
            .because(error(&answer.body, secrets))
            .hint("look at the function's log group in CloudWatch"));
    }
    if !(200..300).contains(&answer.status) {
        return Err(fail(format!("was answered with status {}", answer.status)));
    }
    let patterns = wanted.answers_of(function);
    for pattern in &patterns {
        if !pattern.is_match(&answer.body) {
            return Err(
                fail("answers something else than probe.expect wants".to_owned()).because(format!(
                    "wanted {}, it was {}",
                    pattern.as_str(),
                    shown()
                )),
            );
        }
    }
    match status(&answer.body) {
        Some(status) if patterns.is_empty() && status >= 400 => {
            Err(fail(format!("answers with statusCode {status}"))
                .because(shown())
                .hint("where that is right, say so in probe.expect"))
        }
        Some(status) => Ok(format!("answered with statusCode {status}")),
        None => Ok(format!("answered {} bytes", answer.body.len())),
    }
}

fn status(body: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer.get("statusCode")?.as_u64()
}

/// What the runtime says of an error, in its own words but for secrets and values of rows.
fn error(body: &[u8], secrets: &KnownSecrets) -> String {
    let Ok(Value::Object(answer)) = serde_json::from_slice(body) else {
        return shown(body, secrets);
    };
    let text = |key| answer.get(key).and_then(Value::as_str);
    match (text("errorType"), text("errorMessage")) {
        (Some(kind), Some(message)) => told(&format!("{kind}: {message}"), secrets),
        (None, Some(message)) => told(message, secrets),
        _ => shown(body, secrets),
    }
}

/// The shape of an answer: names, numbers and booleans. Texts may be values of rows.
fn shown(body: &[u8], secrets: &KnownSecrets) -> String {
    match serde_json::from_slice(body) {
        Ok(answer) => told(&without_texts(answer).to_string(), secrets),
        Err(_) => format!("{} bytes that are not JSON", body.len()),
    }
}

fn without_texts(value: Value) -> Value {
    match value {
        Value::String(text) if !text.is_empty() => Value::from("…"),
        Value::Array(items) => items.into_iter().map(without_texts).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_texts(value)))
            .collect(),
        other => other,
    }
}

fn told(text: &str, secrets: &KnownSecrets) -> String {
    let text = secrets.taken_out_of(text);
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(at);
        line.push('…');
    }
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use towpath_model::connection::{ConnectionUrl, Side};

    use super::*;
    use crate::pipeline::cutover::probes::wanted;

    fn judged(body: &str, error: Option<&str>, expect: &str) -> Result<String> {
        let target = ConnectionUrl::parse("postgres://u@h/d", Side::Target).unwrap();
        let answer = Answer {
            status: 200,
            error: error.map(str::to_owned),
            body: body.into(),
        };
        let secrets = KnownSecrets::from_texts(&["hunter2"]);
        judge(&answer, "f", &wanted::of_answers(expect, &target), &secrets)
    }

    #[test]
    fn a_failed_function_is_told_without_secrets_and_values() {
        let body = r#"{"errorType": "Error", "errorMessage": "no login with\nhunter2 at postgres://u:x@h, Key (email)=(a@b.c)"}"#;
        let failure = judged(body, Some("Unhandled"), "").unwrap_err();
        assert_eq!(
            format!("{failure:?}"),
            "[blocked] lambda f failed (Unhandled): Error: no login with *** at postgres://***@h, Key (email)=(…)"
        );
    }

    #[test]
    fn a_status_in_the_body_counts_unless_a_pattern_does() {
        assert!(judged(r#"{"statusCode": 200}"#, None, "").is_ok());
        let failure = judged(r#"{"statusCode": 500, "body": "ana@x.org"}"#, None, "").unwrap_err();
        let told = format!("{failure:?}");
        assert!(
            told.contains("statusCode 500") && !told.contains("ana@x.org"),
            "{told}"
        );
        assert!(judged(r#"{"statusCode": 401}"#, None, "f \"statusCode\":\\s*401").is_ok());
    }

    #[test]
    fn an_answer_that_does_not_match_shows_its_shape() {
        let failure =
            judged(r#"{"port": 5432, "user": "ana"}"#, None, "* \"port\": 1").unwrap_err();
        let told = format!("{failure:?}");
        assert!(told.contains(r#"{"port":5432,"user":"…"}"#), "{told}");
        let failure = judged("hello", None, "* ok").unwrap_err();
        assert!(format!("{failure:?}").contains("5 bytes that are not JSON"));
        assert!(judged("all ok", None, "* ok").is_ok());
    }
}
