//! The AWS side of a run: the target's RDS instance, and the consumers.

use std::pin::Pin;
use std::time::Duration;

use towpath_model::connection::ConnectionUrl;
use towpath_model::inventory::ServerFacts;
use towpath_model::journal::Entry;
use towpath_model::plan::{CheckResult, Verdict};
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_rds::{
    InstanceFacts, RdsClient, find_instance, find_snapshot, parameters, snapshot_id, take_snapshot,
};
use towpath_store::{Journal, RunStore, StoreLocation};
use towpath_switch::{
    ApplyOptions, Caches, Conditions, Drifted, KeyPlace, Record, RollbackOptions, SwitchClients,
    SwitchPlan, UndoKey, complete,
};

use crate::arguments::DriftArgument;
use crate::clock;
use crate::consumers;
use crate::context::Context;

/// How long an RDS snapshot may take before the run goes on without waiting any longer.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(3600);

/// The target's instance with the client that found it.
pub struct Instance {
    client: RdsClient,
    /// What RDS says about it.
    pub facts: InstanceFacts,
}

/// Finds the target's RDS instance: by identifier when one is set, by endpoint when the host is one
/// of RDS; otherwise the target is no RDS instance and AWS is not asked.
pub async fn target_instance(
    context: &Context,
    target: &ConnectionUrl,
) -> Result<Option<Instance>> {
    if !is_rds(context, target) {
        return Ok(None);
    }
    let identifier = context.settings.optional("target.rds_instance");
    let options = towpath_rds::AwsOptions {
        profile: context.settings.optional("aws.profile"),
        region: context.settings.optional("aws.region"),
        endpoint_url: context.settings.optional("aws.endpoint_url"),
    };
    let client = Box::pin(RdsClient::connect(&options)).await;
    let found = Box::pin(find_instance(
        &client,
        &target.host,
        target.port,
        identifier.as_deref(),
    ))
    .await?;
    Ok(found.map(|facts| Instance { client, facts }))
}

/// Whether the target is, or is said to be, an instance of RDS.
pub fn is_rds(context: &Context, target: &ConnectionUrl) -> bool {
    context.settings.optional("target.rds_instance").is_some() || is_rds_host(&target.host)
}

fn is_rds_host(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.ends_with(".rds.amazonaws.com") || host.ends_with(".rds.amazonaws.com.cn")
}

/// Checks of the instance against what the server itself says.
pub async fn check_instance(
    context: &Context,
    target: &ConnectionUrl,
    server: &ServerFacts,
) -> Vec<CheckResult> {
    let result = |check: &str, verdict, finding: String, remedy: &str| CheckResult {
        check: check.to_owned(),
        verdict,
        finding,
        remedy: remedy.to_owned(),
    };
    let instance = match target_instance(context, target).await {
        Ok(Some(instance)) => instance,
        Ok(None) if context.settings.optional("target.rds_instance").is_some() => {
            return vec![result(
                "rds-instance",
                Verdict::Fail,
                format!(
                    "RDS knows no instance {}",
                    context.settings.text("target.rds_instance")
                ),
                "check target.rds_instance, AWS_PROFILE and AWS_REGION",
            )];
        }
        Ok(None) if target.is_loopback() => return Vec::new(),
        Ok(None) => {
            return vec![result(
                "rds-instance",
                Verdict::Warn,
                format!(
                    "{} is not known as an RDS instance: no snapshot will be taken before the load",
                    target.host
                ),
                "set target.rds_instance and check AWS_REGION, or take a snapshot by hand",
            )];
        }
        Err(failure) => {
            return vec![result(
                "rds-instance",
                Verdict::Fail,
                format!("{failure:?}"),
                failure
                    .find_hint()
                    .unwrap_or("check AWS_PROFILE and AWS_REGION"),
            )];
        }
    };
    let facts = &instance.facts;
    let mut results = Vec::new();
    results.push(if facts.status == "available" {
        let finding = format!(
            "{} is available, engine {}",
            facts.identifier, facts.engine_version
        );
        result("rds-instance", Verdict::Pass, finding, "")
    } else {
        let finding = format!("{} is {}", facts.identifier, facts.status);
        result(
            "rds-instance",
            Verdict::Fail,
            finding,
            "wait until the instance is available",
        )
    });
    let major = facts.engine_version.split('.').next().unwrap_or_default();
    results.push(if major == server.major().to_string() {
        let finding = format!("engine {} as the server says", facts.engine_version);
        result("rds-version", Verdict::Pass, finding, "")
    } else {
        result(
            "rds-version",
            Verdict::Fail,
            format!(
                "RDS says {}, the server PostgreSQL {}",
                facts.engine_version,
                server.major()
            ),
            "the target URL and the instance are not the same server",
        )
    });
    results.push(check_endpoint(facts, target));
    results.push(if facts.backup_retention_days > 0 {
        let finding = match facts.backup_retention_days {
            1 => "backups are kept 1 day".to_owned(),
            days => format!("backups are kept {days} days"),
        };
        result("rds-backups", Verdict::Pass, finding, "")
    } else {
        result(
            "rds-backups",
            Verdict::Warn,
            "automated backups are off".to_owned(),
            "set a backup retention period before consumers write to the instance",
        )
    });
    results.extend(check_parameters(&instance).await);
    results
}

