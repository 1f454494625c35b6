//! The wire's ceiling: what a WebSocket server on tokio-tungstenite can push when it has nothing to
//! decide. It speaks just enough for `load`: welcomes, accepts, then formats and sends the events
//! that were asked for, flushing only when its buffer says so. A runtime's events per second are
//! quoted as a share of this.

use anyhow::Result;
use clap::Parser;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const SESSION: &str = "sess_01J00000000000000000000000";
const NOW: &str = "2026-01-01T00:00:00.000Z";

/// The wire's ceiling; prints its URL.
#[derive(Parser)]
struct Args {
    /// The port on 127.0.0.1; 0: any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", Args::parse().port)).await?;
    println!("ceiling: ws://{}/arcp", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        // A client that goes away, or never was one, is no concern of the others.
        tokio::spawn(async move { serve(tcp).await.ok() });
    }
}

async fn serve(tcp: TcpStream) -> Result<()> {
    tcp.set_nodelay(true)?;
    let config = WebSocketConfig::default().write_buffer_size(128 * 1024);
    let ws = tokio_tungstenite::accept_async_with_config(tcp, Some(config)).await?;
    let (mut out, mut incoming) = ws.split();
    // Acknowledgements are read while events are sent.
    let (queue, mut requests) = mpsc::channel::<Value>(64);
    tokio::spawn(async move {
        while let Some(Ok(message)) = incoming.next().await {
            let request = message.to_text().ok().and_then(|text| serde_json::from_str(text).ok());
            if let Some(request) = request
                && queue.send(request).await.is_err()
            {
                return;
            }
        }
    });
    let mut jobs = 0;
    while let Some(request) = requests.recv().await {
        match request["type"].as_str().unwrap_or_default() {
            "session.hello" => out.send(Message::text(welcome())).await?,
            "job.submit" => {
                jobs += 1;
                let job = format!("job_01J{jobs:023}");
                out.feed(Message::text(accepted(&job, &request))).await?;
                let count = request["payload"]["input"]["count"].as_u64().unwrap_or(0);
                for seq in 1..=count {
                    out.feed(Message::text(event(&job, seq))).await?;
                }
                out.send(Message::text(result(&job, count + 1, &request["payload"]["input"]))).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn welcome() -> String {
    json!({"arcp": "1.1", "id": "01J00000000000000000000000", "type": "session.welcome",
        "session_id": SESSION, "payload": {
            "runtime": {"name": "ceiling", "version": "0"}, "session_id": SESSION,
            "resume_token": "rt_x", "resume_window_sec": 600, "accepted_at": NOW,
            "capabilities": {"encodings": ["json"], "features": [], "agents": []}}})
    .to_string()
}

fn accepted(job: &str, request: &Value) -> String {
    json!({"arcp": "1.1", "id": "01J00000000000000000000001", "type": "job.accepted",
        "session_id": SESSION, "job_id": job, "payload": {
            "job_id": job, "agent": request["payload"]["agent"], "lease": {}, "accepted_at": NOW,
            "request_id": request["id"]}})
    .to_string()
}

fn event(job: &str, seq: u64) -> String {
    format!(
        r#"{{"arcp":"1.1","id":"01J{seq:023}","type":"job.event","session_id":"{SESSION}","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","job_id":"{job}","event_seq":{seq},"payload":{{"kind":"log","ts":"{NOW}","body":{{"level":"info","message":"chatty event {seq}"}}}}}}"#
    )
}

fn result(job: &str, seq: u64, input: &Value) -> String {
    json!({"arcp": "1.1", "id": "01J00000000000000000000002", "type": "job.result",
        "session_id": SESSION, "job_id": job, "event_seq": seq, "payload": {
            "final_status": "success", "result": input, "completed_at": NOW}})
    .to_string()
}
