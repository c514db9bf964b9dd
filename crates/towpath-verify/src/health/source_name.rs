//! Under which names the source may be met.

use towpath_model::connection::ConnectionUrl;

/// A name of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceName {
    /// Host, or the reference of the project; lower case.
    text: String,
    /// Must be met too, where a host alone is any server.
    port: Option<u16>,
    /// May be a part of a longer name, as the project's reference is.
    is_part: bool,
}

impl SourceName {
    fn host(host: &str, port: Option<u16>) -> Self {
        Self {
            text: host.to_ascii_lowercase(),
            port,
            is_part: false,
        }
    }

    /// Whether a text, in lower case, names the source.
    fn is_in(&self, text: &str) -> bool {
        let is_met = text.match_indices(&self.text).any(|(at, met)| {
            let before = text[..at].chars().next_back();
            let mut after = text[at + met.len()..].chars();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let goes_on_before = before.is_some_and(|c| is_name(c) || (c == '.' && !self.is_part));
            let goes_on_after = match after.next() {
                Some('.') if !self.is_part => after.next().is_some_and(is_name),
                Some(c) => is_name(c),
                None => false,
            };
            !goes_on_before && !goes_on_after
        });
        is_met
            && self
                .port
                .is_none_or(|port| numbers(text).any(|number| number == port.to_string()))
    }
}

/// Numbers in a text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !c.is_ascii_digit());
    parts.filter(|part| !part.is_empty())
}

/// Whether a text names the source by any of its names.
pub(super) fn names_source(names: &[SourceName], text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    names.iter().any(|name| name.is_in(&text))
}

/// Every name of the source: of the plan, of the URL where there is one, and of the configuration. A
/// Supabase project is known by its reference too, whatever the host: poolers serve many projects.
pub(super) fn source_names(
    endpoint: &str,
    url: Option<&ConnectionUrl>,
    further: &[String],
) -> Vec<SourceName> {
    let mut names = Vec::new();
    if let Some((place, _)) = endpoint.rsplit_once('/') {
        add_place(place, &mut names);
    }
    if let Some(url) = url {
        add_place(&format!("{}:{}", url.host, url.port), &mut names);
        if let Some(reference) = url.project_ref() {
            names.push(SourceName {
                text: reference.to_ascii_lowercase(),
                port: None,
                is_part: true,
            });
        }
    }
    for host in further {
        match host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => {
                names.push(SourceName::host(host, port.parse().ok()));
            }
            _ => names.push(SourceName::host(host, None)),
        }
    }
    names.dedup();
    names
}

/// `host:port` of a server. A pooler's host is that of many projects, and says nothing.
fn add_place(place: &str, names: &mut Vec<SourceName>) {
    let Some((host, port)) = place.rsplit_once(':') else {
        return;
    };
    let port = port.parse().ok();
    let is_loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if host.is_empty() || host.starts_with('/') || host.ends_with(".pooler.supabase.com") {
        return;
    }
    if is_loopback {
        let all = ["localhost", "127.0.0.1", "::1"];
        names.extend(all.iter().map(|host| SourceName::host(host, port)));
    } else {
        names.push(SourceName::host(host, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::connection::Side;

    fn names(endpoint: &str) -> Vec<SourceName> {
        source_names(endpoint, None, &[])
    }

    #[test]
    fn a_host_is_met_as_a_whole() {
        let names = names("db.abcdefghij.supabase.co:5432/postgres");
        let met = |text: &str| names_source(&names, text);
        assert!(met("host=db.abcdefghij.supabase.co port=5432"));
        assert!(met("dblink('postgres://u:p@DB.abcdefghij.supabase.co/x')"));
        assert!(met("it was db.abcdefghij.supabase.co."));
        assert!(!met("db.abcdefghij.supabase.com"));
        assert!(!met("old-db.abcdefghij.supabase.co"));
        assert!(!met("eu.db.abcdefghij.supabase.co"));
    }

    #[test]
    fn a_project_is_met_by_its_reference() {
        let url = "postgres://postgres.abcdefghij:x@aws-0-eu.pooler.supabase.com:5432/postgres";
        let url = ConnectionUrl::parse(url, Side::Source).unwrap();
        let names = source_names(&url.identity(), Some(&url), &[]);
        let met = |text: &str| names_source(&names, text);
        assert!(met("https://abcdefghij.supabase.co/functions/v1/hook"));
        assert!(met(
            "user=postgres.abcdefghij host=aws-0-eu.pooler.supabase.com"
        ));
        assert!(!met(
            "user=postgres.other host=aws-0-eu.pooler.supabase.com"
        ));
    }

    #[test]
    fn a_server_on_this_machine_is_met_with_its_port_only() {
        let names = names("127.0.0.1:54321/postgres");
        assert!(names_source(&names, "host=localhost port=54321"));
        assert!(names_source(&names, "postgres://u@127.0.0.1:54321/db"));
        assert!(!names_source(&names, "host=localhost port=5432"));
    }

    #[test]
    fn names_of_the_configuration_count() {
        let further = [
            "old.example.com".to_owned(),
            "proxy.example.com:6000".to_owned(),
        ];
        let names = source_names("/run/postgresql:5432/postgres", None, &further);
        assert!(names_source(&names, "old.example.com 5432"));
        assert!(names_source(&names, "proxy.example.com 6000"));
        assert!(!names_source(&names, "proxy.example.com 5432"));
        assert!(!names_source(&names, "/run/postgresql:5432/postgres"));
    }
}
