//! What a message costs: the number's quotas and pace, the client's and the address's.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::error::Result;
use crate::transaction::Transaction;
use hulak_common::rules::Quotas;

use super::{LoadedRows, Numbers, sorted};
use hulak_common::limits::LimitReached;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::Number;
use hulak_common::rate_limit::{Allowance, AllowanceKey, Quota};
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::Route;
use uuid::Uuid;

/// Who wants a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) client: Uuid,
    pub(super) address: Option<IpAddr>,
}

impl Asker {
    /// The quotas that count for it.
    fn quotas(self, quotas: Quotas) -> impl Iterator<Item = (AllowanceKey, Quota)> {
        let client = quotas.client.map(|quota| (AllowanceKey::client(self.client), quota));
        let address = self.address.zip(quotas.address);
        let address = address.map(|(address, quota)| (AllowanceKey::address(self.client, address), quota));
        client.into_iter().chain(address)
    }
}

/// The quotas of one batch: locked before anything else.
pub(super) struct QuotaCheck {
    defaults: Quotas,
    /// Of those clients that have limits of their own.
    own: HashMap<Uuid, Quotas>,
    allowances: LoadedRows<AllowanceKey, Allowance>,
}

impl QuotaCheck {
    pub(super) async fn open<S: Transaction>(
        tx: &mut S,
        rules: &Rules,
        askers: impl Iterator<Item = Asker>,
    ) -> Result<Self> {
        let (defaults, askers) = (rules.quotas, askers.collect::<Vec<_>>());
        // Read here, and not brought along by the caller: a resend by client token comes without an API key, so the API
        // does not know its client's settings. Not locked: what is changed now counts from the next batch on.
        let own = tx.own_limits(&sorted(askers.iter().map(|asker| asker.client))).await?;
        let own = own.into_iter().map(|(client, settings)| (client, settings.quotas(&defaults))).collect();
        let mut quotas =
            Self { defaults, own, allowances: LoadedRows::load(Vec::new(), |row| row.key.clone()) };
        let keys = sorted(askers.iter().flat_map(|asker| quotas.quotas(*asker)).map(|(key, _)| key));
        quotas.allowances = LoadedRows::load(tx.lock_allowances(&keys).await?, |row| row.key.clone());
        Ok(quotas)
    }

    /// The quotas that count for an asker.
    fn quotas(&self, asker: Asker) -> impl Iterator<Item = (AllowanceKey, Quota)> + use<> {
        asker.quotas(*self.own.get(&asker.client).unwrap_or(&self.defaults))
    }

    /// Charges one message to the number, the client and the address, or to none of them. A test number has no limits of its own,
    /// as nothing reaches a phone; its client and the address pay for the work.
    pub(super) fn charge(
        &mut self,
        rules: &Rules,
        numbers: &mut Numbers,
        phone: PhoneNumber,
        route: Route,
        asker: Asker,
        now: Timestamp,
    ) -> std::result::Result<(), LimitReached> {
        if let Some(number) = numbers.get(phone).filter(|_| route != Route::Null) {
            rules.limits.admit(&number.asked, now)?;
        }
        for (key, quota) in self.quotas(asker) {
            self.allowances.get(key).map_or(Ok(()), |left| left.admit(&quota, now))?;
        }
        if route != Route::Null {
            rules.limits.charge(&mut numbers.change_or(phone, || Number::new(phone)).asked, now);
        } else if numbers.get(phone).is_none() {
            // Claims look for the row.
            numbers.change_or(phone, || Number::new(phone));
        }
        for (key, quota) in self.quotas(asker) {
            self.allowances.change_or(key.clone(), || Allowance::full(key)).charge(&quota, now);
        }
        Ok(())
    }

    pub(super) async fn save<S: Transaction>(&self, tx: &mut S) -> Result<()> {
        tx.update_allowances(&self.allowances.updated()).await?;
        tx.insert_allowances(&self.allowances.inserted()).await
    }
}
