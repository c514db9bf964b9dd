//! What is decided about secrets and parameters, by who names them.

use towpath_model::connection::{ConnectionUrl, Secret, Side};

use crate::carrier::{self, Variables};
use crate::catalogue::Listed;
use crate::discover::Candidate;
use crate::holders::{Holders, Naming};
use crate::left::Why;
use crate::mapping::{Mapping, PasswordBy};
use crate::options::Selection;
use crate::parameter::ParameterState;
use crate::plan::SwitchPlan;
use crate::secret::SecretState;
use crate::server::SourceServer;
use crate::value::Survey;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:";

fn mapping() -> Mapping {
    Mapping::new(
        ConnectionUrl::parse(
            "postgres://postgres:old-secret@s.example/postgres",
            Side::Source,
        )
        .unwrap(),
        ConnectionUrl::parse("postgres://app:new-secret@t/orders", Side::Target).unwrap(),
    )
}

/// A few functions with what they name.
struct Scene {
    mapping: Mapping,
    functions: Vec<Candidate>,
    holders: Holders,
    plan: SwitchPlan,
}

impl Scene {
    fn new(mapping: Mapping, functions: &[(&str, &[(&str, &str)])]) -> Self {
        let server = SourceServer::of(&mapping);
        let survey = Survey {
            server: &server,
            mapping: &mapping,
            runtime: None,
        };
        let functions = functions.iter().map(|(name, variables)| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new(*value));
            let variables: Variables = variables.iter().map(owned).collect();
            Candidate {
                rewriting: carrier::variables(&variables, survey),
                variables,
                listed: listed(name),
            }
        });
        Self {
            functions: functions.collect(),
            mapping: mapping.clone(),
            holders: Holders::default(),
            plan: SwitchPlan::default(),
        }
    }

    fn namings(&self, value: &str) -> Vec<Naming> {
        let selection = Selection::default();
        let of = |function: &Candidate| {
            let mut variables = function.variables.clone();
            variables.retain(|_, found| found.reveal() == value);
            Naming::of(&function.listed.id, &variables, &selection)
        };
        self.functions.iter().flat_map(of).collect()
    }

    fn secret(mut self, name: &str, text: &str) -> Self {
        let arn = format!("{ARN}{name}");
        let named = self.namings(&arn);
        let state = SecretState {
            arn,
            name: name.to_owned(),
            version: "v1".to_owned(),
            text: Some(Secret::new(text)),
            labels: Vec::new(),
        };
        self.holders.put_secret(state, named);
        self
    }

    fn parameter(mut self, id: &str, selector: Option<&str>, value: &str) -> Self {
        let named = self.namings(id);
        let name = id.split(':').next().unwrap_or_default();
        let state = ParameterState {
            name: name.to_owned(),
            arn: format!("arn:aws:ssm:eu-west-1:000000000000:parameter{name}"),
            version: 1,
            value: Secret::new(value),
            selector: selector.map(str::to_owned),
        };
        self.holders.put_parameters(vec![state], named);
        self
    }

    /// What is decided, as lines.
    fn decided(mut self) -> Vec<String> {
        let server = SourceServer::of(&self.mapping);
        self.holders
            .decide(&mut self.functions, &server, &self.mapping, &mut self.plan);
        let mut told: Vec<String> = Vec::new();
        for function in &mut self.functions {
            function.rewriting.give_up(Why::Incomplete);
            let id = &function.listed.id;
            for (name, value) in &function.rewriting.values {
                told.push(format!("{id} {name}={}", value.reveal()));
            }
            for (name, why) in &function.rewriting.left {
                told.push(format!("{id} {name}: {why:?}"));
            }
        }
        for binding in &self.plan.bindings {
            told.push(format!(
                "{} of {}",
                binding.name(),
                binding.readers.join(" ")
            ));
        }
        for left in &self.plan.untouched {
            told.push(format!(
                "{} {}: {:?}",
                left.consumer, left.variable, left.why
            ));
        }
        told
    }
}

fn listed(name: &str) -> Listed {
    Listed {
        id: name.to_owned(),
        name: name.to_owned(),
        arn: String::new(),
        revision: String::new(),
        runtime: None,
        is_image: false,
        layers: 0,
        main: None,
        variables: None,
        tags: None,
        versions: Vec::new(),
    }
}

fn arn(name: &str) -> String {
    format!("{ARN}{name}")
}

const HALF: (&str, &str) = ("DATABASE_URL", "postgres://postgres@s.example/postgres");
const SWITCHED: &str = "DATABASE_URL=postgres://app@t/orders";

