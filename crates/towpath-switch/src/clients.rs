//! The AWS clients of a switch: one set for each place, a region of an account.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::config::SharedCredentialsProvider;
use serde::{Deserialize, Serialize};
use towpath_model::{ErrorKind, Failure, Result};

use crate::options::AwsOptions;

/// Stands for the identity towpath runs under among [`AwsOptions::roles`].
const ITSELF: &str = "self";

/// How long a call may take at least with all its attempts: a client that a service has throttled
/// holds its calls back for a while.
const OPERATION: Duration = Duration::from_secs(60);

/// How long a service may take to answer.
const ATTEMPT: Duration = Duration::from_secs(30);

/// How often a call that only reads is sent before it fails.
const READ_ATTEMPTS: u32 = 8;

/// A region of an account. Without an account it is that of the identity towpath runs under.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Account.
    pub account: Option<String>,
    /// Region.
    pub region: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "{}/{account}", self.region),
            None => f.write_str(&self.region),
        }
    }
}

impl Place {
    /// The place an ARN names; nothing for other texts, and for ARNs without a region.
    pub(crate) fn of_arn(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':').skip(2);
        let region = parts.next().filter(|region| !region.is_empty())?;
        let account = parts.next()?;
        Some(Self {
            account: (!account.is_empty()).then(|| account.to_owned()),
            region: region.to_owned(),
        })
    }
}

/// Clients of every service that holds, probes or tells of consumers, at one place; the others are
/// a call of `at_place` away. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SwitchClients {
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) parameters: aws_sdk_ssm::Client,
    pub(crate) keys: aws_sdk_kms::Client,
    pub(crate) alarms: aws_sdk_cloudwatch::Client,
    pub(crate) topics: aws_sdk_sns::Client,
    place: Place,
    manner: Manner,
    world: Arc<World>,
}

/// How long Lambda may take for an update unless [`AwsOptions::update_wait`] says otherwise: a
/// function that moves into a VPC takes minutes.
const UPDATE_WAIT: Duration = Duration::from_secs(300);

/// How a client takes refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    /// Writers want to know of each soon.
    Usual,
    /// A service that throttles is called more slowly, and asked again more often.
    Patient,
}

/// Every account that can be reached, and the clients made so far.
struct World {
    home: SdkConfig,
    home_region: String,
    /// Configurations of assumed roles by account.
    accounts: BTreeMap<String, SdkConfig>,
    places: Vec<Place>,
    update_wait: Duration,
    made: Mutex<BTreeMap<(Place, Manner), Services>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Services {
    lambda: aws_sdk_lambda::Client,
    secrets: aws_sdk_secretsmanager::Client,
    parameters: aws_sdk_ssm::Client,
    keys: aws_sdk_kms::Client,
    alarms: aws_sdk_cloudwatch::Client,
    topics: aws_sdk_sns::Client,
}

impl Services {
    fn of(config: &SdkConfig) -> Self {
        Self {
            lambda: aws_sdk_lambda::Client::new(config),
            secrets: aws_sdk_secretsmanager::Client::new(config),
            parameters: aws_sdk_ssm::Client::new(config),
            keys: aws_sdk_kms::Client::new(config),
            alarms: aws_sdk_cloudwatch::Client::new(config),
            topics: aws_sdk_sns::Client::new(config),
        }
    }
}

impl SwitchClients {
    /// Prepares the clients; no service is called yet, and no role is assumed before it is needed.
    pub async fn connect(options: &AwsOptions) -> Result<Self> {
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).timeout_config(limits(options));
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &options.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let home = Box::pin(loader.load()).await;
        let home_region = home.region().map(ToString::to_string).unwrap_or_default();
        let accounts = Box::pin(assumed(&home, options)).await?;
        let world = World {
            places: places(options, &home_region)?,
            home,
            home_region,
            accounts,
            update_wait: options.update_wait.unwrap_or(UPDATE_WAIT),
            made: Mutex::default(),
        };
        let home = Place {
            account: None,
            region: world.home_region.clone(),
        };
        Ok(Self::new(Arc::new(world), home, Manner::Usual))
    }

    fn new(world: Arc<World>, place: Place, manner: Manner) -> Self {
        let services = world.services(&place, manner);
        Self {
            lambda: services.lambda,
            secrets: services.secrets,
            parameters: services.parameters,
            keys: services.keys,
            alarms: services.alarms,
            topics: services.topics,
            place,
            manner,
            world,
        }
    }

    /// How long an update of a function is waited for.
    pub(crate) fn update_wait(&self) -> Duration {
        self.world.update_wait
    }

    /// The places that are searched, in order.
    pub fn places(&self) -> &[Place] {
        &self.world.places
    }

    /// Whether names alone do not say where a thing is.
    pub(crate) fn has_places(&self) -> bool {
        self.world.places.len() > 1
    }

    /// Where these clients are.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// The clients of a place.
    pub(crate) fn at_place(&self, place: &Place) -> Self {
        if *place == self.place {
            return self.clone();
        }
        Self::new(Arc::clone(&self.world), place.clone(), self.manner)
    }

    /// The clients of the place that an ARN names; these here for a plain name.
    pub(crate) fn at(&self, arn: &str) -> Self {
        Place::of_arn(arn).map_or_else(|| self.clone(), |place| self.at_place(&place))
    }

