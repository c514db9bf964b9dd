//! A switch and its way back while calls fail, deployments come in between and processes are killed:
//! at whatever call, the same command ends with everything switched or everything as it was, and
//! nothing that somebody else wrote is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use towpath_tests::aws_state::{call, lambda};
use towpath_tests::consumers::deploy;
use towpath_tests::{
    Act, AwsProxy, AwsState, Call, Consumers, Finished, MiniStack, Pair, Project, Shape, pair,
    project,
};

/// One of each kind of binding.
const SHAPES: [Shape; 5] = [
    Shape::Url,
    Shape::RdsSecret,
    Shape::SharedSecret,
    Shape::SecureParameter,
    Shape::Alias,
];

/// The same command is given so often before it has to have succeeded.
const COMMANDS: usize = 4;

struct World {
    _pair: Pair,
    aws: MiniStack,
    proxy: AwsProxy,
    project: Project,
    run: String,
    before: AwsState,
    source_port: u16,
    target_port: u16,
}

/// A run that is ready for its cutover.
fn world(shapes: &[Shape], jobs: &str) -> World {
    let pair = pair();
    let aws = MiniStack::start();
    let _ = Consumers::create(&aws, &pair.source.url(), shapes, 1);
    let proxy = AwsProxy::start(&aws.url());
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("AWS_ENDPOINT_URL", &proxy.url())
        .with("TOWPATH_SWITCH_PREFIXES", "orders-")
        .with("TOWPATH_SWITCH_JOBS", jobs)
        .with("TOWPATH_FENCE_MODE", "none")
        .with("TOWPATH_AWS_TIMEOUT_S", "2");
    project.expect(0, &["run", "--yes"]);
    World {
        run: project.run_id(),
        before: AwsState::read(&aws.url()),
        source_port: pair.source.cluster.port(),
        target_port: pair.target.cluster.port(),
        _pair: pair,
        aws,
        proxy,
        project,
    }
}

/// Where the consumers are.
#[derive(Debug, PartialEq, Eq)]
enum Where {
    Source,
    Target,
    Mixed(String),
}

impl World {
    fn state(&self) -> AwsState {
        AwsState::read(&self.aws.url())
    }

    fn place(&self) -> Where {
        let held = self.state().connections();
        let mentions = |port: u16| held.iter().any(|it| it.1.contains(&port.to_string()));
        match (mentions(self.source_port), mentions(self.target_port)) {
            (true, false) => Where::Source,
            (false, true) => Where::Target,
            _ => {
                let port = self.target_port.to_string();
                let at_target = held.into_iter().filter(|it| it.1.contains(&port));
                let names: Vec<String> = at_target.map(|it| it.0).collect();
                Where::Mixed(names.join(", "))
            }
        }
    }

    fn cutover(&self) -> Vec<&str> {
        vec!["cutover", "--confirm", &self.run]
    }

    fn rollback(&self) -> Vec<&str> {
        vec!["rollback", "--yes"]
    }

    /// What the command's end says is how things are.
    #[track_caller]
    fn assert_honest(&self, end: &Finished) {
        let place = self.place();
        match end.code {
            Some(0) if end.stdout.contains("switched") => assert_eq!(place, Where::Target, "{end}"),
            Some(0) | Some(13) => assert_eq!(place, Where::Source, "{end}"),
            // Says that it is not done.
            Some(14) => {}
            // Says that nothing was written.
            Some(1 | 10 | 15) => {
                assert!(!matches!(place, Where::Mixed(_)), "{place:?}\n{end}");
            }
            _ => panic!("an end that nobody expects: {end}"),
        }
    }

    /// The same command until it succeeds.
    #[track_caller]
    fn converge(&self, command: &[&str]) -> Finished {
        for _ in 0..COMMANDS {
            let end = self.project.towpath(command).run();
            self.assert_honest(&end);
            if end.code == Some(0) {
                return end;
            }
            self.prove_again(&end);
        }
        panic!("{command:?} does not come to an end")
    }

    /// Consumers may have written to the target: what was proven before counts no more.
    fn prove_again(&self, end: &Finished) {
        if end.code == Some(10) && end.stderr.contains("verif") {
            self.project.expect(0, &["verify"]);
        }
    }

