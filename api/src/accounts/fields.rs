//! What the bodies of a new account and of a change have in common.

use hulak_common::account::{GroupName, MAX_GROUPS};
use hulak_store::AccountChanged;

use crate::http::idempotency;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::http::validation::Fields;

pub(super) fn group_names(fields: &mut Fields, names: &[String]) -> Vec<GroupName> {
    if names.len() > MAX_GROUPS {
        fields.wrong("groups", format!("must be at most {MAX_GROUPS}"));
        return Vec::new();
    }
    let parse = |name: &String| fields.take("groups", name.parse::<GroupName>());
    let mut names: Vec<_> = names.iter().filter_map(parse).collect();
    names.sort_unstable();
    names.dedup();
    names
}

pub(super) fn refusal(changed: AccountChanged) -> Problem {
    match changed {
        AccountChanged::UsernameTaken => {
            Problem::new(Kind::UsernameTaken, "another account has this username, in this or another case")
        }
        AccountChanged::UnknownGroups(names) => {
            let errors =
                names.iter().map(|name| FieldError::new("groups", format!("there is no group `{name}`")));
            Problem::fields(Kind::InvalidRequest, errors.collect())
        }
        AccountChanged::KeyReused => idempotency::reused(),
        AccountChanged::NotFound | AccountChanged::Done(_) | AccountChanged::Answered(_) => {
            Problem::not_found()
        }
    }
}
