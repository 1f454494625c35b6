//! Continuing a session in another client (§6.3), against a runtime that does what the test says.

use std::time::Duration;

use arcp_client::{ClientConfig, ConnectError, RequestError, ResumePoint};
use arcp_core::{Code, Feature};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::sleep;

use crate::fake::{self, JOB, pair, reachable, resumable, running};

const OTHER: &str = "job_01J00000000000000000000001";

async fn point() -> ResumePoint {
    let (client, _runtime, mut fake) = resumable(&["ack"]).await;
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 0);
    let mut job = running(&client, &mut fake).await;
    let other = {
        let accept = async {
            let submit = fake.next().await;
            fake.accept(&submit, OTHER).await;
        };
        tokio::join!(client.submit("echo").send(), accept).0.unwrap()
    };
    fake.thoughts(JOB, 2).await;
    fake.thoughts(OTHER, 1).await;
    fake.thoughts(JOB, 1).await;
    assert_eq!(job.by_ref().take(3).count().await, 3);
    let point = client.resume_point().unwrap();
    assert_eq!(point.last_event_seq, 2, "what arrived for the other job was not taken");
    assert!(point.features.has(Feature::Ack) && !point.features.has(Feature::Heartbeat));
    client.close().await;
    drop(other);
    assert_eq!(client.resume_point().unwrap(), point, "the end makes nothing processed");
    point
}

#[tokio::test(start_paused = true)]
async fn a_point_survives_a_process() {
    let point = point().await;
    let text = serde_json::to_string(&point).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        json!({"session_id": fake::SESSION, "resume_token": "rt", "last_event_seq": 2, "features": ["ack"]})
    );
    assert_eq!(serde_json::from_str::<ResumePoint>(&text).unwrap(), point);
    assert!(!format!("{point:?}").contains("\"rt\""), "its debug form shows no token");
}

