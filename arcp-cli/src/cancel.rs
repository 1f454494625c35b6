//! `arcp cancel`.

use arcp_client::RequestError;
use arcp_tower::core::Code;

use crate::args::Cancel;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::remote::{connect, refused, resume};

/// Cancels a job.
pub(crate) async fn run(args: Cancel) -> anyhow::Result<()> {
    let job_id = args.which.job()?;
    let client = match &args.session {
        Some(file) => resume(&args.remote, file).await?,
        None => connect(&args.remote).await?,
    };
    let job = client.attach(job_id.clone()).await.map_err(refused)?;
    match job.cancel(args.reason.as_deref()).await {
        Ok(()) => output::line(&format!("{job_id} is cancelled"))?,
        Err(RequestError::Refused(e)) if e.code() == Code::PermissionDenied && args.session.is_none() => {
            let message = format!("{e}: give its --session, as `arcp submit --session` kept it");
            return Err(Failure { message, ..Failure::of(Exit::Refused, &e) }.into());
        }
        Err(e) => return Err(refused(e)),
    }
    if let Some(file) = &args.session {
        crate::remote::keep(&client, file)?;
    }
    client.close().await;
    Ok(())
}
