//! What the operator asks for: command line, settings and rules file, put together and checked before
//! anything is looked at.

use towpath_mask::MaskKey;
use towpath_model::Result;
use towpath_model::clone::{ClonePlan, CloneSequences};
use towpath_model::clone_rules::CloneRules;
use towpath_model::digest::Hash;
use towpath_model::plan::Plan;
use towpath_model::RunId;

use crate::arguments::CloneArguments;
use crate::context::Context;
use crate::pipeline::clone::coverage::Coverage;
use crate::pipeline::clone::database::Destination;

/// What becomes of rows of schema `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthRows {
    /// Users with nothing but their ids; no sessions, tokens or identities.
    Ids,
    /// As the rules say.
    Masked,
    /// None.
    None,
}

/// An order for a clone.
#[derive(Clone)]
pub struct Order {
    /// Where it goes.
    pub destination: Destination,
    /// The sealed run whose rows it is made of.
    pub from: Option<RunId>,
    /// Rules, with what the command line adds.
    pub rules: CloneRules,
    /// Where they are, for people.
    pub rules_place: String,
    /// Key of the masks, where one is set.
    pub key: Option<MaskKey>,
    /// Personal data goes as it is.
    pub unmasked: bool,
    /// What becomes of schema `auth`.
    pub auth: AuthRows,
    /// What becomes of sequences.
    pub sequences: CloneSequences,
    /// Stored chunks may be used again.
    pub reuse: bool,
    /// The finished clone is looked through for originals.
    pub residual: bool,
    /// Clones that are kept.
    pub keep: usize,
    /// An unfinished one is not gone on with.
    pub anew: bool,
    /// Only the plan is wanted.
    pub dry_run: bool,
    /// Nobody is asked.
    pub yes: bool,
}

impl Order {
    /// Reads command line, settings and rules file.
    pub fn read(_context: &Context, _arguments: &CloneArguments) -> Result<Self> {
        Err(towpath_model::Failure::new(
            towpath_model::ErrorKind::Internal,
            "not built yet",
        ))
    }

    /// Hash of all that decides what the clone will hold.
    pub fn digest(&self) -> Result<Hash> {
        let parts = serde_json::to_vec(&(
            &self.destination.name,
            self.destination.url.identity(),
            &self.from,
            &self.rules,
            self.key.as_ref().map(MaskKey::id),
            self.unmasked,
            self.auth,
            self.sequences,
        ));
        Ok(Hash::of(&parts.unwrap_or_default()))
    }

    /// Makes a plan one for this clone.
    pub fn plan(&self, plan: &mut Plan) -> Result<()> {
        let aside = ClonePlan::aside_of(&plan.run);
        plan.target.endpoint = self.destination.database(&aside).identity();
        plan.target.facts.database.clone_from(&aside);
        plan.clone = Some(ClonePlan {
            name: self.destination.name.clone(),
            aside,
            from: self.from.clone(),
            reuses: None,
            masks: None,
            subset: None,
            seed: self.rules.subset.seed.clone(),
            sequences: self.sequences,
            order: self.digest()?,
        });
        Ok(())
    }

    /// What a person reads before agreeing: masks, rows and bytes by table, what is built where.
    pub fn show(&self, _plan: &Plan, _coverage: &Coverage) -> Result<String> {
        Ok(String::new())
    }
}
