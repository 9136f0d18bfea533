//! The HTTP door: routes from the table of operations, messages posted one by one, long polls.

use super::http::{self, encode};
use super::{Refusal, Seen};
use arqon_core::operations::{self, Method};
use serde_json::Value;

/// Where to, and as whom.
pub struct Rest {
    host: String,
    token: String,
}

impl Rest {
    pub(super) fn open(url: &str, token: &str) -> Rest {
        Rest { host: url.trim_start_matches("http://").to_owned(), token: token.to_owned() }
    }

    pub(super) async fn publish(&self, address: &str, payload: &str) -> Result<String, Refusal> {
        let body = format!(r#"{{"to":"{address}","payload":{payload}}}"#);
        let answer = self.ask("POST", "/api/v1/messages", &body).await?;
        Ok(answer["position"].as_str().expect("a confirmation has a position").to_owned())
    }

    pub(super) async fn read(&self, pattern: &str, from: &str, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut next = from.to_owned();
        while seen.len() < count {
            let path = format!(
                "/api/v1/poll?pattern={}&from={}&limit={}&wait_ms=20000",
                encode(pattern),
                encode(&next),
                count - seen.len()
            );
            let answer = self.ask("GET", &path, "").await.expect("the poll is granted");
            assert_eq!(answer["gaps"], serde_json::json!([]), "nothing is missing here");
            let messages = answer["messages"].as_array().expect("a poll answers with messages");
            assert!(!messages.is_empty(), "waited in vain for {count} messages, got {}", seen.len());
            seen.extend(messages.iter().map(read_envelope));
            next = answer["next"].as_str().expect("a poll says where to go on").to_owned();
        }
        seen
    }

    pub(super) async fn call(&self, name: &str, args: Value) -> Result<Value, Refusal> {
        let operation = operations::find(name).expect("the operation exists");
        let route = operation.route.expect("only operations with a route are called over HTTP");
        let mut args = args.as_object().expect("arguments are an object").clone();
        let mut path = String::new();
        for part in route.path.split('/').skip(1) {
            path.push('/');
            match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(arg) => path.push_str(&encode(&text(&args.remove(arg).expect("the path needs it")))),
                None => path.push_str(part),
            }
        }
        let (method, in_query) = match route.method {
            Method::Get => ("GET", true),
            Method::Delete => ("DELETE", true),
            Method::Post => ("POST", false),
            Method::Put => ("PUT", false),
        };
        if !in_query {
            return self.ask(method, &path, &Value::Object(args).to_string()).await;
        }
        let query: Vec<String> =
            args.iter().map(|(name, value)| format!("{name}={}", encode(&text(value)))).collect();
        self.ask(method, &format!("{path}?{}", query.join("&")), "").await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value, Refusal> {
        let (status, answer) = http::ask(&self.host, &self.token, method, path, body).await;
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{status}: not JSON: {answer}"));
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let error = &answer["error"];
        let code = error["code"].as_str().expect("a refusal has a code").to_owned();
        Err(Refusal { code, field: error["details"]["field"].as_str().map(str::to_owned) })
    }
}

fn read_envelope(envelope: &Value) -> Seen {
    let text = |name: &str| envelope[name].as_str().expect("an envelope has it").to_owned();
    let address = format!("{}:{}", text("room"), text("channel"));
    Seen { position: text("position"), address, payload: envelope["payload"].clone() }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
