//! Hooks: commands of the user's at the stages of a cutover, and after a clone.
//!
//! A hook is a program with its arguments and no line for a shell: nothing is expanded, and who
//! wants a shell names one. It is run in the directory of the configuration file, in a process group
//! of its own, so that Ctrl-C reaches towpath, which then decides.
//!
//! Its environment is that of towpath without every variable of towpath's and without any that
//! holds one of its secrets. Credentials of AWS stay: a hook that puts up a maintenance page needs
//! them, and whoever may run towpath holds them.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use towpath_model::connection::Side;
use towpath_model::event::Stage;
use towpath_model::{ErrorKind, Failure, Result, RunId};

use crate::context::Context;
use crate::secrets::KnownSecrets;

/// Bytes of a line that are shown; the rest of it is read and let go.
const LONGEST_LINE: usize = 2000;

/// How long a hook that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How soon a hook hears that towpath should stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The gates are open; nothing is fenced.
    BeforeFence,
    /// The source refuses writes, and the target is proven equal.
    BeforeSwitch,
    /// Every consumer is switched and probed.
    AfterSwitch,
    /// The watch is over.
    AfterWatch,
    /// The cutover failed; what it did is undone.
    Undone,
    /// A person is needed.
    UndoIncomplete,
    /// A rollback is about to begin.
    BeforeRollback,
    /// A rollback is done.
    AfterRollback,
    /// A clone serves.
    AfterClone,
}

impl Moment {
    /// The word for it: the key below `hooks`, and `TOWPATH_MOMENT`.
    pub const fn word(self) -> &'static str {
        match self {
            Moment::BeforeFence => "before_fence",
            Moment::BeforeSwitch => "before_switch",
            Moment::AfterSwitch => "after_switch",
            Moment::AfterWatch => "after_watch",
            Moment::Undone => "undone",
            Moment::UndoIncomplete => "undo_incomplete",
            Moment::BeforeRollback => "before_rollback",
            Moment::AfterRollback => "after_rollback",
            Moment::AfterClone => "after_clone",
        }
    }

    /// Whether somebody who stops towpath stops the hook, too. What tells others that something has
    /// happened is most wanted when that was somebody's Ctrl-C.
    const fn is_stopped(self) -> bool {
        matches!(
            self,
            Moment::BeforeFence | Moment::BeforeSwitch | Moment::AfterSwitch | Moment::AfterClone
        )
    }
}

/// Runs the hook of a moment, if there is one. A failure means that the stage must not be entered.
pub async fn run(context: &Context, run: &RunId, moment: Moment) -> Result<()> {
    let endpoint = |side| {
        let url = context.url(side);
        url.map(|url| url.identity()).unwrap_or_default()
    };
    let told = vec![
        ("TOWPATH_SOURCE", endpoint(Side::Source)),
        ("TOWPATH_TARGET", endpoint(Side::Target)),
    ];
    run_with(context, run, moment, told).await
}

