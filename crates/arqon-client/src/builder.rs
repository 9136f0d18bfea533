//! How a client is made: where to, as whom, and how patient.

use crate::client::Client;
use crate::credentials::Credentials;
use crate::dial::Dial;
use crate::driver::Driver;
use crate::endpoint::DEFAULT_URL;
use crate::environment::SystemEnvironment;
use crate::shared::{Shared, State};
use crate::socket::Tls;
use crate::{Endpoint, Error, Result};
use arqon_core::env::Env;
use arqon_core::{AgentId, address};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long messages are kept trying that a server refuses for now, when the client itself never gives up.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where the token comes from.
#[derive(Clone)]
pub(crate) enum Token {
    /// It was given.
    Given(String),
    /// `ARQON_TOKEN`, else the credentials file.
    Found,
    /// There is none.
    Absent,
}

impl Token {
    pub(crate) fn find(&self, endpoint: &Endpoint) -> Result<Option<String>> {
        match self {
            Token::Given(token) => Ok(Some(token.clone())),
            Token::Absent => Ok(None),
            Token::Found => match std::env::var("ARQON_TOKEN") {
                Ok(token) if !token.is_empty() => Ok(Some(token)),
                _ => from_file(endpoint),
            },
        }
    }
}

fn from_file(endpoint: &Endpoint) -> Result<Option<String>> {
    let Some(path) = Credentials::default_path() else { return Ok(None) };
    let read = Credentials::read(&path).map_err(|e| {
        let hint = "remove it and restart the server, which writes it again; or pass --token \"$(cat DATA/identity/owner-token)\"";
        let message = format!("cannot read the credentials in {}: {e}", path.display());
        Error::Refused(arqon_core::Error::invalid("token", message).with_hint(hint))
    })?;
    Ok(read.find(endpoint).map(|entry| entry.token.clone()))
}

/// What the driver needs to know.
pub(crate) struct Settings {
    pub(crate) token: Token,
    pub(crate) user_agent: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) retry_for: Option<Duration>,
    pub(crate) wait: bool,
    pub(crate) way: Way,
}

/// How the server is reached.
pub(crate) enum Way {
    /// By the network.
    Network(Tls),
    /// By streams that somebody else makes.
    Dialled(Arc<dyn Dial>),
}

/// Makes a [`Client`].
#[derive(Clone)]
pub struct Builder {
    url: String,
    token: Token,
    name: Option<String>,
    agent: Option<(String, Vec<String>)>,
    authorities: Option<PathBuf>,
    connect_timeout: Duration,
    retry_for: Option<Duration>,
    wait: bool,
    env: Option<Env>,
    dialler: Option<Arc<dyn Dial>>,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        Builder {
            url: if url.is_empty() { DEFAULT_URL.to_owned() } else { url.to_owned() },
            token: Token::Found,
            name: None,
            agent: None,
            authorities: None,
            connect_timeout: Duration::from_secs(10),
            retry_for: Some(Duration::from_secs(60)),
            wait: false,
            env: None,
            dialler: None,
        }
    }

    /// The token. Without it: `ARQON_TOKEN`, then the credentials file that a local server leaves.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Token::Given(token.into());
        self
    }

    /// No token at all, whatever the environment says.
    #[must_use]
    pub fn no_token(mut self) -> Self {
        self.token = Token::Absent;
        self
    }

    /// A name for the server's logs.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Registers as an agent with these skills, on every connection.
    #[must_use]
    pub fn agent(
        mut self,
        agent: impl Into<String>,
        skills: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.agent = Some((agent.into(), skills.into_iter().map(Into::into).collect()));
        self
    }

    /// A PEM file of certificate authorities to trust besides the public ones.
    #[must_use]
    pub fn authorities(mut self, path: impl Into<PathBuf>) -> Self {
        self.authorities = Some(path.into());
        self
    }

    /// How long one attempt to connect may take. Default 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to keep trying after a connection was lost, or while a server refuses messages for now, before
    /// everything that waits fails. `None` is forever. Default 60 s.
    #[must_use]
    pub fn retry_for(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.retry_for = limit.into();
        self
    }

    /// Whether the first connection too is tried for as long as [`Builder::retry_for`] says, rather than once.
    #[must_use]
    pub fn wait_for_server(mut self, wait: bool) -> Self {
        self.wait = wait;
        self
    }

    /// Another world than the system's clocks, randomness and tasks.
    #[must_use]
    pub fn environment(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// Reaches the server over streams of another kind than TCP, with no token: whoever makes them says who comes.
    #[must_use]
    pub fn dialler(mut self, dialler: Arc<dyn Dial>) -> Self {
        self.dialler = Some(dialler);
        self.no_token()
    }

    /// Connects. The client comes back by itself from then on.
    ///
    /// # Errors
    /// The URL, the token or the agent's name is wrong; nobody answers; or the server refuses.
    pub async fn connect(self) -> Result<Client> {
        let endpoint = Endpoint::parse(&self.url)?;
        let agent = self.agent.map(|(id, skills)| read_agent(&id, skills)).transpose()?;
        let version = env!("CARGO_PKG_VERSION");
        let name = self.name.map_or_else(String::new, |name| format!(" ({name})"));
        let settings = Settings {
            token: self.token,
            user_agent: format!("arqon-client/{version}{name}"),
            connect_timeout: self.connect_timeout,
            retry_for: self.retry_for,
            wait: self.wait,
            way: match self.dialler {
                Some(dialler) => Way::Dialled(dialler),
                None => Way::Network(Tls::new(self.authorities.as_deref())?),
            },
        };
        let env = self.env.unwrap_or_else(|| SystemEnvironment::new().env());
        let state = State::new(self.retry_for.unwrap_or(FOREVER), agent);
        let shared = Arc::new(Shared::new(env, endpoint, state));
        let client = Client::new(shared.clone());
        let (first, connected) = oneshot::channel();
        let driver = Driver { shared: shared.clone(), settings, last_token: Mutex::default() };
        shared.env.spawner.spawn("arqon-client", Box::pin(driver.run(first)));
        connected.await.map_err(|_| Error::Closed)??;
        Ok(client)
    }

    /// Asks the server over plain HTTP, such as `/ready`: the status and the body.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    pub async fn probe(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let endpoint = Endpoint::parse(&self.url)?;
        let tls = Tls::new(self.authorities.as_deref())?;
        let token = self.token.find(&endpoint)?;
        let env = self.env.clone().unwrap_or_else(|| SystemEnvironment::new().env());
        let limit = (&*env.clock, self.connect_timeout);
        let asked = crate::socket::get(&endpoint, &tls, (path, token.as_deref()), limit).await;
        asked.map_err(|failure| failure.at(&endpoint))
    }

    /// The token that would be used for this server.
    ///
    /// # Errors
    /// The URL is wrong, or the credentials file cannot be read.
    pub fn find_token(&self) -> Result<Option<String>> {
        self.token.find(&Endpoint::parse(&self.url)?)
    }
}

/// Checks an agent's name and skills.
pub(crate) fn read_agent(id: &str, skills: Vec<String>) -> Result<(AgentId, Vec<String>)> {
    let agent = AgentId::parse(id)?;
    match skills.iter().find(|skill| !address::is_segment(skill)) {
        Some(bad) => {
            let message = format!("`{bad}` is not a name: expected 1–64 letters, digits, `.`, `_` or `-`");
            Err(arqon_core::Error::invalid("skills", message).into())
        }
        None => Ok((agent, skills)),
    }
}