    /// Everything is as it was before, and a cutover may begin.
    #[track_caller]
    fn reset(&self) {
        self.proxy.pass();
        if self.place() != Where::Source {
            self.converge(&self.rollback());
        }
        self.before.assert_restored(&self.state());
        self.project.expect(0, &["verify"]);
    }

    /// The calls that a command makes when nothing disturbs it.
    fn undisturbed(&self, command: &[&str]) -> Vec<Call> {
        self.proxy.pass();
        self.project.expect(0, command);
        self.proxy.calls()
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a failing test says how to replay itself"
)]
fn say(text: &str) {
    println!("{text}");
}

#[test]
fn one_of_each() {
    let world = world(&SHAPES, "4");
    // A call that fails, here and there.
    let calls = world.undisturbed(&world.cutover());
    let last_write = calls.iter().rfind(|call| call.is_write());
    let last_write = last_write.expect("a cutover writes").number;
    // Labels are moved, and nobody is told so, more often than the client asks by itself: nothing
    // that would be needed if they had not been moved may be left behind.
    let mut left = 7;
    world.proxy.decide(move |call| {
        if call.operation != "secretsmanager:UpdateSecretVersionStage" || left == 0 {
            return Act::Pass;
        }
        left -= 1;
        Act::LoseAnswer
    });
    world.converge(&world.rollback());
    world.reset();
    fail_here_and_there(&world, &world.cutover(), &calls, 3, ACTS.to_vec());
    fail_here_and_there(&world, &world.rollback(), &calls, 3, ACTS.to_vec());
    world.reset();
    // A deployment right before it would be overwritten.
    let write = |call: &&Call| call.is_write() && call.path.contains(FUNCTION);
    let place = calls.iter().find(write).expect("the function is written");
    let deployed = disturb(&world, &world.cutover(), place.number, Kind::Function);
    assert!(deployed);
    Kind::Function.assert_there(&world, place.number);
    settle(&world, Kind::Function, place.number, deployed);
    // The end of a process in the middle of the way forward, and of the way back.
    kill(&world, &world.cutover(), last_write - 1, &[Act::HaltAfter]);
    kill(&world, &world.rollback(), 20, &[Act::HaltBefore]);
    world.reset();
    kill_while_it_puts_back(&world, 9);
    assert_eq!(world.place(), Where::Target);
}

#[test]
fn whole_matrix_of_a_process_killed_at_any_call() {
    // One after another: so every call has its number, and between two calls lies at most one entry
    // of the journal.
    let world = world(&SHAPES, "1");
    let forward = world.undisturbed(&world.cutover());
    let back = world.undisturbed(&world.rollback()).len();
    world.reset();
    // Up to the first write nothing is begun: one place stands for all of them.
    let first = forward.iter().position(Call::is_write).unwrap_or_default();
    let ahead = forward.len() - first + 1;
    for round in 0..ahead.max(back) {
        let twice = [Act::HaltBefore, Act::HaltAfter];
        kill(&world, &world.cutover(), first + round % ahead, &twice);
        assert_eq!(world.place(), Where::Target);
        kill(&world, &world.rollback(), 1 + round % back, &twice);
        world.reset();
    }
}

/// Kills the command at a call, each time that it is given, and at last lets it come to its end.
fn kill(world: &World, command: &[&str], place: usize, acts: &[Act]) {
    for &act in acts {
        say(&format!(
            "{} is killed at call {place}: {act:?}",
            command[0]
        ));
        world.proxy.decide(move |call| match call.number == place {
            true => act,
            false => Act::Pass,
        });
        let end = world
            .project
            .towpath(command)
            .spawn()
            .kill_9_when(|| world.proxy.is_halted());
        if !end.killed {
            // What is done already needs fewer calls.
            world.assert_honest(&end);
            world.prove_again(&end);
        }
    }
    world.proxy.pass();
    world.converge(command);
}

