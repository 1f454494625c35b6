//! `arcp serve`.

mod admin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::core::store::{Durability, Store};
use arcp_tower::{
    Access, AuthLayer, BearerTokens, Builder, Config, Observed, Principal, Runtime, TraceLayer, each_session,
};
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceBuilder;

use admin::{Admin, Ready};

use crate::args::{Serve, StoreArg};
use crate::demo_agents;
use crate::exit::{Exit, Failure};
use crate::litellm;
use crate::output;
use crate::token::{EmptyToken, TokenArg, variable};

/// Serves until it is interrupted.
pub(crate) async fn run(args: Serve) -> anyhow::Result<()> {
    let gateway = litellm::gateway(&args)?;
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
    let agents = |builder: Builder| litellm::provision(agents(builder), gateway).observe(policy);
    let store = open(&store)?;
    let admin = match args.telemetry.admin {
        Some(address) => Some(Admin::bind(address).await?),
        None => None,
    };
    let ready = Ready { store: store.clone(), stopping: config.shutdown.clone() };
    let durability = store.as_ref().map_or(Durability::Volatile, |store| store.caps().durability);
    let app = app(&config, BearerTokens::new(principals), store, agents).await?;

    // Who reads the address may already ask for the end.
    let interrupted = interrupted()?;
    // Beside what scripts read.
    eprintln!("durability: {durability}");
    if let Some(admin) = admin {
        eprintln!("admin: http://{}", admin.address()?);
        admin.serve(ready);
    }
    output::line(&format!("listening on ws://{bound}/arcp"))?;
    if made_up {
        output::line(&format!("token: {}", tokens[0].token()))?;
    }
    let stop = config.shutdown.clone();
    let listener = listener.tap_io(|io| {
        // Frames are gathered before they are written; waiting for more would only delay them.
        let _ = io.set_nodelay(true);
    });
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            interrupted.await;
            stop.cancel();
        })
        .await?;
    config.tracker.close();
    let _ = tokio::time::timeout(Duration::from_secs(3), config.tracker.wait()).await;
    Ok(())
}

/// The routes: one.
pub(crate) async fn app(
    config: &Config,
    tokens: BearerTokens,
    store: Option<Arc<dyn Store>>,
    agents: impl FnOnce(Builder) -> Builder,
) -> anyhow::Result<Router> {
    let builder = Runtime::builder().name("arcp", env!("CARGO_PKG_VERSION")).config(config.clone());
    let builder = match store {
        Some(store) => builder.store(store),
        None => builder,
    };
    let runtime = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens))
        .layer(each_session(TraceLayer::new()))
        .service(agents(builder).open().await?);
    Ok(Router::new().route("/arcp", arcp_axum::handler_with(runtime, config.clone())))
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

/// Catches from now on what asks the process to end; the future resolves when something does.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
