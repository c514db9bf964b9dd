//! Text of the schema that looks like a secret: what stays on the source has to be put into a
//! secret store, what goes along will be readable on the target.

use towpath_model::plan::CheckResult;
use towpath_model::schema::{SecretFate, SecretReport};

use super::{Facts, pass, some_of, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "schema-secrets";
    let secrets = &facts.schema.report.secrets;
    let told = |fate: SecretFate| -> Vec<String> {
        let those = secrets.iter().filter(|secret| secret.fate == fate);
        let tell = |SecretReport { object, kind, .. }: &SecretReport| format!("{object} ({kind})");
        those.map(tell).collect()
    };
    let (left_out, carried) = (told(SecretFate::LeftOut), told(SecretFate::Carried));
    let mut findings = Vec::new();
    if !carried.is_empty() {
        findings.push(format!(
            "goes along into the run store and onto the target: {}",
            some_of(&carried)
        ));
    }
    if !left_out.is_empty() {
        findings.push(format!("stays on the source: {}", some_of(&left_out)));
    }
    if findings.is_empty() {
        return pass(CHECK, "no text of the schema looks like a secret");
    }
    warn(
        CHECK,
        findings.join("; "),
        "put these into a secret store, and let the application read them there; the report of the run or of `towpath export --schema-only` lists all of them",
    )
}
