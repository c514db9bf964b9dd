//! The own rules of each service that consumers are configured in: aliases and their versions,
//! networks, labels of secrets, parameters, caches, and the key of the way back.

use std::path::Path;

use serde_json::{Value, json};
use towpath_tests::aws_state;
use towpath_tests::{Act, AwsProxy, AwsState, Call, MiniStack, Pair, Project, pair, project};

struct World {
    pair: Pair,
    aws: MiniStack,
    project: Project,
    secret: String,
    key: String,
}

const SUBNETS: &str = "subnet-1,subnet-2";

fn world() -> World {
    let pair = pair();
    let aws = MiniStack::start();
    let url = aws.url();
    let source = pair.source.url();
    aws.aws().create_function(
        "orders-api",
        &[
            ("DATABASE_URL", &source),
            ("LOG_LEVEL", "info"),
            ("SUPABASE_URL", "https://x.supabase.co"),
        ],
    );
    // AWSPREVIOUS is on a version, and somebody has a label of their own on the current one.
    let secret = aws
        .aws()
        .create_secret("billing/database", "postgres://old");
    aws.aws().put_secret(&secret, &source);
    let held = aws_state::call(
        &url,
        "secretsmanager.GetSecretValue",
        &json!({"SecretId": secret}),
    );
    let labelled = json!({
        "SecretId": secret, "VersionStage": "mine", "MoveToVersionId": held["VersionId"],
    });
    call(&url, "secretsmanager.UpdateSecretVersionStage", &labelled);
    aws.aws()
        .create_function("orders-worker", &[("DB_SECRET_ARN", &secret)]);
    for function in ["orders-api", "orders-worker"] {
        publish(&url, function);
    }
    let parameter = json!({
        "Name": "/orders/database", "Value": source, "Type": "SecureString",
        "KeyId": "alias/orders", "Tier": "Advanced", "Description": "for reports",
    });
    call(&url, "AmazonSSM.PutParameter", &parameter);
    aws.aws()
        .create_function("orders-report", &[("DB_PARAM", "/orders/database")]);
    let provisioned = "PUT /2019-09-30/functions/orders-api/provisioned-concurrency?Qualifier=live";
    lambda(
        &url,
        provisioned,
        &json!({"ProvisionedConcurrentExecutions": 2}),
    );
    let of_version = "PUT /2019-09-30/functions/orders-worker/provisioned-concurrency?Qualifier=1";
    lambda(
        &url,
        of_version,
        &json!({"ProvisionedConcurrentExecutions": 3}),
    );
    let key = aws_state::call(&url, "TrentService.CreateKey", &json!({}));
    let key = key["KeyMetadata"]["Arn"]
        .as_str()
        .expect("a key has an ARN")
        .to_owned();
    let project = configured(project!(&pair), &aws, &key);
    World {
        pair,
        aws,
        project,
        secret,
        key,
    }
}

fn configured(project: Project, aws: &MiniStack, key: &str) -> Project {
    project
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_PREFIXES", "orders-")
        .with("TOWPATH_FENCE_MODE", "none")
        .with("TOWPATH_SWITCH_ALIAS_STEPS", "10,50")
        .with("TOWPATH_SWITCH_SUBNETS", SUBNETS)
        .with("TOWPATH_SWITCH_SECURITY_GROUPS", "sg-1")
        .with("TOWPATH_SWITCH_UNDO_KMS_KEY_ID", key)
}

fn call(url: &str, target: &str, body: &Value) {
    let _ = aws_state::call(url, target, body);
}

fn lambda(url: &str, line: &str, body: &Value) {
    let _ = aws_state::lambda(url, line, body);
}

/// Publishes a version and leads the alias `live` to it, which is made at the first.
fn publish(url: &str, function: &str) {
    let line = format!("POST /2015-03-31/functions/{function}/versions");
    let version = aws_state::lambda(url, &line, &json!({}))["Version"].clone();
    let line = format!("POST /2015-03-31/functions/{function}/aliases");
    let alias =
        json!({"Name": "live", "FunctionVersion": version, "Description": "what callers use"});
    lambda(url, &line, &alias);
}

impl World {
    fn state(&self) -> AwsState {
        AwsState::read(&self.aws.url())
    }

    /// Which server the alias `live` of a function answers from.
    fn live_answers_from(&self, function: &str) -> u64 {
        let line = format!("POST /2015-03-31/functions/{function}:live/invocations");
        let answer = aws_state::lambda(&self.aws.url(), &line, &json!({}));
        answer["port"]
            .as_u64()
            .unwrap_or_else(|| panic!("{answer}"))
    }

    fn assert_live(&self, port: u16) {
        for function in ["orders-api", "orders-worker"] {
            assert_eq!(
                self.live_answers_from(function),
                u64::from(port),
                "{function}"
            );
        }
    }
}

fn labels(state: &AwsState, label: &str) -> Value {
    state.get(&format!("secret billing/database {label}"))["text"].clone()
}

