//! Why an update of a function failed, in words.

use aws_sdk_lambda::types::LastUpdateStatusReasonCode as Code;
use towpath_model::Failure;

use crate::aws;

/// The reason that Lambda gives for a failed update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    code: String,
    /// Lambda's own sentence, without what it quotes.
    sentence: String,
}

impl Reason {
    pub(crate) fn of(code: Option<&str>, sentence: Option<&str>) -> Self {
        Self {
            code: code.unwrap_or("no reason given").to_owned(),
            sentence: aws::without_values(sentence.unwrap_or_default()),
        }
    }

    /// Code and sentence.
    pub(crate) fn told(&self) -> String {
        match self.sentence.as_str() {
            "" => self.code.clone(),
            sentence => format!("{}: {sentence}", self.code),
        }
    }

    /// What it means, and what to do.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        let failure = failure.because(format!("LastUpdateStatus is Failed, {}", self.told()));
        match advice(&Code::from(self.code.as_str())) {
            Some(advice) => failure.hint(advice),
            None => failure.hint("look at the function in the console; the same command resumes"),
        }
    }
}

/// The codes are those of <https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html>.
fn advice(code: &Code) -> Option<&'static str> {
    Some(match code {
        Code::EniLimitExceeded => {
            "the account has no network interface left in this region: ask for a higher quota \"Network interfaces per Region\", or delete unused ones; functions that share subnets and security groups share interfaces"
        }
        Code::Ec2RequestLimitExceeded | Code::ServiceQuotaExceededException => {
            "EC2 throttled Lambda while it made network interfaces: wait a minute, and switch fewer functions at once"
        }
        Code::InsufficientRolePermissions => {
            "the function's role needs ec2:CreateNetworkInterface, ec2:DescribeNetworkInterfaces and ec2:DeleteNetworkInterface to run in a VPC: attach AWSLambdaVPCAccessExecutionRole to it"
        }
        Code::SubnetOutOfIpAddresses => {
            "a subnet has no free address: name larger or further subnets in switch.subnets"
        }
        Code::InvalidSubnet => {
            "a subnet of switch.subnets does not exist in this region, or is in another VPC than the others"
        }
        Code::InvalidSecurityGroup => {
            "a group of switch.security_groups does not exist, or is in another VPC than the subnets"
        }
        Code::DisallowedByVpcEncryptionControl => {
            "the VPC enforces encryption in transit that this function's interfaces cannot give: exclude Lambda in its encryption control, or use another VPC"
        }
        Code::DisabledKmsKey => {
            "the KMS key of the function's variables is disabled: enable it (kms:EnableKey)"
        }
        Code::InvalidStateKmsKey => {
            "the KMS key of the function's variables is pending deletion or import: cancel that, or give the function another key"
        }
        Code::KmsKeyNotFound => {
            "the KMS key of the function's variables is gone: give the function another key"
        }
        Code::KmsKeyAccessDenied => {
            "Lambda may not use the KMS key of the function's variables: the function's role needs kms:Decrypt, and the key's policy must allow it"
        }
        Code::ImageDeleted => {
            "the container image of the function is gone from ECR: push it again, or deploy the function anew; until then Lambda cannot take any configuration into use"
        }
        Code::ImageAccessDenied => {
            "Lambda may not pull the function's container image: the ECR repository's policy must allow lambda.amazonaws.com ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"
        }
        Code::InvalidImage | Code::InvalidZipFileException => {
            "the function's own code package is not valid: deploy it anew before the cutover"
        }
        Code::InvalidRuntime => {
            "the function's runtime cannot be updated any more: deploy it on a supported one"
        }
        Code::InvalidConfiguration => {
            "Lambda does not accept the function's configuration as a whole: look at the sentence above"
        }
        Code::EfsMountConnectivityError
        | Code::EfsMountFailure
        | Code::EfsMountTimeout
        | Code::EfsioError => {
            "the function mounts an EFS file system and cannot reach it: its mount targets must be in subnets and behind security groups that switch.subnets and switch.security_groups lead to"
        }
        Code::FunctionErrorInitTimeout
        | Code::FunctionErrorRuntimeInitError
        | Code::FunctionErrorExtensionInitError
        | Code::FunctionErrorInitResourceExhausted
        | Code::FunctionErrorTooManyExtensions
        | Code::FunctionErrorInvalidEntryPoint
        | Code::FunctionErrorInvalidWorkingDirectory
        | Code::FunctionErrorPermissionDenied
        | Code::FunctionError => {
            "the function itself failed while it started with the new configuration: its log group says why (does it connect while it starts, and reach the target?)"
        }
        Code::InternalError | Code::InsufficientCapacity | Code::VcpuLimitExceeded => {
            "Lambda itself could not do it: run the same command again; when it persists, ask AWS"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::ErrorKind;

    #[test]
    fn every_reason_that_lambda_documents_says_what_to_do() {
        // New codes of a later SDK are told by their name, and show up here.
        let unexplained: Vec<_> = Code::values()
            .iter()
            .filter(|code| advice(&Code::from(**code)).is_none())
            .collect();
        // Capacity providers and unnamed dependencies have no remedy that we know.
        assert_eq!(
            unexplained,
            [&"CapacityProviderScalingLimitExceeded", &"DependencyError"]
        );
    }

    #[test]
    fn a_reason_loses_what_it_quotes() {
        let reason = Reason::of(
            Some("InvalidConfiguration"),
            Some("The map {\"URL\":\"hunter2\"} is not valid"),
        );
        let failure = reason.explain(Failure::new(ErrorKind::Aws, "no"));
        let told = format!("{failure:?}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(told.contains("InvalidConfiguration"), "{told}");
        assert!(Reason::of(None, None).told().contains("no reason"));
    }
}
