//! A job whose handling panics.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hulak_broker::MemoryBroker;
use hulak_common::clock::{Clock as _, DatabaseClock};
use hulak_common::code::Salt;
use hulak_common::phone::{Carriers, PhoneNumber};
use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_common::verification::{Delivery, Verification};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Create, Created, Store};
use hulak_testkit::answer::eventually;
use hulak_testkit::fixtures::{live_key, rules};
use hulak_worker::Worker;
use hulak_worker::gateway::{Gateway, Probe, SendResult};
use secrecy::SecretString;
use uuid::Uuid;

const UNLUCKY: &str = "9813131313";

/// Accepts every number but one, for which it panics.
#[derive(Debug, Default)]
struct Brittle {
    panics: AtomicUsize,
}

#[async_trait]
impl Gateway for Brittle {
    async fn send(&self, to: PhoneNumber, _text: &SecretString) -> SendResult {
        if to.national().as_str() == UNLUCKY {
            self.panics.fetch_add(1, Ordering::SeqCst);
            panic!("unlucky");
        }
        SendResult::Accepted
    }

    async fn probe(&self) -> Probe {
        Probe::NoAnswer
    }
}

async fn ask(store: &Store, rng: &Rng, clock: &DatabaseClock, phone: &str) -> Verification {
    let now = clock.now();
    let key = live_key(Uuid::nil(), PhoneNumber::parse(phone).unwrap());
    let create = Create::new(rng.uuid_v7(now), Salt(rng.bytes()), key);
    match store.create(&[create], now).await.answers.remove(0).unwrap() {
        Created::New(verification) => verification,
        other => panic!("{other:?}"),
    }
}

async fn delivery(store: &Store, verification: &Verification) -> Delivery {
    let key = (verification.key.client, verification.id);
    store.verifications(&[key]).await.answers.remove(0).unwrap().unwrap().delivery
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_one_job_and_no_worker() {
    let directory = tempfile::tempdir().unwrap();
    let (rules, rng, clock) = (rules(), Rng::system(), Arc::new(DatabaseClock::new()));
    let (keyring, lease) = (rules.keyring.clone(), Duration::from_secs(6));
    let rules = hulak_common::rules::Rules { claim_lease: lease, ..rules };
    let store: Arc<Store> = Arc::new(Store::sqlite(&directory.path().join("hulak.db"), rules).unwrap());
    store.migrate().await.unwrap();
    let gateway = Arc::new(Brittle::default());
    let unlucky = ask(&store, &rng, &clock, UNLUCKY).await;
    let worker = Worker {
        keyring,
        templates: Templates::default(),
        lease,
        timeout: Duration::from_millis(500),
        rate: 1_000.0,
        // One slot: if the panic kept it, nothing else would be sent.
        concurrency: 1,
        carriers: Carriers::builtin(),
        gateway: Arc::clone(&gateway) as Arc<dyn Gateway>,
        clock: Arc::clone(&clock) as hulak_common::clock::SharedClock,
        rng: rng.clone(),
        store: Arc::clone(&store),
        broker: MemoryBroker::new(),
    };
    let shutdown = Shutdown::new();
    let running = tokio::spawn(hulak_worker::run(worker, None, shutdown.clone()));
    eventually("the panic", || async { (gateway.panics.load(Ordering::SeqCst) == 1).then_some(()) }).await;

    for n in 0..3 {
        let other = ask(&store, &rng, &clock, &format!("984000000{n}")).await;
        eventually("another message", || async {
            (delivery(&store, &other).await == Delivery::Sent).then_some(())
        })
        .await;
    }
    // Its claim holds until its lease ends: then the call counts as ambiguous.
    let state = delivery(&store, &unlucky).await;
    assert!(matches!(state, Delivery::Sending | Delivery::Queued), "{state:?}");
    let counted = || async {
        let number = store.number(Uuid::nil(), unlucky.key.phone).await.unwrap().number;
        (number.ambiguous_count == 1).then_some(number.otp_count)
    };
    assert_eq!(eventually("the end of its claim", counted).await, 0);
    assert!(!running.is_finished());
    shutdown.begin();
    running.await.unwrap().unwrap();
}
