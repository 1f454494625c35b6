//! Files that were changed by something else.

use std::fs;

use arcp_core::JobId;
use arcp_core::store::{Store, StoreError};
use rusqlite::Connection;

use crate::rows::{append, batch, new_job, open};

#[tokio::test]
async fn bad_input_57_a_damaged_row_is_an_error_and_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 3, 9)])).await.unwrap();
    store.commit(batch(2, vec![append(1, 3, 3, 9)])).await.unwrap();
    store.commit(batch(3, vec![append(1, 6, 3, 9)])).await.unwrap();
    store.close();
    for damage in [
        "UPDATE segment SET events = x'00' WHERE first = 4",
        "DELETE FROM segment WHERE first = 4",
        "DELETE FROM segment",
    ] {
        Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let store = open(&path).unwrap();
        let read = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{damage}: {read:?}");
        store.close();
    }
}

#[tokio::test]
async fn bad_input_57_a_flipped_bit_in_a_stored_event_is_an_error_and_never_other_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 3, 40)])).await.unwrap();
    store.close();
    let whole = fs::read(&path).unwrap();
    let places: Vec<_> = (0..whole.len() - 40).filter(|at| whole[*at..at + 40] == [b'x'; 40]).collect();
    assert_eq!(places.len(), 3, "each payload is there once");
    for bit in 0..8 {
        // Most of these leave a payload that is as good a text as what was written.
        let mut flipped = whole.clone();
        flipped[places[bit % 3] + bit] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        let store = open(&path).unwrap();
        let read = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "bit {bit}: {read:?}");
        store.close();
    }
    fs::write(&path, whole).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.job_events(&JobId::from_bits(1), 0, 1 << 20).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn bad_input_57_a_row_in_the_place_of_another_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 2, 9)])).await.unwrap();
    store.commit(batch(2, vec![new_job(2), append(2, 0, 2, 9)])).await.unwrap();
    store.close();
    let damage = "UPDATE segment SET sum = (SELECT sum FROM segment AS other WHERE other.job <> segment.job)";
    Connection::open(&path).unwrap().execute_batch(damage).unwrap();
    let store = open(&path).unwrap();
    let read = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
}
