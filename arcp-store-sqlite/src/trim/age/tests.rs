//! What it costs to find that what is old is needed.

use arcp_core::SessionId;
use arcp_core::store::{Bounds, Op, Trim};

use super::super::tests::{append_at, at, filled, traced, within, write};
use super::super::trim;
use super::*;

/// As many jobs as several sweeps look at.
const MANY: u128 = 2 * AGAIN as u128 + 500;

fn all_old() -> (Timestamp, Trim) {
    (at(2), Trim { before: at(2), ..within().1 })
}

fn ack(n: u128) -> Op {
    Op::Ack { session: SessionId::from_bits(n), epoch: 1, seq: 2 }
}

#[test]
fn a_sweep_that_finds_only_what_is_needed_takes_as_many_steps_whatever_is_there() {
    let [few, many] = [u128::from(AGAIN) + 1, MANY].map(|sessions| {
        let (_dir, mut conn) = filled(sessions);
        let mut round = Round::default();
        let (now, what) = all_old();
        assert_eq!(trim(&conn, &mut round, now, what).unwrap(), 0, "each was looked at once");
        conn.flush_prepared_statement_cache();
        traced(&mut conn, &mut round, &[(now, what)])
    });
    assert!(few.len() > 5);
    assert_eq!(few, many);
}

#[test]
fn what_a_session_let_go_of_goes_whatever_is_needed_before_it() {
    let (_dir, conn) = filled(MANY);
    let (mut round, (now, what)) = (Round::default(), all_old());
    assert_eq!(trim(&conn, &mut round, now, what).unwrap(), 0);
    write(&conn, MANY + 1, [1, MANY / 2, MANY].map(ack).to_vec());
    let sweeps = [(); 5].map(|()| trim(&conn, &mut round, now, what).unwrap());
    assert_eq!(sweeps, [2, 2, 2, 0, 0], "two rows of each job, in one round");
}

#[test]
fn what_becomes_old_goes_at_once_whatever_is_needed_before_it() {
    let (_dir, conn) = filled(MANY);
    let (mut round, (now, what)) = (Round::default(), all_old());
    assert_eq!(trim(&conn, &mut round, now, what).unwrap(), 0);
    write(&conn, MANY + 1, vec![ack(MANY)]);
    write(&conn, MANY + 2, vec![append_at(MANY, 2, at(5))]);
    while trim(&conn, &mut round, now, what).unwrap() == 0 {}
    assert_eq!(trim(&conn, &mut round, at(5), Trim { before: at(5), ..what }).unwrap(), 0);
    assert_eq!(trim(&conn, &mut round, at(6), Trim { before: at(6), ..what }).unwrap(), 1);
}

#[test]
fn a_sweep_that_was_cut_goes_on_where_it_was() {
    let (_dir, conn) = filled(20);
    write(&conn, 21, (1..=20).map(ack).collect());
    let (mut round, (now, what)) = (Round::default(), all_old());
    let what = Trim { bounds: Bounds::NONE, limit: 7, ..what };
    let sweeps = [(); 7].map(|()| trim(&conn, &mut round, now, what).unwrap());
    assert_eq!(sweeps, [7, 7, 7, 7, 7, 5, 0]);
}
