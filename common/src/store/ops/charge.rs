//! What a message costs: the number's quotas and pace, the client's and the address's.

use std::net::IpAddr;

use super::super::Quotas;
use super::super::Rules;
use super::super::session::{Result, Session};
use super::{Numbers, Rows, sorted};
use crate::allowance::{Allowance, AllowanceKey, Quota};
use crate::limits::LimitReached;
use crate::number::Number;
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::verification::Route;
use uuid::Uuid;

/// Who wants a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) client: Uuid,
    pub(super) address: Option<IpAddr>,
}

impl Asker {
    /// The quotas that count for it.
    fn quotas(self, quotas: &Quotas) -> impl Iterator<Item = (AllowanceKey, Quota)> {
        let client = quotas.client.map(|quota| (AllowanceKey::client(self.client), quota));
        let address = self.address.zip(quotas.address);
        let address = address.map(|(address, quota)| (AllowanceKey::address(self.client, address), quota));
        client.into_iter().chain(address)
    }
}

/// The quotas of one batch: locked before anything else.
pub(super) struct Meter {
    allowances: Rows<AllowanceKey, Allowance>,
}

impl Meter {
    pub(super) async fn open<S: Session>(
        session: &mut S,
        rules: &Rules,
        askers: impl Iterator<Item = Asker>,
    ) -> Result<Self> {
        let keys = sorted(askers.flat_map(|asker| asker.quotas(&rules.quotas)).map(|(key, _)| key));
        let allowances = session.lock_allowances(&keys).await?;
        Ok(Self { allowances: Rows::load(allowances, |row| row.key.clone()) })
    }

    /// Charges one message to everybody who pays for it, or to nobody.
    pub(super) fn charge(
        &mut self,
        rules: &Rules,
        numbers: &mut Numbers,
        phone: PhoneNumber,
        route: Route,
        asker: Asker,
        now: Timestamp,
    ) -> std::result::Result<(), LimitReached> {
        if route == Route::Null {
            // Nothing reaches the phone, so nothing is counted; the row still exists, because claims look for it.
            if numbers.get(phone).is_none() {
                numbers.change_or(phone, || Number::new(phone));
            }
            return Ok(());
        }
        if let Some(number) = numbers.get(phone) {
            rules.limits.admit(&number.asked, now)?;
        }
        for (key, quota) in asker.quotas(&rules.quotas) {
            self.allowances.get(key).map_or(Ok(()), |left| left.admit(&quota, now))?;
        }
        rules.limits.charge(&mut numbers.change_or(phone, || Number::new(phone)).asked, now);
        for (key, quota) in asker.quotas(&rules.quotas) {
            self.allowances.change_or(key.clone(), || Allowance::full(key)).charge(&quota, now);
        }
        Ok(())
    }

    pub(super) async fn save<S: Session>(&self, session: &mut S) -> Result<()> {
        session.update_allowances(&self.allowances.updated()).await?;
        session.insert_allowances(&self.allowances.inserted()).await
    }
}
