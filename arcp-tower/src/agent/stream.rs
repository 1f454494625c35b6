//! A result that is streamed (§8.4).

use arcp_core::chunk::Splitter;
use arcp_core::wire::event::{Encoding, ResultChunk};
use arcp_core::{Code, Error, id::ResultId};

use super::Job;
use super::job::StreamState;

/// Writes a job's result piece by piece. Once it is begun, the job's result is what was written,
/// and nothing else; [`ResultStream::finish`] must be called before the agent returns.
#[derive(Debug)]
pub struct ResultStream<'a> {
    job: &'a Job,
    splitter: Splitter,
    /// A chunk that was cut off, and is not emitted yet.
    ready: Option<ResultChunk>,
    summary: Option<String>,
}

impl<'a> ResultStream<'a> {
    pub(super) fn begin(job: &'a Job, encoding: Encoding) -> Result<Self, Error> {
        job.features().require(arcp_core::Feature::ResultChunk)?;
        let id = ResultId::from_bits(crate::random::bits());
        if !job.begin_stream() {
            return Err(Error::new(Code::InternalError, "a job streams one result"));
        }
        let config = job.config();
        let splitter = Splitter::new(id, encoding, config.chunk_bytes, config.max_result);
        Ok(Self { job, splitter, ready: None, summary: None })
    }

    /// The id that the terminal message will name.
    pub fn id(&self) -> &ResultId {
        self.splitter.id()
    }

    /// A line for people, in the terminal message.
    pub fn summary(&mut self, summary: impl Into<String>) {
        self.summary = Some(summary.into());
    }

    /// Writes a piece: one chunk, or several if it is larger than a chunk may be. If this is dropped half way,
    /// the rest goes with what is written next.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if the result grows too large or is no text where it should be; and as
    /// [`Job::log`].
    pub async fn write(&mut self, piece: impl AsRef<[u8]>) -> Result<(), Error> {
        self.splitter.push(piece.as_ref())?;
        self.emit_ready().await
    }

    async fn emit_ready(&mut self) -> Result<(), Error> {
        loop {
            if self.ready.is_none() {
                self.ready = self.splitter.ready()?;
            }
            let Some(chunk) = &self.ready else { return Ok(()) };
            self.job.emit_body("result_chunk", chunk).await?;
            self.ready = None;
        }
    }

    /// Writes the last chunk.
    ///
    /// # Errors
    /// As [`ResultStream::write`].
    pub async fn finish(mut self) -> Result<(), Error> {
        self.emit_ready().await?;
        let last = self.splitter.finish()?;
        self.job.emit_body("result_chunk", &last).await?;
        self.job.end_stream(StreamState::Done {
            id: self.splitter.id().clone(),
            size: self.splitter.size(),
            summary: self.summary,
        });
        Ok(())
    }
}
