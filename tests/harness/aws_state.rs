//! Everything that consumers hold in MiniStack, as JSON: what a way back has to leave exactly as it
//! was. Asked without the SDK, so that no field is lost on the way.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::aws::REGION;

/// What functions, aliases, versions, secrets and parameters hold, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsState(BTreeMap<String, Value>);

/// What changes with every write, or says only how the last one went.
const PASSING: [&str; 9] = [
    "RevisionId",
    "LastModified",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "State",
    "StateReason",
    "StateReasonCode",
    "CodeSize",
];

impl AwsState {
    /// Reads everything at this endpoint.
    #[must_use]
    pub fn read(url: &str) -> Self {
        let mut state = BTreeMap::new();
        for function in pages(url, "functions/", "Functions") {
            let name = text(&function, "FunctionName").to_owned();
            let versions = pages(url, &format!("functions/{name}/versions"), "Versions");
            for version in versions {
                let number = text(&version, "Version").to_owned();
                state.insert(
                    format!("function {name}:{number}"),
                    without_passing(version),
                );
            }
            for alias in pages(url, &format!("functions/{name}/aliases"), "Aliases") {
                let named = text(&alias, "Name").to_owned();
                state.insert(format!("alias {name}:{named}"), without_passing(alias));
            }
            state.insert(format!("function {name}"), without_passing(function));
        }
        secrets(url, &mut state);
        parameters(url, &mut state);
        assert!(!state.is_empty(), "nothing is there to compare");
        Self(state)
    }

    /// What is held under a name, such as `function orders-api`.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("there is no {name} in {:?}", self.0.keys()))
    }

    /// The variables of a function.
    #[must_use]
    pub fn variables(&self, function: &str) -> &Value {
        &self.get(&format!("function {function}"))["Environment"]["Variables"]
    }

    /// Names and texts of everything that consumers go by now: variables of functions as they are
    /// called, current secrets, parameters. A function with an alias is called by that.
    #[must_use]
    pub fn connections(&self) -> Vec<(String, String)> {
        let mut held = Vec::new();
        for (name, value) in &self.0 {
            let is_current = name.starts_with("secret ") && name.ends_with(" AWSCURRENT");
            if name.starts_with("parameter ") {
                held.push((name.clone(), value["value"].to_string()));
            } else if is_current {
                held.push((name.clone(), value["text"].to_string()));
            } else if let Some(alias) = name.strip_prefix("alias ") {
                let function = alias.split(':').next().unwrap_or_default();
                let version = text(value, "FunctionVersion");
                let version = self.get(&format!("function {function}:{version}"));
                let mut text = version["Environment"]["Variables"].to_string();
                text.push_str(&value["RoutingConfig"].to_string());
                held.push((name.clone(), text));
            } else if name.starts_with("function ") && !name.contains(':') {
                held.push((name.clone(), value["Environment"]["Variables"].to_string()));
            }
        }
        held
    }

    /// Panics unless everything that was there is there as it was. What the switch had to leave
    /// behind may be there beside it: versions of functions, and of secrets without a label.
    #[track_caller]
    pub fn assert_restored(&self, now: &Self) {
        for (name, value) in &self.0 {
            assert_eq!(now.0.get(name), Some(value), "{name}");
        }
        for name in now.0.keys().filter(|name| !self.0.contains_key(*name)) {
            let is_left_behind = name.starts_with("function ") && name.contains(':');
            assert!(is_left_behind, "{name} was not there before");
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn without_passing(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !PASSING.contains(&name.as_str()));
    }
    value
}

fn pages(url: &str, path: &str, field: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut marker = String::new();
    loop {
        let path = format!("GET /2015-03-31/{path}?MaxItems=50{marker}");
        let page = ask(url, "lambda", &path, "", "");
        found.extend(page[field].as_array().cloned().unwrap_or_default());
        match page["NextMarker"].as_str().filter(|it| !it.is_empty()) {
            Some(next) => marker = format!("&Marker={next}"),
            None => return found,
        }
    }
}

/// Labels with the values of the versions that they are on. A version without a label is nothing:
/// the service deletes it when it likes.
fn secrets(url: &str, state: &mut BTreeMap<String, Value>) {
    let list = call(
        url,
        "secretsmanager.ListSecrets",
        &json!({"MaxResults": 100}),
    );
    for secret in list["SecretList"].as_array().into_iter().flatten() {
        let name = text(secret, "Name");
        let described = call(
            url,
            "secretsmanager.DescribeSecret",
            &json!({"SecretId": name}),
        );
        let versions = described["VersionIdsToStages"].as_object().cloned();
        for (version, labels) in versions.unwrap_or_default() {
            for label in labels.as_array().into_iter().flatten() {
                let asked = json!({"SecretId": name, "VersionId": version});
                let held = call(url, "secretsmanager.GetSecretValue", &asked);
                let label = label.as_str().unwrap_or_default();
                let held = json!({
                    "version": version,
                    "text": held["SecretString"],
                    "bytes": held["SecretBinary"],
                });
                state.insert(format!("secret {name} {label}"), held);
            }
        }
    }
}

/// Values with what else a parameter is. Its version number is not what it was: that only grows.
fn parameters(url: &str, state: &mut BTreeMap<String, Value>) {
    let list = call(
        url,
        "AmazonSSM.DescribeParameters",
        &json!({"MaxResults": 50}),
    );
    for parameter in list["Parameters"].as_array().into_iter().flatten() {
        let name = text(parameter, "Name");
        let asked = json!({"Name": name, "WithDecryption": true});
        let held = call(url, "AmazonSSM.GetParameter", &asked);
        let mut held = json!({
            "value": held["Parameter"]["Value"],
            "type": held["Parameter"]["Type"],
        });
        for field in ["KeyId", "Tier", "DataType", "Description", "AllowedPattern"] {
            held[field] = parameter[field].clone();
        }
        state.insert(format!("parameter {name}"), held);
    }
}

/// One call of a service with a JSON protocol, such as `AmazonSSM.PutParameter`.
#[must_use]
pub fn call(url: &str, target: &str, body: &Value) -> Value {
    let service = match target.split('.').next().unwrap_or_default() {
        "AmazonSSM" => "ssm",
        other => other,
    };
    ask(url, service, "POST /", target, &body.to_string())
}

/// One call of Lambda, such as `POST /2015-03-31/functions/f/versions`.
#[must_use]
pub fn lambda(url: &str, line: &str, body: &Value) -> Value {
    ask(url, "lambda", line, "", &body.to_string())
}

fn ask(url: &str, service: &str, line: &str, target: &str, body: &str) -> Value {
    let server = url.strip_prefix("http://").expect("a server without TLS");
    let mut stream = TcpStream::connect(server).expect("MiniStack listens");
    // Nobody checks the signature; the scope says which region is meant.
    let scope = format!("000000000000/20260101/{REGION}/{service}/aws4_request");
    write!(
        stream,
        "{line} HTTP/1.0\r\nhost: {server}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\
         x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.1\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("MiniStack takes a call");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("MiniStack answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap_or_default();
    assert!(status.starts_with('2'), "{line} {target}: {answer}");
    serde_json::from_str(body).unwrap_or(Value::Null)
}
