//! The ledger of credentials.

use super::Bed;
use super::lab::{ADA, BOB, DONE, Lab, at, conflict, job_id};
use crate::id::CredentialId;
use crate::store::{CredentialQuery, CredentialRow, CredentialState, Op, STUCK_KEPT};
use CredentialState::{Intent, Live, Revoked, Revoking, Stuck};

/// Credential `n` of job `n`, about to be issued.
fn row(n: u8) -> CredentialRow {
    CredentialRow {
        name: format!("arcp-{n}"),
        id: CredentialId::from_bits(n.into()),
        job: job_id(n.into()),
        principal: ADA.into(),
        profile: "openai".into(),
        state: Intent,
        since: at(0),
        owner: 1,
        handle: None,
        sealed: None,
        due: Some(at(60)),
        tries: 0,
        error: None,
        created_at: at(0),
    }
}

fn put(row: &CredentialRow, expect: Option<CredentialState>) -> Op {
    Op::Credential { row: row.clone(), expect }
}

async fn of_job(lab: &Lab, principal: &str, n: u8) -> Vec<CredentialRow> {
    let query = CredentialQuery::OfJob { principal: principal.into(), job: job_id(n.into()) };
    lab.store.credentials(query).await.unwrap().items
}

/// A row is written over the state that is expected, and no other; states follow each other.
///
/// # Panics
/// If it does not hold.
pub async fn a_credential_moves_from_state_to_state_by_compare_and_set(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![put(&row(1), None)]).await;
    assert_eq!(lab.commit(vec![put(&row(1), None)]).await, conflict(0), "there is one");
    let mut live = row(1).into_state(Live, at(1));
    (live.sealed, live.handle, live.due) = (Some(vec![0, 255, 7]), Some("hash".into()), None);
    assert_eq!(lab.commit(vec![put(&live, Some(Live))]).await, conflict(0));
    assert_eq!(lab.commit(vec![put(&live, None)]).await, conflict(0), "a row does not begin as live");
    lab.ok(vec![put(&live, Some(Intent))]).await;
    assert_eq!(of_job(&lab, ADA, 1).await, std::slice::from_ref(&live));

    let mut revoking = live.into_state(Revoking, at(2));
    (revoking.sealed, revoking.due, revoking.error) = (None, Some(at(3)), Some("é".into()));
    let revoked = revoking.clone().into_state(Revoked, at(3));
    assert_eq!(lab.commit(vec![put(&revoked, Some(Live))]).await, conflict(0), "it was not tried");
    // Operations of a batch see those before them, and nothing of one that does not fit is done.
    let ops = vec![put(&revoking, Some(Live)), put(&revoked, Some(Live))];
    assert_eq!(lab.commit(ops).await, conflict(1));
    let mut again = revoking.clone();
    again.tries = 1;
    lab.ok(vec![put(&revoking, Some(Live)), put(&again, Some(Revoking)), put(&revoked, Some(Revoking))])
        .await;
    assert_eq!(of_job(&lab, ADA, 1).await, std::slice::from_ref(&revoked));
    for state in CredentialState::ALL {
        let after = revoked.clone().into_state(state, at(4));
        assert_eq!(lab.commit(vec![put(&after, Some(Revoked))]).await, conflict(0), "it is over");
    }
    let Some(lab) = lab.reopened(bed).await else { return };
    assert_eq!(of_job(&lab, ADA, 1).await, [revoked]);
}

/// A row belongs to its principal, job and credential for good.
///
/// # Panics
/// If it does not hold.
pub async fn a_credential_of_somebody_else_or_of_another_job_is_not_written(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![put(&row(1), None)]).await;
    let live = row(1).into_state(Live, at(1));
    assert_eq!(lab.store.commit(lab.batch(BOB, vec![put(&live, Some(Intent))])).await, conflict(0));
    let stolen = CredentialRow { principal: BOB.into(), ..live.clone() };
    assert_eq!(lab.store.commit(lab.batch(BOB, vec![put(&stolen, Some(Intent))])).await, conflict(0));
    let moved = CredentialRow { job: job_id(2), ..live.clone() };
    assert_eq!(lab.commit(vec![put(&moved, Some(Intent))]).await, conflict(0));
    let other = CredentialRow { id: CredentialId::from_bits(2), ..live };
    assert_eq!(lab.commit(vec![put(&other, Some(Intent))]).await, conflict(0));
    assert!(of_job(&lab, BOB, 1).await.is_empty());
    assert_eq!(of_job(&lab, ADA, 1).await, [row(1)]);
}

/// Each of the reads finds its rows, in its order, in pages.
///
/// # Panics
/// If it does not hold.
pub async fn credentials_are_found_by_job_by_what_is_due_and_by_name(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    for (n, due) in [(1, Some(30)), (2, None), (3, Some(10)), (4, Some(20))] {
        let row = CredentialRow { due: due.map(at), ..row(n) };
        lab.ok(vec![put(&row, None)]).await;
    }
    let bobs = CredentialRow { principal: BOB.into(), due: Some(at(15)), ..row(5) };
    assert_eq!(lab.store.commit(lab.batch(BOB, vec![put(&bobs, None)])).await, DONE);

    let due = |until, limit| lab.store.credentials(CredentialQuery::Due { until: at(until), limit });
    let names = |rows: Vec<CredentialRow>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    let page = due(20, 10).await.unwrap();
    assert_eq!(
        (names(page.items), page.more),
        (vec!["arcp-3".into(), "arcp-5".into(), "arcp-4".into()], false)
    );
    let page = due(20, 2).await.unwrap();
    assert_eq!((names(page.items), page.more), (vec!["arcp-3".into(), "arcp-5".into()], true));
    assert!(due(9, 10).await.unwrap().items.is_empty());

    let all = |after: Option<&str>| CredentialQuery::All { after: after.map(Into::into), limit: 3 };
    let page = lab.store.credentials(all(None)).await.unwrap();
    assert_eq!((page.items.len(), page.more), (3, true));
    let page = lab.store.credentials(all(Some(&page.items[2].name))).await.unwrap();
    assert_eq!((names(page.items), page.more), (vec!["arcp-4".into(), "arcp-5".into()], false));
    assert_eq!(names(of_job(&lab, ADA, 3).await), ["arcp-3"]);
}

/// A trim forgets what was revoked long ago, what is stuck much later, and nothing else.
///
/// # Panics
/// If it does not hold.
pub async fn revoked_credentials_go_and_stuck_ones_stay_longer(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    for (n, path) in
        [(1, vec![Live]), (2, vec![Revoking]), (3, vec![Revoking, Revoked]), (4, vec![Revoking, Stuck])]
    {
        let mut now = row(n);
        lab.ok(vec![put(&now, None)]).await;
        for state in path {
            let before = now.state;
            now = now.into_state(state, at(10));
            lab.ok(vec![put(&now, Some(before))]).await;
        }
    }
    let states = async || {
        let rows = lab.store.credentials(CredentialQuery::All { after: None, limit: 10 }).await.unwrap();
        rows.items.into_iter().map(|row| row.state).collect::<Vec<_>>()
    };
    lab.trim(10).await;
    assert_eq!(states().await, [Live, Revoking, Revoked, Stuck]);
    lab.trim(11).await;
    assert_eq!(states().await, [Live, Revoking, Stuck]);
    lab.trim(11 + i64::try_from(STUCK_KEPT.as_secs()).unwrap()).await;
    assert_eq!(states().await, [Live, Revoking]);
}
