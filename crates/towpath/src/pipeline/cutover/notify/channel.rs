//! Where notices go, and in which form.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use http::header::{CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_switch::SwitchClients;
use url::Url;

use crate::clock;
use crate::http as web;
use crate::pipeline::cutover::notify::{Notice, Severity};
use crate::secrets::secret_of;
use crate::settings::Settings;

/// Carries the time and the signature of what a webhook gets.
const SIGNATURE: HeaderName = HeaderName::from_static("x-towpath-signature");

/// Why a notice was not taken.
pub struct Refused {
    /// What happened. Never quotes the URL, which is a secret.
    pub failure: Failure,
    /// When it may be tried again, where the service is at fault.
    pub later: Option<Duration>,
}

/// Somebody who is told.
pub struct Channel {
    kind: Kind,
    client: Arc<web::Client>,
}

enum Kind {
    /// Any HTTP endpoint.
    Webhook {
        url: Url,
        key: Option<Box<hmac::Key>>,
    },
    /// A Slack incoming webhook.
    Slack { url: Url },
    /// PagerDuty, Events API v2.
    PagerDuty { url: Url, key: Secret },
    /// An SNS topic.
    Topic {
        arn: String,
        clients: Box<SwitchClients>,
    },
}

/// The channels of the configuration.
pub fn channels(settings: &Settings, clients: &SwitchClients) -> Result<Vec<Channel>> {
    let client = Arc::new(web::Client::new());
    let url_of = |key: &str| {
        let text = secret_of(settings, key)?;
        text.map(|text| web::url(text.reveal(), key, false))
            .transpose()
    };
    let mut kinds = Vec::new();
    let key = secret_of(settings, "notify.webhook_secret")?;
    if let Some(url) = url_of("notify.webhook_url")? {
        let signing = |key: Secret| hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
        let key = key.map(|key| Box::new(signing(key)));
        kinds.push(Kind::Webhook { url, key });
    } else if key.is_some() {
        return Err(Failure::new(
            ErrorKind::Config,
            "notify.webhook_secret is set, and notify.webhook_url is not",
        ));
    }
    if let Some(url) = url_of("notify.slack_url")? {
        kinds.push(Kind::Slack { url });
    }
    if let Some(key) = secret_of(settings, "notify.pagerduty_key")? {
        let url = settings.text("notify.pagerduty_url");
        let url = web::url(url, "notify.pagerduty_url", false)?;
        kinds.push(Kind::PagerDuty { url, key });
    }
    if let Some(arn) = settings.optional("notify.sns_topic") {
        if !arn.starts_with("arn:") || arn.split(':').count() != 6 {
            return Err(Failure::new(
                ErrorKind::Config,
                format!("notify.sns_topic is {arn:?}, which is not the ARN of a topic"),
            )
            .hint("it looks like arn:aws:sns:eu-west-1:111122223333:cutover"));
        }
        let clients = Box::new(clients.clone());
        kinds.push(Kind::Topic { arn, clients });
    }
    Ok(kinds
        .into_iter()
        .map(|kind| Channel {
            kind,
            client: Arc::clone(&client),
        })
        .collect())
}

impl Channel {
    /// How it is called in what is told.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Webhook { .. } => "the webhook",
            Kind::Slack { .. } => "Slack",
            Kind::PagerDuty { .. } => "PagerDuty",
            Kind::Topic { .. } => "the SNS topic",
        }
    }

    /// Sends a notice once.
    pub async fn send(&self, notice: &Notice, limit: Duration) -> Result<(), Refused> {
        match &self.kind {
            Kind::Webhook { url, key } => {
                let body = document(notice).to_string().into_bytes();
                let headers = key.as_ref().map(|key| signed(key, clock::now_s(), &body));
                self.post(url, body, headers, limit).await
            }
            Kind::Slack { url } => {
                let body = json!({"text": slack(notice)}).to_string().into_bytes();
                self.post(url, body, None, limit).await
            }
            Kind::PagerDuty { url, key } => match pagerduty(notice, key) {
                Some(event) => {
                    let body = event.to_string().into_bytes();
                    self.post(url, body, None, limit).await
                }
                None => Ok(()),
            },
            Kind::Topic { arn, clients } => publish(clients, arn, notice, limit).await,
        }
    }

    async fn post(
        &self,
        url: &Url,
        body: Vec<u8>,
        signature: Option<(HeaderName, String)>,
        limit: Duration,
    ) -> Result<(), Refused> {
        let mut headers = vec![(CONTENT_TYPE, "application/json".to_owned())];
        headers.extend(signature);
        let call = web::Call {
            url,
            name: self.name(),
            body: Some(body),
            headers,
            timeout: limit,
        };
        let answer = self.client.send(call).await.map_err(|failure| Refused {
            failure,
            later: None,
        })?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        // A service that is busy or broken may be well again; one that says no means it.
        let may_pass = matches!(answer.status, 408 | 425 | 429 | 500..);
        Err(Refused {
            failure: Failure::new(
                ErrorKind::Blocked,
                format!("{} answers with status {}", self.name(), answer.status),
            ),
            later: may_pass.then(|| answer.retry_after.unwrap_or_default()),
        })
    }
}

