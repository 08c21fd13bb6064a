//! Sparrow SMS. Source: the gateway's public documentation (repository sparrowsms/apidocs), and answers seen in public
//! client code.

use std::time::Duration;

use async_trait::async_trait;
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::DeliveryFault;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::gateway::{Answer, Gateway, Probe};

/// An answer is a line of JSON; whatever is larger is not read further.
const MAX_ANSWER: usize = 64 * 1024;
/// How much of an unexpected answer goes to the log.
const LOGGED: usize = 200;
/// The longest that a `Retry-After` is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct SparrowConfig {
    /// The API's base, without a slash at its end.
    pub base: Url,
    /// The account's token.
    pub token: SecretString,
    /// The sender identity.
    pub from: String,
    /// How long a call may take, connecting included.
    pub timeout: Duration,
    /// Connections kept for reuse.
    pub connections: usize,
}

/// A client of the gateway.
#[derive(Debug)]
pub struct Sparrow {
    http: Client,
    sms: Url,
    credit: Url,
    config: SparrowConfig,
}

#[derive(Deserialize)]
struct Body {
    response_code: i32,
}

/// The answer about credits.
#[derive(Deserialize)]
struct Credit {
    response_code: i32,
    credits_available: Option<f64>,
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}/", base.path().trim_end_matches('/')));
    url
}

/// Chooses the TLS implementation for the whole process; again changes nothing.
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
            // Well before the whole call's time is over: only a connection that was given up says that nothing was sent.
            .connect_timeout((config.timeout / 2).min(Duration::from_secs(5)))
            .pool_max_idle_per_host(config.connections)
            // Shorter than servers commonly keep idle connections: a request written to one that the server is just
            // closing would end as unknown.
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
    async fn send(&self, to: PhoneNumber, text: &SecretString) -> Answer {
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
                tracing::warn!(error = %root(&error), "the gateway cannot be reached");
                Answer::NotNow { retry_after: None }
            }
            Err(error) => {
                tracing::warn!(error = %root(&error), "the gateway did not answer");
                Answer::Unknown
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
            Some(Ok(Credit { response_code: 200, credits_available: credits }))
                if status == StatusCode::OK =>
            {
                Probe::Good { credits }
            }
            Some(Ok(Credit { response_code, .. })) => Probe::Refused { gateway_code: response_code },
            _ => Probe::NoAnswer,
        }
    }
}

/// The innermost cause: reqwest's own text names the address, which is of no use, and never the form.
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

async fn classify(response: Response) -> Answer {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let text = read(response).await;
    let answer = judge(status.as_u16(), text.as_deref().and_then(code), retry_after);
    match answer {
        Answer::Accepted | Answer::Refused(_) | Answer::Account { .. } => {}
        Answer::NotNow { .. } | Answer::Unknown => {
            let body = text.as_deref().map(masked).unwrap_or_default();
            tracing::warn!(status = status.as_u16(), body, ?answer, "unexpected answer of the gateway");
        }
    }
    answer
}

/// The `response_code` of an answer's body, if there is one.
fn code(text: &str) -> Option<i32> {
    serde_json::from_str::<Body>(text).ok().map(|body| body.response_code)
}

/// What a status and a `response_code` mean.
#[must_use]
pub fn judge(status: u16, code: Option<i32>, retry_after: Option<Duration>) -> Answer {
    match (status, code) {
        (200, Some(200)) => Answer::Accepted,
        (200 | 400..=499, Some(code)) if known(code).is_some() => known(code).unwrap_or(Answer::Unknown),
        // Taken by something in between, or after the message was handed on: nobody can tell.
        (100..=399 | 501 | 504..=599, _) => Answer::Unknown,
        _ => Answer::NotNow { retry_after },
    }
}

fn known(code: i32) -> Option<Answer> {
    Some(match code {
        1007 | 1011 => Answer::refused(DeliveryFault::InvalidReceiver, code),
        1000 | 1010 => Answer::refused(DeliveryFault::InvalidMessage, code),
        1001..=1006 | 1008 | 1012 | 1013 => Answer::Account { gateway_code: code },
        _ => return None,
    })
}

/// How long the gateway asks us to wait. A date is read by the gateway's own clock, which is the answer's `Date`: without
/// one it tells nothing.
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

/// The beginning of an answer without any digit: an echo of our request must not put a number or a code into the log.
fn masked(text: &str) -> String {
    text.chars().take(LOGGED).map(|c| if c.is_numeric() { '•' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_answer_has_its_meaning() {
        assert_eq!(judge(200, Some(200), None), Answer::Accepted);
        for code in [1007, 1011] {
            assert_eq!(judge(403, Some(code), None), Answer::refused(DeliveryFault::InvalidReceiver, code));
        }
        for code in [1000, 1010] {
            assert_eq!(judge(403, Some(code), None), Answer::refused(DeliveryFault::InvalidMessage, code));
        }
        for code in [1001, 1002, 1003, 1004, 1005, 1006, 1008, 1012, 1013] {
            assert_eq!(judge(403, Some(code), None), Answer::Account { gateway_code: code });
        }
        let wait = Some(Duration::from_secs(7));
        for (status, code) in
            [(429, None), (500, None), (502, None), (503, None), (403, None), (403, Some(1009)), (404, None)]
        {
            assert_eq!(judge(status, code, wait), Answer::NotNow { retry_after: wait }, "{status} {code:?}");
        }
        for (status, code) in
            [(200, None), (200, Some(1009)), (301, None), (302, None), (504, None), (204, None)]
        {
            assert_eq!(judge(status, code, None), Answer::Unknown, "{status} {code:?}");
        }
    }

    proptest::proptest! {
        /// Whatever a gateway, or something in its place, may say: a message is sent only by a 200 with 200 in it, and
        /// nothing that is not documented fails it for good. `make fuzz` tries a million.
        #[test]
        fn any_answer_is_understood(
            status in 100_u16..1_000,
            text in r#"\PC{0,60}|\{"response_code":(-?[0-9]{1,12}|"200"|null|200\.0)(,"count":1)?\}?"#,
        ) {
            let code = code(&text);
            match judge(status, code, None) {
                Answer::Accepted => proptest::prop_assert_eq!((status, code), (200, Some(200))),
                Answer::Refused(error) => {
                    proptest::prop_assert!([1000, 1007, 1010, 1011].contains(&error.gateway_code.unwrap()));
                }
                Answer::Account { gateway_code } => proptest::prop_assert!((1001..=1013).contains(&gateway_code)),
                Answer::NotNow { .. } | Answer::Unknown => {}
            }
            proptest::prop_assert!(masked(&text).chars().all(|c| !c.is_numeric()));
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

    /// A short timeout for the whole call is no reason to call an attempt ambiguous that never got a connection.
    #[tokio::test]
    async fn a_gateway_that_takes_no_connection_was_sent_nothing() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // With its queue full, a listener leaves those who come without an answer.
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
        assert_eq!(answer, Answer::NotNow { retry_after: None });
    }

    #[test]
    fn what_is_logged_of_an_answer_has_no_digits() {
        assert_eq!(masked("code 123456 to 9812345678 १२"), "code •••••• to •••••••••• ••");
        assert_eq!(masked(&"x".repeat(500)).len(), 200);
    }
}
