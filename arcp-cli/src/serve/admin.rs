//! The listener for operators: metrics, and whether all is well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arcp_tower::Handle;
use arcp_tower::core::JobId;
use arcp_tower::core::store::Store;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// How long the store may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what was measured is put together.
const UPKEEP: Duration = Duration::from_secs(5);

/// Seconds, from what memory answers to what agents take.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];
const EVENTS: [f64; 8] = [0.0, 1.0, 8.0, 32.0, 128.0, 512.0, 2048.0, 4096.0];

/// The listener, bound.
pub(super) struct Admin {
    listener: TcpListener,
    metrics: PrometheusHandle,
}

/// What it takes to be ready.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) runtime: Handle,
}

impl Ready {
    /// Whether new sessions are welcome, and if not, why.
    async fn check(&self) -> Result<(), &'static str> {
        if self.runtime.is_draining() {
            return Err("stopping");
        }
        let Some(store) = &self.store else { return Ok(()) };
        // Nobody's job: whatever has to be opened to say so is there.
        let nobody = JobId::from_bits(0);
        match tokio::time::timeout(PATIENCE, store.job("", &nobody)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the store fails"),
            Err(_) => Err("the store does not answer"),
        }
    }
}

impl Admin {
    /// Binds the address, and measures from now on.
    pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("--admin cannot listen on {address}"))?;
        let builder = PrometheusBuilder::new().with_recommended_naming(true);
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("duration".to_owned()), &SECONDS)?;
        let recorder = builder.set_buckets(&EVENTS)?.build_recorder();
        let metrics = recorder.handle();
        metrics::set_global_recorder(recorder).context("metrics are recorded elsewhere")?;
        Ok(Self { listener, metrics })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for as long as the process lives, while it stops too.
    pub(super) fn serve(self, ready: Ready) {
        let Self { listener, metrics } = self;
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(UPKEEP);
            loop {
                every.tick().await;
                upkeep.run_upkeep();
            }
        });
        let app = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readiness).with_state(ready))
            .route("/metrics", get(rendered).with_state(metrics));
        tokio::spawn(async move { axum::serve(listener, app).await });
    }
}

/// Serves operators at `address`, if there is one, and tells them on the standard error where.
pub(super) async fn start(address: Option<SocketAddr>, ready: Ready) -> anyhow::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let admin = Admin::bind(address).await?;
    eprintln!("admin: http://{}", admin.address()?);
    admin.serve(ready);
    Ok(())
}

async fn readiness(State(ready): State<Ready>) -> (StatusCode, String) {
    match ready.check().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn rendered(
    State(metrics): State<PrometheusHandle>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
