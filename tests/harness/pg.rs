//! A throwaway pair of servers: a source shaped like Supabase, a target shaped like RDS.
//!
//! The slow part, loading the fixtures, happens once per state of the fixture files (see `cache`).
//! A test gets a copy of the data directory and starts a server on it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cache::{self, Key};
use crate::installation::Installation;
use crate::overlay::{Overlay, overlay_binaries};
use crate::server::{self, Ending, Place, Server, User};

/// The login a Supabase customer has.
pub const SOURCE_USER: &str = "postgres";
/// Its password. Not every program gets `@`, `/` and a space in a URL right.
pub const SOURCE_PASSWORD: &str = "fixture-secret s@urce/1";
/// Password of the target's master user, whatever its name.
pub const MASTER_PASSWORD: &str = "fixture-secret m@ster/1";

/// Somebody else may take a port between asking for it and binding it.
const PORT_ATTEMPTS: usize = 5;

/// A started source and a started, empty target.
#[derive(Debug)]
pub struct Pair {
    /// Where the data is.
    pub source: Source,
    /// Where it goes.
    pub target: Target,
}

/// The default fixture and a target with a master named `towpath_master`.
#[must_use]
pub fn pair() -> Pair {
    pair_with(&TargetShape::default())
}

/// The default fixture and a target of another shape.
#[must_use]
pub fn pair_with(shape: &TargetShape) -> Pair {
    start_both(Source::start, || Target::start(shape))
}

/// The default fixture on a source of this major version, and a target of a shape.
#[must_use]
pub fn pair_on(source_major: u32, shape: &TargetShape) -> Pair {
    let (source, target) = (
        Installation::of(source_major),
        Installation::of(shape.major),
    );
    // A collation that the target cannot make stops every run.
    let icu = source.knows_icu() && target.knows_icu();
    start_both(|| Source::start_in(source, icu), || Target::start(shape))
}

/// The demo project; `scale` 1 is about a million rows.
#[must_use]
pub fn demo_pair(scale: f64) -> Pair {
    start_both(
        || Source::start_demo(scale),
        || Target::start_in(Place::Disk, &TargetShape::default()),
    )
}

fn start_both(source: impl FnOnce() -> Source, target: impl FnOnce() -> Target + Send) -> Pair {
    std::thread::scope(|scope| {
        let target = scope.spawn(target);
        let source = source();
        let target = target
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Pair { source, target }
    })
}

impl Pair {
    /// The installation of the newer major version of the two: its `pg_dump` reads both.
    #[must_use]
    pub fn newest(&self) -> &'static Installation {
        let (source, target) = (
            self.source.cluster.installation,
            self.target.cluster.installation,
        );
        if source.major() > target.major() {
            source
        } else {
            target
        }
    }
}

// ------------------------------------------------------------------------------------------------
// Source and target
// ------------------------------------------------------------------------------------------------

/// A Supabase-shaped server.
#[derive(Debug)]
pub struct Source {
    /// The server itself.
    pub cluster: Cluster,
}

impl Source {
    /// The default fixture: every kind of object and value that has hurt somebody.
    #[must_use]
    pub fn start() -> Self {
        let installation = Installation::usual();
        Self::start_in(installation, installation.knows_icu())
    }

    /// The same on a server of this major version.
    #[must_use]
    pub fn start_on(major: u32) -> Self {
        let installation = Installation::of(major);
        Self::start_in(installation, installation.knows_icu())
    }

    fn start_in(installation: &'static Installation, icu: bool) -> Self {
        let name = if icu { "source" } else { "source-without-icu" };
        let template = source_template(installation, name, &[], |load| {
            load.set("icu", if icu { "on" } else { "off" });
            load.file(PLATFORM, "source/user.sql", SOURCE_USER);
            load.file(PLATFORM, "source/data_managed.sql", PLATFORM);
            load.file(PLATFORM, "source/data.sql", SOURCE_USER);
            load.file(PLATFORM, "source/user_managed.sql", PLATFORM);
        });
        Self {
            cluster: Cluster::copy_of(&template, installation, PLATFORM, Place::Memory),
        }
    }

