//! HTTP, as probes and notices need it: one request, one answer, no redirect, nothing kept open.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use towpath_model::failure::story;
use towpath_model::{ErrorKind, Failure, Result};
use url::{Host, Url};

/// Of an answer no more than this is read: it is waited for, and then thrown away.
const LONGEST_BODY: usize = 1 << 20;

/// A request.
pub struct Call<'a> {
    /// Where to. May hold a secret.
    pub url: &'a Url,
    /// How it is called in errors.
    pub name: &'a str,
    /// What is sent; GET when there is nothing.
    pub body: Option<Vec<u8>>,
    /// Headers besides the usual.
    pub headers: Vec<(HeaderName, String)>,
    /// How long everything may take.
    pub timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
}

/// Sends requests. TLS is verified against the roots of the system, as the AWS SDK does; a proxy
/// of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used for https.
pub struct Client {
    proxies: Matcher,
    plain: Legacy<HttpConnector, Full<Bytes>>,
    tls: OnceLock<Legacy<HttpsConnector<HttpConnector>, Full<Bytes>>>,
}

impl Client {
    /// Prepares one; nothing is opened.
    pub fn new() -> Self {
        Self::through(Matcher::from_env())
    }

    fn through(proxies: Matcher) -> Self {
        Self {
            proxies,
            plain: Legacy::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector()),
            tls: OnceLock::new(),
        }
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let doing = || format!("could not reach {}", call.name);
        let answer = tokio::time::timeout(call.timeout, Box::pin(self.exchange(&call)))
            .await
            .map_err(|_| {
                Failure::new(ErrorKind::Connect, doing())
                    .because(format!("no answer within {} s", call.timeout.as_secs_f32()))
            })?;
        answer.map_err(|failure| match failure.kind() {
            ErrorKind::Config => failure,
            _ => failure.while_doing(doing()),
        })
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Answer> {
        let request = request(call)?;
        let answer = if request.uri().scheme_str() == Some("https") {
            match self.proxies.intercept(request.uri()) {
                None => self.tls()?.request(request).await,
                Some(proxy) => {
                    let mut tunnel = Tunnel::new(proxy.uri().clone(), connector());
                    if let Some(login) = proxy.basic_auth() {
                        tunnel = tunnel.with_auth(login.clone());
                    }
                    let client: Legacy<_, Full<Bytes>> =
                        Legacy::builder(TokioExecutor::new()).build(wrap(tunnel)?);
                    client.request(request).await
                }
            }
        } else {
            self.plain.request(request).await
        };
        let (head, body) = answer.map_err(|cause| told(&cause))?.into_parts();
        // Waited for, because a server that hangs in the middle has not answered; what it says, and
        // whether that is too long, is nobody's business here.
        let _ = Limited::new(body, LONGEST_BODY).collect().await;
        Ok(Answer {
            status: head.status.as_u16(),
            retry_after: head
                .headers
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .and_then(|text| text.parse().ok())
                .map(Duration::from_secs),
        })
    }

    fn tls(&self) -> Result<&Legacy<HttpsConnector<HttpConnector>, Full<Bytes>>> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let client = Legacy::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(wrap(connector())?);
        Ok(self.tls.get_or_init(|| client))
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector
}

fn wrap<C>(connector: C) -> Result<HttpsConnector<C>> {
    let builder = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|cause| {
            Failure::new(
                ErrorKind::Config,
                "there are no root certificates on this machine to verify HTTPS with",
            )
            .because(cause)
            .hint("install the package ca-certificates, or name a file in SSL_CERT_FILE")
        })?;
    Ok(builder
        .https_only()
        .enable_http1()
        .wrap_connector(connector))
}