#[test]
fn aliases_networks_and_labels_are_switched_and_put_back_from_another_machine() {
    let world = world();
    let (source, target) = (&world.pair.source, &world.pair.target);
    world.project.expect(0, &["run", "--yes"]);
    let id = world.project.run_id();
    let before = world.state();
    world.assert_live(source.cluster.port());

    let plan = world.project.expect(0, &["cutover", "--dry-run"]);
    for part in [
        "alias orders-api:live",
        "before  version 1",
        "VpcConfig no VPC",
        "VpcConfig subnets subnet-1 subnet-2, security groups sg-1",
        "alias live has provisioned concurrency 2",
        "version 1 has provisioned concurrency 3 of its own",
        "needs what lies outside (SUPABASE_URL)",
    ] {
        assert!(plan.stdout.contains(part), "{part:?} is not said:\n{plan}");
    }
    assert_eq!(world.state(), before);

    // A key that does not work is found out before anything depends on it.
    let unknown = world.project.towpath(&["cutover", "--confirm", &id]);
    let unknown = unknown.env("TOWPATH_SWITCH_UNDO_KMS_KEY_ID", "alias/unknown");
    let end = unknown.run().expect_code(1);
    assert!(end.stderr.contains("names no key of this region"), "{end}");

    let end = world.project.expect(0, &["cutover", "--confirm", &id]);
    assert!(!end.stderr.contains("fixture-secret"), "{end}");
    world.assert_live(target.cluster.port());
    let switched = world.state();
    for function in ["orders-api", "orders-worker"] {
        let alias = switched.get(&format!("alias {function}:live"));
        assert_eq!(alias["FunctionVersion"], "2", "{alias}");
        assert_eq!(alias["RoutingConfig"], Value::Null, "{alias}");
        assert_eq!(alias["Description"], "what callers use");
        let published = switched.get(&format!("function {function}:2"));
        let told = published["Description"].as_str().unwrap_or_default();
        assert!(told.contains(&id), "{published}");
        let network = &switched.get(&format!("function {function}"))["VpcConfig"];
        assert_eq!(network["SubnetIds"], json!(["subnet-1", "subnet-2"]));
        assert_eq!(network["SecurityGroupIds"], json!(["sg-1"]));
    }
    // Nothing of the function itself changes but this: its environments must end.
    assert_eq!(
        switched.variables("orders-worker")["TOWPATH_SWITCHED"],
        id.as_str()
    );
    let old: Value = source.url().into();
    assert_eq!(labels(&switched, &format!("towpath-{id}-before")), old);
    let oldest: Value = "postgres://old".into();
    assert_eq!(
        labels(&switched, &format!("towpath-{id}-before-previous")),
        oldest
    );
    assert_ne!(world.aws.aws().secret(&world.secret), source.url());

    let parameter = switched.get("parameter /orders/database");
    assert_ne!(parameter["value"], old);
    for (field, value) in [
        ("type", "SecureString"),
        ("KeyId", "alias/orders"),
        ("Tier", "Advanced"),
    ] {
        assert_eq!(parameter[field], value, "{parameter}");
    }
    assert_eq!(
        switched.variables("orders-report")["TOWPATH_SWITCHED"],
        id.as_str()
    );

    // Another machine has the store and may use the key. It has nothing else.
    assert!(!world.project.path().join(".towpath/undo.key").exists());
    let elsewhere = configured(project!(&world.pair), &world.aws, "")
        .with("TOWPATH_STORE", &store(world.project.path()));
    elsewhere.expect(0, &["rollback", &id, "--yes"]);
    before.assert_restored(&world.state());
    world.assert_live(source.cluster.port());
    assert!(!elsewhere.path().join(".towpath/undo.key").exists());

    what_cannot_be_switched_is_said_before_anything_is(&world, &id);
}

fn store(directory: &Path) -> String {
    format!("file://{}/.towpath", directory.display())
}

