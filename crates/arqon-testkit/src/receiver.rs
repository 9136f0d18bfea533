//! An HTTP receiver of webhooks that writes down what it is sent, and a check of signatures that shares no code with the
//! server: SHA-256 and HMAC written out here, held to the vectors of their standards.
//!
//! Invariant: what a request says is kept as it came, before it is answered.

mod sha256;

use crate::wait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line.
    pub line: String,
    /// Headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body of a webhook is JSON")
    }

    /// Whether the signature is that of Standard Webhooks with this secret (`whsec_…`).
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let key = key.expect("a secret is `whsec_` and base64");
        let (id, time) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let content = [id.as_bytes(), b".", time.as_bytes(), b".", &self.body].concat();
        let expected = format!("v1,{}", STANDARD.encode(sha256::hmac(&key, &content)));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    answers: VecDeque<&'static str>,
}

/// A receiver on a port of its own. It answers 204, or what it was told to.
pub struct Receiver {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
}

impl Receiver {
    /// Starts one on 127.0.0.1.
    ///
    /// # Panics
    /// When this machine has no port left.
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let (state, over) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (kept, until) = (state.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if until.load(Ordering::SeqCst) {
                    return;
                }
                // A sender that was killed half-way has sent nothing.
                let _ = serve(stream, &kept);
            }
        });
        Receiver { addr, state, over }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its URL with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Answers the next requests with these status lines, such as `503 Service Unavailable`; headers may follow after `\r\n`.
    pub fn answer(&self, answers: &[&'static str]) {
        self.state().answers.extend(answers);
    }

    /// What has come so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Waits until so many have come.
    ///
    /// # Panics
    /// When they have not within the limit.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Request> {
        let what = format!("{count} requests at the receiver");
        wait::until(&what, limit, || Some(self.requests()).filter(|list| list.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // The thread waits for a connection, and ends at this one.
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut text = String::new();
        // A head that ends before its empty line is a request that was cut off.
        if reader.read_line(&mut text)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = text.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(Request { line: line.trim_end().to_owned(), headers, body });
        state.answers.pop_front().unwrap_or("204 No Content")
    };
    write!(&stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(signature: &str) -> Request {
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Request { line: String::new(), headers, body: br#"{"test": 2432232314}"#.to_vec() }
    }

    #[test]
    fn the_example_of_standard_webhooks_is_good_and_any_other_is_not() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(signed(good).is_signed_by(secret));
        assert!(signed(&format!("v1,AAAA {good}")).is_signed_by(secret));
        assert!(!signed(good).is_signed_by("whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        assert!(!signed("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=").is_signed_by(secret));
        let mut changed = signed(good);
        changed.body.push(b' ');
        assert!(!changed.is_signed_by(secret));
    }
    #[test]
    fn a_request_that_was_cut_off_is_none() {
        let receiver = Receiver::start();
        let cut =
            ["", "POST / HTTP/1.1\r\nwebhook-id: x\r\n", "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab"];
        for text in cut.into_iter().chain(["POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"]) {
            let mut stream = TcpStream::connect(receiver.addr).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _closed_or_answered = stream.read_to_end(&mut Vec::new());
        }
        let requests = receiver.requests();
        assert_eq!((requests.len(), &requests[0].body[..]), (1, &b"{}"[..]));
    }
}
