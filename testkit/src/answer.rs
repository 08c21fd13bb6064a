//! HTTP answers, and waiting for something to become true.

use std::time::Duration;

/// An HTTP answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
    /// Its body; null when it is no JSON.
    pub body: serde_json::Value,
}

impl Answer {
    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("the body");
        Self { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    /// A header's value, empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The slug of a problem, empty when it is none.
    #[must_use]
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
    }

    /// The verification's id.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }
}

/// Asks again and again, with a short rest, until there is an answer.
///
/// # Panics
/// When there is none within 20 s.
pub async fn eventually<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited 20 s in vain for {what}"),
    }
}
