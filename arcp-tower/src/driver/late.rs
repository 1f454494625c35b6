//! `session.resume` on a connection that said hello before (§6.3): it goes on with another session.

use std::collections::BTreeMap;

use arcp_core::transport::{Close, Transport};
use arcp_core::{Envelope, Json};
use tower_service::Service;

use super::connection::{Connection, End};
use super::{NotOpened, open};
use crate::BoxError;
use crate::config::Config;
use crate::profile::Refusable;
use crate::service::{Leaving, MakeSession, Request, Response, Session};

/// What a hello authenticated itself with. A later resume on the same connection may come without,
/// and is then authenticated with the same once more.
pub(super) fn bearer(hello: &Envelope) -> Option<Json> {
    hello.payload.decode::<BTreeMap<String, Json>>().ok()?.remove("auth")
}

/// Runs a connection to its end, or until it is to go on with another session. The session that it
/// had loses its connection then; a resume that is refused changes nothing.
pub(super) async fn run<T, M>(
    connection: &mut Connection<'_, T, M::Commands>,
    make: &mut M,
    bearer: Option<&Json>,
    config: &Config,
) -> Result<Session<M::Commands>, Option<Close>>
where
    T: Transport,
    M: MakeSession,
    M::Commands: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    loop {
        let mut request = match connection.run().await {
            End::Closed(close) => return Err(close),
            End::Resume(request) => request,
        };
        let asked = Refusable::of(&request);
        if let Some(bearer) = bearer {
            authenticate(&mut request, bearer);
        }
        let mut extensions = (*connection.session().extensions()).clone();
        // Whom the host found out at the upgrade; an authenticator decides anew.
        extensions.insert(connection.session().caller());
        extensions.insert(Leaving(connection.session().id().clone()));
        // Boxed: hardly any connection comes here.
        match Box::pin(open(make, *request, extensions, config)).await {
            Ok(session) => return Ok(session),
            Err(NotOpened::Refused(refusal)) => connection.refuse(&refusal.0, &asked),
            Err(_) => return Err(None),
        }
    }
}

fn authenticate(request: &mut Envelope, bearer: &Json) {
    let Ok(mut members) = request.payload.decode::<BTreeMap<String, Json>>() else { return };
    members.entry("auth".to_owned()).or_insert_with(|| bearer.clone());
    if let Ok(payload) = Json::of(&members) {
        request.payload = payload;
    }
}