#[test]
fn whole_matrix_of_a_process_killed_while_it_puts_back() {
    let world = world(&SHAPES, "2");
    world.proxy.decide(refused(None));
    let end = world.project.expect(13, &world.cutover());
    assert!(end.stderr.contains("AccessDenied"), "{end}");
    world.before.assert_restored(&world.state());
    let calls = world.proxy.calls();
    let since = calls
        .iter()
        .position(|call| call.operation == "lambda:UpdateAlias");
    let all = calls.len() - since.expect("an alias was to be switched") - 1;
    world.reset();
    for place in 1..=all {
        kill_while_it_puts_back(&world, place);
        world.reset();
    }
}

/// The last thing to be switched is refused, and everything before is put back; at a call of that
/// the process ends.
fn kill_while_it_puts_back(world: &World, place: usize) {
    say(&format!("killed at call {place} of the way back"));
    world.proxy.decide(refused(Some(place)));
    let end = world
        .project
        .towpath(&world.cutover())
        .spawn()
        .kill_9_when(|| world.proxy.is_halted());
    assert!(end.killed || end.code == Some(13), "{end}");
    world.proxy.pass();
    world.converge(&world.cutover());
}

fn refused(place: Option<usize>) -> impl FnMut(&Call) -> Act + Send + 'static {
    let mut since = None;
    move |call: &Call| {
        if call.operation == "lambda:UpdateAlias" && since.is_none() {
            since = Some(call.number);
            return Act::Refuse;
        }
        match (since, place) {
            (Some(since), Some(place)) if call.number == since + place => Act::HaltBefore,
            _ => Act::Pass,
        }
    }
}

const ACTS: [Act; 5] = [
    Act::Throttle,
    Act::LoseAnswer,
    Act::Busy,
    Act::Break,
    Act::Silence(Duration::from_secs(4)),
];

/// So many calls apart is what fails in one go: each call fails in one of as many goes.
const APART: usize = 7;

#[test]
fn whole_matrix_of_calls_that_fail_once() {
    let world = world(&SHAPES, "4");
    let forward = world.undisturbed(&world.cutover());
    let back = world.undisturbed(&world.rollback());
    world.reset();
    for act in ACTS {
        for offset in 0..APART {
            fail_here_and_there(&world, &world.cutover(), &forward, offset, vec![act]);
            fail_here_and_there(&world, &world.rollback(), &back, offset, vec![act]);
            world.reset();
        }
    }
}

/// Lets every seventh of these calls fail once, each in one of these ways. What passes by itself is
/// no reason to go back.
fn fail_here_and_there(
    world: &World,
    command: &[&str],
    calls: &[Call],
    offset: usize,
    acts: Vec<Act>,
) {
    say(&format!(
        "{} at calls {APART} n + {offset}: {acts:?}",
        command[0]
    ));
    let meant = calls.iter().skip(offset).step_by(APART);
    let mut meant: Vec<(Call, usize)> = meant
        .map(|call| (call.clone(), call.occurrence(calls)))
        .collect();
    let mut acts = acts.into_iter().cycle();
    let mut seen: Vec<Call> = Vec::new();
    let struck = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&struck);
    let mut again: Vec<Call> = Vec::new();
    world.proxy.decide(move |call| {
        // The repetition of one that failed is not another call.
        if let Some(at) = again.iter().position(|struck| struck.is_like(call)) {
            again.remove(at);
            return Act::Pass;
        }
        seen.push(call.clone());
        let occurrence = call.occurrence(&seen);
        let found = meant
            .iter()
            .position(|(wanted, no)| wanted.is_like(call) && *no == occurrence);
        let Some(found) = found else {
            return Act::Pass;
        };
        meant.remove(found);
        again.push(call.clone());
        count.fetch_add(1, Ordering::SeqCst);
        match acts.next() {
            // Nothing is busy with being read.
            Some(Act::Busy) if !call.is_write() => Act::Break,
            act => act.unwrap_or(Act::Pass),
        }
    });
    let end = world.project.towpath(command).run();
    assert_eq!(end.code, Some(0), "{end}");
    world.assert_honest(&end);
    assert!(struck.load(Ordering::SeqCst) > 0, "no call failed");
}

#[test]
fn whole_matrix_of_a_call_that_fails_for_long() {
    let world = world(&SHAPES, "4");
    let forward = world.undisturbed(&world.cutover()).len();
    let back = world.undisturbed(&world.rollback()).len();
    world.reset();
    for (round, place) in (1..=forward.max(back)).enumerate() {
        let act = ACTS[round % ACTS.len()];
        fail_for_long(&world, &world.cutover(), 1 + (place - 1) % forward, act);
        fail_for_long(&world, &world.rollback(), 1 + (place - 1) % back, act);
        world.reset();
    }
}

