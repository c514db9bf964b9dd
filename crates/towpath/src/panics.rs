//! What is told of a panic: where it was, and no value of a row. The standard library's own text quotes
//! what was worked on: a text that is cut within a character is printed.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::set_hook;

use tokio::task::JoinError;

/// Panics are told like this from now on.
pub fn tell_without_values() {
    set_hook(Box::new(|panic| {
        let place = match panic.location() {
            Some(place) => format!("{}:{}", place.file(), place.line()),
            None => "a place that is not known".to_owned(),
        };
        // Not `eprintln!`: where nobody reads stderr any more, a panic within a panic would end the
        // process at once.
        let mut stderr = std::io::stderr().lock();
        let text = told(panic.payload());
        drop(writeln!(stderr, "defect: panicked at {place}: {text}"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            drop(writeln!(stderr, "{trace}"));
        }
    }));
}

/// The text of a panic where the program has it as it is; one that was put together may hold anything.
fn told(payload: &(dyn Any + Send)) -> &'static str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.unwrap_or("its text may hold values and is not shown")
}

/// What is said of a task that did not come to its end.
pub fn of_task(error: &JoinError) -> &'static str {
    match error.is_panic() {
        true => "a task panicked; stderr says where",
        false => "a task was cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_told() {
        let name = "M\u{fc}ller".to_owned();
        let within = std::panic::catch_unwind(|| name[..2].len()).unwrap_err();
        assert_eq!(
            told(within.as_ref()),
            "its text may hold values and is not shown"
        );
        let plain = std::panic::catch_unwind(|| panic!("words of the program")).unwrap_err();
        assert_eq!(told(plain.as_ref()), "words of the program");
    }
}
