//! Faults of any kind, until there is peace.

use std::time::Duration;

use tokio::time::sleep;

use crate::plan::{End, Plan, Way};
use crate::proxy::Line;
use crate::rng::Rng;
use crate::sim::{CLIENTS, PROXY, now};

/// When the faults end.
pub const PEACE: Duration = Duration::from_secs(5);

fn any_end(rng: &mut Rng) -> End {
    use End::{Fin, HalfClosed, HalfOpen, Mute, Reset, Stuck};
    [Fin, Fin, Reset, Reset, HalfClosed, HalfOpen, Mute, Stuck][rng.bytes(0..=7)]
}

fn any_way(rng: &mut Rng, opening: usize, most: usize) -> Way {
    let mut way = Way::FREE;
    if rng.one_in(3) {
        // Within the opening, or behind it.
        let pass = if rng.one_in(4) { rng.bytes(0..=opening) } else { opening + rng.bytes(0..=most) };
        (way.pass, way.end) = (pass, any_end(rng));
    }
    if rng.one_in(6) {
        way.rate = Some((rng.bytes(0..=opening), rng.bytes(20_000..=100_000)));
    }
    if rng.one_in(6) {
        way.pause = (rng.bytes(0..=opening + 500), rng.ms(10..=1500));
    }
    way
}

fn any_plan(rng: &mut Rng) -> Plan {
    let late = if rng.one_in(3) { rng.ms(1..=2000) } else { Duration::ZERO };
    Plan { up: any_way(rng, 720, 1500), down: any_way(rng, 900, 20_000), late }
}

/// Lets connections of a line fare in any way until there is peace. The first one opens its session.
pub fn disturb(line: &Line, mut rng: Rng) {
    line.plans(move |at| match at {
        _ if now() > PEACE => Plan::FREE,
        0 => Plan::down(Way::until(3000 + rng.bytes(0..=9000), any_end(&mut rng))),
        _ => any_plan(&mut rng),
    });
}

/// Stalls the whole link now and then, or loses what is on it.
pub async fn weather(mut rng: Rng) {
    while now() < PEACE {
        sleep(rng.ms(200..=2000)).await;
        let wait = rng.ms(10..=1500);
        if rng.one_in(2) {
            turmoil::hold(CLIENTS, PROXY);
            sleep(wait).await;
            turmoil::release(CLIENTS, PROXY);
        } else {
            turmoil::partition(CLIENTS, PROXY);
            sleep(wait).await;
            turmoil::repair(CLIENTS, PROXY);
        }
    }
}
