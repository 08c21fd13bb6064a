//! Collects what is wrong with each field of a request, so that a caller sees all of it at once.

use hulak_common::phone::PhoneNumber;

use crate::http::problem::{FieldError, Kind, Problem};

/// What is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
    phone: bool,
}

impl Fields {
    /// Notes something wrong.
    pub(crate) fn wrong(&mut self, field: impl Into<String>, detail: impl ToString) {
        self.errors.push(FieldError::new(field, detail));
    }

    /// The parsed field, unless it cannot be parsed, which is noted.
    pub(crate) fn take<T, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.wrong(field, error)).ok()
    }

    /// The same for a field that may be absent.
    pub(crate) fn optional<T, E: ToString>(
        &mut self,
        field: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        text.and_then(|text| self.take(field, parse(text)))
    }

    /// A number; what is wrong with it has a name of its own.
    pub(crate) fn phone(&mut self, text: &str) -> Option<PhoneNumber> {
        let phone = self.take("phone", PhoneNumber::parse(text));
        self.phone |= phone.is_none();
        phone
    }

    /// Ends the collecting.
    ///
    /// # Errors
    /// 422 `invalid-phone` or `invalid-request`, when anything was wrong.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match (self.errors.is_empty(), self.phone) {
            (true, _) => Ok(()),
            (false, true) => Err(Problem::fields(Kind::InvalidPhone, self.errors)),
            (false, false) => Err(Problem::fields(Kind::InvalidRequest, self.errors)),
        }
    }
}
