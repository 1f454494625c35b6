//! Refusing a handshake.

use std::future::poll_fn;

use arcp_core::transport::{RecvError, Transport};
use arcp_core::{Envelope, Error, MessageId, SessionId};

use crate::config::Config;
use crate::profile::{Refusable, Refusal, Refused};
use crate::random;

/// What an error frame has to say of what cannot be received: of a binary frame always, of the rest
/// where no close code does.
pub(super) fn refusal(e: &RecvError, code_says_it: bool) -> Option<Error> {
    match e {
        RecvError::Binary => Some(Error::fault("message", "must be a text frame")),
        RecvError::NotUtf8 if !code_says_it => Some(Error::fault("message", "must be UTF-8")),
        RecvError::TooLarge if !code_says_it => Some(Error::fault("message", "is too large")),
        _ => None,
    }
}

/// Says why the handshake was refused, in the form of the profile that the first frame asked for.
pub(super) async fn handshake<T: Transport>(
    io: &mut T,
    config: &Config,
    error: &Error,
    first: Option<&Envelope>,
) {
    let profile = config.profile.choose(first);
    let request = first.map_or_else(Refusable::default, Refusable::of);
    // There is no session, but some clients drop a frame that names none.
    let session_id = SessionId::from_bits(random::bits());
    let opening = Refusable { kind: Some(arcp_core::MessageType::Hello), ..request };
    let Refused::Frames(frames) = profile.refuse(&Refusal::new(error, opening, false)) else { return };
    let send = async {
        for frame in frames {
            poll_fn(|cx| io.poll_ready(cx)).await?;
            io.send(frame.encode(Some(&session_id), &MessageId::from_bits(random::bits())))?;
        }
        poll_fn(|cx| io.poll_flush(cx)).await
    };
    // A peer that does not read its refusal is not waited for.
    let _ = tokio::time::timeout(config.close_timeout, send).await;
}
