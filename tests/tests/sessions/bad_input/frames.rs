//! Frames that are no message, or not one of ours.

use std::time::Duration;

use arcp_tests::sessions::{FEATURES, resume};
use arcp_tests::{ALICE, Server};
use arcp_tower::Config;
use serde_json::json;

use super::{abused, refusal, refused_by_name, with};

#[tokio::test]
async fn t1_t2_bad_input_03_a_frame_that_is_no_object_is_refused_and_the_session_lives() {
    refused_by_name(vec![
        (String::new(), "message: "),
        (" ".into(), "message: "),
        ("not json".into(), "message: "),
        ("{\"arcp\":\"1.1\",\"id\":".into(), "message: "),
        ("null".into(), "message: must be a JSON object"),
        ("[]".into(), "message: must be a JSON object"),
        ("\"x\"".into(), "message: must be a JSON object"),
        ("1".into(), "message: must be a JSON object"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_04_json_that_nests_too_deep_is_refused_and_overflows_nothing() {
    let deep = |depth: usize| {
        let input = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"arcp":"1.1","type":"job.submit","payload":{{"agent":"echo","input":{input}}}}}"#)
    };
    refused_by_name(vec![
        ("[".repeat(200_000), "message: must nest at most 128 deep"),
        ("{\"a\":".repeat(200_000), "message: must nest at most 128 deep"),
        (deep(10_000), "message: must nest at most 128 deep"),
        (deep(127), "message: must nest at most 128 deep"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_05_two_objects_in_a_frame_are_none() {
    refused_by_name(vec![
        ("{}{}".into(), "message: must be one JSON object"),
        (format!("{0}\n{0}", with("\"payload\":{}")), "message: must be one JSON object"),
        (format!("{},", with("\"payload\":{}")), "message: must be one JSON object"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_06_a_member_that_is_there_twice_is_refused_however_it_is_written() {
    refused_by_name(vec![
        (with("\"type\":\"session.ping\""), "type: must be there once"),
        (with("\"\\u0074ype\":\"session.ping\""), "type: must be there once"),
        (with("\"payload\":{},\"payload\":{}"), "payload: must be there once"),
        (with("\"event_seq\":1,\"event_seq\":2"), "event_seq: must be there once"),
        (with("\"payload\":{\"nonce\":\"a\",\"nonce\":\"b\"}"), "payload: has the field `nonce` twice"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_10_an_odd_text_is_no_id_and_comes_back_from_an_agent_as_it_was() {
    refused_by_name(vec![
        ("\u{feff}{}".into(), "message: "),
        (with("\"id\":\"a\\\"b\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"a\\nb\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"a\\u0000b\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"\\ufeffa\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"\""), "id: must be 1 to 128 printable"),
        (with("\"session_id\":\"a\\\"b\""), "session_id: must be 1 to 128 printable"),
        (with("\"job_id\":\"a\\nb\""), "job_id: must be 1 to 128 printable"),
        (with("\"id\":\"\\ud800\""), "message: must have no lone surrogate"),
        (with("\"payload\":{\"nonce\":\"\\udc00\\ud800\"}"), "message: must have no lone surrogate"),
    ])
    .await;
    let (server, mut odd, _good) = abused().await;
    let text = "\u{feff}a\0b\u{1b}[31m\u{2028}\u{202e}\u{10ffff}\u{1f600}";
    let job = odd.submit("echo", json!(text)).await;
    assert_eq!(odd.job(&job).await.last().unwrap()["payload"]["result"], text);
    server.stop().await;
}

#[tokio::test]
async fn bad_input_11_a_number_that_is_not_a_whole_one_is_refused_and_never_cut_to_one() {
    let numbers = ["1e400", "-0", "-1", "1.0", "1e2", "18446744073709551616", "\"1\"", "true"];
    let of = |number: &str| (with(&format!("\"event_seq\":{number}")), "event_seq: must be a whole number");
    let none = (with("\"event_seq\":NaN"), "message: must be one JSON object");
    refused_by_name(numbers.iter().map(|number| of(number)).chain([none]).collect()).await;

    let server = Server::guarded(&Config::default()).await;
    let mut bad = server.connect().await;
    let welcome = bad.hello(ALICE, &FEATURES).await;
    for number in numbers {
        let (id, message) = bad.message("session.list_jobs", &json!({ "limit": "@" }));
        bad.send_text(message.to_string().replace("\"@\"", number)).await;
        let answer = bad.reply(&id).await;
        assert_eq!(refusal(&answer).0, "INVALID_REQUEST", "{number}");
        assert!(refusal(&answer).1.starts_with("payload.limit: "), "{number}: {answer}");

        let mut hello = resume(ALICE, &welcome, 0);
        hello["resume"]["last_event_seq"] = json!("@");
        let mut again = server.connect().await;
        let (_, message) = again.message("session.hello", &hello);
        again.send_text(message.to_string().replace("\"@\"", number)).await;
        assert_eq!(refusal(&again.next().await).0, "INVALID_REQUEST", "{number}");
    }
    bad.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_12_a_hundred_thousand_members_that_nobody_knows_are_ignored() {
    let (server, mut odd, mut good) = abused().await;
    let many = (0..100_000).map(|n| format!("\"k{n}\":[{n}],")).collect::<Vec<_>>().concat();
    assert!(many.len() > 1 << 20);
    let began = std::time::Instant::now();
    odd.send_text(with(&format!("{many}\"payload\":{{\"nonce\":\"n\"}}"))).await;
    assert_eq!(odd.next().await["payload"]["ping_nonce"], "n");
    // It is a matter of milliseconds, on a machine that has nothing else to do.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_13_a_payload_that_is_no_object_is_refused() {
    refused_by_name(vec![
        (with("\"payload\":[]"), "payload: must be an object"),
        (with("\"payload\":\"{}\""), "payload: must be an object"),
        (with("\"payload\":1"), "payload: must be an object"),
        // None at all is an empty one, in which something may be missing.
        (with("\"payload\":null"), "payload: lacks the field `nonce`"),
        (with("\"id\":\"a\""), "payload: lacks the field `nonce`"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_14_a_type_that_nobody_knows_is_refused_whatever_it_looks_like() {
    let long = "x".repeat(1 << 20);
    let of = |kind: &str| format!(r#"{{"arcp":"1.1","type":{kind},"payload":{{}}}}"#);
    refused_by_name(vec![
        (r#"{"arcp":"1.1"}"#.into(), "type: must be there"),
        (of("null"), "type: must be there"),
        (of("7"), "type: must be a text"),
        (of("\"\""), "type: must have 1 to 128"),
        (of(&format!("\"{long}\"")), "type: must have 1 to 128"),
        (of("\"session.dance\""), "type: is not known"),
        (of("\"Session.Hello\""), "type: is not known"),
        (of("\"session.hello \""), "type: is not known"),
        (of("\"session.ping\\u0000\""), "type: is not known"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_15_a_version_that_is_none_of_ours_is_refused() {
    let of = |version: &str| format!(r#"{{"arcp":{version},"type":"session.ping"}}"#);
    refused_by_name(vec![
        (r#"{"type":"session.ping"}"#.into(), "arcp: must be a version"),
        (of("\"2\""), "arcp: must be a version"),
        (of("\"1.x\""), "arcp: must be a version"),
        (of("\"\""), "arcp: must be a version"),
        (of("1"), "arcp: must be a text"),
        (of("1.1"), "arcp: must be a text"),
    ])
    .await;
}

#[tokio::test]
async fn bad_input_16_an_id_that_is_none_is_refused_and_one_that_is_missing_or_used_before_is_not() {
    let long = "x".repeat(10_240);
    refused_by_name(vec![
        (with("\"id\":7"), "id: must be a text"),
        (with("\"id\":[]"), "id: must be a text"),
        (with(&format!("\"id\":\"{long}\"")), "id: must be 1 to 128 printable"),
        (with("\"session_id\":{}"), "session_id: must be a text"),
        (with("\"job_id\":true"), "job_id: must be a text"),
        (with("\"trace_id\":12"), "trace_id: must be a text"),
        (with("\"trace_id\":\"xyz\""), "trace_id: must be"),
    ])
    .await;
    // Ids are the sender's: they name a message in its answer, and nothing is looked up by them.
    let (server, mut odd, _good) = abused().await;
    for (n, id) in ["", "\"id\":\"not-a-ulid\",", "\"id\":\"not-a-ulid\","].iter().enumerate() {
        odd.send_text(with(&format!("{id}\"payload\":{{\"nonce\":\"n{n}\"}}"))).await;
        assert_eq!(odd.next().await["payload"]["ping_nonce"], format!("n{n}"));
    }
    for _ in 0..2 {
        let submit =
            r#"{"arcp":"1.1","id":"twice","type":"job.submit","payload":{"agent":"echo","input":1}}"#;
        odd.send_text(submit).await;
        let accepted = odd.reply("twice").await;
        let job = accepted["job_id"].as_str().unwrap().to_owned();
        assert_eq!(odd.job(&job).await.last().unwrap()["payload"]["result"], 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_input_15_a_refused_version_names_those_that_are_supported() {
    let (server, mut bad, _good) = abused().await;
    bad.send_text(r#"{"arcp":"2","id":"the-id","type":"session.ping","payload":{"nonce":"x"}}"#).await;
    let answer = bad.next().await;
    assert_eq!(answer["payload"]["request_id"], "the-id");
    assert_eq!(answer["payload"]["details"]["supported"], json!(["1.1"]));
    server.stop().await;
}
