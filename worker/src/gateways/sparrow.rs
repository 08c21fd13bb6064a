//! Sparrow SMS: its settings and its client. Its codes are in [`hulak_common::gateway_codes::sparrow`], where the console reads
//! them, too.
//!
//! Source: the gateway's public documentation (repository sparrowsms/apidocs), and answers seen in public client code.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use hulak_common::gateway_codes::sparrow::CODES;
use hulak_common::gateway_codes::{GatewayCode, KnownCode, Refused};
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::DeliveryFault;
use hulak_runtime::settings::{Environment, SettingError};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::gateway::{Gateway, Probe, SendResult};

/// An answer is a line of JSON; a larger one is not read to its end.
const MAX_ANSWER: usize = 64 * 1024;
/// How much of an unexpected answer goes to the log.
const LOGGED: usize = 200;
/// The longest `Retry-After` that is followed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The gateway's API unless another address is set.
const API: &str = "https://api.sparrowsms.com/v2";

/// Sparrow's settings, besides the token.
#[derive(Debug, Clone, Args)]
pub struct SparrowArgs {
    /// The gateway's base address.
    #[arg(long, env = "HULAK_SPARROW_URL", hide_env_values = true)]
    sparrow_url: Option<Url>,
    /// The sender identity given by the gateway.
    #[arg(long, env = "HULAK_SPARROW_FROM", hide_env_values = true)]
    sparrow_from: Option<String>,
}

impl SparrowArgs {
    /// Whether a real account is set: its token, or another address for the API.
    ///
    /// # Errors
    /// When the token cannot be read.
    pub fn are_set(&self, environment: Environment) -> Result<bool, SettingError> {
        Ok(self.sparrow_url.is_some() || environment.secret("HULAK_SPARROW_TOKEN")?.is_some())
    }

    /// The client's configuration from these settings.
    ///
    /// # Errors
    /// When the token or the sender is missing, or the address is no http address.
    pub fn config(
        &self,
        environment: Environment,
        timeout: Duration,
        connections: usize,
    ) -> Result<SparrowConfig, SettingError> {
        let token =
            environment.required_secret("HULAK_SPARROW_TOKEN", "the account's token at the SMS gateway")?;
        let from = self.sparrow_from.clone().filter(|from| !from.is_empty());
        let from = from.ok_or_else(|| {
            SettingError::new("HULAK_SPARROW_FROM", "is not set: the sender identity given by the gateway")
        })?;
        let base = match &self.sparrow_url {
            Some(url) => url.clone(),
            None => Url::parse(API).map_err(|error| SettingError::new("HULAK_SPARROW_URL", error))?,
        };
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(SettingError::new("HULAK_SPARROW_URL", "must begin with https:// (or http://)"));
        }
        if base.scheme() == "http" {
            tracing::warn!("HULAK_SPARROW_URL is plain http: the token and the codes are sent unencrypted");
        }
        Ok(SparrowConfig { base, token, from, timeout, connections })
    }
}

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct SparrowConfig {
    /// The API's base, without a slash at its end.
    pub base: Url,
    /// The account's token.
    pub token: SecretString,
    /// The sender identity.
    pub from: String,
    /// How long a call may take, the connection included.
    pub timeout: Duration,
    /// Connections kept for reuse.
    pub connections: usize,
}

impl SparrowConfig {
    /// A client of the simulator at this address.
    ///
    /// # Errors
    /// When the address makes no URL.
    pub fn simulated(
        simulator: SocketAddr,
        timeout: Duration,
        connections: usize,
    ) -> Result<Self, SettingError> {
        let base = Url::parse(&format!("http://{simulator}/v2"));
        let base = base.map_err(|error| SettingError::new("HULAK_SANDBOX_ADDR", error))?;
        Ok(Self {
            base,
            token: "simulated".to_owned().into(),
            from: "Hulak".to_owned(),
            timeout,
            connections,
        })
    }
}

/// A client of the gateway.
#[derive(Debug)]
pub struct Sparrow {
    http: Client,
    sms: Url,
    credit: Url,
    config: SparrowConfig,
}

/// The answer about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Body {
    /// 200, or one of [`CODES`].
    #[serde(deserialize_with = "number")]
    response_code: i32,
    /// How many messages were accepted.
    #[serde(default, deserialize_with = "some_number")]
    count: Option<i32>,
}