/// An identifier that was set must name the server that the URL leads to: a snapshot of another
/// instance would be no way back.
fn check_endpoint(facts: &InstanceFacts, target: &ConnectionUrl) -> CheckResult {
    let same_port = facts.endpoint_port == Some(target.port);
    let same_host = facts.answers_at(&target.host, target.port)
        || (target.is_loopback() && facts.endpoint_host.as_deref() == Some("localhost"));
    let endpoint = format!(
        "{}:{}",
        facts.endpoint_host.as_deref().unwrap_or("no host yet"),
        facts.endpoint_port.unwrap_or_default()
    );
    let (verdict, finding, remedy) = if same_host && same_port {
        (
            Verdict::Pass,
            format!("the target URL leads to {endpoint}"),
            "",
        )
    } else {
        (
            Verdict::Warn,
            format!(
                "the instance answers at {endpoint}, the target URL names {}:{}",
                target.host, target.port
            ),
            "fine for a name of your own that leads there; otherwise correct target.rds_instance",
        )
    };
    CheckResult {
        check: "rds-endpoint".to_owned(),
        verdict,
        finding,
        remedy: remedy.to_owned(),
    }
}

async fn check_parameters(instance: &Instance) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for group in &instance.facts.parameter_groups {
        let (verdict, finding, remedy) =
            match Box::pin(parameters(&instance.client, &group.name)).await {
                Ok(values) => {
                    let tls = values
                        .get("rds.force_ssl")
                        .map_or("the engine's default", String::as_str);
                    let pending = group.apply_status != "in-sync";
                    let finding = format!(
                        "{}: {}, rds.force_ssl {tls}",
                        group.name, group.apply_status
                    );
                    if pending {
                        (
                            Verdict::Warn,
                            finding,
                            "reboot the instance so that its parameters are in force",
                        )
                    } else {
                        (Verdict::Pass, finding, "")
                    }
                }
                Err(failure) => (
                    Verdict::Warn,
                    format!("{}: {failure:?}", group.name),
                    "allow rds:DescribeDBParameters, or look at the group by hand",
                ),
            };
        results.push(CheckResult {
            check: "rds-parameters".to_owned(),
            verdict,
            finding,
            remedy: remedy.to_owned(),
        });
    }
    results
}

/// Takes an RDS snapshot of the target before anything is written to it; gives its identifier
/// and its status: RDS holds the data as of the beginning of the snapshot, so one that is still
/// being made when the wait is over is a way back too. Safe to repeat: the identifier is the run's.
pub async fn snapshot_target(
    context: &Context,
    target: &ConnectionUrl,
    run: &RunId,
) -> Result<Option<(String, String)>> {
    if context
        .settings
        .word("target.rds_snapshot", &["auto", "never"])?
        == "never"
    {
        return Ok(None);
    }
    take_snapshot_as(context, target, snapshot_id(run)).await
}

async fn take_snapshot_as(
    context: &Context,
    target: &ConnectionUrl,
    identifier: String,
) -> Result<Option<(String, String)>> {
    let Some(instance) = target_instance(context, target).await? else {
        return Ok(None);
    };
    let taken = Box::pin(take_snapshot(
        &instance.client,
        &instance.facts.identifier,
        &identifier,
        SNAPSHOT_WAIT,
    ))
    .await?;
    Ok(Some((identifier, taken.status)))
}

/// Status of an RDS snapshot of the target, as RDS has it; nothing when it has none of that name.
pub async fn snapshot_status(
    context: &Context,
    target: &ConnectionUrl,
    identifier: &str,
) -> Result<Option<String>> {
    let Some(instance) = target_instance(context, target).await? else {
        return Ok(None);
    };
    let found = Box::pin(find_snapshot(&instance.client, identifier)).await?;
    Ok(found
        .filter(|it| it.instance.eq_ignore_ascii_case(&instance.facts.identifier))
        .map(|it| it.status))
}

/// Takes an RDS snapshot of the loaded target, under a name of its own: that of the run is from
/// before the load. Gives its identifier and its status.
pub async fn snapshot_before_cutover(
    context: &Context,
    target: &ConnectionUrl,
    run: &RunId,
) -> Result<Option<(String, String)>> {
    let identifier = format!("{}-cutover-{}", snapshot_id(run), clock::now_s());
    take_snapshot_as(context, target, identifier).await
}

