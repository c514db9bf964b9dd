//! A server whose data outlives the process: what a measurement takes minutes to fill is filled once.
//!
//! The roles are those of the fixtures, so that a tool that is measured may as little as on the
//! platforms; passwords are not asked for, so that a client without them can be measured too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Installation;
use crate::pg::{MASTER_PASSWORD, SOURCE_PASSWORD, SOURCE_USER, is_ready, run};
use crate::server::{self, Ending, Place, Server, User};

/// The master of a kept target.
pub const KEPT_MASTER: &str = "towpath_master";

/// In the data directory, included by postgresql.conf.
const SETTINGS: &str = "kept.conf";

const PORT_ATTEMPTS: usize = 5;

/// A running server on 127.0.0.1 whose data stays when it ends, on drop.
pub struct KeptServer {
    server: Server,
    port: u16,
    socket_directory: PathBuf,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Side {
    fn superuser(self) -> &'static str {
        match self {
            Self::Source => "supabase_admin",
            Self::Target => "rdsadmin",
        }
    }

    fn login(self) -> (&'static str, &'static str) {
        match self {
            Self::Source => (SOURCE_USER, SOURCE_PASSWORD),
            Self::Target => (KEPT_MASTER, MASTER_PASSWORD),
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Source => "wal_level = logical\nmax_wal_senders = 10\n",
            Self::Target => "wal_level = replica\n",
        }
    }
}

impl KeptServer {
    /// A source in `directory`, made on first use. `settings` are of postgresql.conf.
    #[must_use]
    pub fn source(directory: &Path, settings: &str) -> Self {
        Self::start(directory, settings, Side::Source)
    }

    /// The target for it.
    #[must_use]
    pub fn target(directory: &Path, settings: &str) -> Self {
        Self::start(directory, settings, Side::Target)
    }

    fn start(directory: &Path, settings: &str, side: Side) -> Self {
        let data = directory.join("data");
        // Written last: without it a start before this one did not get to the end.
        let made = directory.join("made");
        let is_new = !made.exists();
        if is_new {
            make(directory, &data, side);
        }
        // On every start: the settings may have changed since the data was made.
        fs::write(
            data.join(SETTINGS),
            format!("{settings}\n{}", side.settings()),
        )
        .expect("write the server's settings");
        let server = serve(&data, side);
        if is_new {
            server.load_roles();
            fs::write(made, "").expect("mark a server as made");
        }
        server
    }

    fn load_roles(&self) {
        let (file, variables) = match self.side {
            Side::Source => (
                "source/cluster.sql",
                vec![format!("postgres_password={SOURCE_PASSWORD}")],
            ),
            Side::Target => (
                "target/cluster.sql",
                vec![
                    format!("master_user={KEPT_MASTER}"),
                    format!("master_password={MASTER_PASSWORD}"),
                    "database=app".to_owned(),
                    "capable=on".to_owned(),
                ],
            ),
        };
        let mut command = Command::new(Installation::usual().program("psql"));
        command.args(["-Xq", "-v", "ON_ERROR_STOP=1"]);
        for variable in &variables {
            command.args(["-v", variable]);
        }
        let file = crate::repository().join("tests/fixtures").join(file);
        run(command
            .args(["-d", &self.superuser_url("postgres"), "-f"])
            .arg(file));
    }

    /// TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The login a tool is given.
    #[must_use]
    pub fn user(&self) -> &'static str {
        self.side.login().0
    }

    /// The login's URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (user, _) = self.side.login();
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// The superuser's URL of a database, through the private socket.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        format!(
            "postgres://{}@localhost:{}/{database}?host={}",
            self.side.superuser(),
            self.port,
            self.socket_directory.display()
        )
    }

    /// Runs SQL as the superuser.
    pub fn psql_superuser(&self, database: &str, sql: &str) -> String {
        crate::pg::psql(&self.superuser_url(database), sql)
    }

    /// Process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        u32::try_from(self.server.pid()).expect("a process id is positive")
    }
}

/// An empty cluster that trusts its own logins on loopback, in place of whatever was there.
fn make(directory: &Path, data: &Path, side: Side) {
    let user = User::unprivileged();
    if data.exists() {
        fs::remove_dir_all(data).expect("remove a half-made server");
    }
    fs::create_dir_all(directory).expect("make a directory for a server");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("open a directory");
    User::give(user, directory);
    let superuser = side.superuser();
    run(User::command(user, Installation::usual().program("initdb"))
        .arg("-D")
        .arg(data)
        .args(["-U", superuser, "-E", "UTF8", "--locale=C.UTF-8"])
        .args(["--auth=trust", "--no-sync"]));
    let conf = data.join("postgresql.conf");
    let text = fs::read_to_string(&conf).expect("read postgresql.conf");
    fs::write(&conf, format!("{text}\ninclude '{SETTINGS}'\n")).expect("write postgresql.conf");
    let (login, _) = side.login();
    let rules = format!(
        "local all {superuser} trust\n\
         host all {superuser} all reject\n\
         host all {login} 127.0.0.1/32 trust\n\
         host replication {login} 127.0.0.1/32 trust\n"
    );
    fs::write(data.join("pg_hba.conf"), rules).expect("write pg_hba.conf");
}

fn serve(data: &Path, side: Side) -> KeptServer {
    let user = User::unprivileged();
    let mut said = String::new();
    for _ in 0..PORT_ATTEMPTS {
        // Sockets and log go with the process; the data is elsewhere and stays.
        let socket_directory = server::directory(user, Place::Memory);
        let [port] = server::free_ports();
        let mut command = Command::new(Installation::usual().program("postgres"));
        command
            .arg("-D")
            .arg(data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(&socket_directory);
        command.env_remove("PGDATA").env("LC_ALL", "C.UTF-8");
        let server = Server::start(&command, user, &socket_directory, Ending::Quit);
        if server.becomes_ready(|| is_ready(&server, data)) {
            return KeptServer {
                server,
                port,
                socket_directory,
                side,
            };
        }
        said = server.log();
    }
    panic!(
        "PostgreSQL does not start on {} (is another measurement using it?):\n{said}",
        data.display()
    );
}
