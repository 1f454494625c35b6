//! The tables, and how a connection is set up.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::OpenError;

/// `ARCP`, so that the file of another application is not taken for ours.
pub(crate) const APPLICATION: i64 = 0x4152_4350;
/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// What brings schema `n` to `n + 1`; never changed once it was released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('owners', 0);

    -- The batches of one transaction each, so that knowing them costs one row a group.
    CREATE TABLE batch_ids(pos INTEGER PRIMARY KEY, ids BLOB NOT NULL);
    CREATE TABLE batch_mark(at INTEGER NOT NULL, pos INTEGER NOT NULL);

    CREATE TABLE session(
        id TEXT PRIMARY KEY, principal TEXT NOT NULL, epoch INTEGER NOT NULL, features TEXT NOT NULL,
        profile TEXT NOT NULL, secret BLOB NOT NULL, token BLOB NOT NULL, previous_token BLOB,
        head INTEGER NOT NULL, acked INTEGER NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX session_token ON session(token);
    CREATE INDEX session_previous ON session(previous_token) WHERE previous_token IS NOT NULL;
    CREATE INDEX session_expiry ON session(expires_at) WHERE expires_at IS NOT NULL;

    CREATE TABLE feed(
        session TEXT NOT NULL, job TEXT NOT NULL, principal TEXT NOT NULL, next INTEGER NOT NULL,
        own INTEGER NOT NULL, PRIMARY KEY(session, job)
    ) WITHOUT ROWID;
    CREATE INDEX feed_job ON feed(job);

    CREATE TABLE run(
        session TEXT NOT NULL, first INTEGER NOT NULL, len INTEGER NOT NULL, job TEXT NOT NULL,
        from_seq INTEGER NOT NULL, PRIMARY KEY(session, first)
    ) WITHOUT ROWID;
    CREATE INDEX run_job ON run(job);

    CREATE TABLE job(
        id TEXT PRIMARY KEY, principal TEXT NOT NULL, session TEXT NOT NULL, agent TEXT NOT NULL,
        agent_name TEXT NOT NULL, status INTEGER NOT NULL, created_at INTEGER NOT NULL, ended_at INTEGER,
        head INTEGER NOT NULL, floor INTEGER NOT NULL, owner INTEGER NOT NULL, trace TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX job_listing ON job(principal, created_at, id);
    CREATE INDEX job_end ON job(ended_at) WHERE ended_at IS NOT NULL;
    CREATE INDEX job_owner ON job(owner) WHERE status < 2;
    -- Apart, because a row that is updated is written whole, and a body may be large.
    CREATE TABLE job_body(id TEXT PRIMARY KEY, body TEXT NOT NULL);

    -- Events, packed: an append is one row. A log with indexes; clustered it is half as fast.
    CREATE TABLE segment(
        pos INTEGER PRIMARY KEY, job TEXT NOT NULL, first INTEGER NOT NULL, n INTEGER NOT NULL,
        at INTEGER NOT NULL, events BLOB NOT NULL
    );
    CREATE UNIQUE INDEX segment_job ON segment(job, first);
    CREATE INDEX segment_age ON segment(at, job, first, n);

    CREATE TABLE idempotency(
        principal TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL, job TEXT NOT NULL,
        accepted TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY(principal, key)
    ) WITHOUT ROWID;
    CREATE INDEX idempotency_expiry ON idempotency(expires_at);

    CREATE TABLE audit(
        pos INTEGER PRIMARY KEY, at INTEGER NOT NULL, principal TEXT NOT NULL, record TEXT NOT NULL
    );
    CREATE INDEX audit_age ON audit(at);
",
    "
    CREATE TABLE secret(only_one INTEGER PRIMARY KEY CHECK (only_one = 0), value BLOB NOT NULL);
",
    "
    ALTER TABLE job ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0;
",
    "
    -- What its rows in the log hold together.
    ALTER TABLE job ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE job SET bytes = (SELECT coalesce(sum(length(events)), 0) FROM segment WHERE segment.job = job.id);
",
    "
    CREATE TABLE job_note(id TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID;
",
    "
    CREATE TABLE credential(
        name TEXT PRIMARY KEY, id TEXT NOT NULL, job TEXT NOT NULL, principal TEXT NOT NULL,
        profile TEXT NOT NULL, state TEXT NOT NULL, since INTEGER NOT NULL, owner INTEGER NOT NULL,
        handle TEXT, sealed BLOB, due INTEGER, tries INTEGER NOT NULL, error TEXT, created_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX credential_job ON credential(job);
    CREATE INDEX credential_due ON credential(due) WHERE due IS NOT NULL;
    CREATE INDEX credential_over ON credential(state, since);
",
    "
    -- Of a row that was written before there is none.
    ALTER TABLE segment ADD COLUMN sum INTEGER;
",
    "
    -- The file remembers the batches of the last 16 transactions; the rest is in memory.
    DELETE FROM batch_ids WHERE pos <= (SELECT max(pos) - 16 FROM batch_ids);
    DROP TABLE batch_mark;
",
    "
    -- How much there is, so that it need not be counted to see that it is within bounds. The index is by
    -- steps, of 64 KiB or of 64 runs, so that it seldom has a part in an append.
    CREATE TABLE kept(
        what INTEGER NOT NULL, whose TEXT NOT NULL, n INTEGER NOT NULL, step INTEGER NOT NULL,
        PRIMARY KEY(what, whose)
    ) WITHOUT ROWID;
    CREATE INDEX kept_most ON kept(what, step);
    INSERT INTO kept SELECT 0, '', sum(bytes), sum(bytes) >> 16 FROM job WHERE bytes > 0 HAVING count(*) > 0;
    INSERT INTO kept
        SELECT 1, principal, sum(bytes), sum(bytes) >> 16 FROM job WHERE bytes > 0 GROUP BY principal;
    INSERT INTO kept SELECT 2, session, sum(bytes), sum(bytes) >> 16 FROM job WHERE bytes > 0 GROUP BY session;
    INSERT INTO kept SELECT 3, session, count(*), count(*) >> 6 FROM run GROUP BY session;
    -- The place of the oldest row of its log, so that whose is the oldest need not be looked for.
    ALTER TABLE job ADD COLUMN oldest INTEGER;
    UPDATE job SET oldest = (SELECT pos FROM segment WHERE segment.job = job.id AND segment.first = job.floor + 1);
    CREATE INDEX job_oldest ON job(oldest) WHERE oldest IS NOT NULL;
    CREATE INDEX job_oldest_session ON job(session, oldest) WHERE oldest IS NOT NULL;
    CREATE INDEX job_oldest_principal ON job(principal, oldest) WHERE oldest IS NOT NULL;
",
    "
    -- When the oldest row of its log was written: what is old is found job by job, since a log goes from its
    -- beginning on. No row of a log is in an index of times any more.
    ALTER TABLE job ADD COLUMN oldest_at INTEGER;
    UPDATE job SET oldest_at = (SELECT at FROM segment WHERE segment.pos = job.oldest);
    CREATE INDEX job_age ON job(oldest_at, id) WHERE oldest_at IS NOT NULL;
    DROP INDEX segment_age;
    -- Ended jobs of whose log something is left are not passed by.
    CREATE INDEX job_spent ON job(ended_at) WHERE ended_at IS NOT NULL AND oldest IS NULL;
    DROP INDEX job_end;
",
    "
    -- What an ended job was accepted with, its keys too: it counts for its principal and in all, and goes with
    -- the job. Of one that runs it is 0, since it cannot go.
    ALTER TABLE job ADD COLUMN rest INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX idempotency_job ON idempotency(job);
    UPDATE job SET rest = coalesce((SELECT octet_length(body) FROM job_body WHERE job_body.id = job.id), 0)
        + (SELECT coalesce(sum(octet_length(key) + octet_length(accepted)), 0) FROM idempotency
            WHERE idempotency.job = job.id AND idempotency.principal = job.principal)
        WHERE ended_at IS NOT NULL;
    CREATE INDEX job_spent_principal ON job(principal, ended_at) WHERE ended_at IS NOT NULL AND oldest IS NULL;
    DELETE FROM kept WHERE what IN (0, 1);
    INSERT INTO kept SELECT 0, '', sum(bytes + rest), sum(bytes + rest) >> 16
        FROM job WHERE bytes + rest > 0 HAVING count(*) > 0;
    INSERT INTO kept SELECT 1, principal, sum(bytes + rest), sum(bytes + rest) >> 16
        FROM job WHERE bytes + rest > 0 GROUP BY principal;
",
];

/// The newest schema that is known.
pub(crate) const VERSION: i64 = 11;
const _: () = assert!(MIGRATIONS.len() == 11, "a migration is a version");

/// Brings the file to [`VERSION`]. What is not ours is left as it is.
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (tables > 0 || found != 0 || application != 0) {
        return Err(OpenError::Foreign);
    }
    if found > VERSION {
        return Err(OpenError::Newer { found, known: VERSION });
    }
    if tables == 0 {
        // Both only take effect while the file is empty.
        conn.pragma_update(None, "page_size", PAGE.cast_signed())?;
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let why = "the file system cannot share memory between connections";
        return Err(OpenError::Io(std::io::Error::new(std::io::ErrorKind::Unsupported, why)));
    }
    let done = usize::try_from(found).unwrap_or(0);
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(step)?;
    }
    if found != VERSION || application != APPLICATION {
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()?;
    Ok(())
}

/// What every connection has.
pub(crate) fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(96);
    // Else some statements are prepared anew for each value that is bound to them.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "trusted_schema", false)
}

/// What the connections that write have beside.
pub(crate) fn set_up_writer(conn: &Connection, wal_bytes: u64) -> rusqlite::Result<()> {
    set_up(conn)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // Payloads may hold what must not be found in the file later (§14).
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    conn.pragma_update(None, "journal_size_limit", i64::try_from(wal_bytes).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(conn: &Connection) -> Vec<String> {
        let mut sql =
            conn.prepare("SELECT name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
        sql.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound_to_it() {
        let prepared_again = |set_up: fn(&Connection) -> rusqlite::Result<()>| {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(MIGRATIONS[0]).unwrap();
            set_up(&conn).unwrap();
            for n in 0..10 {
                let mut statement = conn.prepare_cached(crate::apply::EXTEND_RUN).unwrap();
                statement.execute(rusqlite::params!["sess_a", n, 1, "job_a", n]).unwrap();
            }
            let statement = conn.prepare_cached(crate::apply::EXTEND_RUN).unwrap();
            statement.get_status(rusqlite::StatementStatus::RePrepare)
        };
        assert_eq!(prepared_again(set_up), 0);
        assert!(prepared_again(|_| Ok(())) > 0, "what the setting is for is gone");
    }

    /// A file as each version before this one left it.
    #[test]
    fn p19_bad_input_62_a_file_of_every_older_schema_is_brought_up_to_date_with_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let mut new = Connection::open(dir.path().join("new.db")).unwrap();
        migrate(&mut new).unwrap();
        for version in 1..MIGRATIONS.len() {
            let mut old = Connection::open(dir.path().join(format!("{version}.db"))).unwrap();
            old.pragma_update(None, "journal_mode", "WAL").unwrap();
            for step in &MIGRATIONS[..version] {
                old.execute_batch(step).unwrap();
            }
            old.pragma_update(None, "application_id", APPLICATION).unwrap();
            old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            old.execute("INSERT INTO audit VALUES (1, 2, 'ada', '\"kept\"')", []).unwrap();
            migrate(&mut old).unwrap();
            assert_eq!(table(&old), table(&new), "from version {version}");
            let kept: String = old.query_row("SELECT record FROM audit", [], |row| row.get(0)).unwrap();
            assert_eq!(kept, "\"kept\"");
            // And once more, which does nothing.
            migrate(&mut old).unwrap();
        }
    }
}
