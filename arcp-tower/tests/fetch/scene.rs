//! Servers on loopback, names that lead to them, and what they saw.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arcp_tower::core::{Code, Error};
use arcp_tower::operation::Granted;
use arcp_tower::operation::fetch::{Fetcher, FetcherBuilder, Resolve, Resolved};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An HTTP server; it ends with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Request<Bytes>>>>,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicUsize>,
    /// Connections that there were.
    pub(crate) opened: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub(crate) async fn start(
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer, |socket| ready(Some(socket)))
    }

    /// Where `listener` is, with `secure` around each connection.
    pub(crate) fn on<S, F>(
        listener: TcpListener,
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
        secure: impl Fn(tokio::net::TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Request<Bytes>>>>::default();
        let (open, opened) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (log, answer) = (seen.clone(), Arc::new(answer));
        let (now, all) = (open.clone(), opened.clone());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (log, answer, now) = (log.clone(), answer.clone(), now.clone());
                all.fetch_add(1, Ordering::SeqCst);
                now.fetch_add(1, Ordering::SeqCst);
                let socket = secure(socket);
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let (log, answer) = (log.clone(), answer.clone());
                        async move {
                            let (parts, body) = request.into_parts();
                            let body = body.collect().await?.to_bytes();
                            let request = Request::from_parts(parts, body);
                            let response = answer(&request).map(Full::new);
                            log.lock().unwrap().push(request);
                            Ok::<_, hyper::Error>(response)
                        }
                    });
                    if let Some(socket) = socket.await {
                        let connection = hyper::server::conn::http1::Builder::new();
                        let _ = connection.serve_connection(TokioIo::new(socket), service).await;
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen, open, opened, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://<name>:<port><path>`
    pub(crate) fn url(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{}{path}", self.port())
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

pub(crate) fn hello(_: &Request<Bytes>) -> Response<Bytes> {
    Response::new(Bytes::from_static(b"hello"))
}

/// What names have, answer by answer; the last one stays. An unknown name has no address.
#[derive(Clone, Default)]
pub(crate) struct Names {
    answers: Arc<Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>>,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// `name` is 127.0.0.1.
    pub(crate) fn local(names: &[&str]) -> Self {
        names.iter().fold(Self::default(), |all, name| all.and(name, &[&["127.0.0.1"]]))
    }

    pub(crate) fn and(self, name: &str, answers: &[&[&str]]) -> Self {
        let addresses = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().map(addresses).collect());
        self
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> Resolved {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get_mut(host) {
            Some(answers) if answers.len() > 1 => Ok(answers.pop_front().unwrap()),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::Error::other("no such name")),
        };
        Box::pin(ready(answer))
    }
}

/// Reaches 127.0.0.1, and nothing else that is not public.
pub(crate) fn local(names: &Names) -> FetcherBuilder {
    Fetcher::builder().allow("127.0.0.1").unwrap().resolver(names.clone())
}

pub(crate) fn all() -> Granted {
    Granted::new(|_: &str| true)
}

pub(crate) async fn fetch(fetcher: &Fetcher, url: &str) -> Result<Response<Bytes>, Error> {
    fetcher.fetch(Request::get(url).body(Bytes::new()).unwrap(), &all()).await
}

pub(crate) fn reason(error: &Error) -> String {
    let details: Value = serde_json::from_str(error.details().unwrap().as_str()).unwrap();
    details["reason"].as_str().unwrap_or_default().to_owned()
}

/// That something was refused, with this code and reason.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, code: Code, why: &str) {
    let error = answer.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (code, why), "{error}");
}
