//! Where a session can be taken up again (§6.3).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arcp_core::wire::session::ResumeRequest;
use arcp_core::{Features, SessionId};
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::session::SessionInfo;

/// What another client needs to continue a session, in this process or in another. The bearer token
/// is no part of it: whoever continues the session must be allowed to. Its `Debug` shows no token.
///
/// It is good until the session goes on without it: each resume makes a new
/// [`ResumePoint::resume_token`], and an event that was acknowledged is no longer kept by the
/// runtime. So it should be taken last.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResumePoint {
    /// Where the runtime is, if the client was built with an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The session.
    pub session_id: SessionId,
    /// The newest token.
    pub resume_token: String,
    /// Every event up to this number was **processed**: taken by the application, or by nobody
    /// because nobody was left who could. Events that wait in a handle come again, if the runtime still has
    /// them: of many that wait, some are acknowledged ([`ClientConfig::unread`](crate::ClientConfig::unread)).
    pub last_event_seq: u64,
    /// What was negotiated.
    pub features: Features,
}

impl ResumePoint {
    pub(crate) fn request(&self) -> ResumeRequest {
        ResumeRequest::new(self.session_id.clone(), self.resume_token.as_str(), self.last_event_seq)
    }
}

impl fmt::Debug for ResumePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumePoint")
            .field("url", &self.url)
            .field("session_id", &self.session_id)
            .field("last_event_seq", &self.last_event_seq)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

/// Where a session stands, as the driver keeps it and a [`ResumePoint`] says it.
pub(crate) struct Anchor {
    url: Option<String>,
    session_id: SessionId,
    features: Features,
    token: Mutex<String>,
    pub(crate) ledger: Arc<Ledger>,
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

impl Anchor {
    /// A session that was just opened, `last_event_seq` events in.
    pub(crate) fn new(url: Option<String>, info: &SessionInfo, last_event_seq: u64) -> Self {
        Self {
            url,
            session_id: info.id.clone(),
            features: info.features,
            token: Mutex::new(info.welcome.resume_token.clone()),
            ledger: Arc::new(Ledger::at(last_event_seq)),
        }
    }

    /// There is a new token.
    pub(crate) fn rotate(&self, token: String) {
        // A runtime that says none keeps the old one.
        if !token.is_empty() {
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        }
    }

    fn token(&self) -> Option<String> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(token).filter(|token| !token.is_empty())
    }

    /// What a resume after event `last_event_seq` presents. `None` if the runtime gave no token.
    pub(crate) fn request(&self, last_event_seq: u64) -> Option<ResumeRequest> {
        Some(ResumeRequest::new(self.session_id.clone(), self.token()?, last_event_seq))
    }

    /// Where another client can go on. `None` if the runtime gave no token.
    pub(crate) fn point(&self) -> Option<ResumePoint> {
        Some(ResumePoint {
            url: self.url.clone(),
            session_id: self.session_id.clone(),
            resume_token: self.token()?,
            last_event_seq: self.ledger.processed(),
            features: self.features,
        })
    }
}