fn request(call: &Call<'_>) -> Result<Request<Full<Bytes>>> {
    let refuse = |cause: String| {
        Failure::new(
            ErrorKind::Config,
            format!("the URL of {} cannot be called", call.name),
        )
        .because(cause)
    };
    let mut url = call.url.clone();
    url.set_fragment(None);
    let uri: Uri = url
        .as_str()
        .parse()
        .map_err(|_| refuse("it is no URI".to_owned()))?;
    let method = match call.body {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(USER_AGENT, concat!("towpath/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let body = Full::new(Bytes::from(call.body.clone().unwrap_or_default()));
    request
        .body(body)
        .map_err(|cause| refuse(cause.to_string()))
}

/// The chain of causes in one sentence; none of them quotes the path.
fn told(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(ErrorKind::Connect, story(error))
}

/// A URL of a setting: https, or http where nothing leaves this machine or `plain` allows it.
pub fn url(text: &str, what: &str, plain: bool) -> Result<Url> {
    let refuse = |why: &str| {
        // The text itself may be a secret, so it is never quoted.
        Failure::new(
            ErrorKind::Config,
            format!("{what} is no URL to call: {why}"),
        )
    };
    let url = Url::parse(text.trim()).map_err(|cause| refuse(&cause.to_string()))?;
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(refuse("it names no host")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds a user or a password, which are not sent"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if plain || is_here => Ok(url),
        "http" => Err(refuse("it goes over the network without TLS; use https")),
        _ => Err(refuse("its scheme is neither https nor http")),
    }
}

/// The URL for people: without query and fragment, which may be secret.
pub fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}"));
    let more = if url.query().is_some() { "?…" } else { "" };
    format!(
        "{}://{host}{}{}{more}",
        url.scheme(),
        port.unwrap_or_default(),
        url.path()
    )
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_this_machine_is_called_without_tls() {
        assert!(url("https://hooks.example/x", "notify.webhook_url", false).is_ok());
        assert!(url("http://127.0.0.1:8/x", "notify.webhook_url", false).is_ok());
        assert!(url("http://health.internal/", "probe.http", true).is_ok());
        for wrong in [
            "http://hooks.example/hunter2",
            "ftp://h/hunter2",
            "hunter2",
            "https://u:hunter2@h/",
        ] {
            let refused = url(wrong, "notify.webhook_url", false);
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config);
            assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
        }
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        let url = Url::parse("https://h.example:8443/health?token=hunter2#x").unwrap();
        assert_eq!(shown(&url), "https://h.example:8443/health?…");
    }

    async fn get(client: &Client, url: &str) -> Result<Answer> {
        let url = Url::parse(url).unwrap();
        let call = Call {
            url: &url,
            name: "it",
            body: None,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
        };
        client.send(call).await
    }

    /// The first line that somebody says to this listener.
    fn first_line(listener: TcpListener) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            line
        })
    }

    #[tokio::test]
    async fn https_goes_through_the_proxy_of_the_environment() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let line = first_line(listener);
        let proxies = Matcher::builder().https(proxy).build();
        let failure = get(&Client::through(proxies), "https://hooks.example/hunter2")
            .await
            .unwrap_err();
        assert_eq!(
            line.join().unwrap(),
            "CONNECT hooks.example:443 HTTP/1.1\r\n"
        );
        assert_eq!(failure.kind(), ErrorKind::Connect);
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }

    /// A server whose certificate nobody has signed but itself.
    struct Unknown {
        server: std::process::Child,
        port: u16,
        _directory: tempfile::TempDir,
    }

    impl Unknown {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let port = {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                listener.local_addr().unwrap().port()
            };
            let openssl = |arguments: &str| {
                let mut command = Command::new("openssl");
                command.args(arguments.split(' ')).current_dir(&directory);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command
            };
            let made = openssl(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out crt -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost",
            );
            assert!(
                { made }.status().unwrap().success(),
                "openssl makes a certificate"
            );
            let mut serving = openssl("s_server -cert crt -key key -www -accept");
            let server = serving.arg(port.to_string()).spawn().unwrap();
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
            Self {
                server,
                port,
                _directory: directory,
            }
        }
    }

    impl Drop for Unknown {
        fn drop(&mut self) {
            let _ = self.server.kill();
            let _ = self.server.wait();
        }
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_signed_is_refused() {
        let unknown = Unknown::start();
        let direct = Client::through(Matcher::builder().build());
        let failure = get(&direct, &format!("https://localhost:{}/", unknown.port))
            .await
            .unwrap_err();
        let told = format!("{failure:?}");
        assert!(told.contains("certificate"), "{told}");
    }
}
