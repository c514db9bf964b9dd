//! The client of the RDS API.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};

/// How to reach AWS. What is not set comes from the default chain (`AWS_PROFILE`, `AWS_REGION`,
/// `AWS_ENDPOINT_URL` and the rest).
#[derive(Debug, Clone, Default)]
pub struct AwsOptions {
    /// Profile.
    pub profile: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Endpoint, for VPC endpoints and emulators.
    pub endpoint_url: Option<String>,
}

/// Client of RDS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RdsClient {
    pub(crate) api: aws_sdk_rds::Client,
}

impl RdsClient {
    /// Prepares the client; the service is not called yet.
    pub async fn connect(options: &AwsOptions) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(limits());
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &options.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let config = Box::pin(loader.load()).await;
        Self {
            api: aws_sdk_rds::Client::new(&config),
        }
    }
}

/// The SDK waits for an answer for ever unless told otherwise.
fn limits() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(120))
        .build()
}
