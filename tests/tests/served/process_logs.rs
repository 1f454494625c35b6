//! What programs that run as agents print beside their frames.
#![cfg(unix)]

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::process_agents::{Hosting, child, events, until};

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Logged {
    fn lines(&self, of: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(of)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_a_program_prints_beside_its_frames_is_logged_within_bounds_and_ends_nothing() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().with_writer(logged.clone()).with_ansi(false);
    let _guard = tracing::subscriber::set_default(subscriber.with_max_level(tracing::Level::INFO).finish());

    let hosting = Hosting::of(&child("prints"), |_| {}).await;
    hosting.pid().await;
    until("all of it is logged", || logged.lines(r"said \\u{1b}[31mloudly").len() == 5).await;
    hosting.stop().await;
    for words in ["number 4", "JSON that is no frame", "no UTF-8: \u{fffd}", "xxxxx…"] {
        assert!(!logged.lines(words).is_empty(), "{words}");
    }
    assert!(logged.lines("").iter().all(|line| line.len() < 1400 && !line.contains('\u{1b}')));

    // Without end, and still every event arrives.
    logged.0.lock().unwrap().clear();
    let begun = Instant::now();
    let hosting = Hosting::of(&child("floods"), |_| {}).await;
    let mut job = hosting.submit("chatty", json!({ "count": 500, "delay_ms": 1 })).await;
    let told = events(&mut job).await;
    assert_eq!(told.len(), 500);
    job.result().await.unwrap();
    hosting.stop().await;
    let most = 100.0 + 20.0 * begun.elapsed().as_secs_f64();
    let printed = logged.lines("printed what is no frame").len() + logged.lines(" said ").len();
    let printed = f64::from(u32::try_from(printed).unwrap());
    assert!((20.0..2.0 * most).contains(&printed), "{printed} of at most {most}");
    assert!(!logged.lines("said more lines than are logged").is_empty());
}