fn what_cannot_be_switched_is_said_before_anything_is(world: &World, id: &str) {
    let url = world.aws.url();
    // Configured since version 1 was published, and never released.
    let line = "PUT /2015-03-31/functions/orders-api/configuration";
    lambda(&url, line, &json!({"MemorySize": 512}));
    let rotating = json!({
        "SecretId": world.secret, "SecretString": "{}", "VersionStages": ["AWSPENDING"],
        "ClientRequestToken": "00000000-0000-0000-0000-000000000000",
    });
    call(&url, "secretsmanager.PutSecretValue", &rotating);
    // Released to another database long ago, and nobody has led the alias there.
    world
        .aws
        .aws()
        .create_function("behind", &[("DATABASE_URL", &world.pair.source.url())]);
    publish(&url, "behind");
    let elsewhere = [("DATABASE_URL", "postgres://u:p@elsewhere.example/db")];
    world.aws.aws().set_environment("behind", &elsewhere);
    let before = world.state();
    let named = world.project.towpath(&["cutover", "--dry-run"]);
    // MiniStack lists no versions along with functions, as Lambda does; those of named ones are asked.
    let named = named.env("TOWPATH_SWITCH_PREFIXES", "");
    let named = named.env("TOWPATH_SWITCH_FUNCTIONS", "behind").run();
    let told = "alias live (version 1; $LATEST does not point at the source)";
    assert!(named.expect_code(0).stdout.contains(told), "{told}");
    let plan = world.project.expect(0, &["cutover", "--dry-run"]);
    for part in [
        "alias live (version 1; $LATEST differs in MemorySize)",
        "a new one would release what nobody has released",
        "another version is AWSPENDING",
    ] {
        assert!(plan.stdout.contains(part), "{part:?} is not said:\n{plan}");
    }
    let end = world.project.expect(10, &["cutover", "--confirm", id]);
    assert!(!end.stderr.contains("fixture-secret"), "{end}");
    assert_eq!(world.state(), before);
    // The key of KMS counts where the way back is, whatever the setting says by now.
    let disabled = json!({"KeyId": world.key});
    call(&url, "TrentService.DisableKey", &disabled);
    let end = world.project.expect(1, &["rollback", id, "--yes"]);
    assert!(end.stderr.contains("the key is disabled"), "{end}");
}

#[test]
fn what_others_write_meanwhile_is_neither_lost_nor_released() {
    let world = world();
    let url = world.aws.url();
    let proxy = AwsProxy::start(&url);
    let project = configured(project!(&world.pair), &world.aws, &world.key)
        .with("TOWPATH_SWITCH_ALIAS_STEPS", "")
        .with("AWS_ENDPOINT_URL", &proxy.url());
    project.expect(0, &["run", "--yes"]);
    let id = project.run_id();
    let before = world.state();

    // Parameter Store takes every write: between our reading and our write somebody else's.
    let theirs =
        json!({"Name": "/orders/database", "Value": "postgres://theirs", "Overwrite": true});
    let (at, written) = (url.clone(), theirs.clone());
    proxy.decide(once("ssm:PutParameter", move || {
        call(&at, "AmazonSSM.PutParameter", &written);
    }));
    let end = project.expect(13, &["cutover", "--confirm", &id]);
    assert!(
        end.stderr
            .contains("parameter /orders/database was changed"),
        "{end}"
    );
    let now = world.state();
    assert_eq!(
        now.get("parameter /orders/database")["value"],
        theirs["Value"]
    );
    for function in ["orders-api", "orders-worker", "orders-report"] {
        let name = format!("function {function}");
        assert_eq!(now.get(&name), before.get(&name));
    }

    let ours =
        json!({"Name": "/orders/database", "Value": world.pair.source.url(), "Overwrite": true});
    call(&url, "AmazonSSM.PutParameter", &ours);
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        caches_are_waited_for(&world, &project, &id);
        code_of_others_is_not_released(&world, &project, &proxy, &id);
    }
}

fn caches_are_waited_for(world: &World, project: &Project, id: &str) {
    let before = world.state();
    project.expect(0, &["verify"]);
    let cutover = project.towpath(&["cutover", "--confirm", id]);
    let cutover = cutover.env("TOWPATH_SWITCH_CACHES", "wait");
    let end = cutover.env("TOWPATH_SWITCH_CACHE_TTL_S", "2").run();
    let end = end.expect_code(0);
    assert!(
        end.stderr.contains("waiting 2 s until no function uses"),
        "{end}"
    );
    let now = world.state();
    assert_eq!(
        now.variables("orders-worker"),
        before.variables("orders-worker")
    );
    project.expect(0, &["rollback", "--yes"]);
    before.assert_restored(&world.state());
}

fn code_of_others_is_not_released(world: &World, project: &Project, proxy: &AwsProxy, id: &str) {
    let (url, before) = (world.aws.url(), world.state());
    project.expect(0, &["verify"]);
    // It arrives between the switch of the function and its version.
    let empty = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==";
    proxy.decide(once("lambda:PublishVersion", move || {
        let line = "PUT /2015-03-31/functions/orders-api/code";
        lambda(&url, line, &json!({"ZipFile": empty}));
    }));
    let end = project.expect(13, &["cutover", "--confirm", id]);
    assert!(
        end.stderr.contains("it is not released by towpath"),
        "{end}"
    );
    let now = world.state();
    for name in ["alias orders-api:live", "alias orders-worker:live"] {
        assert_eq!(now.get(name), before.get(name));
    }
    assert_eq!(now.variables("orders-api"), before.variables("orders-api"));
    let code = |state: &AwsState| state.get("function orders-api")["CodeSha256"].clone();
    assert_ne!(code(&now), code(&before));
}

/// Does something before the first call of an operation, and passes everything on.
fn once(operation: &'static str, act: impl FnOnce() + Send + 'static) -> impl FnMut(&Call) -> Act {
    let mut act = Some(act);
    move |call| {
        if call.operation == operation
            && let Some(act) = act.take()
        {
            act();
        }
        Act::Pass
    }
}