/// The same, told something else than source and target.
pub async fn run_with(
    context: &Context,
    run: &RunId,
    moment: Moment,
    told: Vec<(&'static str, String)>,
) -> Result<()> {
    let settings = &context.settings;
    let words = settings.list(&format!("hooks.{}", moment.word()));
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let limit = Duration::from_secs(settings.number("hooks.timeout_s")?);
    let name = format!("hook {}", moment.word());
    context
        .events
        .note(Stage::Switch, format!("{name}: {program}"));
    // A path is relative to the configuration file, as every other one; a bare name is looked for.
    let path = match program.contains('/') {
        true => settings.directory().join(program),
        false => program.into(),
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .current_dir(settings.directory())
        .env_clear()
        .envs(environment(context, run, moment, told))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|cause| {
        Failure::new(
            ErrorKind::Config,
            format!("{name} could not be started: {program}"),
        )
        .because(cause)
        .hint("it is a program and its arguments, as a list; a path is relative to the configuration file")
    })?;
    Box::pin(attend(context, &mut child, &name, moment, limit)).await
}

async fn attend(
    context: &Context,
    child: &mut Child,
    name: &str,
    moment: Moment,
    limit: Duration,
) -> Result<()> {
    let group = child.id();
    let refused =
        |what: String| Failure::new(ErrorKind::Blocked, what).hint("its own output says why");
    // Read all the while, or it would stand still with a full pipe.
    let (out, err, shown) = (child.stdout.take(), child.stderr.take(), name.to_owned());
    let mut talking = tokio::spawn(async move {
        tokio::join!(show(out, &shown), show(err, &shown));
    });
    let stopped = async {
        while !(moment.is_stopped() && context.stop.is_raised()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let ended = tokio::select! {
        status = child.wait() => Ok(status),
        () = stopped => Err(Failure::new(
            ErrorKind::Interrupted,
            format!("{name} was ended, because towpath was asked to stop"),
        )),
        () = tokio::time::sleep(limit) => Err(refused(format!(
            "{name} was ended: it took longer than hooks.timeout_s, {} s",
            limit.as_secs()
        ))),
    };
    if ended.is_err() {
        signal(group, Signal::TERM);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
        // What it has started ends with it, or it would act at another moment.
        signal(group, Signal::KILL);
    }
    // Its last words. Whoever has inherited its output may hold that open for ever.
    if tokio::time::timeout(GRACE, &mut talking).await.is_err() {
        talking.abort();
    }
    let status = ended?.map_err(|cause| {
        Failure::new(
            ErrorKind::Internal,
            format!("{name} could not be waited for"),
        )
        .because(cause)
    })?;
    match (status.success(), status.code()) {
        (true, _) => Ok(()),
        (_, Some(code)) => Err(refused(format!("{name} ended with exit code {code}"))),
        (_, None) => Err(refused(format!("{name} was ended by a signal"))),
    }
}

/// A group that is gone already is what was wanted.
fn signal(group: Option<u32>, with: Signal) {
    let pid = group
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, with);
    }
}

/// Shows what a hook says, line by line, under its name.
async fn show(stream: Option<impl AsyncRead + Unpin>, name: &str) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(bytes) = reader.fill_buf().await {
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        let room = LONGEST_LINE.saturating_sub(line.len()).min(piece.len());
        line.extend_from_slice(&piece[..room]);
        let used = end.map_or(bytes.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            say(name, &line);
            line.clear();
        }
    }
    if !line.is_empty() {
        say(name, &line);
    }
}

fn say(name: &str, line: &[u8]) {
    let text = String::from_utf8_lossy(line);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    eprintln!("{name}: {text}");
}

/// What a hook gets to know. Documented in docs/reference/configuration.md.
fn environment(
    context: &Context,
    run: &RunId,
    moment: Moment,
    more: Vec<(&'static str, String)>,
) -> Vec<(OsString, OsString)> {
    let secrets = KnownSecrets::of(context);
    let told = [
        ("TOWPATH_RUN", run.as_str().to_owned()),
        ("TOWPATH_MOMENT", moment.word().to_owned()),
        ("TOWPATH_STORE", context.settings.text("store").to_owned()),
    ];
    let mut variables = inherited(std::env::vars_os(), &secrets);
    variables.extend(
        told.into_iter()
            .chain(more)
            .map(|(name, value)| (name.into(), value.into())),
    );
    variables
}

/// The variables of this process that a hook may have.
fn inherited(
    variables: impl Iterator<Item = (OsString, OsString)>,
    secrets: &KnownSecrets,
) -> Vec<(OsString, OsString)> {
    let may_have = |name: &str, value: &str| {
        !name.starts_with("TOWPATH_") && name != "PGPASSWORD" && !secrets.are_in(value)
    };
    variables
        .filter(|(name, value)| may_have(&name.to_string_lossy(), &value.to_string_lossy()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_inherits_no_secret() {
        let secrets = KnownSecrets::from_texts(&["hunter2"]);
        let variables = [
            ("PATH", "/bin"),
            ("TOWPATH_JOBS", "2"),
            ("TOWPATH_TARGET_URL", "postgres://u:p@h/d"),
            ("SUPABASE_DB_URL", "postgres://u:hunter2@h/d"),
            ("PGPASSWORD", "other"),
            ("AWS_SECRET_ACCESS_KEY", "of the hook's own use"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let names: Vec<String> = inherited(variables.into_iter(), &secrets)
            .into_iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["PATH", "AWS_SECRET_ACCESS_KEY"]);
    }
}
