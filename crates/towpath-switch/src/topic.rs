//! Notices through Amazon SNS.

use towpath_model::Result;

use crate::aws;
use crate::clients::SwitchClients;

/// Publishes a message to a topic. `subject` is cut to what SNS takes: 100 characters of ASCII
/// that begin with no blank (API reference of Publish). A FIFO topic gets the message once for
/// each `id`, in order of their sending.
pub async fn publish(
    clients: &SwitchClients,
    topic: &str,
    subject: &str,
    message: &str,
    id: &str,
) -> Result<()> {
    let plain: String = subject
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(100)
        .collect();
    let mut call = clients
        .at(topic)
        .topics
        .publish()
        .topic_arn(topic)
        .subject(plain.trim())
        .message(message);
    if topic.ends_with(".fifo") {
        call = call
            .message_group_id("towpath")
            .message_deduplication_id(id);
    }
    Box::pin(call.send())
        .await
        .map(|_| ())
        .map_err(|error| aws::failure(&error, "could not publish to the SNS topic", "sns:Publish"))
}
