//! Reads everything that a plan is made of, the source in one snapshot.

use towpath_load::{LoadedBy, loaded_by};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::inventory::{
    ForeignLargeObjects, LargeObjects, MigrationHistory, Relation, ServerFacts,
};
use towpath_model::plan::CheckResult;
use towpath_model::schema::CleanSchema;
use towpath_model::secret_text::Handling;
use towpath_model::structure::Structure;
use towpath_model::{QualifiedName, Result, RunId};
use towpath_plan::checks::{self, Facts, LargeObjectFate, TargetState};
use towpath_plan::planned_relations;
use towpath_postgres::{Session, SnapshotHolder, catalog, structure};
use towpath_schema::{
    BrokenTriggers, CarryAuthUsers, LargeObjects as SchemaLargeObjects, SchemaOptions, ServiceRole,
    clean_schema, has_event_triggers,
};
use towpath_store::RunStore;

use crate::aws;
use crate::context::Context;

/// What was read.
pub struct Survey {
    /// Source URL.
    pub source_url: ConnectionUrl,
    /// Target URL.
    pub target_url: ConnectionUrl,
    /// Source server and login.
    pub source: ServerFacts,
    /// Target server and login.
    pub target: ServerFacts,
    /// Relations of the source.
    pub relations: Vec<Relation>,
    /// Sequences of the source.
    pub sequences: Vec<QualifiedName>,
    /// The clean schema.
    pub schema: CleanSchema,
    /// Structure of the target.
    pub target_structure: Structure,
    /// Tables of the target that hold rows.
    pub filled_tables: Vec<QualifiedName>,
    /// Who loaded the target.
    pub loaded_by: LoadedBy,
    /// Large objects on the source.
    pub large_objects: LargeObjects,
    /// Large objects on the target.
    pub target_large_objects: ForeignLargeObjects,
    /// The source's migration history.
    pub migrations: Option<MigrationHistory>,
}

/// Takes a snapshot on the source and reads both sides. Changes nothing. The snapshot is handed
/// out, so that an export can use the very same one.
pub async fn survey(context: &Context, run: &RunId) -> Result<(Survey, SnapshotHolder)> {
    let source_url = context.url(Side::Source)?;
    let target_url = context.url(Side::Target)?;
    let connect = async |side: Side, url: &ConnectionUrl| {
        let options = context.session_options(side, &format!("towpath/{run}/survey"));
        Session::connect(url, side, &options).await
    };
    let source_session = connect(Side::Source, &source_url).await?;
    let mut target_session = connect(Side::Target, &target_url).await?;
    target_session.begin_reading().await?;
    let mut target = catalog::server_facts(&mut target_session).await?;
    let target_structure = structure::read(&mut target_session).await?;
    let loaded_by = loaded_by(&mut target_session).await?;
    let there = catalog::large_object_oids(&mut target_session).await?;
    target_session.rollback().await?;

    let mut holder = SnapshotHolder::take(source_session).await?;
    let snapshot_id = holder.facts().id.clone();
    let session = holder.session();
    let source = catalog::server_facts(session).await?;
    let relations = catalog::relations(session).await?;
    let sequences = catalog::sequences(session).await?;
    let large_objects = catalog::large_objects(session).await?;
    let target_large_objects = ForeignLargeObjects {
        count: u64::try_from(there.len()).unwrap_or(u64::MAX),
        taken: catalog::large_objects_among(session, &there).await?,
    };
    let migrations = catalog::migration_history(session, &relations, &source).await?;
    let source_structure = structure::read(session).await?;
    if has_event_triggers(&source_structure) && !target.is_superuser {
        target.abilities.makes_event_triggers =
            catalog::makes_event_triggers(&mut target_session).await?;
    }
    target_session.begin_reading().await?;
    let filled_tables = catalog::filled_tables(&mut target_session, &source.search_path).await?;
    target_session.rollback().await?;
    target_session.close().await;
    let options = schema_options(context, &target)?;
    let schema = clean_schema(
        &source_url,
        &snapshot_id,
        &source_structure,
        session,
        &target,
        &options,
    )
    .await?;
    let survey = Survey {
        source_url,
        target_url,
        source,
        target,
        relations,
        sequences,
        schema,
        target_structure,
        filled_tables,
        loaded_by,
        large_objects,
        target_large_objects,
        migrations,
    };
    Ok((survey, holder))
}