#[test]
fn a_password_is_found_in_what_the_function_names() {
    let x = arn("x");
    let one = Scene::new(mapping(), &[("f", &[HALF, ("PASSWORD_ARN", &x)])]).secret("x", "any");
    assert_eq!(
        one.decided(),
        [format!("f {SWITCHED}"), format!("secret {x} of f")]
    );
    // Two that may be it: only the source's own password settles which.
    let y = arn("y");
    let names = [
        HALF,
        ("PASSWORD_ARN", x.as_str()),
        ("STRIPE_ARN", y.as_str()),
    ];
    let unclear = Scene::new(mapping(), &[("f", &names)])
        .secret("x", "any")
        .secret("y", "sk_live");
    assert_eq!(unclear.decided(), ["f DATABASE_URL: Incomplete"]);
    let clear = Scene::new(mapping(), &[("f", &names)])
        .secret("x", "old-secret")
        .secret("y", "sk_live");
    assert_eq!(
        clear.decided(),
        [format!("f {SWITCHED}"), format!("secret {x} of f")]
    );
}

#[test]
fn a_password_that_others_use_otherwise_is_not_taken() {
    let x = arn("x");
    let functions: [(&str, &[(&str, &str)]); 2] = [
        ("f", &[HALF, ("PASSWORD_ARN", &x)]),
        ("g", &[("DB_HOST", "other.example"), ("PASSWORD_ARN", &x)]),
    ];
    let shared = Scene::new(mapping(), &functions).secret("x", "any");
    assert_eq!(shared.decided(), ["f DATABASE_URL: Incomplete"]);
    // Of two users, one password is that of neither.
    let mut mapping = mapping();
    mapping.users.insert("reader".to_owned(), "ro".to_owned());
    mapping
        .passwords
        .insert("ro".to_owned(), Secret::new("ro-secret"));
    let reader = ("DATABASE_URL", "postgres://reader@s.example/postgres");
    let functions: [(&str, &[(&str, &str)]); 2] = [
        ("f", &[HALF, ("PASSWORD_ARN", &x)]),
        ("g", &[reader, ("PASSWORD_ARN", &x)]),
    ];
    let of_two = Scene::new(mapping, &functions).secret("x", "any");
    assert_eq!(
        of_two.decided(),
        ["f DATABASE_URL: SharedParts", "g DATABASE_URL: SharedParts"]
    );
}

#[test]
fn another_secret_takes_the_place_of_the_named_one() {
    let by_secret = Mapping {
        password_by: PasswordBy::Secret("arn:new".to_owned()),
        ..mapping()
    };
    let (x, y) = (arn("x"), arn("y"));
    let functions: [(&str, &[(&str, &str)]); 2] = [
        ("f", &[HALF, ("PASSWORD_ARN", &x)]),
        ("g", &[("DB_SECRET_ARN", &y)]),
    ];
    let scene = Scene::new(by_secret, &functions)
        .secret("x", "any")
        .secret("y", "postgres://postgres:old-secret@s.example/postgres");
    assert_eq!(
        scene.decided(),
        [
            format!("f {SWITCHED}"),
            "f PASSWORD_ARN=arn:new".to_owned(),
            "g DB_SECRET_ARN=arn:new".to_owned()
        ]
    );
}

#[test]
fn parameters_below_one_path_are_a_set() {
    let functions: [(&str, &[(&str, &str)]); 1] = [(
        "f",
        &[
            ("A_PARAM", "/db/host"),
            ("B_PARAM", "/db/user"),
            ("C_PARAM", "/db/password"),
        ],
    )];
    let set = Scene::new(mapping(), &functions)
        .parameter("/db/host", None, "s.example")
        .parameter("/db/user", None, "postgres")
        .parameter("/db/password", None, "any");
    assert_eq!(
        set.decided(),
        [
            "parameter /db/host of f",
            "parameter /db/password of f",
            "parameter /db/user of f"
        ]
    );
    // Whoever asks for a version goes on to get it.
    let pinned: [(&str, &[(&str, &str)]); 1] = [("f", &[("DB_PARAM", "/db/url:3")])];
    let pinned = Scene::new(mapping(), &pinned).parameter(
        "/db/url:3",
        Some(":3"),
        "postgres://postgres:any@s.example/postgres",
    );
    assert_eq!(pinned.decided(), ["parameter /db/url : PinnedVersion"]);
    let lone: [(&str, &[(&str, &str)]); 1] = [("f", &[("DB_PARAM", "/db/password")])];
    let lone = Scene::new(mapping(), &lone).parameter("/db/password", None, "old-secret");
    assert_eq!(lone.decided(), ["parameter /db/password : LonePassword"]);
}
