//! What CloudWatch alarms say.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::clients::{Place, SwitchClients};

/// `DescribeAlarms` takes no more names at once.
const NAMES_AT_ONCE: usize = 100;

/// State of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// Within its bounds.
    Ok,
    /// Out of them.
    Alarm,
    /// Not enough data to say: a metric that nobody wrote, or an alarm that is new.
    InsufficientData,
    /// There is no alarm of that name.
    Missing,
}

/// States of alarms, metric alarms and composite ones, as they were asked for: by name, or by ARN
/// where they are in another region or account.
pub async fn alarm_states(
    clients: &SwitchClients,
    alarms: &[String],
    timeout: Duration,
) -> Result<Vec<(String, AlarmState)>> {
    let mut states = BTreeMap::new();
    let mut places: BTreeMap<Option<Place>, Vec<&String>> = BTreeMap::new();
    for alarm in alarms {
        places.entry(Place::of_arn(alarm)).or_default().push(alarm);
    }
    for (place, asked) in places {
        let there = place.map_or_else(|| clients.clone(), |place| clients.at_place(&place));
        for chunk in asked.chunks(NAMES_AT_ONCE) {
            let names: Vec<String> = chunk.iter().map(|alarm| name(alarm).to_owned()).collect();
            let found = describe(&there, names, timeout).await?;
            for alarm in chunk {
                let state = found.iter().find(|(found, _)| found == name(alarm));
                let state = state.map_or(AlarmState::Missing, |(_, state)| *state);
                states.insert(*alarm, state);
            }
        }
    }
    let of = |alarm| states.get(alarm).copied().unwrap_or(AlarmState::Missing);
    Ok(alarms
        .iter()
        .map(|alarm| (alarm.clone(), of(alarm)))
        .collect())
}

/// The name within an alarm's ARN; names may hold colons.
fn name(alarm: &str) -> &str {
    match alarm.strip_prefix("arn:") {
        Some(rest) => rest.splitn(6, ':').nth(5).unwrap_or(alarm),
        None => alarm,
    }
}

async fn describe(
    clients: &SwitchClients,
    names: Vec<String>,
    timeout: Duration,
) -> Result<Vec<(String, AlarmState)>> {
    let doing = "could not read the state of CloudWatch alarms";
    // Without the types only metric alarms come back: the API reference of DescribeAlarms.
    let call = clients
        .alarms
        .describe_alarms()
        .set_alarm_names(Some(names))
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .max_records(100);
    let answer = tokio::time::timeout(timeout, Box::pin(call.send()))
        .await
        .map_err(|_| {
            Failure::new(ErrorKind::Connect, doing)
                .because(format!("no answer within {} s", timeout.as_secs_f32()))
        })?
        .map_err(|error| aws::failure(&error, doing, "cloudwatch:DescribeAlarms"))?;
    let metric = answer
        .metric_alarms
        .unwrap_or_default()
        .into_iter()
        .filter_map(|alarm| Some((alarm.alarm_name?, alarm.state_value)));
    let composite = answer
        .composite_alarms
        .unwrap_or_default()
        .into_iter()
        .filter_map(|alarm| Some((alarm.alarm_name?, alarm.state_value)));
    Ok(metric
        .chain(composite)
        .map(|(name, state)| (name, read(state.as_ref())))
        .collect())
}

/// A state that this program does not know says nothing good.
fn read(state: Option<&StateValue>) -> AlarmState {
    match state {
        Some(StateValue::Ok) => AlarmState::Ok,
        Some(StateValue::Alarm) => AlarmState::Alarm,
        _ => AlarmState::InsufficientData,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_named_or_given_as_arns() {
        assert_eq!(name("errors: high"), "errors: high");
        let arn = "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:errors: high";
        assert_eq!(name(arn), "errors: high");
    }
}
