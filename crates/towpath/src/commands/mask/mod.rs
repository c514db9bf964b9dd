//! `towpath mask`: what the rules make of the source's columns, without making a clone.

mod approve;
mod check;
mod diff;

use std::path::Path;

use towpath_mask::MaskKey;
use towpath_model::keys::KeyFacts;
use towpath_model::plan::Plan;
use towpath_model::{Exit, Result};
use towpath_postgres::SnapshotHolder;

use crate::arguments::{CloneArguments, MaskCommand};
use crate::clock;
use crate::context::{Aside, Context};
use crate::pipeline::clone::order::no_key;
use crate::pipeline::clone::{Order, masks};
use crate::pipeline::{planning, survey};

/// A clone's name that is never made: the target is only asked what server it is on.
const NOBODY: &str = "mask_check";

/// Looks at masks.
pub async fn mask(context: &Context, what: &MaskCommand) -> Result<Exit> {
    match what {
        MaskCommand::Check(arguments) => Box::pin(check::check(context, arguments)).await,
        MaskCommand::Diff(arguments) => Box::pin(diff::diff(context, arguments)).await,
        MaskCommand::Approve(arguments) => Box::pin(approve::approve(context, arguments)).await,
    }
}

/// What a clone would be planned of.
struct Looked {
    order: Order,
    facts: KeyFacts,
    /// With masks.
    plan: Plan,
    holder: SnapshotHolder,
}

/// Which key masks are tried with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// That of the settings: values are shown.
    Real,
    /// Any: where rules are looked at, as in CI, the key has no business.
    Any,
}

/// Looks at the source as a clone of everything would. Nothing is changed anywhere.
async fn look(context: &Context, rules: Option<&Path>, key: Key) -> Result<Looked> {
    let mut order = Order::read(context, &arguments(rules))?;
    match key {
        Key::Any => {
            let any = || MaskKey::of_secret(NOBODY.as_bytes());
            order.key = Some(order.key.unwrap_or_else(any));
        }
        Key::Real => {
            order = order.with_key(context).await?;
            if order.key.is_none() {
                return Err(no_key());
            }
        }
    }
    let on_server = context.aside(Aside {
        url: order.destination.url.clone(),
        left_alone: Default::default(),
    });
    let run = clock::new_run_id()?;
    let (found, holder) = Box::pin(survey::survey(&on_server, &run)).await?;
    let mut plan = planning::make_plan(&on_server, &found, &run, Vec::new())?;
    let facts = KeyFacts::of(&found.schema.expected);
    order.plan(&mut plan)?;
    masks::plan(&order, &facts, &mut plan)?;
    Ok(Looked {
        order,
        facts,
        plan,
        holder,
    })
}

fn arguments(rules: Option<&Path>) -> CloneArguments {
    CloneArguments {
        to: NOBODY.to_owned(),
        from: None,
        rules: rules.map(Path::to_owned),
        unmasked: false,
        conditions: Vec::new(),
        percent: None,
        limit: None,
        roots: Vec::new(),
        seed: None,
        keep: None,
        anew: false,
        dry_run: true,
        yes: true,
    }
}