/// Lets a call fail with more repetitions than the client makes by itself.
fn fail_for_long(world: &World, command: &[&str], place: usize, act: Act) {
    say(&format!("{} at call {place} for long: {act:?}", command[0]));
    let mut struck: Option<Call> = None;
    let mut left = 5;
    world.proxy.decide(move |call| {
        if call.number == place {
            struck = Some(call.clone());
        }
        let is_meant = struck.as_ref().is_some_and(|struck| struck.is_like(call));
        if is_meant && left > 0 {
            left -= 1;
            return act;
        }
        Act::Pass
    });
    let end = world.project.towpath(command).run();
    world.assert_honest(&end);
    world.proxy.pass();
    if end.code != Some(0) {
        world.prove_again(&end);
        world.converge(command);
    }
}

#[test]
fn whole_matrix_of_a_deployment_in_between_is_never_overwritten() {
    let world = world(&SHAPES, "2");
    let forward = world.undisturbed(&world.cutover());
    let back = world.undisturbed(&world.rollback());
    world.reset();
    let commands = [
        (forward, world.cutover()),
        (back, vec!["rollback", "--yes", "--drift", "keep"]),
    ];
    for (calls, command) in commands {
        for call in calls {
            // Of what the call is about.
            let kind = match call.operation.split(':').next().unwrap_or_default() {
                "secretsmanager" => Kind::Secret,
                "ssm" => Kind::Parameter,
                _ => Kind::Function,
            };
            if command[0] == "rollback" {
                world.proxy.pass();
                world.converge(&world.cutover());
            }
            let deployed = disturb(&world, &command, call.number, kind);
            if deployed {
                kind.assert_there(&world, call.number);
            }
            settle(&world, kind, call.number, deployed);
        }
    }
}

/// Puts back what is switched, and what was deployed.
fn settle(world: &World, kind: Kind, place: usize, deployed: bool) {
    world.proxy.pass();
    world.converge(&["rollback", "--yes", "--drift", "keep"]);
    if deployed {
        kind.assert_there(world, place);
        kind.undo(world);
    }
    world.reset();
}

/// What somebody else changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Function,
    Secret,
    Parameter,
}

const FUNCTION: &str = "orders-url-1";
const SECRET: &str = "orders-rdssecret-1";
const PARAMETER: &str = "/orders/orders-secureparameter-1";

impl Kind {
    /// Reads, changes and writes, as a deployment does.
    fn deploy(self, url: &str, mark: usize) {
        match self {
            Kind::Function => {
                let line = format!("GET /2015-03-31/functions/{FUNCTION}/configuration");
                let mut held = lambda(url, &line, &Value::Null)["Environment"]["Variables"].clone();
                held["DEPLOYED"] = json!(mark.to_string());
                deploy(url, FUNCTION, &held);
            }
            Kind::Secret => {
                let asked = json!({"SecretId": SECRET});
                let held = call(url, "secretsmanager.GetSecretValue", &asked);
                let mut held: Value =
                    serde_json::from_str(held["SecretString"].as_str().expect("text"))
                        .expect("the secret is JSON");
                held["deployed"] = json!(mark.to_string());
                let asked = json!({"SecretId": SECRET, "SecretString": held.to_string()});
                let _ = call(url, "secretsmanager.PutSecretValue", &asked);
            }
            Kind::Parameter => {
                let asked = json!({"Name": PARAMETER, "Value": format!("deployed {mark}"), "Overwrite": true,
                    "Type": "SecureString", "Description": "kept"});
                let _ = call(url, "AmazonSSM.PutParameter", &asked);
            }
        }
    }

