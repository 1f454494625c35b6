//! How `arcp serve` tells what it does.

use std::net::{Ipv4Addr, SocketAddr};
#[cfg(feature = "otlp")]
use std::path::PathBuf;

use clap::ValueEnum;

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Telemetry {
    /// Send traces and metrics to an OpenTelemetry collector, such as `http://127.0.0.1:4317`, or over TLS
    /// to one at `https://`. The
    /// standard variables say the rest: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    /// `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and so on.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub(crate) otlp: Option<String>,
    /// What is spoken with the collector: `grpc`, or `http` for protobuf over HTTP.
    #[cfg(feature = "otlp")]
    #[arg(
        long,
        value_name = "PROTOCOL",
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "grpc",
        value_parser = protocol
    )]
    pub(crate) otlp_protocol: Protocol,
    /// Certificates, as PEM, that a collector at `https://` is trusted by, beside the roots of the Web.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    pub(crate) otlp_ca: Option<PathBuf>,
    /// Serve `/metrics` for Prometheus, `/healthz` and `/readyz` at an address of their own; a port
    /// alone is one of loopback. Nobody is asked who they are there.
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = admin)]
    pub(crate) admin: Option<SocketAddr>,
    /// How log lines look; `RUST_LOG` says which there are.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object each.
    Json,
}

/// What is spoken with a collector.
#[cfg(feature = "otlp")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// gRPC, usually on port 4317.
    #[default]
    Grpc,
    /// Protobuf in HTTP requests, usually on port 4318.
    Http,
}

/// An empty variable is as good as none, as OpenTelemetry has it.
#[cfg(feature = "otlp")]
fn protocol(text: &str) -> Result<Protocol, &'static str> {
    match text {
        "grpc" | "" => Ok(Protocol::Grpc),
        "http" | "http/protobuf" => Ok(Protocol::Http),
        _ => Err("must be grpc or http"),
    }
}

fn admin(text: &str) -> Result<SocketAddr, &'static str> {
    let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse()).map_err(|_| "must be PORT or ADDR:PORT")
}
