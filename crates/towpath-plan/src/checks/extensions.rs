//! What the target says about the extensions of the source. One that tables need and the target
//! cannot have never gets here: the clean schema refuses it.

use towpath_model::plan::CheckResult;
use towpath_model::schema::{ExtensionFate, ExtensionReport};

use super::{Facts, pass, some_of, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "extensions";
    let all = &facts.schema.report.extensions;
    let findings: Vec<String> = all.iter().filter_map(finding).collect();
    if findings.is_empty() {
        let names = |is: fn(&ExtensionReport) -> bool| -> Vec<&str> {
            let those = all.iter().filter(|extension| is(extension));
            those.map(|extension| extension.name.as_str()).collect()
        };
        let absent = names(|extension| extension.fate == ExtensionFate::Absent);
        let comes = names(|extension| extension.offered.is_some());
        let left = match absent.as_slice() {
            [] => String::new(),
            absent => format!(
                "; not on the target, and needed by nothing that goes: {}",
                absent.join(", ")
            ),
        };
        return pass(CHECK, format!("{} come to the target{left}", comes.len()));
    }
    warn(
        CHECK,
        findings.join("; "),
        "read the extensions in the report of the run or of `towpath export --schema-only`; rehearse what uses them before the cutover",
    )
}

/// What a person has to know about an extension.
fn finding(extension: &ExtensionReport) -> Option<String> {
    let ExtensionReport { name, version, .. } = extension;
    let offered = extension.offered.as_deref().unwrap_or_default();
    let lost = match extension.lost.as_slice() {
        [] => String::new(),
        lost => format!(
            ", and without it {} do not go: {}",
            lost.len(),
            some_of(lost)
        ),
    };
    match extension.fate {
        ExtensionFate::Older => Some(format!(
            "{name} comes in version {offered}, the source has {version}{lost}"
        )),
        ExtensionFate::Absent if !extension.lost.is_empty() => {
            Some(format!("{name} is not on the target{lost}"))
        }
        ExtensionFate::Replaced => Some(format!(
            "{name} is not on the target; functions with the same signatures take its place{lost}"
        )),
        _ if extension.unlisted => Some(format!(
            "{name} is offered, but rds.extensions does not name it: making it may be refused"
        )),
        _ => None,
    }
}
