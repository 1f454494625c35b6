//! A route and its runtime are given their bounds apart from each other.

use std::sync::Once;

use crate::config::Config;

/// Says, once, that a route does not have the bounds that its runtime was built with: who sets one of them in
/// `Builder::config` alone takes it for set.
pub(super) fn tell(route: &Config, runtime: &Config) {
    static TOLD: Once = Once::new();
    let bounds = apart(route, runtime);
    if !bounds.is_empty() {
        TOLD.call_once(|| {
            let bounds = bounds.join(", ");
            tracing::warn!(
                bounds,
                "a route has other bounds than the runtime behind it: they are those of `handler_with`"
            );
        });
    }
}

/// The bounds of a route that are not its runtime's, of those that are seen to there.
fn apart(route: &Config, runtime: &Config) -> Vec<&'static str> {
    let bounds = [
        ("allowed_hosts", route.allowed_hosts != runtime.allowed_hosts),
        ("allowed_origins", route.allowed_origins != runtime.allowed_origins),
        ("handshake_timeout", route.handshake_timeout != runtime.handshake_timeout),
        ("max_handshakes", route.max_handshakes != runtime.max_handshakes),
        (
            "max_handshakes_per_address",
            route.max_handshakes_per_address != runtime.max_handshakes_per_address,
        ),
        ("first_frame", route.first_frame != runtime.first_frame),
        ("max_frame", route.max_frame != runtime.max_frame),
        ("read_buffer", route.read_buffer != runtime.read_buffer),
        ("write_buffer", route.write_buffer != runtime.write_buffer),
        ("json_depth", route.json_depth != runtime.json_depth),
    ];
    bounds.into_iter().filter(|(_, apart)| *apart).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_alone_was_given_is_named_and_what_only_it_needs_is_not() {
        let runtime = Config::default().with(|c| (c.max_frame, c.max_handshakes, c.window) = (7, 8, 9));
        assert_eq!(apart(&Config::default(), &runtime), ["max_handshakes", "max_frame"]);
        assert!(apart(&runtime.clone(), &runtime).is_empty());
        assert!(apart(&Config::default(), &Config::default()).is_empty());
    }
}