/// What the configuration says of large objects.
pub fn large_object_fate(context: &Context) -> Result<LargeObjectFate> {
    let word = context
        .settings
        .word("schema.large_objects", &["carry", "leave", "refuse"])?;
    Ok(match word {
        "leave" => LargeObjectFate::Leave,
        "refuse" => LargeObjectFate::Refuse,
        _ => LargeObjectFate::Carry,
    })
}

/// What the configuration says of secrets.
pub fn secrets(context: &Context) -> Result<Handling> {
    let word = context
        .settings
        .word("schema.secrets", &["redact", "carry"])?;
    Ok(match word {
        "carry" => Handling::Carry,
        _ => Handling::Redact,
    })
}

/// What the configuration says of the clean schema.
pub fn schema_options(context: &Context, target: &ServerFacts) -> Result<SchemaOptions> {
    let carry = context
        .settings
        .word("schema.carry_auth_users", &["auto", "never"])?;
    let broken_triggers = context
        .settings
        .word("schema.broken_triggers", &["report", "disable"])?;
    let service_role = context
        .settings
        .word("schema.service_role", &["policies", "none"])?;
    Ok(SchemaOptions {
        service_role: match service_role {
            "none" => ServiceRole::Nothing,
            _ => ServiceRole::Policies,
        },
        secrets: secrets(context)?,
        large_objects: match large_object_fate(context)? {
            LargeObjectFate::Leave => SchemaLargeObjects::Leave,
            LargeObjectFate::Carry | LargeObjectFate::Refuse => SchemaLargeObjects::Carry,
        },
        broken_triggers: match broken_triggers {
            "disable" => BrokenTriggers::Disable,
            _ => BrokenTriggers::Report,
        },
        pg_dump: context.settings.text("schema.pg_dump").into(),
        target_owner: target.user.clone(),
        carry_auth_users: match carry {
            "never" => CarryAuthUsers::Never,
            _ => CarryAuthUsers::Auto,
        },
        finds_needs: false,
        root_certificates: context.root_certificates(Side::Source),
    })
}

/// Goes through the checklist.
pub async fn check(
    context: &Context,
    survey: &Survey,
    store: &RunStore,
    will_be_cleared: bool,
) -> Result<Vec<CheckResult>> {
    let store_problem = store.probe().await.err().map(|failure| {
        let remedy = failure.find_hint().unwrap_or("check --store").to_owned();
        (format!("{failure:?}"), remedy)
    });
    let relations = planned_relations(&survey.relations, &survey.schema.report);
    let mut results = checks::run(&Facts {
        source_url: &survey.source_url,
        target_url: &survey.target_url,
        source: &survey.source,
        target: &survey.target,
        relations: &relations,
        schema: &survey.schema,
        target_structure: &survey.target_structure,
        filled_tables: &survey.filled_tables,
        target_state: match &survey.loaded_by {
            LoadedBy::Nobody => TargetState::Untouched,
            LoadedBy::Run(other) if other == store.run() => TargetState::ThisRun,
            LoadedBy::Run(other) => TargetState::OtherRun(other.to_string()),
        },
        will_be_cleared,
        large_objects: &survey.large_objects,
        large_object_fate: large_object_fate(context)?,
        target_large_objects: &survey.target_large_objects,
        migrations: survey.migrations.as_ref(),
        secrets: secrets(context)?,
        store_problem,
    });
    results.extend(aws::check_instance(context, &survey.target_url, &survey.target).await);
    Ok(results)
}
