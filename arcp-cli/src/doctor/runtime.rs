//! The way to the runtime, and what it is like there.

use std::time::{Duration, Instant, SystemTime};

use anyhow::anyhow;
use arcp_client::{ConnectError, implemented};
use arcp_tower::core::{Code, Envelope, Feature, MessageType, Timestamp};
use serde_json::{Value, json};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::Finding;
use crate::args::Remote;
use crate::raw::Raw;
use crate::remote;
use crate::token::variable;

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clocks that differ by more make leases end early or late (§9.5).
const SKEW: i64 = 2_000;

/// A file with a token is for its owner's eyes.
pub(super) fn token_file(remote: &Remote) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let named = remote.token_file.clone().or_else(|| variable("ARCP_TOKEN_FILE").map(Into::into))?;
    let mode = std::fs::metadata(&named).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        let found = format!("others may read {} (mode {:o})", named.display(), mode & 0o777);
        Finding::warning("token file", found).hint("chmod 600")
    })
}

/// The address, the name, and the port.
pub(super) async fn reach(url: &str) -> Result<Vec<Finding>, Vec<Finding>> {
    let uri: http::Uri = match url.parse() {
        Ok(uri) => uri,
        Err(error) => return Err(vec![Finding::bad("address", format!("{url}: {error}"))]),
    };
    let secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(vec![Finding::bad("address", format!("{url} must begin with ws:// or wss://"))]),
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut found = Vec::new();
    let addresses: Vec<_> = match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(vec![Finding::bad("name", format!("{host}: {error}"))]),
        Err(_) => return Err(vec![Finding::bad("name", format!("{host}: no answer in time"))]),
    };
    if !secure && addresses.iter().any(|address| !address.ip().is_loopback()) {
        let warning = Finding::warning("address", format!("what goes to {host} can be read on the way"));
        found.push(warning.hint("use wss://, or a tunnel"));
    }
    let began = Instant::now();
    match timeout(PATIENCE, TcpStream::connect(&*addresses)).await {
        Ok(Ok(_)) => {
            found.push(Finding::good("port", format!("{host}:{port} takes connections ({} ms)", ms(began))));
            Ok(found)
        }
        Ok(Err(error)) => {
            let bad = Finding::bad("port", format!("{host}:{port}: {error}"));
            found.push(bad.hint("is arcp serve running there, and on that port?"));
            Err(found)
        }
        Err(_) => {
            let bad = Finding::bad("port", format!("{host}:{port}: no answer in time"));
            found.push(bad.hint("a firewall drops what it does not like without a word"));
            Err(found)
        }
    }
}

/// A session, and what can be learnt in one.
pub(super) async fn session(remote: &Remote) -> Vec<Finding> {
    let mut raw = match remote::raw(remote).await {
        Ok(Ok(opened)) => Raw::new(opened),
        Ok(Err(error)) => return vec![refused(&error)],
        Err(error) => return vec![Finding::bad("session", format!("{error:#}"))],
    };
    let session = raw.session.clone();
    let welcome = &session.welcome;
    let (name, version) = (&welcome.runtime.name, &welcome.runtime.version);
    let mut found = vec![Finding::good("session", format!("{name} {version} lets us in"))];
    match timeout(PATIENCE, ping(&mut raw)).await.unwrap_or_else(|_| Err(anyhow!("no answer in time"))) {
        Ok((took, clock)) => {
            found.push(Finding::good("ping", format!("{} ms", took.as_millis())));
            found.extend(clock);
        }
        Err(error) => {
            let bad = Finding::bad("ping", error.to_string());
            found.push(bad.hint("something on the way holds frames back"));
        }
    }
    let missing: Vec<_> = Feature::ALL
        .iter()
        .filter(|feature| implemented().has(**feature) && !session.features.has(**feature))
        .map(|feature| feature.as_str())
        .collect();
    if !missing.is_empty() {
        found.push(Finding::warning("features", format!("not offered: {}", missing.join(", "))));
    }
    found.push(match welcome.capabilities.durability.as_deref() {
        Some("volatile") => Finding::warning("store", "sessions and jobs end with the runtime's process")
            .hint("arcp serve --store sqlite:FILE"),
        Some(durability) => Finding::good("store", format!("what was sent outlives: {durability}")),
        None => Finding::good("store", "the runtime does not say what it keeps"),
    });
    found.push(match welcome.capabilities.agents.len() {
        0 => Finding::warning("agents", "there is none").hint("arcp serve --demo-agents"),
        count => Finding::good("agents", format!("{count}")),
    });
    raw.close().await;
    found
}

/// How long a ping takes, and by how much the clocks differ.
async fn ping(raw: &mut Raw) -> anyhow::Result<(Duration, Option<Finding>)> {
    let began = Instant::now();
    let nonce = "arcp doctor";
    raw.send(&Envelope::new(MessageType::Ping, &json!({ "nonce": nonce }))?).await?;
    loop {
        let frame: Value = serde_json::from_str(&raw.recv().await?)?;
        if frame["payload"]["ping_nonce"] == nonce {
            let received = frame["payload"]["received_at"].as_str().and_then(|at| Timestamp::parse(at).ok());
            return Ok((began.elapsed(), received.map(clock)));
        }
    }
}

fn clock(theirs: Timestamp) -> Finding {
    let apart = theirs.as_millis() - Timestamp::from(SystemTime::now()).as_millis();
    if apart.abs() > SKEW {
        let warning = Finding::warning("clock", format!("the runtime's differs by {apart} ms"));
        return warning.hint("leases end by the runtime's clock");
    }
    Finding::good("clock", "the runtime's agrees with ours")
}

fn refused(error: &ConnectError) -> Finding {
    let bad = Finding::bad("session", error.to_string());
    match error {
        ConnectError::Refused(e) if e.code() == Code::Unauthenticated => {
            bad.hint("the token is not the runtime's; arcp serve prints the one that it made up")
        }
        ConnectError::Status(status) if status.as_u16() == 404 => {
            bad.hint("is the path right? arcp serve has it at /arcp")
        }
        ConnectError::Status(_) => bad.hint("what is in front of the runtime refuses the upgrade"),
        ConnectError::Upgrade(_) => {
            bad.hint("is it a WebSocket server, and does what is between let upgrades through?")
        }
        ConnectError::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            bad.hint("a certificate of a private CA needs --tls-ca")
        }
        ConnectError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            bad.hint("the program of --command is not there")
        }
        ConnectError::TimedOut => bad.hint("the port is open, and nobody says anything there"),
        _ => bad,
    }
}

fn ms(since: Instant) -> u128 {
    since.elapsed().as_millis()
}
