//! Whether somebody else has agreed to what is switched.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use towpath_model::digest::Hash;
use towpath_model::document::{self, Document};
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_switch::SwitchPlan;

use super::{Answer, Asked, closed_unless};
use crate::signing;

const SETTING: &str = "cutover.approval";

/// The file of an approval, written by the one who approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Approval {
    /// The run.
    run: RunId,
    /// What is approved: the digest that `plan` and `cutover --dry-run` print.
    digest: Hash,
    /// Who approves.
    by: String,
    /// When, as they say.
    at: String,
}

impl Document for Approval {
    const FORMAT: &'static str = "towpath-approval";
    const VERSION: u32 = 1;
}

/// What an approval is of: the plan, and what becomes of each consumer, as people are shown it. What
/// is approved is what is switched: another plan, another consumer, another host, user or database
/// is another digest. A password is not part of it: nobody sees it when they approve, and from a
/// digest that is passed around it could be guessed.
pub fn digest(plan: Hash, bindings: &SwitchPlan) -> Result<Hash> {
    let internal = |cause: serde_json::Error| {
        Failure::new(ErrorKind::Internal, "could not write the bindings").because(cause)
    };
    let mut switched = Vec::new();
    for binding in &bindings.bindings {
        let mut told = serde_json::to_value(binding.report("planned")).map_err(internal)?;
        if let Some(fields) = told.as_object_mut() {
            fields.remove("state");
        }
        switched.push(told.to_string());
    }
    // The order in which they are found is nobody's promise.
    switched.sort();
    let mut left = Vec::new();
    for untouched in &bindings.untouched {
        left.push(serde_json::to_string(untouched).map_err(internal)?);
    }
    left.sort();
    let all = json!({"plan": plan, "bindings": switched, "left": left});
    Ok(Hash::of(all.to_string().as_bytes()))
}

pub(super) async fn ask(asked: &Asked<'_>) -> Answer {
    closed_unless(Box::pin(look(asked)).await)
}

async fn look(asked: &Asked<'_>) -> Result<Answer> {
    let settings = &asked.context.settings;
    let word = settings.word(SETTING, &["none", "digest", "file"])?;
    let digest = digest(asked.plan.hash, asked.bindings)?;
    let given = asked.arguments.approve.as_deref();
    if let Some(given) = given
        && given != digest.to_string()
    {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!("what was approved is {given}, and what would be switched is {digest}"),
        )
        .hint(
            "look what has changed with `towpath cutover --dry-run`, and have it approved again",
        ));
    }
    let by = match (word, given) {
        ("file", _) => Box::pin(by_file(asked, digest)).await?,
        ("digest", None) => {
            return Err(Failure::new(
                ErrorKind::Blocked,
                format!("nobody has approved {digest}"),
            )
            .hint(format!(
                "have somebody else look at `towpath cutover --dry-run`; then --approve {digest} --approver NAME"
            )));
        }
        (_, Some(_)) => asked.arguments.approver.clone(),
        (_, None) => return Ok(Answer::Skipped(format!("{SETTING} is none"))),
    };
    match by {
        Some(by) => {
            may_approve(
                &by,
                &settings.list("cutover.approvers"),
                operator().as_deref(),
            )?;
            Ok(Answer::Open(format!("{by} approved {digest}")))
        }
        None if word == "none" => Ok(Answer::Open(format!("{digest} was approved"))),
        None => Err(Failure::new(
            ErrorKind::Blocked,
            format!("it is not said who approved {digest}"),
        )
        .hint("add --approver NAME")),
    }
}

/// The account that this process runs under.
fn operator() -> Option<String> {
    ["LOGNAME", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
}

/// Whether it is a second person, as far as names tell.
fn may_approve(by: &str, approvers: &[String], operator: Option<&str>) -> Result<()> {
    let refuse =
        |what: String| Failure::new(ErrorKind::Blocked, what).hint("have somebody else approve it");
    let name = by.trim();
    if name.is_empty() {
        return Err(refuse("the approval names nobody".to_owned()));
    }
    if operator.is_some_and(|it| it.eq_ignore_ascii_case(name)) {
        return Err(refuse(format!(
            "{name} runs this cutover, and cannot be the one who approves it"
        )));
    }
    if !approvers.is_empty() && !approvers.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Err(refuse(format!("{name} is not among cutover.approvers")));
    }
    Ok(())
}