async fn publish(
    clients: &SwitchClients,
    arn: &str,
    notice: &Notice,
    limit: Duration,
) -> Result<(), Refused> {
    let subject = format!("towpath {}: {}", notice.run, notice.event);
    let message = document(notice).to_string();
    let sending = towpath_switch::publish(clients, arn, &subject, &message, &notice.id);
    let done = tokio::time::timeout(limit, Box::pin(sending)).await;
    let failure = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(ErrorKind::Connect, "the SNS topic did not answer"),
    };
    Err(Refused {
        failure,
        later: None,
    })
}

/// A notice as JSON: what the webhook and the topic get.
fn document(notice: &Notice) -> Value {
    json!({
        "v": 1,
        "type": "notice",
        "run": notice.run,
        "event": notice.event,
        "severity": notice.severity.word(),
        "text": notice.text,
        "at": notice.at,
        "source": notice.source,
        "target": notice.target,
    })
}

/// Signs the time together with the body, so that an old notice cannot be sent again: the receiver
/// computes HMAC-SHA256 over `<t>.<body>` and compares.
fn signed(key: &hmac::Key, now_s: u64, body: &[u8]) -> (HeaderName, String) {
    let mut context = hmac::Context::with_key(key);
    context.update(now_s.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let tag = hex::encode(context.sign());
    (SIGNATURE, format!("t={now_s},v1={tag}"))
}

/// Slack reads `&`, `<` and `>` as markup ("Formatting text", Slack API).
fn slack(notice: &Notice) -> String {
    let sign = match notice.severity {
        Severity::Info => "",
        Severity::Warning => ":warning: ",
        Severity::Critical => ":rotating_light: ",
    };
    let text = format!(
        "towpath {}: {} ({})\n{} to {}",
        notice.run, notice.text, notice.event, notice.source, notice.target
    );
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("{sign}{text}")
}

/// An incident for each run: what went wrong opens it, what is well again closes it ("Events API v2",
/// PagerDuty developer documentation). Other notices are not PagerDuty's business.
fn pagerduty(notice: &Notice, key: &Secret) -> Option<Value> {
    let dedup_key = format!("towpath/{}", notice.run);
    let event = |action: &str| {
        json!({
            "routing_key": key.reveal(),
            "event_action": action,
            "dedup_key": dedup_key,
        })
    };
    match (notice.severity, notice.event.as_str()) {
        (Severity::Info, "switched" | "rolled-back" | "watched") => Some(event("resolve")),
        (Severity::Info, _) => None,
        (severity, _) => {
            let mut event = event("trigger");
            // PagerDuty takes 1,024 characters of a summary.
            let summary = format!("towpath {}: {}", notice.run, notice.text);
            event["payload"] = json!({
                "summary": summary.chars().take(1024).collect::<String>(),
                "source": notice.source,
                "severity": severity.word(),
                "timestamp": notice.at,
                "component": notice.target,
                "class": notice.event,
            });
            Some(event)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(event: &str, severity: Severity) -> Notice {
        Notice {
            event: event.to_owned(),
            text: "a <b> & c".to_owned(),
            severity,
            at: "2026-11-23T04:00:00Z".to_owned(),
            run: towpath_model::RunId::compose("20261123", [7; 5]),
            source: "s:5432/d".to_owned(),
            target: "t:5432/d".to_owned(),
            id: String::new(),
        }
    }

    #[test]
    fn an_incident_is_opened_by_trouble_and_closed_by_its_end() {
        let key = Secret::new("routing");
        let action = |event, severity| {
            let event = pagerduty(&notice(event, severity), &key);
            event.map(|event| event["event_action"].as_str().unwrap().to_owned())
        };
        assert_eq!(
            action("undo-incomplete", Severity::Critical).as_deref(),
            Some("trigger")
        );
        assert_eq!(
            action("undone", Severity::Warning).as_deref(),
            Some("trigger")
        );
        assert_eq!(
            action("switched", Severity::Info).as_deref(),
            Some("resolve")
        );
        assert_eq!(action("fenced", Severity::Info), None);
        let one = pagerduty(&notice("undone", Severity::Warning), &key).unwrap();
        let other = pagerduty(&notice("switched", Severity::Info), &key).unwrap();
        assert_eq!(one["dedup_key"], other["dedup_key"]);
    }

    #[test]
    fn slack_gets_no_markup_from_a_text() {
        assert!(slack(&notice("undone", Severity::Warning)).contains("a &lt;b&gt; &amp; c"));
    }

    #[test]
    fn a_signature_is_that_of_time_and_body() {
        // RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?".
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want for nothing?");
        assert_eq!(
            hex::encode(tag),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let (name, value) = signed(&key, 12, b"{}");
        assert_eq!(name, "x-towpath-signature");
        assert_eq!(
            value,
            format!("t=12,v1={}", hex::encode(hmac::sign(&key, b"12.{}")))
        );
    }
}
