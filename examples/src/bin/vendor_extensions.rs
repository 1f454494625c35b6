//! Events and capabilities of one's own (§15): names that begin with `x-vendor.` travel as they are, and
//! who does not know them passes them over.

use arcp_client::EventBody;
use arcp_examples::{Done, connect, serve};
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{BoxError, Job, Runtime, agent_fn};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tower::service_fn;

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    columns: Vec<String>,
    rows: u64,
}

#[tokio::main]
async fn main() -> Done {
    let analyst = agent_fn(|(): (), job: Job| async move {
        let table = Table { columns: vec!["port".into(), "height".into()], rows: 24 };
        job.emit("x-vendor.acme.table", &table).await?;
        // A capability of one's own is leased, metered and traced as any other.
        let pressed = job.operation("x-vendor.acme.press", "edition-7", &3).await?;
        Ok(pressed.decode::<String>()?)
    });
    let press = service_fn(|operation: Operation| async move {
        let copies: u64 = operation.args.decode()?;
        Ok::<_, BoxError>(Output::of(&format!("{copies} copies of {}", operation.target()))?)
    });
    let runtime = Runtime::builder().agent("analyst", analyst).operations("x-vendor.acme.press", press);
    let url = serve(runtime).await?;

    let client = connect(&url).await?;
    let mut job = client.submit("analyst").lease("x-vendor.acme.press", ["edition-*"]).send().await?;
    while let Some(event) = job.next().await {
        match event?.body {
            EventBody::Other { kind, body } => {
                let table: Table = body.decode()?;
                println!("{kind}: {} rows of {}", table.rows, table.columns.join(", "));
            }
            known => println!("{}", known.kind()),
        }
    }
    println!("result: {}", job.result().await?.decode::<String>()?);
    client.close().await;
    Ok(())
}
