//! A grant's pattern, made canonical by the rules of its namespace and compiled (§9.2).

use std::net::IpAddr;

use super::canonical::{self, Unfit, name, other, path, url};
use super::covers::Work;
use super::glob::{DEEP, Glob};
use super::target::{Kind, Target};
use super::{Namespace, canonical::url::HostName};

/// A compiled grant.
///
/// ```
/// use arcp_core::lease::{Namespace, Pattern, Target};
/// let grant = Pattern::new(&Namespace::NetFetch, "https://*.example.com/v1/**").unwrap();
/// let target = Target::parse(&Namespace::NetFetch, "https://API.example.com:443/v1/./items?page=2");
/// assert!(grant.matches(&target.unwrap()));
/// ```
#[derive(Debug, Clone)]
pub struct Pattern {
    source: Box<str>,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Name(Glob),
    Path(Glob),
    Url(Box<UrlPattern>),
}

#[derive(Debug, Clone)]
struct UrlPattern {
    begins: String,
    secure: bool,
    host: HostPattern,
    port: u16,
    path: Glob,
    query: Query,
}

/// A `*` stands for a part of a name, never for an address: who grants one writes it out, or `**`.
#[derive(Debug, Clone)]
enum HostPattern {
    Any,
    Domain(Glob),
    Address(IpAddr),
}

/// A path that ends with a star goes on through the query; any other needs one of its own.
#[derive(Debug, Clone)]
enum Query {
    Any,
    Absent,
    Like(Glob),
}

impl Pattern {
    /// Compiles a pattern of `namespace`.
    ///
    /// # Errors
    /// The rule that it breaks, if it cannot be made canonical.
    pub fn new(namespace: &Namespace, source: &str) -> Result<Self, Unfit> {
        let shape = match namespace {
            Namespace::FsRead | Namespace::FsWrite => Shape::Path(Glob::new(&path::canonical(source)?, '/')?),
            Namespace::NetFetch => match other::canonical(source) {
                Some(address) => Shape::Name(Glob::new(&address?, '/')?),
                None => Shape::Url(Box::new(UrlPattern::new(source)?)),
            },
            Namespace::AgentDelegate if source.contains('@') => {
                return Err(Unfit("must have no version: agents are matched by their bare names"));
            }
            Namespace::CostBudget => return Err(Unfit("must be CURRENCY:AMOUNT, which matches no target")),
            _ => {
                name::check(source)?;
                Shape::Name(Glob::new(source, '/')?)
            }
        };
        Ok(Self { source: source.into(), shape })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it grants `target`.
    pub fn matches(&self, target: &Target<'_>) -> bool {
        match (&self.shape, target.kind()) {
            (Shape::Name(glob), Kind::Name(text)) | (Shape::Path(glob), Kind::Path(text)) => {
                glob.matches(text)
            }
            (Shape::Url(pattern), Kind::Url(url)) => pattern.matches(&url.parts),
            _ => false,
        }
    }

    /// Whether it grants all that `child` grants (§9.4). What cannot be proved is no.
    pub fn covers(&self, child: &Self) -> bool {
        self.covers_within(child, &mut Work::default())
    }

    /// [`Pattern::covers`], as far as the work goes that is left.
    pub(super) fn covers_within(&self, child: &Self, work: &mut Work) -> bool {
        match (&self.shape, &child.shape) {
            (Shape::Name(own), Shape::Name(child)) | (Shape::Path(own), Shape::Path(child)) => {
                own.covers_within(child, work)
            }
            (Shape::Url(own), Shape::Url(child)) => own.covers_within(child, work),
            _ => false,
        }
    }

    /// What every target that it grants begins with.
    pub(super) fn begins(&self) -> &str {
        match &self.shape {
            Shape::Name(glob) | Shape::Path(glob) => glob.literal(),
            Shape::Url(pattern) => &pattern.begins,
        }
    }
}

impl UrlPattern {
    fn new(source: &str) -> Result<Self, Unfit> {
        let (host, parts) = url::pattern(source)?;
        let path = Glob::new(&parts.path, '/')?;
        let host = match host {
            None => HostPattern::Any,
            Some(HostName::Address(address)) => HostPattern::Address(address),
            Some(HostName::Domain(name)) if name.contains(DEEP) => {
                return Err(Unfit("must have ** as its whole host or not in it"));
            }
            Some(HostName::Domain(name)) => HostPattern::Domain(Glob::new(&name, '.')?),
        };
        let exact = match &host {
            HostPattern::Any => false,
            HostPattern::Domain(glob) => glob.is_literal(),
            HostPattern::Address(_) => true,
        };
        let mut begins = parts.origin();
        if exact {
            begins.push_str(path.literal());
        } else {
            begins.truncate(begins.find('*').unwrap_or(begins.len()));
        }
        Ok(Self {
            begins,
            secure: parts.secure,
            host,
            port: parts.port,
            query: match parts.query {
                // A query has no segments: nothing of it is a line feed.
                Some(query) => Query::Like(Glob::new(&query, '\n')?),
                None if parts.path.ends_with('*') => Query::Any,
                None => Query::Absent,
            },
            path,
        })
    }

