//! sizes
use arcp_tower::*;
#[tokio::main]
async fn main() {
    let rt = Runtime::builder().build().unwrap().layer(AuthLayer::new(BearerTokens::new([("a","b")])));
    let (a, b) = arcp_tower::core::transport::memory(1);
    let _ = &b;
    let f = serve(a, rt.clone(), http::Extensions::new(), Config::default());
    println!("serve(memory) {}", std::mem::size_of_val(&f));
    println!("config {}", std::mem::size_of::<Config>());
    let (x, _y) = tokio::io::duplex(64);
    let ws = arcp_tower::core::transport::WebSocket::server(x, Config::default().ws_limits()).await;
    println!("ws {}", std::mem::size_of_val(&ws));
    let f = serve(ws, rt.clone(), http::Extensions::new(), Config::default());
    println!("serve(ws duplex) {}", std::mem::size_of_val(&f));
    println!("upgraded {}", std::mem::size_of::<hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>>());
    println!("envelope {}", std::mem::size_of::<arcp_tower::core::Envelope>());
}