#[tokio::test(start_paused = true)]
async fn another_client_gets_what_nobody_took_and_nothing_else() {
    let (builder, mut runtime) = reachable(|| true);
    let connect = builder.resume_from(point().await).connect();
    let (client, (resume, mut fake)) = tokio::join!(connect, runtime.resumed(&["ack", "heartbeat"]));
    let client = client.unwrap();
    assert_eq!(resume, json!({"session_id": fake::SESSION, "resume_token": "rt", "last_event_seq": 2}));
    assert_eq!(client.session().features.iter().collect::<Vec<_>>(), [Feature::Ack]);
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 2);

    // The runtime replays 3 and 4, and goes on, before anyone attaches.
    fake.thoughts(OTHER, 1).await;
    fake.thoughts(JOB, 2).await;
    fake.result(OTHER, json!("other")).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.resume_point().unwrap().last_event_seq, 2, "nothing is processed by nobody");

    let mut other = client.attach(OTHER.parse().unwrap()).await.unwrap();
    assert_eq!(other.next().await.unwrap().unwrap().event_seq, Some(3));
    assert!(other.next().await.is_none());
    assert_eq!(other.result().await.unwrap().decode(), Ok("other".to_owned()));
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 3);
    let mut job = client.attach(JOB.parse().unwrap()).await.unwrap();
    fake.thoughts(JOB, 1).await;
    fake.numbered("job.error", JOB, json!({"code": "INTERNAL_ERROR", "message": "x"})).await;
    let seqs: Vec<_> = job.by_ref().map(|event| event.unwrap().event_seq.unwrap()).collect().await;
    assert_eq!(seqs, [4, 5, 7]);
    assert!(job.result().await.is_err());
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 8);

    // It resumes by itself, too.
    drop(fake);
    let (resume, _fake) = runtime.resumed(&["ack"]).await;
    assert_eq!((&resume["resume_token"], &resume["last_event_seq"]), (&json!("rt2"), &json!(8)));
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_client_before_can_be_cancelled_and_let_go() {
    let (builder, mut fake) = pair();
    let connect = builder.resume_from(point().await).connect();
    let (client, ()) = tokio::join!(connect, async {
        fake.next().await;
        fake.raw(fake::again(&["ack"])).await;
    });
    let client = client.unwrap();
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 2);
    fake.lose(2);
    fake.thoughts(OTHER, 1).await;
    drop(client.attach(OTHER.parse().unwrap()).await.unwrap());
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 3, "what is let go is acknowledged");
    let job = client.attach(JOB.parse().unwrap()).await.unwrap();
    let answer = async {
        let cancel = fake.next().await;
        assert_eq!((&cancel["type"], &cancel["job_id"]), (&json!("job.cancel"), &json!(JOB)));
        fake.send("job.cancelled", json!({"job_id": JOB}), json!({"request_id": cancel["id"]})).await;
    };
    let (done, ()) = tokio::join!(job.cancel(None), answer);
    done.unwrap();
    client.close().await;
    assert!(matches!(client.attach(JOB.parse().unwrap()).await.unwrap_err(), RequestError::Disconnected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_continued_is_a_typed_error() {
    let point = point().await;
    let (builder, mut fake) = pair();
    let (client, ()) = tokio::join!(builder.resume_from(point.clone()).connect(), async {
        fake.next().await;
        let payload = json!({"code": "RESUME_WINDOW_EXPIRED", "message": "too late"});
        fake.send("session.error", json!({}), payload).await;
    });
    match client.unwrap_err() {
        ConnectError::Refused(error) => assert_eq!(error.code(), Code::ResumeWindowExpired),
        other => panic!("{other}"),
    }
    let (builder, mut fake) = pair();
    let (client, ()) = tokio::join!(builder.resume_from(point).connect(), async {
        fake.next().await;
        fake.raw(fake::welcome(&[]).replace(fake::SESSION, "sess_other")).await;
    });
    assert!(matches!(client, Err(ConnectError::OtherSession)));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_there_is_no_point_and_no_resume() {
    let (builder, mut runtime) = reachable(|| true);
    let (client, fake) = tokio::join!(builder.connect(), async {
        let mut fake = runtime.called().await;
        fake.next().await;
        fake.raw(fake::welcome(&[]).replace("\"rt\"", "\"\"")).await;
        fake
    });
    let client = client.unwrap();
    assert_eq!(client.resume_point(), None);
    drop(fake);
    client.closed().await;
    sleep(Duration::from_secs(60)).await;
    assert!(!runtime.is_called());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_there_was_no_room_for_was_not_processed() {
    let (builder, mut runtime) = reachable(|| true);
    let mut config = ClientConfig::default();
    config.job_events = 2;
    let welcome = async {
        let mut fake = runtime.called().await;
        fake.next().await;
        fake.welcome(&["ack"]).await;
        fake
    };
    let (client, mut fake) = tokio::join!(builder.config(config).connect(), welcome);
    let client = client.unwrap();
    fake.next().await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 4).await;
    client.closed().await;
    assert_eq!(job.by_ref().filter(|event| std::future::ready(event.is_ok())).count().await, 2);
    assert_eq!(client.resume_point().unwrap().last_event_seq, 2, "the third comes again");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_a_log_may_show_has_the_token_in_it() {
    let (client, _runtime, mut fake) = resumable(&["subscribe"]).await;
    let job = running(&client, &mut fake).await;
    let submission = client.submit("echo");
    for shown in [format!("{client:#?}"), format!("{job:#?}"), format!("{submission:#?}")] {
        assert!(!shown.contains("\"rt\""), "{shown}");
    }
    assert!(!format!("{:?}", client.session()).contains("\"rt\""));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_attached_to_yet_is_not_acknowledged_whoever_waits_for_another_job() {
    let (builder, mut runtime) = reachable(|| true);
    let mut config = ClientConfig::default();
    config.unread = 10;
    let connect = builder.config(config).resume_from(point().await).connect();
    let (client, (_, mut fake)) = tokio::join!(connect, runtime.resumed(&["ack"]));
    let client = client.unwrap();
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 2);
    fake.thoughts(OTHER, 50).await;
    let mut job = client.attach(JOB.parse().unwrap()).await.unwrap();
    let waits = tokio::spawn(async move { job.next().await });
    assert!(
        tokio::time::timeout(Duration::from_secs(60), fake.next()).await.is_err(),
        "it may still be asked for"
    );
    let mut other = client.attach(OTHER.parse().unwrap()).await.unwrap();
    assert_eq!(other.by_ref().take(50).count().await, 50);
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 52);
    waits.abort();
}
