//! A real server on a free port over a data directory of its own, without a model, and a client for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::Value;
use sightline::config::Config;
use sightline::http::{Service, serve};
use sightline_index::{Engine, Guard, KeyRing, NewKey, Options, Scope, Timestamp};
use sightline_ingest::{Embedder, Limits, Pipeline, Reranker, Sandbox};
use tempfile::TempDir;
use tokio::sync::oneshot;
use ureq::Agent;

/// A server with a key that may do everything.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) key: String,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let server = Server::start();
        let key = server.master();
        Scene { server, key }
    }
}

/// A running server; it stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
    agent: Agent,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with(|_| {})
    }

    pub(crate) fn with(settings: impl FnOnce(&mut Config)) -> Server {
        Server::over(TempDir::new().unwrap(), settings)
    }

    pub(crate) fn over(dir: TempDir, settings: impl FnOnce(&mut Config)) -> Server {
        let mut config = Config { data: dir.path().to_owned(), embedder_instances: 0, ..Config::default() };
        settings(&mut config);
        let engine = Arc::new(Engine::open(dir.path(), &Options::default()).unwrap());
        let pipeline = Pipeline::new(engine, None, Limits::default(), Sandbox::in_process());
        let open = |dir: &PathBuf| Arc::new(Reranker::open(dir, Embedder::find(None).as_deref(), 1).unwrap());
        let reranker = config.reranker.as_ref().map(open);
        let service = Arc::new(Service::new(pipeline, config).with_reranker(reranker).with_model().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let shutdown = async {
                    let _dropped = stopped.await;
                };
                serve(service, listener, shutdown).await.unwrap();
            });
        });
        let agent = Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build().into();
        Server { address: told.recv().unwrap(), dir, agent, stop: Some(stop), thread: Some(thread) }
    }

    /// Makes a key with these scopes, beside the running server.
    pub(crate) fn key(&self, scopes: &[Scope]) -> String {
        self.narrow_key(scopes, Guard::default()).1
    }

    /// Makes a narrowed key; returns its id and secret.
    pub(crate) fn narrow_key(&self, scopes: &[Scope], guard: Guard) -> (String, String) {
        let scopes = scopes.iter().copied().collect();
        let key = NewKey { owner: "tests".to_owned(), purpose: "a test".to_owned(), scopes, guard, expires_at: None };
        let (record, secret) = self.ring().create(&key, Timestamp::now()).unwrap();
        (record.id, secret)
    }

    /// A key that may do everything, for setting the scene.
    pub(crate) fn master(&self) -> String {
        self.key(&[Scope::Search, Scope::Ingest, Scope::Admin, Scope::AssertUser])
    }

    pub(crate) fn ring(&self) -> KeyRing {
        KeyRing::open(self.dir.path()).unwrap()
    }

    pub(crate) fn call<'a>(&'a self, method: &'a str, path: &str) -> Call<'a> {
        Call { agent: &self.agent, method, uri: format!("http://{}{path}", self.address), headers: Vec::new(), body: Vec::new() }
    }

    /// Puts a document and expects that it was taken.
    pub(crate) fn put(&self, key: &str, path: &str, document: Value) -> Value {
        let answer = self.call("PUT", &format!("/v1/documents/{path}")).key(key).json(&document).send();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.value()
    }

    /// Searches by keyword and returns the documents of the hits in order.
    pub(crate) fn found(&self, key: &str, user: Option<&str>, query: &str) -> Vec<String> {
        let body = serde_json::json!({ "query": query, "mode": "keyword" });
        let call = self.call("POST", "/v1/search").key(key).json(&body);
        let answer = match user {
            Some(user) => call.header("sightline-user", user).send(),
            None => call.send(),
        };
        assert_eq!(answer.status, 200, "{}", answer.body);
        let hits = answer.value()["hits"].as_array().unwrap().clone();
        hits.iter().map(|hit| hit["citation"]["document"].as_str().unwrap().to_owned()).collect()
    }

    /// Stops the server and gives back its data directory.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.dir, TempDir::new().unwrap())
    }

    fn end(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            // Idle connections would keep the server waiting for its grace.
            self.agent = Agent::new_with_defaults();
            let _already_stopped = stop.send(());
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A request that is being made.
pub(crate) struct Call<'a> {
    agent: &'a Agent,
    method: &'a str,
    uri: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn key(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().as_bytes())
    }

    pub(crate) fn body(mut self, media_type: &str, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("content-type", media_type)
    }

    pub(crate) fn send(self) -> Answer {
        let mut request = ureq::http::Request::builder().method(self.method).uri(&self.uri);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        let request = request.body(self.body).unwrap();
        let request = self.agent.configure_request(request).http_status_as_error(false).build();
        let mut response = self.agent.run(request).unwrap();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
        let body = response.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        Answer { status: response.status().as_u16(), headers, body }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Asserts that this is a whole problem with this status and code.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.value();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        assert_eq!(self.header("x-request-id"), problem["request_id"].as_str());
        assert_eq!(self.header("www-authenticate"), (status == 401).then_some("Bearer"));
    }

    /// Everything that a client sees, without what differs between any two answers.
    pub(crate) fn observable(&self) -> (u16, Vec<(String, String)>, String) {
        let id = self.header("x-request-id").unwrap();
        let headers = self.headers.iter().filter(|(name, _)| name != "x-request-id" && name != "date").cloned().collect();
        (self.status, headers, self.body.replace(id, "ID"))
    }
}
