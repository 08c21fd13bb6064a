//! The phones: which code each number has received last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hulak_sandbox::Sandbox;
use tokio::time::sleep;

/// Between two reads of the simulator's inbox.
const INTERVAL: Duration = Duration::from_millis(100);

/// The newest code that each number has received.
#[derive(Debug, Default)]
pub struct Inbox(Mutex<HashMap<String, String>>);

impl Inbox {
    /// Reads what the gateway accepts, until the future is dropped.
    pub async fn follow(self: Arc<Self>, sandbox: Sandbox) {
        let mut seen = 0;
        loop {
            let messages = sandbox.inbox();
            {
                let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                // The inbox has the newest message first.
                for message in
                    messages.iter().take_while(|message| message.id > seen).collect::<Vec<_>>().iter().rev()
                {
                    if let Some(code) = &message.code {
                        codes.insert(message.to.clone(), code.clone());
                    }
                }
            }
            seen = messages.first().map_or(seen, |newest| newest.id);
            sleep(INTERVAL).await;
        }
    }

    /// Waits for the newest code on this phone; `None` when none arrives in time.
    pub async fn code(&self, phone: &str, limit: Duration) -> Option<String> {
        let waiting = async {
            loop {
                let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(phone).cloned();
                if let Some(code) = newest {
                    return code;
                }
                sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(limit, waiting).await.ok()
    }
}
