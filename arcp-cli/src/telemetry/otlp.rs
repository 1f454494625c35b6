//! Spans and metrics over OTLP.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, global};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::trust::Trust;
use crate::args::Protocol;
use crate::exit::{Exit, Failure};

/// How long one export may take, and what is left at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to a collector.
pub(super) struct Otlp {
    traces: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Otlp {
    /// Opens the way. Nothing is sent yet, and nobody has to be there. With `ca`, the certificates of
    /// that file are trusted, too.
    pub(super) fn start(url: &str, protocol: Protocol, ca: Option<&Path>) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/');
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let rule = "--otlp must be an address of the form http://HOST:PORT or https://HOST:PORT";
            return Err(Failure::new(Exit::Usage, rule).into());
        }
        let trust = Trust::of(ca)?;
        let (spans, metrics) = match protocol {
            Protocol::Grpc => {
                let (mut spans, mut metrics) =
                    (SpanExporter::builder().with_tonic(), MetricExporter::builder().with_tonic());
                if url.starts_with("https:") {
                    spans = spans.with_tls_config(trust.grpc());
                    metrics = metrics.with_tls_config(trust.grpc());
                }
                (
                    spans.with_endpoint(url).with_timeout(PATIENCE).build(),
                    metrics.with_endpoint(url).with_timeout(PATIENCE).build(),
                )
            }
            Protocol::Http => {
                let client = OnRuntime::new(trust.http()?);
                let spans = SpanExporter::builder().with_http().with_http_client(client.clone());
                let metrics = MetricExporter::builder().with_http().with_http_client(client);
                let protocol = opentelemetry_otlp::Protocol::HttpBinary;
                (
                    spans.with_protocol(protocol).with_endpoint(format!("{url}/v1/traces")).build(),
                    metrics.with_protocol(protocol).with_endpoint(format!("{url}/v1/metrics")).build(),
                )
            }
        };
        let cannot = || format!("nothing can be exported to {url}");
        let (spans, metrics) = (spans.with_context(cannot)?, metrics.with_context(cannot)?);
        let resource = resource();
        let traces = SdkTracerProvider::builder();
        let traces = traces.with_resource(resource.clone()).with_batch_exporter(spans).build();
        let meters = SdkMeterProvider::builder();
        let meters = meters.with_resource(resource).with_periodic_exporter(metrics).build();
        global::set_meter_provider(meters.clone());
        Ok(Self { traces, meters })
    }

    /// Takes the spans of this project, and no events: what is logged stays here. Those of the exporter
    /// itself would never end.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("arcp"));
        let layer = tracing_opentelemetry::layer().with_tracer(self.traces.tracer("arcp"));
        layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_filter(ours)
    }

    /// Sends what was not sent yet, and waits for that.
    pub(super) async fn finish(self) {
        let sent = tokio::task::spawn_blocking(move || {
            let traces = self.traces.shutdown_with_timeout(PATIENCE);
            traces.and(self.meters.shutdown_with_timeout(PATIENCE))
        });
        if let Ok(Err(error)) = sent.await {
            tracing::warn!(%error, "the last traces or metrics may not have been exported");
        }
    }
}

/// Who this is: what the standard variables say, and by default `arcp`.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let ours = Resource::builder().with_attribute(version);
    match name {
        Some(name) if !name.starts_with("unknown_service") => ours.build(),
        _ => ours.with_service_name("arcp").build(),
    }
}

/// Sends requests where tokio is: exporters have threads of their own.
#[derive(Clone)]
struct OnRuntime {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
}

impl OnRuntime {
    fn new(connector: HttpsConnector<HttpConnector>) -> Self {
        Self { client: HyperClient::new(connector, PATIENCE, None), runtime: Handle::current() }
    }
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRuntime")
    }
}

type Answer = Result<Response<Bytes>, HttpError>;

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sent.await? })
    }
}
