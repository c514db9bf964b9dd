//! Prints a failure once, as a letter to the operator.

use std::error::Error;
use std::process::ExitCode;

use serde_json::json;
use tokio::task::JoinError;
use towpath_model::Failure;

use crate::panics;

/// Prints the failure and gives the exit code of its kind.
pub fn print(failure: &Failure, json: bool) -> ExitCode {
    let exit = failure.kind().exit();
    if json {
        let causes: Vec<String> = causes(failure).collect();
        println!(
            "{}",
            json!({
                "v": 1, "type": "error", "kind": failure.kind().slug(), "message": failure.to_string(),
                "causes": causes, "where": failure.find_place(), "hint": failure.find_hint(),
                "exit": exit.code(),
            })
        );
    }
    eprintln!("{}", render(failure));
    ExitCode::from(exit.code())
}

/// The letter as text.
pub fn render(failure: &Failure) -> String {
    let mut text = format!("error: {failure}");
    for cause in causes(failure) {
        text.push_str(&format!("\n  caused by: {cause}"));
    }
    if let Some(place) = failure.find_place() {
        text.push_str(&format!("\n  where: {place}"));
    }
    if let Some(hint) = failure.find_hint() {
        text.push_str(&format!("\n  hint: {hint}"));
    }
    let kind = failure.kind();
    text.push_str(&format!(
        "\n  docs: docs/reference/errors.md#{}        (exit {})",
        kind.slug(),
        kind.exit().code()
    ));
    text
}

fn causes(failure: &Failure) -> impl Iterator<Item = String> {
    let mut next: Option<&(dyn Error + 'static)> = failure.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        // Its own text quotes that of the panic.
        Some(match cause.downcast_ref::<JoinError>() {
            Some(task) => panics::of_task(task).to_owned(),
            None => cause.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::ErrorKind;

    #[tokio::test]
    async fn what_a_panic_quotes_is_not_told() {
        let masking =
            tokio::spawn(async { std::hint::black_box("M\u{fc}ller".to_owned())[..2].len() });
        let panic = masking.await.unwrap_err();
        assert!(panic.to_string().contains("ller"), "{panic}");
        let failure = Failure::new(ErrorKind::Internal, "masking panicked").because(panic);
        let letter = render(&failure);
        assert!(
            letter.contains("a task panicked") && !letter.contains("ller"),
            "{letter}"
        );
    }

    #[test]
    fn says_each_part_once() {
        let failure = Failure::new(ErrorKind::ChunkCorrupt, "stored bytes do not match")
            .at("chunks/t/0001.1.bin.zst")
            .hint("verify")
            .while_doing("could not load chunk public.t/0001 into target");
        assert_eq!(
            render(&failure),
            "error: could not load chunk public.t/0001 into target\n  \
             caused by: stored bytes do not match\n  \
             where: chunks/t/0001.1.bin.zst\n  \
             hint: verify\n  \
             docs: docs/reference/errors.md#chunk-corrupt        (exit 12)"
        );
    }
}
