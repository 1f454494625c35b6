//! A cable is pulled, and nobody is told (§6.4). Both sides notice by the silence; the client resumes over
//! another connection, and the job went on all the time.

use std::time::Duration;

use arcp_client::{Client, ConnectionStatus};
use arcp_examples::{Done, serve_with};
use arcp_tower::{Config, Job, Level, Runtime, agent_fn};
use futures_util::StreamExt as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The first connection through it goes dead after a while: it stays open, and nothing passes.
async fn cable(to: String) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        let mut dead = Vec::new();
        for nth in 0.. {
            let (Ok((mut near, _)), Ok(mut far)) = (listener.accept().await, TcpStream::connect(&to).await)
            else {
                return;
            };
            let passes = async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = sleep(Duration::from_millis(300)), if nth == 0 => println!("the cable is pulled"),
                }
                (near, far)
            };
            if nth == 0 { dead.push(passes.await) } else { drop(tokio::spawn(passes)) }
        }
    });
    Ok(address)
}

#[tokio::main]
async fn main() -> Done {
    let ticks = agent_fn(|(): (), job: Job| async move {
        for n in 1..=20 {
            job.log(Level::Info, n.to_string()).await?;
            sleep(Duration::from_millis(200)).await;
        }
        Ok("all of them")
    });
    let config = Config::default().with(|config| config.heartbeat = Duration::from_secs(1));
    let url = serve_with(Runtime::builder().agent("ticks", ticks), config).await?;
    let url = url.replace("ws://", "").replace("/arcp", "");
    let url = format!("ws://{}/arcp", cable(url).await?);

    let client = Client::builder(url).token("secret").connect().await?;
    println!("a ping takes less than a second: {}", client.ping().await? < Duration::from_secs(1));
    let mut status = client.status();
    tokio::spawn(async move {
        while status.changed().await.is_ok() {
            match &*status.borrow_and_update() {
                ConnectionStatus::Reconnecting { attempt: 1, why, .. } => println!("{why}"),
                ConnectionStatus::Connected => println!("connected again"),
                _ => {}
            }
        }
    });
    let mut job = client.submit("ticks").send().await?;
    let mut seen = Vec::new();
    while let Some(event) = job.next().await {
        seen.push(event?.event_seq.unwrap_or_default());
    }
    println!("nothing is missing: {}", seen == (1..=20).collect::<Vec<_>>());
    println!("result: {}", job.result().await?.decode::<String>()?);
    client.close().await;
    Ok(())
}