    fn matches(&self, url: &canonical::url::Parts) -> bool {
        let host = match (&self.host, &url.host) {
            (HostPattern::Any, _) => true,
            (HostPattern::Domain(glob), HostName::Domain(name)) => glob.matches(name),
            (HostPattern::Address(own), HostName::Address(address)) => own == address,
            _ => false,
        };
        let query = || match (&self.query, &url.query) {
            (Query::Any, _) | (Query::Absent, None) => true,
            (Query::Like(glob), Some(query)) => glob.matches(query),
            _ => false,
        };
        host && self.secure == url.secure && self.port == url.port && self.path.matches(&url.path) && query()
    }

    fn covers_within(&self, child: &Self, work: &mut Work) -> bool {
        let host = match (&self.host, &child.host) {
            (HostPattern::Any, _) => true,
            (HostPattern::Domain(own), HostPattern::Domain(child)) => own.covers_within(child, work),
            (HostPattern::Address(own), HostPattern::Address(child)) => own == child,
            _ => false,
        };
        let query = match (&self.query, &child.query) {
            (Query::Any, _) | (Query::Absent, Query::Absent) => true,
            (Query::Like(own), Query::Like(child)) => own.covers_within(child, work),
            _ => false,
        };
        host && query
            && self.secure == child.secure
            && self.port == child.port
            && self.path.covers_within(&child.path, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(namespace: &Namespace, text: &str) -> Pattern {
        Pattern::new(namespace, text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[track_caller]
    fn check(namespace: &Namespace, grant: &str, yes: &[&str], no: &[&str]) {
        let grants = |text: &str| pattern(namespace, grant).matches(&Target::parse(namespace, text).unwrap());
        for text in yes {
            assert!(grants(text), "{grant} should grant {text}");
        }
        for text in no {
            assert!(!grants(text), "{grant} should not grant {text}");
        }
    }

    #[test]
    fn a_url_is_granted_part_by_part() {
        let check = |grant, yes: &[&str], no: &[&str]| check(&Namespace::NetFetch, grant, yes, no);
        check(
            "https://api.example.com/**",
            &["https://api.example.com", "https://API.example.com.:443/a/b?c#d"],
            &[
                "http://api.example.com/",
                "https://api.example.com:8443/",
                "https://api.example.com.evil.test/",
            ],
        );
        check(
            "https://*.example.com/v1/*",
            &["https://api.example.com/v1/items?page=2/3", "https://xn--pi-6kc.example.com/v1/"],
            &["https://example.com/v1/x", "https://a.b.example.com/v1/x", "https://api.example.com/v1/x/y"],
        );
        check("https://**/robots.txt", &["https://a.b.c/robots.txt", "https://[::1]/robots.txt"], &[]);
        check("http://127.0.0.1:8080/**", &["http://2130706433:8080/x"], &["http://127.0.0.1/x"]);
        check("https://h/café/*", &["https://h/caf%c3%a9/x"], &[]);
    }

    #[test]
    fn a_star_in_a_host_is_no_address() {
        check(&Namespace::NetFetch, "http://*/**", &["http://localhost/"], &["http://[::1]/", "http://0/"]);
        check(&Namespace::NetFetch, "http://*.*.*.*/**", &["http://a.b.c.d/"], &["http://1.2.3.4/"]);
    }

    #[test]
    fn a_query_needs_a_star_or_a_pattern_of_its_own() {
        let check = |grant, yes: &[&str], no: &[&str]| check(&Namespace::NetFetch, grant, yes, no);
        check("https://h/search", &["https://h/search"], &["https://h/search?q=x"]);
        check(
            "https://h/search?q=*",
            &["https://h/search?q=a/b"],
            &["https://h/search", "https://h/search?p=1"],
        );
        check("https://h/*.json", &["https://h/a.json"], &["https://h/a.json?x", "https://h/x?a.json"]);
    }

    #[test]
    fn a_name_ends_its_segments_at_slashes_only() {
        check(&Namespace::ToolCall, "*", &["search.web"], &["mcp:github/issues"]);
        check(&Namespace::ToolCall, "mcp:github/*", &["mcp:github/issues"], &["mcp:github"]);
        check(&Namespace::ModelUse, "tier-fast/*", &["tier-fast/small"], &["tier-fast/a/b", "gpt-9"]);
    }

    #[test]
    fn an_agent_is_granted_by_its_bare_name() {
        check(&Namespace::AgentDelegate, "web-*", &["web-search@2.0.0", "web-search"], &["x@web-search"]);
        assert!(Pattern::new(&Namespace::AgentDelegate, "web@2.0.0").is_err());
    }

    #[test]
    fn two_stars_in_a_host_are_the_whole_of_it() {
        for bad in ["https://**.example.com/", "https://a.**.com/", "https://a**/"] {
            assert!(Pattern::new(&Namespace::NetFetch, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_covered_part_by_part() {
        let covers =
            |own, child| pattern(&Namespace::NetFetch, own).covers(&pattern(&Namespace::NetFetch, child));
        for (own, child) in [
            ("https://**/**", "https://*.example.com/a/*?x"),
            ("https://*.example.com/**", "https://api.example.com/**"),
            ("https://h/*?q=*", "https://h/a?q=1*"),
            ("https://**/**", "https://[::1]/"),
        ] {
            assert!(covers(own, child), "{own} {child}");
            assert!(!covers(child, own), "{child} {own}");
        }
        for (own, child) in [
            ("https://h/a", "https://h/a?x"),
            ("https://h/a", "http://h/a"),
            ("https://h/**", "https://h:444/**"),
            ("https://*/**", "https://[::1]/"),
            ("https://*/**", "https://**/"),
        ] {
            assert!(!covers(own, child), "{own} {child}");
        }
    }
}
