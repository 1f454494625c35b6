//! Logs, and what goes to an OpenTelemetry collector.

mod lines;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
mod trust;

use std::io;
use std::str::FromStr as _;

use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::args::{LogFormat, Telemetry};
use lines::Lines;

/// What is logged unless `RUST_LOG` says otherwise. Of TLS not even warnings: any peer can cause them.
const USUAL: &str = "warn,arcp::program=info,rustls=error";

/// What has to be sent before the process ends.
pub(crate) struct Running {
    #[cfg(feature = "otlp")]
    otlp: Option<otlp::Otlp>,
}

/// Begins to log, and to export.
pub(crate) fn start(args: &Telemetry) -> anyhow::Result<Running> {
    let logs = logs(args.log_format);
    #[cfg(feature = "otlp")]
    {
        let url = args.otlp.as_deref().filter(|url| !url.is_empty());
        let otlp = url.map(|url| otlp::Otlp::start(url, args.otlp_protocol, args.otlp_ca.as_deref()));
        let otlp = otlp.transpose()?;
        let spans = otlp.as_ref().map(otlp::Otlp::layer);
        Registry::default().with(logs).with(spans).init();
        Ok(Running { otlp })
    }
    #[cfg(not(feature = "otlp"))]
    {
        Registry::default().with(logs).init();
        Ok(Running {})
    }
}

/// Lines on the standard error.
fn logs(format: LogFormat) -> impl Layer<Registry> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    // At `trace` it writes whole frames, tokens among them (§14); whoever wants that has to name it.
    let filter = filter.add_directive(Directive::from_str("tungstenite=info").unwrap_or_default());
    let choice = anstream::AutoStream::choice(&io::stderr());
    let coloured = matches!(format, LogFormat::Text) && choice != anstream::ColorChoice::Never;
    let lines = fmt::layer().with_writer(move || Lines::new(io::stderr(), coloured)).with_ansi(coloured);
    match format {
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
        LogFormat::Text => lines.with_filter(filter).boxed(),
    }
}

impl Running {
    /// Sends what was not sent yet.
    #[cfg_attr(not(feature = "otlp"), allow(clippy::unused_async))]
    pub(crate) async fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(otlp) = self.otlp {
            otlp.finish().await;
        }
    }
}
