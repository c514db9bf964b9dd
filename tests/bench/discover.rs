//! Discovery of consumers beside the bare calls that it cannot do without.
//!
//! `bench-discover [--functions N] [--share PERCENT] [--rounds N]` enters N functions in a MiniStack
//! of its own, of which that share points at the source, and measures in turn: the bare calls
//! (`ListFunctions`, then of each function that points at the source its configuration, its tags
//! and its aliases, as many at once as discovery has under way), and discovery with everything it
//! decides. Prints a line a round and the median ratio.
#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_switch::{
    AwsOptions, Conditions, Mapping, Selection, SwitchClients, SwitchPlan, complete, discover,
};
use towpath_tests::MiniStack;

const USAGE: &str = "usage: bench-discover [--functions N] [--share PERCENT] [--rounds N]";

/// As many as discovery has under way.
const JOBS: usize = 16;

const SOURCE: &str = "postgres://postgres:secret@db.abcdefghijklmnopqrst.supabase.co:5432/postgres";
const ELSEWHERE: &str = "postgres://postgres:secret@db.elsewhere.example:5432/postgres";

#[derive(Clone, Copy)]
struct Options {
    functions: usize,
    share_percent: usize,
    rounds: usize,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            functions: 2000,
            share_percent: 10,
            rounds: 7,
        };
        let mut arguments = arguments.peekable();
        while let Some(name) = arguments.next() {
            let value = arguments.next().and_then(|value| value.parse().ok());
            let value = value.unwrap_or_else(|| panic!("{USAGE}"));
            match name.as_str() {
                "--functions" => options.functions = value,
                "--share" => options.share_percent = value,
                "--rounds" => options.rounds = value,
                _ => panic!("{USAGE}"),
            }
        }
        options
    }

    const fn points_at_source(&self, number: usize) -> bool {
        number % 100 < self.share_percent
    }
}

/// Tells this process that it is the measured half: the SDK takes its credentials out of the
/// environment, and only a child can be given another one.
const MEASURED: &str = "BENCH_DISCOVER_MEASURES";

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    if std::env::var_os(MEASURED).is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("start a runtime");
        return runtime.block_on(measure(options));
    }
    let aws = MiniStack::start();
    let began = Instant::now();
    create(&aws, options);
    println!(
        "{} functions, {} % of which point at the source; entered in {:.0} s",
        options.functions,
        options.share_percent,
        began.elapsed().as_secs_f64()
    );
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(std::env::args().skip(1))
        .envs(aws.env())
        .env(MEASURED, "1")
        .status()
        .expect("start the measured half");
    assert!(status.success(), "{status}");
}

fn name(number: usize) -> String {
    format!("orders-{number:05}")
}

fn create(aws: &MiniStack, options: Options) {
    // The smallest archive there is.
    let archive: Vec<u8> = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    let client = aws.aws();
    let lambda = client.lambda().clone();
    client.wait(async move {
        let permits = Arc::new(Semaphore::new(JOBS));
        let mut making = JoinSet::new();
        for number in 0..options.functions {
            let url = if options.points_at_source(number) {
                SOURCE
            } else {
                ELSEWHERE
            };
            let call = lambda
                .create_function()
                .function_name(name(number))
                .runtime(Runtime::Nodejs22x)
                .role("arn:aws:iam::000000000000:role/lambda")
                .handler("index.handler")
                .code(
                    FunctionCode::builder()
                        .zip_file(Blob::new(archive.clone()))
                        .build(),
                )
                .environment(
                    Environment::builder()
                        .variables("DATABASE_URL", url)
                        .variables("LOG_LEVEL", "info")
                        .build(),
                );
            let permits = Arc::clone(&permits);
            making.spawn(async move {
                let _permit = permits.acquire().await.expect("permits stay open");
                call.send().await.expect("create a function");
            });
        }
        making.join_all().await;
    });
}

async fn measure(options: Options) {
    let clients = SwitchClients::connect(&AwsOptions::default())
        .await
        .expect("prepare clients");
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let bare = aws_sdk_lambda::Client::new(&config);
    println!("round  bare s   discovery s   ratio");
    let mut ratios = Vec::new();
    // The first round warms both up.
    for round in 0..=options.rounds {
        let began = Instant::now();
        let listed = bare_calls(&bare, options).await;
        let bare_s = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let plan = discovered(&clients).await;
        let own_s = began.elapsed().as_secs_f64();
        assert_eq!(listed, options.functions, "every function is listed");
        assert_eq!(plan.functions.len(), options.functions);
        let expected = (0..options.functions).filter(|it| options.points_at_source(*it));
        assert_eq!(plan.bindings.len(), expected.count());
        if round > 0 {
            println!(
                "{round:<6} {bare_s:<8.2} {own_s:<13.2} {:.2}",
                own_s / bare_s
            );
            ratios.push(own_s / bare_s);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ratios.len() / 2]);
}

async fn bare_calls(lambda: &aws_sdk_lambda::Client, options: Options) -> usize {
    let mut pages = lambda.list_functions().into_paginator().send();
    let mut listed = 0;
    while let Some(page) = pages.next().await {
        listed += page.expect("list functions").functions().len();
    }
    let permits = Arc::new(Semaphore::new(JOBS));
    let mut reading = JoinSet::new();
    for number in (0..options.functions).filter(|it| options.points_at_source(*it)) {
        let (lambda, permits) = (lambda.clone(), Arc::clone(&permits));
        reading.spawn(async move {
            let _permit = permits.acquire().await.expect("permits stay open");
            let name = name(number);
            let call = lambda.get_function_configuration().function_name(&name);
            call.send().await.expect("read a configuration");
            let arn = format!("arn:aws:lambda:eu-west-1:000000000000:function:{name}");
            let call = lambda.list_tags().resource(arn);
            call.send().await.expect("read tags");
            let call = lambda.list_aliases().function_name(&name);
            call.send().await.expect("list aliases");
        });
    }
    reading.join_all().await;
    listed
}

async fn discovered(clients: &SwitchClients) -> SwitchPlan {
    let url = |text, side| ConnectionUrl::parse(text, side).expect("a URL");
    let mapping = Mapping::new(
        url(SOURCE, Side::Source),
        url(
            "postgres://app:new@orders.x1.eu-west-1.rds.amazonaws.com/orders",
            Side::Target,
        ),
    );
    let selection = Selection {
        all: true,
        ..Selection::default()
    };
    let mut plan = Box::pin(discover(clients, &selection, &mapping))
        .await
        .expect("discover");
    let conditions = Conditions {
        mark: "run".to_owned(),
        ..Conditions::default()
    };
    Box::pin(complete(clients, &mut plan, &mapping, &conditions))
        .await
        .expect("complete");
    plan
}
