//! The checklist of a clone of a sealed run: its server may be another one than the run was planned for.

use towpath_model::Result;
use towpath_model::connection::Side;
use towpath_model::inventory::{ForeignLargeObjects, LargeObjects, ServerFacts};
use towpath_model::plan::{CheckResult, Plan, Verdict};
use towpath_model::schema::CleanSchema;
use towpath_model::structure::Structure;
use towpath_plan::checks::{self, Facts, LargeObjectFate, TargetState};
use towpath_postgres::{Session, catalog};

use super::Destination;
use crate::context::Context;
use crate::pipeline::survey;

/// Checks that ask the server of the clone, or how to get there. What was asked of the source was asked
/// when the run was planned, and the database aside is empty.
const OF_THE_TARGET: [&str; 5] = [
    "target-tls",
    "target-login",
    "target-version",
    "target-encoding",
    "extensions",
];

/// Looks at the server that a clone of a sealed run goes to; gives what it is besides.
pub async fn checks(
    context: &Context,
    destination: &Destination,
    schema: &CleanSchema,
    planned: &Plan,
) -> Result<(ServerFacts, Vec<CheckResult>)> {
    let options = context.session_options(Side::Target, "towpath/clone");
    let mut session = Session::connect(&destination.url, Side::Target, &options).await?;
    let target = async {
        session.begin_reading().await?;
        let target = catalog::server_facts(&mut session).await?;
        session.rollback().await?;
        Ok(target)
    }
    .await;
    session.close().await;
    let target: ServerFacts = target?;
    let mut results = checks::run(&Facts {
        // Nothing is asked of it, and nobody may have told where it is.
        source_url: &destination.url,
        target_url: &destination.url,
        source: &planned.source.facts,
        target: &target,
        relations: &[],
        schema,
        target_structure: &Structure::default(),
        filled_tables: &[],
        target_state: TargetState::Untouched,
        will_be_cleared: true,
        large_objects: &LargeObjects::default(),
        large_object_fate: LargeObjectFate::Leave,
        target_large_objects: &ForeignLargeObjects::default(),
        migrations: None,
        secrets: survey::secrets(context)?,
        store_problem: None,
    });
    results.retain(|result| OF_THE_TARGET.contains(&result.check.as_str()));
    results.extend(other_owner(&target, &planned.target.facts));
    Ok((target, results))
}

/// The schema of a run names who owns what.
fn other_owner(target: &ServerFacts, planned: &ServerFacts) -> Option<CheckResult> {
    (target.user != planned.user).then(|| CheckResult {
        check: "target-login".to_owned(),
        verdict: Verdict::Fail,
        finding: format!(
            "the schema of the run was made for {}, and the login of the clone is {}",
            planned.user, target.user
        ),
        remedy: "connect as a login of that name, or clone without --from".to_owned(),
    })
}