    #[track_caller]
    fn assert_there(self, world: &World, mark: usize) {
        let state = world.state();
        let held = match self {
            Kind::Function => state.variables(FUNCTION).to_string(),
            Kind::Secret => state
                .get(&format!("secret {SECRET} AWSCURRENT"))
                .to_string(),
            Kind::Parameter => state.get(&format!("parameter {PARAMETER}")).to_string(),
        };
        let wanted = match self {
            Kind::Function => format!("\"DEPLOYED\":\"{mark}\""),
            Kind::Secret => format!("deployed\\\":\\\"{mark}\\\""),
            Kind::Parameter => format!("deployed {mark}"),
        };
        assert!(
            held.contains(&wanted),
            "{self:?} {mark} was overwritten: its names are {:?}",
            state
                .variables(FUNCTION)
                .as_object()
                .map(|it| it.keys().cloned().collect::<Vec<_>>())
        );
    }

    fn undo(self, world: &World) {
        let url = world.aws.url();
        match self {
            Kind::Function => deploy(&url, FUNCTION, world.before.variables(FUNCTION)),
            Kind::Secret => {
                let now = call(
                    &url,
                    "secretsmanager.DescribeSecret",
                    &json!({"SecretId": SECRET}),
                );
                let version = |label: &str| {
                    let found = now["VersionIdsToStages"]
                        .as_object()
                        .expect("versions")
                        .iter();
                    let mut found = found.filter(|it| {
                        it.1.as_array()
                            .is_some_and(|it| it.iter().any(|it| it == label))
                    });
                    found.next().map(|it| it.0.clone())
                };
                let first = &world.before.get(&format!("secret {SECRET} AWSCURRENT"))["version"];
                let asked = json!({"SecretId": SECRET, "VersionStage": "AWSCURRENT",
                    "RemoveFromVersionId": version("AWSCURRENT"), "MoveToVersionId": first});
                let _ = call(&url, "secretsmanager.UpdateSecretVersionStage", &asked);
                let now = call(
                    &url,
                    "secretsmanager.DescribeSecret",
                    &json!({"SecretId": SECRET}),
                );
                for (version, labels) in now["VersionIdsToStages"].as_object().expect("versions") {
                    for label in labels.as_array().into_iter().flatten() {
                        if label != "AWSCURRENT" {
                            let asked = json!({"SecretId": SECRET, "VersionStage": label,
                                "RemoveFromVersionId": version});
                            let _ = call(&url, "secretsmanager.UpdateSecretVersionStage", &asked);
                        }
                    }
                }
            }
            Kind::Parameter => {
                let held = &world.before.get(&format!("parameter {PARAMETER}"))["value"];
                let asked = json!({"Name": PARAMETER, "Value": held, "Overwrite": true,
                    "Type": "SecureString", "Description": "kept"});
                let _ = call(&url, "AmazonSSM.PutParameter", &asked);
            }
        }
    }
}

/// Lets somebody deploy right before a call is passed on. Whether that came to it.
fn disturb(world: &World, command: &[&str], place: usize, kind: Kind) -> bool {
    say(&format!(
        "{kind:?} is deployed at call {place} of {}",
        command[0]
    ));
    let url = world.aws.url();
    let deployed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&deployed);
    world.proxy.decide(move |call| {
        if call.number == place {
            kind.deploy(&url, place);
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Act::Pass
    });
    let end = world.project.towpath(command).run();
    let wrote_nothing = [1, 10, 15];
    let is_known = end
        .code
        .is_some_and(|it| [0, 13, 14].contains(&it) || wrote_nothing.contains(&it));
    assert!(is_known, "{end}");
    deployed.load(Ordering::SeqCst) > 0
}

#[test]
fn whole_matrix_of_a_stop_in_the_middle_puts_everything_back() {
    let world = world(&SHAPES[..2], "1");
    let stopped = Arc::new(Mutex::new(None::<u32>));
    let process = Arc::clone(&stopped);
    world.proxy.decide(move |call| {
        let is_last = call.operation == "lambda:UpdateFunctionConfiguration";
        if is_last && let Some(id) = process.lock().expect("a process id").take() {
            let _ = std::process::Command::new("kill")
                .args(["-INT", &id.to_string()])
                .status();
        }
        Act::Pass
    });
    let running = world.project.towpath(&world.cutover()).spawn();
    *stopped.lock().expect("a process id") = Some(running.pid());
    let end = running.wait().expect_code(13);
    assert!(end.stderr.contains("asked to stop"), "{end}");
    world.before.assert_restored(&world.state());
}
