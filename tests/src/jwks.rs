//! A server of a key set, on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// What it answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200 with this body.
    Keys(String),
    /// A body of so many bytes; whether its length is told before.
    Long(usize, bool),
    /// A redirect to this address.
    Redirect(String),
    /// Another status.
    Status(u16),
    /// Nothing, for ever.
    Silence,
}

/// A server of a key set. It stops when it is dropped.
#[derive(Debug)]
pub struct JwksServer {
    address: SocketAddr,
    scheme: &'static str,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
    served: JoinHandle<()>,
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl JwksServer {
    /// Serves a key set over HTTP.
    pub async fn start(keys: String) -> Self {
        Self::over(keys, None).await
    }

    /// Serves a key set over TLS, with a certificate of `authority`.
    pub async fn secure(keys: String, authority: &Authority) -> Self {
        Self::over(keys, Some(authority.server().into())).await
    }

    async fn over(keys: String, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (answer, requests) = (Arc::new(Mutex::new(Answer::Keys(keys))), Arc::<AtomicUsize>::default());
        let (says, counts) = (answer.clone(), requests.clone());
        let served = tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                let (tls, says, counts) = (tls.clone(), says.clone(), counts.clone());
                tokio::spawn(async move {
                    let answer = || {
                        counts.fetch_add(1, Ordering::SeqCst);
                        says.lock().unwrap().clone()
                    };
                    match tls {
                        None => serve(io, answer).await,
                        Some(tls) => match tls.accept(io).await {
                            Ok(io) => serve(io, answer).await,
                            Err(_) => Some(()),
                        },
                    }
                });
            }
        });
        Self { address, scheme, answer, requests, served }
    }

    /// Where the key set is.
    pub fn url(&self) -> String {
        format!("{}://localhost:{}/jwks.json", self.scheme, self.address.port())
    }

    /// What it answers from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers one request.
async fn serve<T>(mut io: T, answer: impl FnOnce() -> Answer) -> Option<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    let text = match answer() {
        Answer::Keys(keys) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len()),
        Answer::Redirect(to) => format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Status(status) => format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n"),
        Answer::Silence => std::future::pending().await,
        Answer::Long(bytes, told) => {
            let length = if told { format!("content-length: {bytes}\r\n") } else { String::new() };
            // As JSON it would be good.
            let spaces = " ".repeat(bytes - 11);
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n{{\"keys\":[]}}{spaces}")
        }
    };
    io.write_all(text.as_bytes()).await.ok()?;
    io.shutdown().await.ok()
}
