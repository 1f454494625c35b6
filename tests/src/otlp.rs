//! A receiver of OTLP, as a collector is one: over gRPC and over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status};

/// What was received, of all exports so far.
#[derive(Debug, Clone, Default)]
pub struct Received(Arc<Mutex<Exports>>);

#[derive(Debug, Default)]
struct Exports {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

/// The attributes of a span, of a resource, or of a point, as texts.
pub type Attributes = BTreeMap<String, String>;

/// Attributes by their names.
pub fn attributes(given: &[KeyValue]) -> Attributes {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    given.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

/// An id as W3C writes it.
pub fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

impl Received {
    fn add_traces(&self, traces: ExportTraceServiceRequest) {
        self.0.lock().unwrap().traces.push(traces);
    }

    fn add_metrics(&self, metrics: ExportMetricsServiceRequest) {
        self.0.lock().unwrap().metrics.push(metrics);
    }

    /// All spans.
    pub fn spans(&self) -> Vec<Span> {
        let exports = self.0.lock().unwrap();
        let resources = exports.traces.iter().flat_map(|export| &export.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Who they are of.
    pub fn resource(&self) -> Attributes {
        let exports = self.0.lock().unwrap();
        let resource = exports.traces.first().and_then(|export| export.resource_spans.first());
        attributes(&resource.unwrap().resource.as_ref().unwrap().attributes)
    }

    /// The metrics of a name: their labels, and how much was counted, summed up or observed.
    pub fn metric(&self, name: &str) -> Vec<(Attributes, f64)> {
        use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
        let exports = self.0.lock().unwrap();
        let resources = exports.metrics.iter().flat_map(|export| &export.resource_metrics);
        let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        let mut points = Vec::new();
        for metric in metrics.filter(|metric| metric.name == name) {
            match metric.data.as_ref().unwrap() {
                Data::Sum(sum) => points.extend(sum.data_points.iter().map(|point| {
                    let value = match point.value.unwrap() {
                        Value::AsDouble(value) => value,
                        #[allow(clippy::cast_precision_loss, reason = "they are small")]
                        Value::AsInt(value) => value as f64,
                    };
                    (attributes(&point.attributes), value)
                })),
                Data::Histogram(histogram) => points.extend(histogram.data_points.iter().map(|point| {
                    #[allow(clippy::cast_precision_loss, reason = "they are small")]
                    let count = point.count as f64;
                    (attributes(&point.attributes), count)
                })),
                other => panic!("{name} is {other:?}"),
            }
        }
        points
    }

    /// Everything that was received, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let exports = self.0.lock().unwrap();
        let traces = exports.traces.iter().flat_map(prost::Message::encode_to_vec);
        traces.chain(exports.metrics.iter().flat_map(prost::Message::encode_to_vec)).collect()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.add_traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.add_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Receives over gRPC, on a free port of loopback.
pub async fn grpc() -> (SocketAddr, Received) {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (traces, metrics) =
        (TraceServiceServer::new(received.clone()), MetricsServiceServer::new(received.clone()));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (traces, metrics) = (traces.clone(), metrics.clone());
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (mut traces, mut metrics) = (traces.clone(), metrics.clone());
                async move {
                    if request.uri().path().contains("TraceService") {
                        return traces.call(request).await;
                    }
                    let answer: Result<_, Infallible> = metrics.call(request).await;
                    answer
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(tcp), service));
        }
    });
    (address, received)
}

/// Receives over HTTP, on a free port of loopback.
pub async fn http() -> (SocketAddr, Received) {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route(
            "/v1/traces",
            post(|State(received): State<Received>, body: Bytes| async move {
                received.add_traces(ExportTraceServiceRequest::decode(body).unwrap());
            }),
        )
        .route(
            "/v1/metrics",
            post(|State(received): State<Received>, body: Bytes| async move {
                received.add_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
            }),
        )
        .with_state(received.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, received)
}