    /// The demo project.
    #[must_use]
    pub fn start_demo(scale: f64) -> Self {
        let scale = scale.to_string();
        let installation = Installation::usual();
        let name = format!("demo-{scale}");
        let template = source_template(installation, &name, &["demo"], |load| {
            load.set("scale", &scale);
            load.file(PLATFORM, "demo/auth_users.sql", PLATFORM);
            load.file(PLATFORM, "demo/schema.sql", SOURCE_USER);
            load.file(PLATFORM, "demo/data.sql", SOURCE_USER);
        });
        Self {
            cluster: Cluster::copy_of(&template, installation, PLATFORM, Place::Disk),
        }
    }

    /// Adds large objects to the default fixture.
    pub fn add_large_objects(&self) {
        self.load("source/large_objects.sql", SOURCE_USER);
    }

    /// Adds event triggers, publications and the like to the default fixture.
    pub fn add_late_objects(&self) {
        self.load("source/late_objects.sql", PLATFORM);
    }

    fn load(&self, file: &str, user: &str) {
        Load {
            cluster: &self.cluster,
            variables: Vec::new(),
        }
        .file(PLATFORM, file, user);
    }

    /// What a Supabase customer would enter.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as(SOURCE_USER, SOURCE_PASSWORD, "postgres")
    }

    /// Another login or database.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        self.cluster.url(user, password, database)
    }

    /// The same with `sslmode=verify-full` and the root that signed the server's certificate.
    #[must_use]
    pub fn url_verified(&self) -> String {
        self.cluster
            .url_verified(SOURCE_USER, SOURCE_PASSWORD, "postgres")
    }

    /// Runs SQL as the customer's login.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Runs SQL as the platform.
    pub fn psql_superuser(&self, sql: &str) -> String {
        psql(&self.cluster.superuser_url("postgres"), sql)
    }
}

/// An RDS-shaped server.
#[derive(Debug)]
pub struct Target {
    /// The server itself.
    pub cluster: Cluster,
    shape: TargetShape,
}

/// In what targets differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetShape {
    /// Name of the master user.
    pub master: String,
    /// The database made with the instance.
    pub database: String,
    /// Whether the master may set `session_replication_role`. Real ones may; the tool works without.
    pub capable: bool,
    /// Major version of the server.
    pub major: u32,
}

impl Default for TargetShape {
    fn default() -> Self {
        Self {
            master: "towpath_master".into(),
            database: "app".into(),
            capable: true,
            major: Installation::usual().major(),
        }
    }
}

impl Target {
    /// A fresh instance.
    #[must_use]
    pub fn start(shape: &TargetShape) -> Self {
        Self::start_in(Place::Memory, shape)
    }

    fn start_in(place: Place, shape: &TargetShape) -> Self {
        let template = target_template(shape);
        Self {
            cluster: Cluster::copy_of(&template, Installation::of(shape.major), RDS_ADMIN, place),
            shape: shape.clone(),
        }
    }

    /// The master's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as(&self.shape.master, MASTER_PASSWORD, &self.shape.database)
    }

    /// Another login or database.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        self.cluster.url(user, password, database)
    }

    /// The master's URL with `sslmode=verify-full` and the root that signed the server's certificate.
    #[must_use]
    pub fn url_verified(&self) -> String {
        self.cluster
            .url_verified(&self.shape.master, MASTER_PASSWORD, &self.shape.database)
    }

    /// What it was made with.
    #[must_use]
    pub fn shape(&self) -> &TargetShape {
        &self.shape
    }

    /// Runs SQL as the master.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Runs SQL as the instance's true superuser, in the same database.
    pub fn psql_superuser(&self, sql: &str) -> String {
        psql(&self.cluster.superuser_url(&self.shape.database), sql)
    }
}

// ------------------------------------------------------------------------------------------------
// A server
// ------------------------------------------------------------------------------------------------

/// A PostgreSQL server on 127.0.0.1 and a private socket. Ends, and its directory goes, on drop.
pub struct Cluster {
    /// Absent only inside `restart`.
    server: Option<Server>,
    installation: &'static Installation,
    template: PathBuf,
    directory: PathBuf,
    data: PathBuf,
    port: u16,
    superuser: &'static str,
}

impl Cluster {
    fn copy_of(
        template: &Path,
        installation: &'static Installation,
        superuser: &'static str,
        place: Place,
    ) -> Self {
        let directory = server::directory(User::unprivileged(), place);
        let data = directory.join("data");
        Self::start(template, installation, directory, data, superuser)
    }

