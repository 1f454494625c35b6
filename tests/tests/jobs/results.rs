//! Results that are large, and results that are streamed (§8.4).

use std::time::Duration;

use arcp_core::chunk::Assembler;
use arcp_core::transport::Memory;
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::{ALICE, ALL, Memories, Peer, agents, tokens};
use arcp_tower::core::wire::event::{Encoding, ResultChunk};
use arcp_tower::{AuthLayer, Config, Job, Level, Mount, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::timeout;

/// What a peer takes in one frame.
pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn memories(config: &Config) -> Memories<impl Mount> {
    let twice = agent_fn(|(): (), job: Job| async move {
        let mut first = job.result_stream(Encoding::Utf8)?;
        first.write("first").await?;
        let second = job.result_stream(Encoding::Utf8).map(drop).map_err(|e| e.to_string());
        first.finish().await?;
        let third = job.result_stream(Encoding::Utf8).map(drop).map_err(|e| e.to_string());
        assert!(second.is_err() && third.is_err(), "a job streams one result");
        Ok(())
    });
    // It says how the runtime answered to a line of so many bytes.
    let lines = agent_fn(|sizes: Vec<usize>, job: Job| async move {
        let mut said = Vec::new();
        for size in sizes {
            said.push(job.log(Level::Info, "z".repeat(size)).await.map_err(|e| e.body()).err());
        }
        Ok(said)
    });
    // It says how the runtime answered to each report of how far it is.
    let counts = agent_fn(|(): (), job: Job| async move {
        let mut said = Vec::new();
        for report in [
            job.progress(-1),
            job.progress(-0.5),
            job.progress(f64::NAN),
            job.progress(f64::INFINITY),
            job.progress("47"),
            job.progress(None::<u64>),
            job.progress(1).total(-1),
            job.progress(1).total(f64::NAN),
        ] {
            said.push(report.send().await.map_err(|e| e.code()).err());
        }
        for report in [job.progress(0).total(0), job.progress(0.5), job.progress(120).total(100)] {
            report.send().await?;
        }
        Ok(said)
    });
    let both = agent_fn(|(): (), job: Job| async move {
        let mut result = job.result_stream(Encoding::Utf8)?;
        result.write("streamed").await?;
        result.finish().await?;
        Ok("returned")
    });
    let broken = agent_fn(|bytes: Vec<u8>, job: Job| async move {
        let mut result = job.result_stream(Encoding::Utf8)?;
        result.write(&bytes).await?;
        result.finish().await?;
        Ok(())
    });
    // It gives up writing, and writes on.
    let hasty = agent_fn(|(): (), job: Job| async move {
        let mut result = job.result_stream(Encoding::Base64)?;
        let given_up = timeout(Duration::from_secs(1), result.write([1; 3000])).await.is_err();
        assert!(given_up, "it had to wait");
        result.write([2; 3000]).await?;
        result.finish().await?;
        Ok(())
    });
    let runtime = agents::all(Runtime::builder().config(config.clone()))
        .agent("hasty", hasty)
        .agent("twice", twice)
        .agent("lines", lines)
        .agent("broken", broken)
        .agent("counts", counts)
        .agent("both", both)
        .build()
        .unwrap();
    Memories::of(runtime.layer(AuthLayer::new(tokens())), config)
}

/// Runs a job, and checks the size of every frame of it.
pub(crate) async fn run(peer: &mut Peer<Memory>, agent: &str, input: Value) -> Vec<Value> {
    peer.send("job.submit", json!({ "agent": agent, "input": input })).await;
    let mut frames: Vec<Value> = Vec::new();
    while !frames.last().is_some_and(is_terminal) {
        let text = peer.text().await.unwrap();
        assert!(text.len() <= MIB, "a frame of {} bytes", text.len());
        frames.push(serde_json::from_str(&text).unwrap());
    }
    let numbers = numbers(&frames);
    let first = numbers[0];
    assert_eq!(numbers, (first..first + numbers.len() as u64).collect::<Vec<_>>());
    frames
}

/// What the chunks among `frames` make together.
pub(crate) fn assembled(frames: &[Value]) -> (Vec<ResultChunk>, Vec<u8>) {
    let chunks = frames.iter().filter(|frame| frame["payload"]["kind"] == "result_chunk");
    let chunks: Vec<ResultChunk> =
        chunks.map(|frame| serde_json::from_value(frame["payload"]["body"].clone()).unwrap()).collect();
    let mut assembler = Assembler::default();
    for chunk in &chunks {
        assembler.push(chunk, 64 * MIB).unwrap();
    }
    (chunks, assembler.finish().expect("the last chunk says so"))
}

#[tokio::test(start_paused = true)]
async fn a_result_too_large_for_a_frame_is_streamed_to_who_can_take_it() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    for bytes in [1000 * 1000, MIB - 3000, MIB - 2000, MIB, 5 * MIB] {
        let frames = run(&mut peer, "large", json!(bytes)).await;
        let end = &frames.last().unwrap()["payload"];
        assert_eq!(end["final_status"], "success");
        if bytes + 2 <= MIB - 2048 {
            assert_eq!(end["result"].as_str().unwrap().len(), bytes);
            continue;
        }
        let (chunks, whole) = assembled(&frames);
        assert_eq!(whole.len(), bytes + 2, "it is JSON");
        assert_eq!(end["result_size"], whole.len());
        assert_eq!(end["result_id"], chunks[0].result_id.as_str());
        assert!(end.get("result").is_none() && end.get("output").is_none(), "never both");
        assert!(chunks.iter().all(|chunk| chunk.data.len() <= 512 << 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_too_large_for_a_frame_ends_the_job_for_who_cannot() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &["ack", "progress"]).await;
    let frames = run(&mut peer, "large", json!(2 * MIB)).await;
    let end = &frames.last().unwrap()["payload"];
    assert_eq!(end["code"], "INTERNAL_ERROR");
    assert_eq!(end["details"]["reason"], "limit");
    let frames = run(&mut peer, "large", json!(900_000)).await;
    assert_eq!(frames.last().unwrap()["payload"]["final_status"], "success");
}

#[tokio::test(start_paused = true)]
async fn a_result_full_of_quotes_keeps_its_frames_below_a_mib() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    // Each becomes four bytes inside a chunk: quoted as JSON, and quoted again.
    for length in [300_000, 520_000, 800_000] {
        let text = "\"".repeat(length);
        let frames = run(&mut peer, "echo", json!(text)).await;
        let end = &frames.last().unwrap()["payload"];
        assert_eq!(end["final_status"], "success", "{length}");
        if end.get("result_id").is_some() {
            let (_, whole) = assembled(&frames);
            assert_eq!(serde_json::from_slice::<String>(&whole).unwrap(), text);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn control_characters_in_a_streamed_text_keep_its_frames_below_a_mib() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    // Each becomes six bytes: \u0001.
    let input = json!({ "pieces": ["\u{1}"], "encoding": "utf8", "repeat": 400_000 });
    let frames = run(&mut peer, "chunker", input).await;
    assert_eq!(frames.last().unwrap()["payload"]["final_status"], "success");
    assert_eq!(assembled(&frames).1.len(), 400_000);
}

#[tokio::test(start_paused = true)]
async fn a_streamed_result_arrives_whole_in_both_encodings() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    for encoding in ["utf8", "base64"] {
        for repeat in [1, 100_000] {
            let pieces = ["first ", "zweites Stück ", "第三"];
            let input = json!({ "pieces": pieces, "encoding": encoding, "repeat": repeat });
            let frames = run(&mut peer, "chunker", input).await;
            let (chunks, whole) = assembled(&frames);
            let wanted: String = pieces.iter().map(|piece| piece.repeat(repeat)).collect();
            assert_eq!(whole, wanted.as_bytes());
            assert!(chunks.len() >= 3, "what was written together stays together");
            assert_eq!(chunks.iter().filter(|chunk| !chunk.more).count(), 1);
            let end = &frames.last().unwrap()["payload"];
            assert_eq!(end["result_size"], wanted.len());
            assert_eq!(end["summary"], "in pieces");
        }
    }
    let frames = run(&mut peer, "chunker", json!({ "pieces": [], "encoding": "utf8" })).await;
    let (chunks, whole) = assembled(&frames);
    assert_eq!((chunks.len(), whole.len()), (1, 0), "an empty result has its one last chunk");
}

#[tokio::test(start_paused = true)]
async fn bad_input_41_a_stream_that_is_not_finished_or_is_no_text_ends_the_job() {
    let config = Config::default().with(|c| c.max_result = 1000);
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    let unfinished = json!({ "pieces": ["a", "b"], "encoding": "utf8", "unfinished": true });
    let too_much = json!({ "pieces": ["abc"], "encoding": "base64", "repeat": 334 });
    let cases = [
        ("chunker", unfinished, "the agent did not finish its streamed result"),
        ("chunker", too_much, "a streamed result may have at most 1000 bytes"),
        ("broken", json!([0xff]), "a utf8 result must be UTF-8"),
        ("broken", json!([0xc3]), "a utf8 result must be UTF-8"),
    ];
    for (agent, input, words) in cases {
        let frames = run(&mut peer, agent, input).await;
        let end = frames.last().unwrap();
        assert_eq!(end["type"], "job.error");
        assert_eq!(end["payload"]["code"], "INTERNAL_ERROR");
        assert_eq!(end["payload"]["message"], words);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_41_a_job_streams_one_result() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    let frames = run(&mut peer, "twice", Value::Null).await;
    let end = frames.last().unwrap();
    assert_eq!(end["payload"]["final_status"], "success", "{end}");
    assert_eq!(assembled(&frames).1, b"first");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_negotiated_is_not_delivered_and_takes_no_number() {
    let config = Config::default();
    let memories = memories(&config);
    let mut plain = memories.open(ALICE, &["ack"]).await;
    let frames = run(&mut plain, "progress", json!(100)).await;
    assert_eq!(frames.len(), 2, "the acceptance and the end");
    assert_eq!(numbers(&frames), [1]);
    let mut able = memories.open(ALICE, &ALL).await;
    assert_eq!(run(&mut able, "progress", json!(100)).await.len(), 102);

    // A job that streams, watched by one who did not ask for chunks.
    let mut watcher = memories.open(ALICE, &["subscribe"]).await;
    let input = json!({ "pieces": ["a", "b"], "encoding": "utf8" });
    let job = able.submit("chunker", input.clone()).await;
    able.job(&job).await;
    watcher.subscribe(&job, true).await;
    let frames = watcher.job(&job).await;
    assert_eq!(numbers(&frames), [1]);
    assert!(frames[0]["payload"]["result_id"].is_string());

    // An agent that streams for a submitter who did not: the job says so.
    let frames = run(&mut plain, "chunker", input).await;
    let end = &frames.last().unwrap()["payload"];
    assert_eq!(end["code"], "INVALID_REQUEST");
    assert_eq!(end["details"]["feature"], "result_chunk");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_negotiated_does_not_fill_the_window() {
    let config = Config::default().with(|c| c.window = 8);
    let mut plain = memories(&config).open(ALICE, &["ack"]).await;
    plain.works().await;
    plain.ack(1).await;
    let frames = run(&mut plain, "progress", json!(1000)).await;
    assert_eq!(frames.last().unwrap()["payload"]["result"], 1000);
}

#[tokio::test(start_paused = true)]
async fn bad_input_43_t110_progress_is_a_number_that_is_not_negative_and_may_pass_its_total() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    let frames = run(&mut peer, "counts", Value::Null).await;
    let said = frames.last().unwrap()["payload"]["result"].as_array().unwrap().clone();
    assert!(said.len() == 8 && said.iter().all(|code| code == "INVALID_REQUEST"), "{said:?}");
    let bodies: Vec<_> = frames
        .iter()
        .filter(|frame| frame["payload"]["kind"] == "progress")
        .map(|f| &f["payload"]["body"])
        .collect();
    let wanted = [
        json!({ "current": 0, "total": 0 }),
        json!({ "current": 0.5 }),
        json!({ "current": 120, "total": 100 }),
    ];
    assert_eq!(bodies, wanted.iter().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn t109_a_value_that_is_returned_beside_a_streamed_result_is_not_sent() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    let frames = run(&mut peer, "both", Value::Null).await;
    let end = &frames.last().unwrap()["payload"];
    let (chunks, whole) = assembled(&frames);
    assert_eq!(whole, b"streamed");
    assert_eq!(chunks.iter().map(|chunk| chunk.chunk_seq).collect::<Vec<_>>(), [0]);
    assert_eq!(end["result_id"], chunks[0].result_id.as_str());
    assert!(end.get("result").is_none() && end.get("output").is_none(), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_was_given_up_half_way_goes_with_the_next_one() {
    let config = Config::default().with(|c| (c.window, c.chunk_bytes) = (4, 400));
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    peer.ack(0).await;
    let job = peer.submit("hasty", Value::Null).await;
    let mut frames = peer.during(Duration::from_secs(5)).await;
    assert!(frames.len() < 10, "the agent waits");
    while !frames.last().is_some_and(is_terminal) {
        peer.ack(frames.last().unwrap()["event_seq"].as_u64().unwrap()).await;
        frames.push(peer.pick(|frame| frame["job_id"] == job).await);
    }
    let mut whole = Assembler::default();
    for frame in frames.iter().filter(|frame| frame["payload"]["kind"] == "result_chunk") {
        let chunk: ResultChunk = serde_json::from_value(frame["payload"]["body"].clone()).unwrap();
        whole.push(&chunk, 1 << 20).unwrap();
    }
    assert!(whole.finish().unwrap() == [[1; 3000], [2; 3000]].concat());
}