/// The answer about credits.
#[derive(Deserialize)]
struct Credit {
    #[serde(deserialize_with = "number")]
    response_code: i32,
    credits_available: Option<f64>,
}

/// A number, or a text of one: both are seen in answers.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(i32),
        Text(String),
    }
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(number) => Ok(number),
        NumberOrText::Text(text) => text.trim().parse().map_err(D::Error::custom),
    }
}

/// The same, where anything else says nothing.
fn some_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(number(value).ok())
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}/", base.path().trim_end_matches('/')));
    url
}

/// Chooses the TLS implementation for the whole process; a second call changes nothing.
pub fn install_tls() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

impl Sparrow {
    /// Prepares a client; nothing is connected yet.
    ///
    /// # Errors
    /// When the TLS backend cannot be set up.
    pub fn new(config: SparrowConfig) -> Result<Self, reqwest::Error> {
        install_tls();
        let http = Client::builder()
            .timeout(config.timeout)
            // Shorter than the whole call: only a failed connection proves that nothing was sent.
            .connect_timeout((config.timeout / 2).min(Duration::from_secs(5)))
            .pool_max_idle_per_host(config.connections)
            // Shorter than servers commonly keep idle connections: a request written to a connection that the server is
            // just closing would have an unknown outcome.
            .pool_idle_timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("hulak/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, sms: below(&config.base, "sms"), credit: below(&config.base, "credit"), config })
    }
}

#[async_trait]
impl Gateway for Sparrow {
    async fn send(&self, to: PhoneNumber, text: &SecretString) -> SendResult {
        let national = to.national();
        // A form-encoded POST: a GET would put the token and the code into the logs of proxies.
        let form = [
            ("token", self.config.token.expose_secret()),
            ("from", self.config.from.as_str()),
            ("to", national.as_str()),
            ("text", text.expose_secret()),
        ];
        match self.http.post(self.sms.clone()).form(&form).send().await {
            Ok(response) => classify(response).await,
            Err(error) if error.is_connect() || error.is_builder() => {
                tracing::info!(error = %root(&error), "the gateway cannot be reached");
                SendResult::NotNow { retry_after: None }
            }
            Err(error) => {
                tracing::info!(error = %root(&error), "the gateway did not answer");
                SendResult::Unknown
            }
        }
    }

    async fn probe(&self) -> Probe {
        let token = [("token", self.config.token.expose_secret())];
        let Ok(response) = self.http.get(self.credit.clone()).query(&token).send().await else {
            return Probe::NoAnswer;
        };
        let status = response.status();
        match read(response).await.map(|text| serde_json::from_str::<Credit>(&text)) {
            Some(Ok(Credit { response_code: 200, credits_available: credits })) if status.is_success() => {
                Probe::Good { credits }
            }
            Some(Ok(Credit { response_code, .. })) => refused_account(response_code.into()),
            _ => Probe::NoAnswer,
        }
    }
}

/// The innermost cause: reqwest's own text adds only the address.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { "timeout".to_owned() } else { cause.to_string() }
}

async fn read(mut response: Response) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

async fn classify(response: Response) -> SendResult {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let text = read(response).await;
    let answer = judge(status.as_u16(), text.as_deref().and_then(body), retry_after);
    match answer {
        SendResult::Accepted | SendResult::Refused(_) | SendResult::AccountRefused { .. } => {}
        SendResult::NotNow { .. } | SendResult::Unknown => {
            let body = text.as_deref().map(masked).unwrap_or_default();
            tracing::info!(status = status.as_u16(), body, ?answer, "unexpected answer of the gateway");
        }
    }
    answer
}

/// The body of an answer, if it is one of this gateway.
fn body(text: &str) -> Option<Body> {
    serde_json::from_str(text).ok()
}

/// What a status and a body mean. Every status of success means the same, as relays before a gateway answer 201 or 202, too.
#[must_use]
pub fn judge(status: u16, body: Option<Body>, retry_after: Option<Duration>) -> SendResult {
    match (status, body, body.and_then(|body| refusal(body.response_code))) {
        // Said in so many words: nothing was sent.
        (200..=299, Some(Body { response_code: 200, count: Some(..=0) }), _) => {
            SendResult::NotNow { retry_after }
        }
        (200..=299, Some(Body { response_code: 200, .. }), _) => SendResult::Accepted,
        (200..=299 | 400..=499, _, Some(refusal)) => refusal,
        // The answer may come from a proxy, or after the message was passed on: the outcome is unknown.
        (100..=399 | 501 | 504..=599, ..) => SendResult::Unknown,
        _ => SendResult::NotNow { retry_after },
    }
}