/// Clients of the services that hold consumers' configuration.
pub async fn switch_clients(context: &Context) -> Result<SwitchClients> {
    let options = towpath_switch::AwsOptions {
        profile: context.settings.optional("aws.profile"),
        region: context.settings.optional("aws.region"),
        endpoint_url: context.settings.optional("aws.endpoint_url"),
        update_wait: Some(Duration::from_secs(
            context.settings.number("switch.update_wait_s")?,
        )),
        timeout: Some(Duration::from_secs(
            context.settings.number("aws.timeout_s")?,
        )),
        regions: context.settings.list("switch.regions"),
        roles: context.settings.list("switch.roles"),
        role_external_id: context.settings.optional("switch.role_external_id"),
    };
    Box::pin(SwitchClients::connect(&options)).await
}

/// Finds what would be switched.
pub async fn discover(
    context: &Context,
    clients: &SwitchClients,
    run: &RunId,
) -> Result<SwitchPlan> {
    let selection = consumers::selection(context)?;
    let mapping = consumers::mapping(context)?;
    let mut plan = Box::pin(towpath_switch::discover(clients, &selection, &mapping)).await?;
    Box::pin(complete(
        clients,
        &mut plan,
        &mapping,
        &conditions(context, run)?,
    ))
    .await?;
    Ok(plan)
}

fn conditions(context: &Context, run: &RunId) -> Result<Conditions> {
    let settings = &context.settings;
    Ok(Conditions {
        subnets: settings.list("switch.subnets"),
        security_groups: settings.list("switch.security_groups"),
        caches: caches(context)?,
        mark: run.to_string(),
    })
}

fn caches(context: &Context) -> Result<Caches> {
    let words = ["recycle", "wait", "ignore"];
    Ok(match context.settings.word("switch.caches", &words)? {
        "wait" => Caches::Wait,
        "ignore" => Caches::Ignore,
        _ => Caches::Recycle,
    })
}

/// How a switch goes about it.
pub fn apply_options(context: &Context, is_unfinished: bool) -> Result<ApplyOptions> {
    let settings = &context.settings;
    let percent = |text: &String| {
        text.parse()
            .ok()
            .filter(|percent| (1..100).contains(percent))
            .ok_or_else(|| {
                Failure::new(
                    ErrorKind::Config,
                    format!("switch.alias_steps holds {text:?}, which is no share of the traffic"),
                )
                .hint("use whole percents between 1 and 99, such as 10,50")
            })
    };
    let steps = settings.list("switch.alias_steps");
    Ok(ApplyOptions {
        canary: settings.list("switch.canary"),
        jobs: switch_jobs(context)?,
        alias_steps: steps.iter().map(percent).collect::<Result<_>>()?,
        cache_wait: match caches(context)? {
            Caches::Wait => Duration::from_secs(settings.number("switch.cache_ttl_s")?),
            Caches::Recycle | Caches::Ignore => Duration::ZERO,
        },
        stop: context.stop.clone(),
        is_unfinished,
    })
}

fn switch_jobs(context: &Context) -> Result<usize> {
    let jobs = context.settings.number("switch.jobs")?;
    Ok(usize::try_from(jobs).unwrap_or(usize::MAX))
}

/// How the way back goes about it.
pub fn rollback_options(context: &Context, drift: DriftArgument) -> Result<RollbackOptions> {
    Ok(RollbackOptions {
        drift: match drift {
            DriftArgument::Stop => Drifted::Stop,
            DriftArgument::Keep => Drifted::Keep,
            DriftArgument::Overwrite => Drifted::Overwrite,
        },
        jobs: switch_jobs(context)?,
        stop: context.stop.clone(),
    })
}

/// The key of the way back that is stored; nothing where none is. What is stored decides: the
/// setting may have changed since.
pub async fn stored_undo_key(
    context: &Context,
    clients: &SwitchClients,
    store: &RunStore,
) -> Result<Option<UndoKey>> {
    Ok(match towpath_switch::key_place(store).await? {
        Some(KeyPlace::Kms(key)) => Some(UndoKey::kms(clients, &key)),
        Some(KeyPlace::Local) => Some(UndoKey::new(context.local.existing_undo_key()?)),
        None => None,
    })
}

/// The key of the way back, for a switch. Without anything stored it is the setting's key of KMS,
/// which is tried before anything depends on it, or a local one, made on the first use.
pub async fn undo_key(
    context: &Context,
    clients: &SwitchClients,
    store: &RunStore,
) -> Result<UndoKey> {
    if let Some(key) = stored_undo_key(context, clients, store).await? {
        return Ok(key);
    }
    if let Some(key) = context.settings.optional("switch.undo_kms_key_id") {
        let key = UndoKey::kms(clients, &key);
        key.check(store.run()).await?;
        return Ok(key);
    }
    if matches!(context.store_location()?, StoreLocation::S3 { .. }) {
        eprintln!(
            "warning: the way back is encrypted with .towpath/undo.key of this machine: no other can roll back (switch.undo_kms_key_id)"
        );
    }
    Ok(UndoKey::new(context.local.undo_key()?))
}

/// Records what the switch does in the run's journal.
pub struct JournalRecord(pub Journal);

impl Record for JournalRecord {
    fn record<'a>(&'a self, entry: Entry) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(self.0.append(entry))
    }
}