/// Who has approved it in a file.
async fn by_file(asked: &Asked<'_>, digest: Hash) -> Result<Option<String>> {
    let (place, bytes, signature) = match asked.context.settings.path("cutover.approval_file") {
        Some(path) => {
            let signature = std::fs::read(path.with_extension("sig")).ok();
            (path.display().to_string(), read(&path)?, signature)
        }
        None => {
            let key = |ending| format!("approvals/{digest}.{ending}");
            let bytes = asked.store.get(&key("json")).await?;
            let signature = asked.store.get(&key("sig")).await?;
            (asked.store.describe(&key("json")), bytes, signature)
        }
    };
    let Some(bytes) = bytes else {
        return Err(
            Failure::new(ErrorKind::Blocked, format!("nobody has approved {digest}"))
                .at(place)
                .hint("docs/concepts/cutover.md#approval says what the file holds"),
        );
    };
    if let Some(demanded) = asked.context.settings.optional("cutover.approver_key") {
        let demanded = match asked.context.settings.path("cutover.approver_key") {
            Some(path) if path.exists() => signing::public_key(&path.to_string_lossy())?,
            _ => signing::public_key(&demanded)?,
        };
        if !signature.is_some_and(|it| demanded.has_signed(&bytes, &it)) {
            return Err(Failure::new(
                ErrorKind::Blocked,
                "the approval is not signed by the key of cutover.approver_key",
            )
            .at(place)
            .hint("openssl pkeyutl -sign -rawin -inkey KEY -in FILE.json -out FILE.sig"));
        }
    }
    // A letter to a person that is misread is no broken run: the gate stays closed.
    let approval: Approval = document::parse(&bytes, &place).map_err(|failure| {
        Failure::new(ErrorKind::Blocked, "the approval cannot be read")
            .because(failure)
            .hint("docs/concepts/cutover.md#approval says what the file holds")
    })?;
    is_of(&approval, &asked.plan.plan.run, digest).map_err(|failure| failure.at(place))?;
    Ok(Some(approval.by))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Failure::new(
            ErrorKind::LocalFile,
            format!("could not read {}", path.display()),
        )
        .because(cause)),
    }
}

fn is_of(approval: &Approval, run: &RunId, digest: Hash) -> Result<()> {
    if approval.run == *run && approval.digest == digest {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "{} approved {} of run {}, and what would be switched is {digest} of run {run}",
            approval.by, approval.digest, approval.run
        ),
    )
    .hint("look what has changed with `towpath cutover --dry-run`, and have it approved again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_person_may_approve() {
        let anybody: [String; 0] = [];
        let listed = ["Ada".to_owned(), "Grace".to_owned()];
        assert!(may_approve("ada", &listed, Some("ops")).is_ok());
        assert!(may_approve("Ada", &anybody, None).is_ok());
        for (by, approvers, operator) in [
            ("Ada", &anybody[..], Some("ada")),
            ("Eve", &listed[..], None),
            (" ", &anybody[..], None),
        ] {
            let refused = may_approve(by, approvers, operator).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Blocked, "{by}");
        }
    }

    #[test]
    fn an_approval_of_something_else_is_none() {
        let run: RunId = "20260101-00000001".parse().unwrap();
        let approval = Approval {
            run: run.clone(),
            digest: Hash::of(b"this"),
            by: "Ada".to_owned(),
            at: String::new(),
        };
        assert!(is_of(&approval, &run, Hash::of(b"this")).is_ok());
        assert!(is_of(&approval, &run, Hash::of(b"that")).is_err());
        let other = "20260101-00000002".parse().unwrap();
        assert!(is_of(&approval, &other, Hash::of(b"this")).is_err());
    }

    #[test]
    fn another_plan_is_another_digest() {
        let nothing = SwitchPlan::default();
        let one = digest(Hash::of(b"one"), &nothing).unwrap();
        assert_eq!(one, digest(Hash::of(b"one"), &nothing).unwrap());
        assert_ne!(one, digest(Hash::of(b"two"), &nothing).unwrap());
    }
}
