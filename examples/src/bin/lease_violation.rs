//! An agent asks for more than its lease covers (§9.3). The runtime refuses: the tool is never reached,
//! the events say what was asked, and the agent can go on without.

use arcp_client::EventBody;
use arcp_examples::{Done, connect, serve};
use arcp_tower::operation::Call;
use arcp_tower::{Job, Runtime, agent_fn, tool_fn};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Done {
    let search = tool_fn(|query: String, _: Call| async move { Ok(format!("hits for {query}")) });
    let delete = tool_fn(|what: String, _: Call| async move {
        println!("this is never printed: {what}");
        Ok(())
    });
    let agent = agent_fn(|(): (), job: Job| async move {
        let found: String = job.tool("search.web", "tides").await?.decode()?;
        // Only asking does nothing, and is no event.
        let may = job.check("tool.call", "db.delete").is_allowed();
        let denied = job.tool("db.delete", "everything").await.err();
        Ok((found, may, denied.map(|error| error.code().to_string())))
    });
    let runtime = Runtime::builder().tool("search.web", search).tool("db.delete", delete);
    let url = serve(runtime.agent("agent", agent)).await?;

    let client = connect(&url).await?;
    let mut job = client.submit("agent").lease("tool.call", ["search.*"]).send().await?;
    while let Some(event) = job.next().await {
        match event?.body {
            EventBody::ToolCall(call) => println!("calls {}", call.tool),
            EventBody::ToolResult(result) => match result.error {
                Some(error) => println!("refused: {}", error.code),
                None => println!("done"),
            },
            _ => {}
        }
    }
    let (found, may, denied): (String, bool, Option<String>) = job.result().await?.decode()?;
    println!("result: {found}, {may}, {}", denied.unwrap_or_default());
    client.close().await;
    Ok(())
}
