//! Errors of AWS as letters to the operator, with nothing in them that was a value.

use std::error::Error;
use std::fmt;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use towpath_model::failure::story;
use towpath_model::{ErrorKind, Failure};

/// What a service answered.
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

/// The code of a service's answer, such as `ResourceConflictException`.
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
    let kind = if answer.code().is_none_or(may_pass) {
        ErrorKind::Connect
    } else {
        ErrorKind::Aws
    };
    let failure = Failure::new(kind, doing).because(ServiceAnswer {
        code: code.to_owned(),
        message: without_values(answer.message().unwrap_or("no message")),
    });
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => failure.hint(
            format!("the identity towpath runs under needs {action} on it"),
        ),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidSignatureException" => failure.hint(
            "the AWS credentials are wrong or have expired; check AWS_PROFILE or aws.profile",
        ),
        _ => failure,
    }
}

/// Whether a service that answers so may answer otherwise a little later: it was asked too often, is
/// busy with another change of the same thing, or failed itself. An answer without a code comes
/// from something in between.
fn may_pass(code: &str) -> bool {
    const CODES: [&str; 8] = [
        "ResourceConflictException",
        "TooManyUpdates",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceException",
        "SlowDown",
        "KMSInternalException",
        "DependencyTimeoutException",
    ];
    let families = [
        "Throttl",
        "TooManyRequests",
        "Internal",
        "ServiceUnavailable",
    ];
    CODES.contains(&code) || families.iter().any(|family| code.contains(family))
}

/// Whether a failed call was one that the identity may not make.
pub(crate) fn is_denial(failure: &Failure) -> bool {
    let mut cause = failure.source();
    while let Some(error) = cause {
        if let Some(answer) = error.downcast_ref::<ServiceAnswer>() {
            return answer.code.starts_with("AccessDenied");
        }
        cause = error.source();
    }
    false
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

/// Lambda quotes the whole variable map when it refuses one, and validation errors quote the
/// value that was refused: what comes after is cut off.
pub(crate) fn without_values(message: &str) -> String {
    let cut = ["String measured", "{", "Value '", "value '", "://"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    if cut == message.len() {
        return message.to_owned();
    }
    format!(
        "{} (the rest is left out: it may quote values)",
        message[..cut].trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_may_answer_otherwise_later_is_told_apart() {
        let passing = [
            "TooManyRequestsException",
            "ThrottlingException",
            "Throttling",
            "ServiceException",
            "InternalServiceError",
            "InternalFailure",
            "ServiceUnavailableException",
            "ResourceConflictException",
        ];
        for code in passing {
            assert!(may_pass(code), "{code}");
        }
        for code in [
            "AccessDeniedException",
            "ResourceNotFoundException",
            "PreconditionFailedException",
            "InvalidParameterValueException",
            "CodeStorageExceededException",
        ] {
            assert!(!may_pass(code), "{code}");
        }
    }

    #[test]
    fn messages_lose_what_they_quote() {
        let message = "the environment variables exceeded the 4KB limit. String measured: {\"A\":\"hunter2\"}";
        assert!(!without_values(message).contains("hunter2"));
        assert!(without_values(message).contains("4KB limit"));
        assert!(!without_values("1 error: Value 'hunter2' at 'x'").contains("hunter2"));
        assert_eq!(without_values("No such function."), "No such function.");
    }
}
