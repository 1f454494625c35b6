//! The draft's own form, which our own client asks for.

use arcp_core::wire::credential::{Credential, Rotated};
use arcp_core::wire::event;
use arcp_core::{Json, Timestamp};

use super::{Profile, Refusal, Refused, frames};

/// The pure draft: nothing added for anybody, and one `session.error` for a refusal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft;

impl Profile for Draft {
    fn name(&self) -> &'static str {
        "draft"
    }

    fn tells_of_children(&self) -> bool {
        true
    }

    fn reads(&self, _: &Credential) -> bool {
        true
    }

    fn rotated(&self, rotated: &Rotated, ts: Timestamp) -> Option<Json> {
        event::payload("status", ts, &rotated.revealed()).ok()
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Refused {
        frames::session_error(refusal).map_or_else(Refused::silent, Refused::one)
    }
}