/// What a documented code says about a message.
fn refusal(code: i32) -> Option<SendResult> {
    let code = GatewayCode::from(code);
    Some(match KnownCode::find(&CODES, code)?.refused {
        Refused::Receiver => SendResult::refused(DeliveryFault::InvalidReceiver, code),
        Refused::Message => SendResult::refused(DeliveryFault::InvalidMessage, code),
        Refused::Account | Refused::Credits => SendResult::AccountRefused { gateway_code: code },
    })
}

/// What a code says about the account.
fn refused_account(gateway_code: GatewayCode) -> Probe {
    match KnownCode::find(&CODES, gateway_code) {
        Some(KnownCode { refused: Refused::Credits, .. }) => Probe::OutOfCredits { gateway_code },
        _ => Probe::Refused { gateway_code },
    }
}

/// How long the gateway asks us to wait. A date is compared with the gateway's own clock, the answer's `Date`; without that
/// header it is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text(RETRY_AFTER)?;
    let wait = match asked.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(asked)?.duration_since(http_date(text(DATE)?)?).try_into().unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// The beginning of an answer with its digits masked: an echo of our request must not put a number or a code into the log.
fn masked(text: &str) -> String {
    text.chars().take(LOGGED).map(|c| if c.is_numeric() { '•' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, code: Option<i32>, retry_after: Option<Duration>) -> SendResult {
        super::judge(status, code.map(|response_code| Body { response_code, count: None }), retry_after)
    }

    #[test]
    fn every_documented_answer_has_its_meaning() {
        assert_eq!(judge(200, Some(200), None), SendResult::Accepted);
        for (fault, codes) in
            [(DeliveryFault::InvalidReceiver, [1007, 1011]), (DeliveryFault::InvalidMessage, [1000, 1010])]
        {
            for code in codes {
                assert_eq!(judge(403, Some(code), None), SendResult::refused(fault, code.into()));
            }
        }
        for code in [1001, 1002, 1003, 1004, 1005, 1006, 1008, 1012, 1013] {
            let refused = SendResult::AccountRefused { gateway_code: code.into() };
            assert_eq!(judge(403, Some(code), None), refused);
        }
        assert_eq!(refused_account(1012.into()), Probe::OutOfCredits { gateway_code: 1012.into() });
        for code in [1001, 1002, 1013, 1009] {
            assert_eq!(refused_account(code.into()), Probe::Refused { gateway_code: code.into() });
        }
        let wait = Some(Duration::from_secs(7));
        for (status, code) in
            [(429, None), (500, None), (502, None), (503, None), (403, None), (403, Some(1009)), (404, None)]
        {
            assert_eq!(
                judge(status, code, wait),
                SendResult::NotNow { retry_after: wait },
                "{status} {code:?}"
            );
        }
        for (status, code) in
            [(200, None), (200, Some(1009)), (301, None), (302, None), (504, None), (204, None)]
        {
            assert_eq!(judge(status, code, None), SendResult::Unknown, "{status} {code:?}");
        }
    }

    proptest::proptest! {
        /// Any answer of a gateway, or of a proxy before it: only a success with 200 in its body sends a message, and no
        /// undocumented answer fails one for good. `make fuzz` tries a million.
        #[test]
        fn any_answer_is_understood(
            status in 100_u16..1_000,
            text in r#"\PC{0,60}|\{"response_code":(-?[0-9]{1,12}|"200"|"x"|null|200\.0)(,"count":("?[01]"?|-1|null|\[\]))?\}?"#,
        ) {
            let body = body(&text);
            match super::judge(status, body, None) {
                SendResult::Accepted => {
                    proptest::prop_assert!((200..300).contains(&status), "{}", status);
                    proptest::prop_assert_eq!(body.map(|body| body.response_code), Some(200));
                    proptest::prop_assert!(!text.contains("\"count\":0") && !text.contains("\"count\":\"0\""));
                }
                SendResult::Refused(error) => {
                    let code = error.gateway_code.and_then(GatewayCode::to_number).unwrap();
                    proptest::prop_assert!([1000, 1007, 1010, 1011].contains(&code));
                }
                SendResult::AccountRefused { gateway_code } => {
                    proptest::prop_assert!((1001..=1013).contains(&gateway_code.to_number().unwrap()));
                }
                SendResult::NotNow { .. } | SendResult::Unknown => {}
            }
            proptest::prop_assert!(masked(&text).chars().all(|c| !c.is_numeric()));
        }
    }

    #[test]
    fn what_clearly_was_accepted_is_accepted_and_what_clearly_was_not_is_not() {
        let judged = |status, text: &str| super::judge(status, body(text), None);
        for (status, text) in [
            (200, r#"{"count":1,"response_code":200,"response":"1 mesages has been queued for delivery"}"#),
            (200, r#"{"count":"1","response_code":"200"}"#),
            (201, r#"{"response_code":200}"#),
            (202, r#"{"response_code":" 200 ","count":null}"#),
            (200, r#"{"response_code":200,"count":"many"}"#),
        ] {
            assert_eq!(judged(status, text), SendResult::Accepted, "{status} {text}");
        }
        for text in [r#"{"response_code":200,"count":0}"#, r#"{"response_code":"200","count":"0"}"#] {
            assert_eq!(judged(200, text), SendResult::NotNow { retry_after: None }, "{text}");
        }
        let receiver = SendResult::refused(DeliveryFault::InvalidReceiver, 1007.into());
        for (status, text) in [(403, r#"{"response_code":"1007"}"#), (202, r#"{"response_code":1007}"#)] {
            assert_eq!(judged(status, text), receiver, "{status} {text}");
        }
        for text in [r#"{"response_code":"yes"}"#, r#"{"response_code":true}"#, r#"{"response":"queued"}"#] {
            assert_eq!(judged(200, text), SendResult::Unknown, "{text}");
        }
    }

    #[test]
    fn the_wait_that_is_asked_for_is_read_in_both_its_forms() {
        let wait = |asked: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, asked.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let noon = Some("Sun, 06 Nov 1994 12:00:00 GMT");
        assert_eq!(wait("7", None), Some(7));
        assert_eq!(wait(" 7 ", noon), Some(7));
        assert_eq!(wait("86400", None), Some(600), "not for longer than a code may live");
        assert_eq!(
            wait("Sun, 06 Nov 1994 12:00:09 GMT", noon),
            Some(9),
            "by the gateway's clock, not by ours"
        );
        assert_eq!(wait("Sun, 06 Nov 1994 11:59:59 GMT", noon), Some(0));
        assert_eq!(wait("Mon, 07 Nov 1994 12:00:00 GMT", noon), Some(600));
        assert_eq!(wait("Sun, 06 Nov 1994 12:00:09 GMT", None), None);
        for unreadable in ["", "soon", "-3", "1.5", "06 Nov 12:00"] {
            assert_eq!(wait(unreadable, noon), None, "{unreadable}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    /// An attempt without a connection is not ambiguous, however short the timeout of the whole call is.
    #[tokio::test]
    async fn a_gateway_that_takes_no_connection_was_sent_nothing() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // A listener with a full queue answers no further connection.
        let connect =
            || tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address));
        let mut queue = Vec::new();
        while let Ok(connected) = connect().await {
            queue.push(connected.unwrap());
            assert!(queue.len() < 100, "the queue has no end");
        }
        let sparrow = Sparrow::new(SparrowConfig {
            base: format!("http://{address}/v2").parse().unwrap(),
            token: "token".to_owned().into(),
            from: "Hulak".to_owned(),
            timeout: Duration::from_secs(1),
            connections: 1,
        });
        let to = PhoneNumber::parse("9812345678").unwrap();
        let answer = sparrow.unwrap().send(to, &"text".to_owned().into()).await;
        assert_eq!(answer, SendResult::NotNow { retry_after: None });
    }

    #[test]
    fn what_is_logged_of_an_answer_has_no_digits() {
        assert_eq!(masked("code 123456 to 9812345678 १२"), "code •••••• to •••••••••• ••");
        assert_eq!(masked(&"x".repeat(500)).len(), 200);
    }
}
