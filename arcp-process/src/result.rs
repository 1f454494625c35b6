//! The result of a program's job, inline or streamed (§8.4), as the result of this one.

use arcp_client::JobOutcome;
use arcp_core::wire::event::ResultChunk;
use arcp_core::{Code, Error, Feature, Json};
use arcp_tower::{Job, ResultStream};

/// A result as it comes in. Pieces are passed on at once to a client that takes a streamed result.
#[derive(Debug)]
pub(crate) struct Passing<'a> {
    job: &'a Job,
    stream: Option<ResultStream<'a>>,
}

impl<'a> Passing<'a> {
    pub(crate) fn of(job: &'a Job) -> Self {
        Self { job, stream: None }
    }

    pub(crate) async fn chunk(&mut self, chunk: &ResultChunk) -> Result<(), Error> {
        if !self.job.features().has(Feature::ResultChunk) {
            // The session with the program assembles it.
            return Ok(());
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.job.result_stream(chunk.encoding)?),
        };
        stream.write(chunk.decoded()?).await
    }

    /// The result of this job.
    pub(crate) async fn finish(self, outcome: JobOutcome) -> Result<Json, Error> {
        let summary = outcome.summary.clone();
        if let Some(mut stream) = self.stream {
            if let Some(summary) = summary {
                stream.summary(summary);
            }
            stream.finish().await?;
            return Ok(Json::null());
        }
        match outcome.streamed() {
            None => Ok(outcome.result.unwrap_or_else(Json::null)),
            Some(bytes) => inline(bytes),
        }
    }
}

/// A streamed result for a client that takes none: its JSON, or its text.
fn inline(bytes: &[u8]) -> Result<Json, Error> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let message = "the result is binary and streamed, and the client has not negotiated result_chunk";
        return Err(Error::new(Code::InvalidRequest, message).with_detail("feature", "result_chunk"));
    };
    Json::parse(text).or_else(|_| Json::of(text))
}