    fn start(
        template: &Path,
        installation: &'static Installation,
        directory: PathBuf,
        data: PathBuf,
        superuser: &'static str,
    ) -> Self {
        let mut said = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let [port] = server::free_ports();
            match serve(template, installation, &directory, &data, port) {
                Ok(server) => {
                    return Self {
                        server: Some(server),
                        installation,
                        template: template.to_owned(),
                        directory,
                        data,
                        port,
                        superuser,
                    };
                }
                Err(log) => said = log,
            }
        }
        panic!("PostgreSQL does not start on {}:\n{said}", data.display());
    }

    /// Major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.installation.major()
    }

    /// TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Directory of the socket on which the superuser, and only it, is trusted.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.directory
    }

    /// The bootstrap superuser, through the private socket.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        let (user, port, host) = (self.superuser, self.port, self.directory.display());
        format!(
            "postgres://{user}@localhost:{port}/{}?host={host}",
            encode(database)
        )
    }

    /// Any login, over TCP.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        tcp_url("127.0.0.1", self.port, user, password, database)
    }

    /// Any login, over TLS, with the server's certificate and name verified.
    #[must_use]
    pub fn url_verified(&self, user: &str, password: &str, database: &str) -> String {
        let url = tcp_url("localhost", self.port, user, password, database);
        format!(
            "{url}?sslmode=verify-full&sslrootcert={}",
            ca_certificate().display()
        )
    }

    /// What the server said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.as_ref().map(Server::log).unwrap_or_default()
    }

    /// The server crashes (`pg_ctl stop -m immediate`) and stays away.
    pub fn crash(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop_and_keep();
        }
    }

    /// The server crashes and comes back on the same port with what was committed.
    pub fn crash_and_restart(&mut self) {
        self.crash();
        self.start_again();
    }

    /// The server comes back after a crash, on the same port.
    pub fn start_again(&mut self) {
        let (template, installation) = (&self.template, self.installation);
        let server = serve(
            template,
            installation,
            &self.directory,
            &self.data,
            self.port,
        )
        .unwrap_or_else(|log| panic!("PostgreSQL does not start again:\n{log}"));
        self.server = Some(server);
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("port", &self.port)
            .field("data", &self.data)
            .finish()
    }
}

/// The copy is made by the process that becomes the server, so that whatever ends it early also
/// removes the half-made directory.
const COPY_AND_SERVE: &str = r#"
[ -d "$2" ] || cp -a --reflink=auto "$1" "$2" || exit
shift 2
exec "$@"
"#;

/// One attempt, on a copy of the template's data if `data` is not there. The error is the log.
fn serve(
    template: &Path,
    installation: &Installation,
    directory: &Path,
    data: &Path,
    port: u16,
) -> Result<Server, String> {
    let mut command = Command::new("sh");
    command
        .args(["-c", COPY_AND_SERVE, "sh"])
        .arg(template.join("data"))
        .arg(data);
    command.arg(overlay_binaries(template, installation).join("postgres"));
    command
        .arg("-D")
        .arg(data)
        .arg("-p")
        .arg(port.to_string())
        .arg("-k")
        .arg(directory);
    // Set for the harness's own client calls perhaps, never meant for the server.
    command.env_remove("PGDATA").env("LC_ALL", "C.UTF-8");
    if let Some(clients) = installation.client_library() {
        command.env("LD_LIBRARY_PATH", clients);
    }
    let server = Server::start(&command, User::unprivileged(), directory, Ending::Quit);
    if server.becomes_ready(|| is_ready(&server, data)) {
        return Ok(server);
    }
    let log = server.log();
    server.stop_and_keep();
    Err(log)
}

/// Whether a PostgreSQL server says that it takes connections, in its data directory.
pub(crate) fn is_ready(server: &Server, data: &Path) -> bool {
    // A copied or crashed data directory may hold the file of another server.
    let pid = server.pid().to_string();
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| {
        let mut lines = text.lines();
        lines.next() == Some(&pid) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    })
}

fn tcp_url(host: &str, port: u16, user: &str, password: &str, database: &str) -> String {
    let (user, password, database) = (encode(user), encode(password), encode(database));
    format!("postgres://{user}:{password}@{host}:{port}/{database}")
}

