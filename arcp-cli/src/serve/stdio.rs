//! `arcp serve --stdio`: one session over standard input and output, to the process that started this
//! one (§4). Standard output has frames and nothing else; what is logged goes to standard error.
//!
//! Who starts a process can do whatever the process can, so it needs no token. Where one is given, by
//! `--token` or `ARCP_TOKEN`, it has to be shown all the same.

use std::time::Duration;

use arcp_tower::core::transport::Lines;
use arcp_tower::{AuthLayer, Layer as _, Principal, TraceLayer, each_session, serve};
use http::Extensions;
use tokio::io::{stdin, stdout};

use super::admin::{self, Ready};
use super::agents::Hosted;
use super::drain::Signals;
use crate::args::{Serve, StoreArg};
use crate::exit::{Exit, Failure};

/// Whom the starting process acts for, unless `--principal` says so.
const LOCAL: &str = "local";

/// Serves until standard input ends, or this process is asked to end.
pub(super) async fn run(args: Serve) -> anyhow::Result<()> {
    if let Some(option) = args.idle_over_stdio() {
        let message = format!("{option} is about WebSockets, and this serves over standard input and output");
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let tokens = super::tokens(&args)?;
    // Nobody else reads a pipe.
    let config = super::config(&args, true);
    let hosted = Hosted::of(&args.agents)?;
    let store = super::open(args.store.as_ref().unwrap_or(&StoreArg::Memory))?;
    let kept = store.clone();
    let runtime = super::runtime(&config, store, super::agents(&args, &hosted)?).await?;
    let handle = runtime.handle();
    admin::start(args.telemetry.admin, Ready { store: kept, runtime: handle.clone() }).await?;
    let runtime = each_session(TraceLayer::new()).layer(runtime);

    let mut signals = Signals::catch()?;
    let within = Duration::from_secs(args.drain);
    tokio::spawn(async move {
        signals.next().await;
        handle.drain(within).await;
    });
    let io = Lines::new(stdin(), stdout(), config.line_limits());
    let mut extensions = Extensions::new();
    let served = async {
        if tokens.is_empty() {
            extensions.insert(Principal::new(args.principal.as_deref().unwrap_or(LOCAL)));
            serve(io, runtime, extensions, config.clone()).await
        } else {
            let bearers = super::bearers(&tokens, args.principal.as_deref());
            serve(io, AuthLayer::new(bearers).layer(runtime), extensions, config.clone()).await
        }
    };
    // It says good-bye, unless nobody listens.
    let given_up = async {
        config.shutdown.cancelled().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    tokio::select! {
        close = served => tracing::debug!(?close, "the session is over"),
        () = given_up => {}
    }
    config.shutdown.cancel();
    hosted.stop().await;
    Ok(())
}
