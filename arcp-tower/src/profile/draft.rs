//! The draft's own form, which our own client asks for.

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

    fn refuse(&self, refusal: &Refusal<'_>) -> Refused {
        frames::session_error(refusal).map_or_else(Refused::silent, Refused::one)
    }
}