    /// The same clients for reading many things: a service that throttles is called more slowly,
    /// and asked again more often. Writers want to know of every refusal.
    pub(crate) fn patient(&self) -> Self {
        let place = self.place.clone();
        Self::new(Arc::clone(&self.world), place, Manner::Patient)
    }
}

impl World {
    fn config(&self, place: &Place) -> SdkConfig {
        let account = place.account.as_ref();
        let base = account
            .and_then(|account| self.accounts.get(account))
            .unwrap_or(&self.home);
        if place.region.is_empty() {
            return base.clone();
        }
        let region = Region::new(place.region.clone());
        base.to_builder().region(region).build()
    }

    fn services(&self, place: &Place, manner: Manner) -> Services {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let config = self.config(place);
            match manner {
                Manner::Usual => Services::of(&config),
                Manner::Patient => {
                    // Not the adaptive mode: after a single refusal it lets half a call a second
                    // pass, and a short reading of twenty functions takes as many seconds.
                    let retry = RetryConfig::standard()
                        .with_max_attempts(READ_ATTEMPTS)
                        .with_initial_backoff(Duration::from_millis(250))
                        .with_max_backoff(Duration::from_secs(10));
                    Services::of(&config.into_builder().retry_config(retry).build())
                }
            }
        };
        made.entry((place.clone(), manner))
            .or_insert_with(make)
            .clone()
    }
}

/// The account of a role's ARN.
fn account_of(role: &str) -> Result<&str> {
    let account = role
        .strip_prefix("arn:")
        .and_then(|rest| rest.split(':').nth(3))
        .filter(|account| !account.is_empty() && role.contains(":role/"));
    account.ok_or_else(|| {
        Failure::new(
            ErrorKind::Config,
            format!("switch.roles holds {role:?}, which is not the ARN of a role"),
        )
        .hint("one role for each account, such as arn:aws:iam::111122223333:role/towpath; `self` is the identity towpath runs under")
    })
}

async fn assumed(home: &SdkConfig, options: &AwsOptions) -> Result<BTreeMap<String, SdkConfig>> {
    let mut accounts = BTreeMap::new();
    for role in options.roles.iter().filter(|role| *role != ITSELF) {
        let mut provider = AssumeRoleProvider::builder(role)
            .session_name("towpath")
            .configure(home);
        if let Some(id) = &options.role_external_id {
            provider = provider.external_id(id);
        }
        let provider = SharedCredentialsProvider::new(Box::pin(provider.build()).await);
        let mut config = home.to_builder();
        config.set_credentials_provider(Some(provider));
        let account = account_of(role)?.to_owned();
        if accounts.insert(account.clone(), config.build()).is_some() {
            return Err(Failure::new(
                ErrorKind::Config,
                format!("switch.roles names two roles of account {account}"),
            )
            .hint("one role for each account"));
        }
    }
    Ok(accounts)
}

/// Every region of every account, each once.
fn places(options: &AwsOptions, home_region: &str) -> Result<Vec<Place>> {
    let own = [home_region.to_owned()];
    let regions = match options.regions.as_slice() {
        [] => &own,
        regions => regions,
    };
    let itself = [ITSELF.to_owned()];
    let roles = match options.roles.as_slice() {
        [] => &itself,
        roles => roles,
    };
    let mut places: Vec<Place> = Vec::new();
    for role in roles {
        let account = match role.as_str() {
            ITSELF => None,
            role => Some(account_of(role)?.to_owned()),
        };
        for region in regions {
            let place = Place {
                account: account.clone(),
                region: region.clone(),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

/// The SDK waits for an answer for ever unless told otherwise. A call is at most four attempts.
fn limits(options: &AwsOptions) -> TimeoutConfig {
    let attempt = options.timeout.unwrap_or(ATTEMPT);
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5).min(attempt))
        .operation_attempt_timeout(attempt)
        .operation_timeout((attempt * 4).max(OPERATION))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_regions_of_accounts() {
        let mut options = AwsOptions::default();
        let told = |options: &AwsOptions| {
            let places = places(options, "eu-west-1").unwrap();
            places.iter().map(Place::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&options), ["eu-west-1"]);
        options.regions = vec!["eu-west-1".to_owned(), "us-east-1".to_owned()];
        options.roles = vec![
            "self".to_owned(),
            "arn:aws:iam::111122223333:role/ops/towpath".to_owned(),
        ];
        assert_eq!(
            told(&options),
            [
                "eu-west-1",
                "us-east-1",
                "eu-west-1/111122223333",
                "us-east-1/111122223333"
            ]
        );
        options.roles = vec!["towpath".to_owned()];
        let refused = places(&options, "eu-west-1").unwrap_err();
        assert!(refused.to_string().contains("not the ARN of a role"));
    }

    #[test]
    fn an_arn_says_where_it_is() {
        let place = |arn| Place::of_arn(arn).map(|place| place.to_string());
        assert_eq!(
            place("arn:aws:lambda:eu-west-1:111122223333:function:a:live").as_deref(),
            Some("eu-west-1/111122223333")
        );
        assert_eq!(place("arn:aws:iam::111122223333:role/x"), None);
        assert_eq!(place("orders-api"), None);
    }
}
