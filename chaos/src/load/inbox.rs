//! The phones: what each number has received so far.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hulak_sandbox::Sandbox;
use tokio::time::sleep;

const LOOK: Duration = Duration::from_millis(100);

/// The newest code that each number has received.
#[derive(Debug, Default)]
pub struct Inbox(Mutex<HashMap<String, String>>);

impl Inbox {
    /// Follows what the gateway takes, until it is dropped.
    pub async fn follow(self: Arc<Self>, sandbox: Sandbox) {
        let mut seen = 0;
        loop {
            let messages = sandbox.inbox();
            {
                let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                // Newest first: oldest of the new ones last.
                for message in
                    messages.iter().take_while(|message| message.id > seen).collect::<Vec<_>>().iter().rev()
                {
                    if let Some(code) = &message.code {
                        codes.insert(message.to.clone(), code.clone());
                    }
                }
            }
            seen = messages.first().map_or(seen, |newest| newest.id);
            sleep(LOOK).await;
        }
    }

    /// The newest code on this phone, once there is one; `None` when none comes in time.
    pub async fn code(&self, phone: &str, patience: Duration) -> Option<String> {
        let waiting = async {
            loop {
                let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(phone).cloned();
                if let Some(code) = newest {
                    return code;
                }
                sleep(LOOK).await;
            }
        };
        tokio::time::timeout(patience, waiting).await.ok()
    }
}