fn encode(text: &str) -> String {
    /// `fixture-secret` stays readable, so that a search for it also finds it in a URL.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

// ------------------------------------------------------------------------------------------------
// psql
// ------------------------------------------------------------------------------------------------

/// Runs SQL, statement by statement, and returns the unaligned rows without the last newline. Panics
/// with what psql says at the first error.
pub fn psql(url: &str, sql: &str) -> String {
    try_psql(url, sql).unwrap_or_else(|error| panic!("psql failed:\n{error}\nSQL: {sql}"))
}

/// The same; the error is psql's standard error.
pub fn try_psql(url: &str, sql: &str) -> Result<String, String> {
    let mut command = Command::new(Installation::usual().program("psql"));
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start psql");
    let mut input = child.stdin.take().expect("stdin is piped");
    let output = std::thread::scope(|scope| {
        // psql may answer before it has read everything, so both ends have to move at once. It
        // stops reading at an error, which is then told by its exit code.
        scope.spawn(move || input.write_all(sql.as_bytes()));
        child.wait_with_output().expect("wait for psql")
    });
    if output.status.success() {
        let text = String::from_utf8(output.stdout).expect("psql prints UTF-8");
        Ok(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

// ------------------------------------------------------------------------------------------------
// Templates
// ------------------------------------------------------------------------------------------------

const PLATFORM: &str = "supabase_admin";
const RDS_ADMIN: &str = "rdsadmin";

fn fixtures() -> PathBuf {
    crate::repository().join("tests/fixtures")
}

/// Loads fixture files into a cluster that is being made.
struct Load<'a> {
    cluster: &'a Cluster,
    variables: Vec<String>,
}

impl Load<'_> {
    fn set(&mut self, name: &str, value: &str) {
        self.variables.push(format!("{name}={value}"));
    }

    fn file(&self, superuser: &str, file: &str, user: &str) {
        let url = if user == superuser {
            self.cluster.superuser_url("postgres")
        } else {
            self.cluster.url(user, SOURCE_PASSWORD, "postgres")
        };
        let mut command = Command::new(Installation::usual().program("psql"));
        command.args(["-Xq", "-v", "ON_ERROR_STOP=1"]);
        for variable in &self.variables {
            command.args(["-v", variable]);
        }
        run(command
            .arg("-d")
            .arg(url)
            .arg("-f")
            .arg(fixtures().join(file)));
    }
}

fn source_template(
    installation: &'static Installation,
    name: &str,
    more_inputs: &[&str],
    fill: impl FnOnce(&mut Load),
) -> PathBuf {
    let mut key = template_key(installation);
    key.files(&fixtures().join("source")).text(name);
    for input in more_inputs {
        key.files(&fixtures().join(input));
    }
    let name = format!("{name}-on-{}", installation.major());
    cache::entry(&name, &key, |entry| {
        let overlay = Overlay::new(entry, installation);
        overlay.link_all_extensions();
        overlay.add_extensions(&fixtures().join("source/extensions"));
        let conf = "source/postgresql.conf";
        make_template(entry, installation, PLATFORM, conf, |load| {
            load.set("postgres_password", SOURCE_PASSWORD);
            load.file(PLATFORM, "source/cluster.sql", PLATFORM);
            load.file(PLATFORM, "source/managed.sql", PLATFORM);
            fill(load);
        });
    })
}

fn target_template(shape: &TargetShape) -> PathBuf {
    let installation = Installation::of(shape.major);
    let mut key = template_key(installation);
    key.files(&fixtures().join("target"))
        .text(&format!("{shape:?}"));
    let name = format!("target-on-{}", installation.major());
    cache::entry(&name, &key, |entry| {
        let names = |file: &str| -> Vec<String> {
            let text =
                fs::read_to_string(fixtures().join(file)).expect("read a list of extensions");
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .map(|l| l.trim().to_owned())
                .collect()
        };
        let overlay = Overlay::new(entry, installation);
        overlay.link_all_extensions();
        overlay.offer_only(
            &names("target/extensions.txt"),
            &names("target/trusted.txt"),
        );
        let conf = "target/postgresql.conf";
        make_template(entry, installation, RDS_ADMIN, conf, |load| {
            load.set("master_user", &shape.master);
            load.set("master_password", MASTER_PASSWORD);
            load.set("database", &shape.database);
            load.set("capable", if shape.capable { "on" } else { "off" });
            load.file(RDS_ADMIN, "target/cluster.sql", RDS_ADMIN);
        });
    })
}

fn template_key(installation: &Installation) -> Key {
    let mut key = Key::new();
    installation.mark(&mut key);
    key
}

/// Initialises `entry`/data, loads it, and leaves it cleanly stopped.
fn make_template(
    entry: &Path,
    installation: &'static Installation,
    superuser: &'static str,
    conf: &str,
    fill: impl FnOnce(&mut Load),
) {
    let user = User::unprivileged();
    let (overlay, data) = (overlay_binaries(entry, installation), entry.join("data"));
    run(User::command(user, overlay.join("initdb"))
        .arg("-D")
        .arg(&data)
        .args([
            "-U",
            superuser,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--no-sync",
        ]));
    configure(&data, superuser, &fixtures().join(conf));

    let directory = server::directory(user, Place::Memory);
    let mut cluster = Cluster::start(entry, installation, directory, data.clone(), superuser);
    fill(&mut Load {
        cluster: &cluster,
        variables: Vec::new(),
    });
    run(User::command(user, overlay.join("pg_ctl"))
        .arg("-D")
        .arg(&data)
        .args(["-m", "fast", "-w", "stop"]));
    cluster.server.take();
    // Loading leaves hundreds of megabytes of recycled WAL that each test would copy.
    run(User::command(user, installation.program("pg_resetwal"))
        .arg("-D")
        .arg(&data));
}

fn configure(data: &Path, superuser: &str, conf: &Path) {
    let user = User::unprivileged();
    let append = |text: &str| {
        let path = data.join("postgresql.conf");
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(path)
            .expect("open postgresql.conf");
        file.write_all(text.as_bytes())
            .expect("write postgresql.conf");
    };
    append(&fs::read_to_string(conf).expect("read a fixture's postgresql.conf"));
    // A crash must not take back what was acknowledged, or `crash_and_restart` tells nothing. Without
    // fsync that costs next to nothing.
    append("\nssl = on\nunix_socket_permissions = 0700\nsynchronous_commit = on\n");
    for file in ["server.crt", "server.key"] {
        let copy = data.join(file);
        fs::copy(certificates().join(file), &copy).expect("copy the server's certificate");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).expect("guard the key");
        User::give(user, &copy);
    }
    let mut hba = String::new();
    for line in [
        format!("local all {superuser} trust"),
        // Whoever knows how may not become superuser over the network.
        format!("host all {superuser} all reject"),
        "host all all 127.0.0.1/32 scram-sha-256".to_owned(),
        "host replication all 127.0.0.1/32 scram-sha-256".to_owned(),
        "local all all scram-sha-256".to_owned(),
    ] {
        writeln!(hba, "{line}").expect("write to a string");
    }
    fs::write(data.join("pg_hba.conf"), hba).expect("write pg_hba.conf");
}

// ------------------------------------------------------------------------------------------------
// Certificates
// ------------------------------------------------------------------------------------------------

/// Root that signed the certificates of all clusters here.
#[must_use]
pub fn ca_certificate() -> PathBuf {
    certificates().join("ca.crt")
}

/// Commands rather than a library: what OpenSSL makes is what a user's server has.
const MAKE_CERTIFICATES: &str = r#"
set -eu
umask 022
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $key -keyout ca.key -out ca.crt -days 3650 -subj "/CN=towpath test root" \
    -addext "keyUsage=critical,keyCertSign,cRLSign"
openssl req $key -keyout server.key -out server.csr -subj "/CN=localhost"
printf '%s\n' "subjectAltName=DNS:localhost,IP:127.0.0.1" "basicConstraints=CA:FALSE" \
    "extendedKeyUsage=serverAuth" >extensions
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
    -extfile extensions -out server.crt
rm ca.key server.csr extensions
"#;

fn certificates() -> &'static Path {
    static CERTIFICATES: OnceLock<PathBuf> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let mut key = Key::new();
        cache::entry("certificates", key.text(MAKE_CERTIFICATES), |entry| {
            run(Command::new("sh")
                .args(["-c", MAKE_CERTIFICATES])
                .current_dir(entry));
        })
    })
}

// ------------------------------------------------------------------------------------------------
// Programs
// ------------------------------------------------------------------------------------------------

/// Runs a command to its end and returns its standard output; panics with its standard error.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("start {}: {e}", command.get_program().to_string_lossy()));
    assert!(
        output.status.success(),
        "{} failed ({}):\n{}",
        command.get_program().to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
