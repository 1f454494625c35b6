//! `arcp serve`.

mod drain;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::core::store::{Durability, Store};
use arcp_tower::{
    Access, AuthLayer, BearerTokens, Builder, Config, Handle, Observed, Principal, Runtime, TraceLayer,
    each_session,
};
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use drain::Signals;

use crate::args::{Serve, StoreArg};
use crate::demo_agents;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::token::{EmptyToken, TokenArg, variable};

/// Serves until it is interrupted.
pub(crate) async fn run(args: Serve) -> anyhow::Result<()> {
    let Serve { bind, host, port, mut tokens, principal, store, heartbeat, demo_agents, .. } = args;
    let address = bind.unwrap_or_else(|| SocketAddr::new(host, port));
    if tokens.is_empty()
        && let Some(token) = variable("ARCP_TOKEN")
    {
        tokens.push(
            token.parse().map_err(|e: EmptyToken| Failure::new(Exit::Usage, format!("ARCP_TOKEN: {e}")))?,
        );
    }
    let made_up = tokens.is_empty();
    if made_up {
        if !address.ip().is_loopback() {
            let message = format!("{address} is not loopback: give at least one --token");
            return Err(Failure::new(Exit::Usage, message).into());
        }
        tokens.push(TokenArg::made_up()?);
    }
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let config = Config::default().with(|config| {
        config.heartbeat = Duration::from_secs(heartbeat);
        config.resume_window = Duration::from_secs(args.resume_window);
        config.retention = Duration::from_secs(args.retention);
        // What is kept for a short time only is not kept until the next look, much later.
        config.sweep = config.sweep.min(config.retention);
        config.private_transport = bound.ip().is_loopback() || args.private_transport;
    });
    let principals = tokens.iter().map(|t| (t.token().to_owned(), t.principal(principal.as_deref())));
    let agents = if demo_agents { demo_agents::all } else { demo_agents::echo };
    let policy = policy(args.observe);
    let agents = |builder: Builder| agents(builder).observe(policy);
    let store = open(&store)?;
    let durability = store.as_ref().map_or(Durability::Volatile, |store| store.caps().durability);
    let (app, handle) = app(&config, BearerTokens::new(principals), store, agents).await?;

    // Who reads the address may already ask for the end.
    let signals = Signals::catch()?;
    // Beside what scripts read.
    eprintln!("durability: {durability}");
    output::line(&format!("listening on ws://{bound}/arcp"))?;
    if made_up {
        output::line(&format!("token: {}", tokens[0].token()))?;
    }
    let listener = listener.tap_io(|io| {
        // Frames are gathered before they are written; waiting for more would only delay them.
        let _ = io.set_nodelay(true);
    });
    let host = axum::serve(listener, app).with_graceful_shutdown(config.shutdown.cancelled_owned());
    drain::serve(host, signals, &handle, Duration::from_secs(args.drain)).await
}

/// The routes: one; and the hold on what is behind it.
pub(crate) async fn app(
    config: &Config,
    tokens: BearerTokens,
    store: Option<Arc<dyn Store>>,
    agents: impl FnOnce(Builder) -> Builder,
) -> anyhow::Result<(Router, Handle)> {
    let builder = Runtime::builder().name("arcp", env!("CARGO_PKG_VERSION")).config(config.clone());
    let builder = match store {
        Some(store) => builder.store(store),
        None => builder,
    };
    let runtime = agents(builder).open().await?;
    let handle = runtime.handle();
    let runtime = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens))
        .layer(each_session(TraceLayer::new()))
        .service(runtime);
    Ok((Router::new().route("/arcp", arcp_axum::handler_with(runtime, config.clone())), handle))
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
