//! Errors of AWS as letters to the operator.

use std::error::Error;
use std::fmt;

use aws_sdk_rds::error::{ProvideErrorMetadata, SdkError};
use towpath_model::failure::story;
use towpath_model::{ErrorKind, Failure};

/// What the service answered.
#[derive(Debug)]
struct ServiceAnswer {
    code: String,
    message: String,
}

impl fmt::Display for ServiceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for ServiceAnswer {}

/// The code of the service's answer, such as `DBInstanceNotFound`.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(|answer| answer.code())
}

/// A failed call. `action` is the IAM action that it needs.
pub(crate) fn failure<E, R>(
    error: &SdkError<E, R>,
    doing: impl Into<String>,
    action: &str,
) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    let doing = doing.into();
    let Some(answer) = error.as_service_error() else {
        return unanswered(error, doing);
    };
    let code = answer.code().unwrap_or("unknown error");
    let failure = Failure::new(ErrorKind::Aws, doing).because(ServiceAnswer {
        code: code.to_owned(),
        message: answer.message().unwrap_or("no message").to_owned(),
    });
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            failure.hint(format!("the identity towpath runs under needs {action}"))
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "SignatureDoesNotMatch" => failure.hint(
            "the AWS credentials are wrong or have expired; check AWS_PROFILE or aws.profile",
        ),
        _ => failure,
    }
}

fn unanswered<E, R>(error: &SdkError<E, R>, doing: String) -> Failure
where
    E: Error + 'static,
    R: fmt::Debug + 'static,
{
    let story = story(error);
    // A connection that is closed before the answer is of no kind that the SDK has a word for, and
    // neither are credentials that cannot be had.
    let network = match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(cause) => !cause.is_user() && !story.contains("credential"),
        _ => false,
    };
    let kind = if network {
        ErrorKind::Connect
    } else {
        ErrorKind::Aws
    };
    Failure::new(kind, doing)
        .because(story)
        .hint("check region, endpoint and credentials (AWS_REGION, AWS_ENDPOINT_URL, AWS_PROFILE, or [aws] in towpath.toml)")
}
