//! Extensions whose functions towpath makes anew where the target cannot have the extension.

use pg_query::protobuf::Token;
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings, extension};
use crate::decision::{Decisions, Verdict};
use crate::emulation::Definition;
use crate::json_web_token::{self, EXTENSION, NEEDS};

/// The rule's id: what depends on an extension that was replaced is not lost with it.
pub(crate) const ID: &str = "replaced";

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    findings: &Findings,
) -> Option<Verdict> {
    if !findings.replaces_jwt {
        return None;
    }
    if object.id == ObjectId::global(ObjectKind::Extension, EXTENSION) {
        let why = evidence.target.offers(EXTENSION).err().unwrap_or_default();
        return Some(Verdict::dropped(format!(
            "{why}; functions of towpath's own with the same signatures take the place of its own"
        )));
    }
    let definition = definition(object, evidence)?;
    Some(Verdict::stands_in(format!(
        "the target has no {EXTENSION}, and something of yours calls it: made anew on {NEEDS}'s hmac, as {} {}",
        definition.language, definition.volatility
    )))
}

/// The function that takes the place of this member of an extension.
pub(crate) fn definition(object: &SchemaObject, evidence: &Evidence<'_>) -> Option<Definition> {
    if object.extension.as_deref() != Some(EXTENSION) {
        return None;
    }
    let schema = object.id.schema.as_deref()?;
    json_web_token::definition(&object.id, schema, extension::schema_of(evidence, NEEDS)?)
}

/// Functions that the others call and that the version of the source does not have.
pub(crate) fn added(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<Definition> {
    let id = ObjectId::global(ObjectKind::Extension, EXTENSION);
    let is_replaced = decisions
        .report(&id)
        .is_some_and(|report| report.rule == ID);
    let schemas = (
        extension::schema_of(evidence, EXTENSION),
        extension::schema_of(evidence, NEEDS),
    );
    let (true, (Some(schema), Some(hmac_schema))) = (is_replaced, schemas) else {
        return Vec::new();
    };
    let mut all = json_web_token::definitions(schema, hmac_schema);
    all.retain(|definition| !evidence.structure.objects.contains_key(&definition.id));
    all
}

/// Reports the functions that are added.
pub(crate) fn report(added: &[Definition], decisions: &mut Decisions) {
    for definition in added {
        let reason = format!("called by the functions that take the place of {EXTENSION}'s");
        decisions.set(&definition.id, ID, Verdict::stands_in(reason));
    }
}

/// An added function as the target must have it: everybody may call it, as the server has it.
pub(crate) fn expected(added: &Definition, owner: &str) -> SchemaObject {
    SchemaObject {
        id: added.id.clone(),
        oid: 0,
        owner: Some(owner.to_owned()),
        extension: None,
        comment: None,
        grants: [Grant {
            grantee: "public".to_owned(),
            privilege: "EXECUTE".to_owned(),
            column: None,
            grantable: false,
        }]
        .into(),
        aspects: added.aspects().into(),
    }
}

/// Whether pgjwt is there, cannot go, and is called: by something that the catalog says depends on
/// it, or in the body of a function.
pub(super) fn is_needed(evidence: &Evidence<'_>, provisional: &Decisions) -> bool {
    let id = ObjectId::global(ObjectKind::Extension, EXTENSION);
    let can_be_replaced = evidence.structure.objects.contains_key(&id)
        && evidence.target.offers(EXTENSION).is_err()
        && evidence.target.offers(NEEDS).is_ok()
        && extension::schema_of(evidence, NEEDS).is_some();
    if !can_be_replaced {
        return false;
    }
    let functions: Vec<&str> = evidence
        .structure
        .objects
        .values()
        .filter(|object| definition(object, evidence).is_some())
        .map(|object| object.id.name.as_str())
        .collect();
    let dependents = evidence.source.dependents.get(&id);
    let goes = |by: &ObjectId| provisional.of(by).is_some() && provisional.goes(by);
    dependents.is_some_and(|all| all.iter().any(goes))
        || evidence
            .source
            .bodies
            .iter()
            .any(|(by, body)| goes(by) && calls_one_of(&body.text, &functions))
}

/// Whether a text calls a function of one of these names, whatever schema it is found in.
fn calls_one_of(text: &str, functions: &[&str]) -> bool {
    let Ok(scanned) = pg_query::scan(text) else {
        return false;
    };
    let is_named = |start: i32, end: i32| {
        let range = usize::try_from(start).ok()..usize::try_from(end).ok();
        let (Some(start), Some(end)) = (range.start, range.end) else {
            return false;
        };
        let word = text.get(start..end).unwrap_or_default();
        let name = match word.strip_prefix('"') {
            Some(quoted) => quoted.trim_end_matches('"').to_owned(),
            None => word.to_lowercase(),
        };
        functions.contains(&name.as_str())
    };
    scanned
        .tokens
        .windows(2)
        .any(|pair| pair[1].token() == Token::Ascii40 && is_named(pair[0].start, pair[0].end))
}

#[cfg(test)]
mod tests {
    use super::calls_one_of;

    #[test]
    fn a_call_is_found_with_and_without_its_schema() {
        let names = ["sign", "verify"];
        for text in [
            "select sign('{}', 'k')",
            "begin return extensions.\"verify\" (token, k); end",
            "select SIGN(x, y)",
        ] {
            assert!(calls_one_of(text, &names), "{text}");
        }
        for text in [
            "select design(1)",
            "-- sign(x)\nselect 'sign(1)', sign",
            "select signed(x)",
        ] {
            assert!(!calls_one_of(text, &names), "{text}");
        }
    }
}
