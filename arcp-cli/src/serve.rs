//! `arcp serve`.

mod admin;
mod agents;
mod around;
mod auth;
mod connections;
mod drain;
pub(crate) mod host;
mod stdio;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::core::store::{Durability, Store};
use arcp_tower::upgrade::Host;
use arcp_tower::{
    Access, AuthLayer, BearerTokens, Builder, Config, Handle, Mount, Observed, Principal, Runtime,
    TraceLayer, each_session,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use admin::{Admin, Ready};
pub(crate) use auth::Authenticator;
use drain::Signals;
use tls::Certificate;

use crate::args::{Serve, StoreArg};
use crate::demo_agents;
use crate::exit::{Exit, Failure};
use crate::litellm;
use crate::output;
use crate::token::{EmptyToken, TokenArg, variable};
use agents::Hosted;

/// Serves until it is interrupted.
pub(crate) async fn run(args: Serve) -> anyhow::Result<()> {
    if args.over_stdio() {
        return stdio::run(args).await;
    }
    let address = args.address();
    let verifier = args.issuers.is_wanted().then(|| auth::verifier(&args.issuers)).transpose()?;
    let certificate = Certificate::of(&args.tls)?;
    if let Some(certificate) = &certificate {
        certificate.follow()?;
    }
    let tls = certificate.as_ref().map(Certificate::config).transpose()?;
    let mut tokens = if verifier.is_none() { tokens(&args)? } else { args.tokens.clone() };
    let made_up = tokens.is_empty() && verifier.is_none();
    if made_up {
        if !address.ip().is_loopback() {
            let message =
                format!("{address} is not loopback: give at least one --token, --jwt-key or --jwks");
            return Err(Failure::new(Exit::Usage, message).into());
        }
        tokens.push(TokenArg::made_up()?);
    }
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let private = bound.ip().is_loopback() || args.private_transport || tls.is_some();
    let config = config(&args, private).with(|config| {
        config.allowed_origins.clone_from(&args.allowed_origins);
        config.allowed_hosts.clone_from(&args.allowed_hosts);
        if bound.ip().is_loopback() {
            config.allowed_hosts.extend(Host::loopback());
            // Such as 127.0.0.2; an address is a name that needs no brackets in IPv4 and has them in IPv6.
            let own = SocketAddr::new(bound.ip(), 80).to_string();
            config.allowed_hosts.extend(own.strip_suffix(":80").and_then(|own| own.parse().ok()));
        }
    });
    let hosted = Hosted::of(&args.agents)?;
    let agents = agents(&args, &hosted)?;
    let kept_in = args.store.clone().unwrap_or_else(|| StoreArg::Sqlite("arcp.db".into()));
    let store = open(&kept_in)?;
    let admin = match args.telemetry.admin {
        Some(address) => Some(Admin::bind(address).await?),
        None => None,
    };
    let kept = store.clone();
    let durability = store.as_ref().map_or(Durability::Volatile, |store| store.caps().durability);
    let authenticator = match verifier {
        Some(verifier) => Authenticator::Right(verifier),
        None => Authenticator::Left(bearers(&tokens, args.principal.as_deref())),
    };
    let (mount, handle) = mount(&config, authenticator, store, agents).await?;

    // Who reads the address may already ask for the end.
    let signals = Signals::catch()?;
    // Beside what scripts read.
    eprintln!("durability: {durability}");
    if let Some(admin) = admin {
        eprintln!("admin: http://{}", admin.address()?);
        admin.serve(Ready { store: kept, runtime: handle.clone() });
    }
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    output::line(&format!("listening on {scheme}://{bound}/arcp"))?;
    if made_up {
        output::line(&format!("token: {}", tokens[0].token()))?;
    }
    let within = Duration::from_secs(args.drain);
    let host = host::serve(args.server, listener, tls, mount, &config);
    drain::serve(host, signals, &handle, within).await?;
    hosted.stop().await;
    Ok(())
}

/// The tokens that were given; `ARCP_TOKEN` is one if there is no other.
fn tokens(args: &Serve) -> Result<Vec<TokenArg>, Failure> {
    let around = || variable("ARCP_TOKEN").map(|token| token.parse());
    let around = if args.tokens.is_empty() { around() } else { None };
    let around = around.transpose();
    let around = around.map_err(|e: EmptyToken| Failure::new(Exit::Usage, format!("ARCP_TOKEN: {e}")))?;
    Ok(args.tokens.iter().cloned().chain(around).collect())
}

fn bearers(tokens: &[TokenArg], principal: Option<&str>) -> BearerTokens {
    BearerTokens::new(tokens.iter().map(|token| (token.token(), token.principal(principal))))
}

/// The bounds. `private`: nobody reads what is between this process and its clients.
fn config(args: &Serve, private: bool) -> Config {
    Config::default().with(|config| {
        config.heartbeat = Duration::from_secs(args.heartbeat);
        config.resume_window = Duration::from_secs(args.resume_window);
        config.retention = Duration::from_secs(args.retention);
        // What is kept for a short time only is not kept until the next look, much later.
        config.sweep = config.sweep.min(config.retention);
        config.private_transport = private;
    })
}

/// The agents, the keys that their jobs are given, and who may watch them.
fn agents(args: &Serve, hosted: &Hosted) -> anyhow::Result<impl FnOnce(Builder) -> Builder> {
    let agents = match args.demo_agents {
        true => demo_agents::all,
        // Something to try, where there is nothing else.
        false if args.agents.is_empty() => demo_agents::echo,
        false => |builder| builder,
    };
    let (policy, hosted) = (policy(args.observe.clone()), hosted.clone());
    let gateway = litellm::gateway(args)?;
    Ok(move |builder| hosted.register(litellm::provision(agents(builder), gateway).observe(policy)))
}

/// What is mounted, and the hold on what is behind it.
pub(crate) async fn mount(
    config: &Config,
    authenticator: Authenticator,
    store: Option<Arc<dyn Store>>,
    agents: impl FnOnce(Builder) -> Builder,
) -> anyhow::Result<(impl Mount + Sync, Handle)> {
    let runtime = runtime(config, store, agents).await?;
    let handle = runtime.handle();
    let mount = ServiceBuilder::new()
        .layer(AuthLayer::new(authenticator))
        .layer(each_session(TraceLayer::new()))
        .service(runtime);
    Ok((mount, handle))
}

/// The runtime, to which everybody is let in who comes with a principal.
async fn runtime(
    config: &Config,
    store: Option<Arc<dyn Store>>,
    agents: impl FnOnce(Builder) -> Builder,
) -> anyhow::Result<Runtime> {
    let builder = Runtime::builder().name("arcp", env!("CARGO_PKG_VERSION")).config(config.clone());
    let builder = match store {
        Some(store) => builder.store(store),
        None => builder,
    };
    Ok(agents(builder).open().await?)
}

/// Who may watch whose jobs.
fn policy(pairs: Vec<(String, String)>) -> impl Fn(&Principal) -> Vec<Observed> {
    move |observer| {
        let theirs = pairs.iter().filter(|(who, _)| who == observer.name());
        theirs.map(|(_, whose)| Observed::new(Principal::new(whose.as_str()), Access::Watch)).collect()
    }
}

/// Opens the store that was asked for.
fn open(store: &StoreArg) -> anyhow::Result<Option<Arc<dyn Store>>> {
    match store {
        StoreArg::Memory => Ok(None),
        StoreArg::Sqlite(path) => {
            let opened = SqliteStore::open(path, SqliteConfig::default());
            let opened = opened.with_context(|| format!("cannot keep sessions in {}", path.display()))?;
            Ok(Some(Arc::new(opened)))
        }
    }
}
