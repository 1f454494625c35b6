//! An agent that says what it takes and gives: the schemas come from its types, the inventory carries them,
//! and a submit that does not fit them is refused before there is a job.

use arcp_client::RequestError;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Runtime, agent_fn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Refactor {
    /// The files to rewrite.
    files: Vec<File>,
    /// How often to go over them.
    #[schemars(range(min = 1, max = 8))]
    rounds: u8,
}

#[derive(Deserialize, JsonSchema)]
struct File {
    path: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Report {
    rewritten: Vec<String>,
}

#[tokio::main]
async fn main() -> Done {
    let refactor = agent_fn(|input: Refactor, job: Job| async move {
        job.status(&format!("{} rounds", input.rounds)).await?;
        Ok(Report { rewritten: input.files.into_iter().map(|file| file.path).collect() })
    });
    let url = serve(Runtime::builder().agent("refactor", refactor.typed().about("Rewrites code."))).await?;

    let client = connect(&url).await?;
    let said = client.session().description("refactor").ok_or("it says nothing of itself")?;
    println!("refactor: {}", said.description.as_deref().unwrap_or_default());
    let schema: Value = said.input_schema.as_ref().ok_or("it has no schema")?.decode()?;
    println!("needs: {}", schema["required"]);

    for input in [
        json!({ "files": [{ "path": "a.rs" }, { "path": 7 }], "rounds": 1 }),
        json!({ "files": [], "rounds": 9 }),
    ] {
        match client.submit("refactor").input(&input).send().await {
            Err(RequestError::Refused(error)) => {
                let details: Value = error.details().ok_or("no details")?.decode()?;
                println!("{} at {}", error.code(), details["pointer"]);
            }
            other => return Err(format!("it should have been refused: {other:?}").into()),
        }
    }
    let input = json!({ "files": [{ "path": "a.rs" }], "rounds": 1 });
    let mut job = client.submit("refactor").input(&input).send().await?;
    println!("rewritten: {}", job.result().await?.decode::<Report>()?.rewritten.join(", "));
    client.close().await;
    Ok(())
}
