//! A web server on loopback that answers as it is told and remembers what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::HeaderMap;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Answering = Arc<Mutex<Box<dyn Fn(&str) -> Response + Send>>>;

/// Ends with its value.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    answering: Answering,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    /// Starts to answer each path as the function says.
    pub(super) async fn start(answering: impl Fn(&str) -> Response + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering: Answering = Arc::new(Mutex::new(Box::new(answering)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = {
            let (answering, asked) = (answering.clone(), asked.clone());
            move |request: Request| {
                let target = request.uri().path_and_query().unwrap().to_string();
                asked.lock().push((target.clone(), request.headers().clone()));
                let answer = answering.lock()(&target);
                std::future::ready(answer)
            }
        };
        let app = axum::Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, answering, asked, serving }
    }

    pub(super) fn answer(&self, answering: impl Fn(&str) -> Response + Send + 'static) {
        *self.answering.lock() = Box::new(answering);
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns how often it was asked.
    pub(super) fn count(&self) -> usize {
        self.asked.lock().len()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(path, _)| path.clone()).collect()
    }

    /// Returns a header of the last request.
    pub(super) fn last(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock();
        let (_, headers) = asked.last().expect("it was asked");
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.asked.lock().iter().any(|(_, headers)| headers.contains_key(name))
    }
}

/// Makes an answer.
pub(super) fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut reply = Response::builder().status(status);
    for (name, value) in headers {
        reply = reply.header(*name, *value);
    }
    reply.body(body.into()).unwrap()
}
