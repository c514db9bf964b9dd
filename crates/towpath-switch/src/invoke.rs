//! Asking a function whether it works.

use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::clients::SwitchClients;

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Name or ARN, without a qualifier.
    pub function: String,
    /// Alias or version; `$LATEST` without one.
    pub qualifier: Option<String>,
    /// What it is called with: JSON.
    pub payload: Vec<u8>,
    /// How long the answer may take. The function itself goes on after that.
    pub timeout: Duration,
}

/// What a function answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status of the call; 200 for one that was waited for.
    pub status: i32,
    /// `Handled` or `Unhandled` when the function failed: Lambda answers 200 then as well.
    pub error: Option<String>,
    /// What it gave back, or how its runtime describes the error. May hold rows and secrets.
    pub body: Vec<u8>,
}

/// Without the body.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("error", &self.error)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Calls a function and waits for its answer. The SDK repeats a call that was refused or whose
/// answer was lost: what is called must bear that.
pub async fn invoke(clients: &SwitchClients, invocation: &Invocation) -> Result<Answer> {
    let name = match &invocation.qualifier {
        Some(qualifier) => format!("{}:{qualifier}", invocation.function),
        None => invocation.function.clone(),
    };
    let doing = format!("could not invoke lambda {name}");
    let call = clients
        .at(&invocation.function)
        .lambda
        .invoke()
        .function_name(&invocation.function)
        .set_qualifier(invocation.qualifier.clone())
        .invocation_type(InvocationType::RequestResponse)
        .payload(Blob::new(invocation.payload.clone()));
    let answer = tokio::time::timeout(invocation.timeout, Box::pin(call.send()))
        .await
        .map_err(|_| {
            Failure::new(ErrorKind::Connect, doing.clone()).because(format!(
                "no answer within {} s",
                invocation.timeout.as_secs_f32()
            ))
        })?
        .map_err(|error| aws::failure(&error, doing, "lambda:InvokeFunction"))?;
    Ok(Answer {
        status: answer.status_code,
        error: answer.function_error,
        body: answer.payload.map(Blob::into_inner).unwrap_or_default(),
    })
}
