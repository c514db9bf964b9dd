//! What becomes of every object of the source: the clean schema's report.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::script::Statement;
use crate::structure::{ObjectId, Structure};

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Goes to the target as it is.
    Kept,
    /// Goes to the target changed in the named aspects.
    Rewritten,
    /// Something of towpath's own stands in for it on the target.
    Emulated,
    /// Does not go to the target.
    Dropped,
}

impl Decision {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Decision::Kept => "kept",
            Decision::Rewritten => "rewritten",
            Decision::Emulated => "emulated",
            Decision::Dropped => "dropped",
        }
    }
}

/// The decision about one object, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// Which.
    pub object: ObjectId,
    /// What becomes of it.
    pub decision: Decision,
    /// Id of the rule that decided.
    pub rule: String,
    /// Why, for a person.
    pub reason: String,
    /// Aspects in which the target's object may differ from the source's (rewritten objects).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

/// Something that loads but will fail when it is used on the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeBreak {
    /// The object that will fail.
    pub object: ObjectId,
    /// The thing it needs that the target does not have, such as `net.http_post`.
    pub needs: String,
    /// What happens and what to do.
    pub consequence: String,
    /// Whether it fails every time.
    #[serde(default)]
    pub certainty: Certainty,
    /// What uses the object and fails with it, nearest first, up to the triggers, policies, views
    /// and defaults that nobody calls by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<ObjectId>,
    /// It fails while the target is loaded, so nothing should be loaded before it is mended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub during_load: bool,
}

impl RuntimeBreak {
    /// One that fails every time, not known to be used by anything.
    pub fn new(object: ObjectId, needs: impl Into<String>, consequence: impl Into<String>) -> Self {
        Self {
            object,
            needs: needs.into(),
            consequence: consequence.into(),
            certainty: Certainty::Surely,
            callers: Vec::new(),
            during_load: false,
        }
    }
}

/// Whether something will fail whenever it is used.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Every time.
    #[default]
    Surely,
    /// On some ways through it only, or as far as words in a text can tell.
    Perhaps,
}

impl Certainty {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Certainty::Surely => "surely",
            Certainty::Perhaps => "perhaps",
        }
    }
}

/// What becomes of an extension of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtensionFate {
    /// The target makes the same version.
    Same,
    /// The target makes only an older version.
    Older,
    /// The target makes a newer version.
    Newer,
    /// Functions of towpath's own take its place.
    Replaced,
    /// The target cannot have it.
    Absent,
}

/// An extension of the source and what the target says about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtensionReport {
    /// Name.
    pub name: String,
    /// Version on the source.
    pub version: String,
    /// Version that the target makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<String>,
    /// What becomes of it.
    pub fate: ExtensionFate,
    /// `rds.extensions` of the target exists and does not name it, although the server offers it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlisted: bool,
    /// Objects of the user's that do not go because it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<ObjectId>,
}

/// What became of a secret in the text of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretFate {
    /// It stays on the source.
    LeftOut,
    /// It is in the run store and goes to the target.
    Carried,
}

/// Text of the schema that looks like a secret: where, and of what kind, never the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretReport {
    /// The object whose text holds it.
    pub object: ObjectId,
    /// What it looks like.
    pub kind: String,
    /// What became of it.
    pub fate: SecretFate,
}

/// `schema/report.json`: every object of the source and its fate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaReport {
    /// Every object, sorted by identity.
    pub objects: Vec<ObjectReport>,
    /// Objects that will fail when used.
    pub breaks_at_run_time: Vec<RuntimeBreak>,
    /// Statements that were not applied and may be wanted elsewhere, such as policies of
    /// `storage.objects`: for a person to read, secrets taken out.
    pub appendix: Vec<AppendixEntry>,
    /// Every extension of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<ExtensionReport>,
    /// Texts that look like secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretReport>,
    /// The `pg_dump` that wrote the statements, by path and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dumped_by: Option<String>,
}

/// A statement kept for reference only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendixEntry {
    /// Which object it makes.
    pub object: ObjectId,
    /// The statement, secrets taken out.
    pub sql: String,
}

impl SchemaReport {
    /// The report of one object.
    pub fn find(&self, object: &ObjectId) -> Option<&ObjectReport> {
        self.objects.iter().find(|report| report.object == *object)
    }

    /// What does not go and may be missed: named by the appendix, or the user's and lost with
    /// something that it needs. Each once.
    pub fn left_behind(&self) -> Vec<&ObjectId> {
        const OF_USER: [&str; 5] = [
            "dependent",
            "webhook",
            "policy-roles",
            "superuser",
            "database",
        ];
        let dropped = |report: &&ObjectReport| {
            report.decision == Decision::Dropped && OF_USER.contains(&report.rule.as_str())
        };
        let objects: BTreeSet<&ObjectId> = self
            .objects
            .iter()
            .filter(dropped)
            .map(|report| &report.object)
            .chain(self.appendix.iter().map(|entry| &entry.object))
            .collect();
        objects.into_iter().collect()
    }

    /// How many objects have this decision.
    pub fn count(&self, decision: Decision) -> usize {
        self.objects
            .iter()
            .filter(|report| report.decision == decision)
            .count()
    }
}

impl Document for SchemaReport {
    const FORMAT: &'static str = "towpath-schema-report";
    const VERSION: u32 = 1;
}

/// The clean schema: two scripts, the report, and the structure that the target must have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CleanSchema {
    /// Before the data: roles, schemas, extensions, emulation, types, functions, bare tables, views.
    pub pre_data: Vec<Statement>,
    /// After the data, in phases.
    pub post_data: Vec<Statement>,
    /// Every decision.
    pub report: SchemaReport,
    /// The objects that must be on the target, with the aspects and grants they must have (grants
    /// to roles that do not go are already taken out). Emulated objects are in it by existence.
    pub expected: Structure,
    /// What each object that is made by a statement needs, as far as catalog and bodies tell;
    /// empty where nobody asked.
    pub needs: BTreeMap<ObjectId, BTreeSet<ObjectId>>,
}

/// `schema/expected.json`: the structure that the target must have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpectedStructure {
    /// The objects.
    pub structure: Structure,
}

impl Document for ExpectedStructure {
    const FORMAT: &'static str = "towpath-expected-structure";
    const VERSION: u32 = 1;
    const FOR_PEOPLE: bool = false;
}
