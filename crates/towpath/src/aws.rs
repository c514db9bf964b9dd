//! The AWS side of a run: the target's RDS instance, and the consumers.

use std::pin::Pin;
use std::time::Duration;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::inventory::ServerFacts;
use towpath_model::journal::Entry;
use towpath_model::plan::{CheckResult, Verdict};
use towpath_model::{Result, RunId};
use towpath_rds::{
    InstanceFacts, RdsClient, find_instance, parameters, snapshot_id, take_snapshot,
};
use towpath_store::Journal;
use towpath_switch::{Mapping, Record, Selection, SwitchClients, SwitchPlan, UndoKey};

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
    let Some(instance) = target_instance(context, target).await? else {
        return Ok(None);
    };
    let identifier = snapshot_id(run);
    let taken = Box::pin(take_snapshot(
        &instance.client,
        &instance.facts.identifier,
        &identifier,
        SNAPSHOT_WAIT,
    ))
    .await?;
    Ok(Some((identifier, taken.status)))
}

/// Whether any Lambda function is selected.
pub fn has_selection(context: &Context) -> bool {
    ["switch.functions", "switch.prefixes", "switch.tags"]
        .iter()
        .any(|key| context.settings.optional(key).is_some())
}

/// Clients of the services that hold consumers' configuration.
pub async fn switch_clients(context: &Context) -> SwitchClients {
    let options = towpath_switch::AwsOptions {
        profile: context.settings.optional("aws.profile"),
        region: context.settings.optional("aws.region"),
        endpoint_url: context.settings.optional("aws.endpoint_url"),
    };
    Box::pin(SwitchClients::connect(&options)).await
}

/// Finds what would be switched.
pub async fn discover(context: &Context, clients: &SwitchClients) -> Result<SwitchPlan> {
    let settings = &context.settings;
    let selection = Selection {
        names: settings.list("switch.functions"),
        prefixes: settings.list("switch.prefixes"),
        tags: settings
            .list("switch.tags")
            .iter()
            .map(|tag| {
                let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
                (key.trim().to_owned(), value.trim().to_owned())
            })
            .collect(),
        variables: settings.list("switch.secret_variables"),
    };
    let target = match settings.url_of("switch", Side::Target)? {
        Some(url) => url,
        None => context.url(Side::Target)?,
    };
    let mapping = Mapping {
        source: context.url(Side::Source)?,
        target,
        source_hosts: settings.list("switch.source_hosts"),
        sslmode: settings.optional("switch.sslmode"),
    };
    Box::pin(towpath_switch::discover(clients, &selection, &mapping)).await
}

/// The key for the undo data of a cutover; made on this machine's first one.
pub fn undo_key(context: &Context) -> Result<UndoKey> {
    Ok(UndoKey::new(context.local.undo_key()?))
}

/// The key that the undo data of an earlier cutover needs.
pub fn existing_undo_key(context: &Context) -> Result<UndoKey> {
    Ok(UndoKey::new(context.local.existing_undo_key()?))
}

/// Records what the switch does in the run's journal.
pub struct JournalRecord(pub Journal);

impl Record for JournalRecord {
    fn record<'a>(&'a self, entry: Entry) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(self.0.append(entry))
    }
}
