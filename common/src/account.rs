//! Accounts of the sign-up and sign-in wall, and the groups that give them permissions.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use crate::phone::PhoneNumber;
use crate::time::Timestamp;

/// The longest username, name and group name, in characters: what Django's accounts have.
pub const MAX_NAME: usize = 150;
/// The longest e-mail address (RFC 5321, section 4.5.3.1.3, less the brackets).
pub const MAX_EMAIL: usize = 254;
/// The longest name of a permission.
pub const MAX_PERMISSION: usize = 100;
/// Permissions of one group.
pub const MAX_PERMISSIONS: usize = 200;
/// Groups of one account.
pub const MAX_GROUPS: usize = 50;
/// Groups of one client.
pub const MAX_CLIENT_GROUPS: usize = 1_000;

/// Why a value cannot be used; the text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AccountError(String);

fn must(text: impl Into<String>) -> AccountError {
    AccountError(text.into())
}

/// A username: letters, digits and `@ . + - _`, normalised (NFKC), so that names that look alike are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    text: String,
    key: String,
}

impl Username {
    /// The form that usernames are compared by: two that differ only in case are equal.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Username {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        // Checked before normalisation, which may turn one character into many.
        if text.chars().count() > MAX_NAME {
            return Err(must(format!("must have at most {MAX_NAME} characters")));
        }
        let text: String = text.nfkc().collect();
        if !(1..=MAX_NAME).contains(&text.chars().count()) {
            return Err(must(format!("must have 1 to {MAX_NAME} characters")));
        }
        if !text.chars().all(|c| c.is_alphanumeric() || is_mark(c) || "@.+-_".contains(c)) {
            return Err(must("may have letters, digits and @ . + - _ only"));
        }
        // Lower case may leave characters that compose again.
        let key = text.to_lowercase().nfkc().collect();
        Ok(Self { text, key })
    }
}

/// Devanagari writes vowels as combining marks.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// An e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        if text.len() <= MAX_EMAIL && email_address::EmailAddress::is_valid(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(must("must be an e-mail address like name@example.com"))
        }
    }
}

/// A person's first or last name; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PersonName {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        plain(text).map(Self)
    }
}

/// A group's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let text = plain(text)?;
        if text.is_empty() { Err(must("must not be empty")) } else { Ok(Self(text)) }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn plain(text: &str) -> Result<String, AccountError> {
    if text.chars().count() > MAX_NAME {
        return Err(must(format!("must have at most {MAX_NAME} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(must("must not contain control characters"));
    }
    Ok(text.trim().to_owned())
}

/// A permission of a group, named by the application: `orders.refund`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission(String);

impl Permission {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Permission {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        if (1..=MAX_PERMISSION).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(must(format!("must be 1 to {MAX_PERMISSION} visible ASCII characters without spaces")))
        }
    }
}

/// An account of a client application, which may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Version 7 UUID.
    pub id: Uuid,
    /// The client application whose account it is.
    pub client: Uuid,
    /// Unique within the client, without regard to case.
    pub username: Username,
    /// May be empty.
    pub first_name: PersonName,
    /// May be empty.
    pub last_name: PersonName,
    /// Not verified.
    pub email: Option<Email>,
    /// Verified when `phone_verified`.
    pub phone: Option<PhoneNumber>,
    /// Whether an approval proved the number to be this account's. Nothing else sets it.
    pub phone_verified: bool,
    /// Whether it may sign in.
    pub is_active: bool,
    /// The names of its groups, sorted.
    pub groups: Vec<GroupName>,
    /// The permissions of its groups, sorted, each once.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it last signed in.
    pub last_login_at: Option<Timestamp>,
}

/// A group of a client's accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Version 7 UUID.
    pub id: Uuid,
    /// The client application.
    pub client: Uuid,
    /// Unique within the client.
    pub name: GroupName,
    /// Sorted, each once.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usernames_are_what_people_and_djangos_forms_take() {
        for good in ["sita", "Sita.Devi+1@example.com", "सीता", "a-b_c", "१२३", "é"] {
            assert!(good.parse::<Username>().is_ok(), "{good}");
        }
        for bad in ["", " ", "sita devi", "a/b", "a\0", "a\n", "<b>", "a'b", "🙂", &"x".repeat(151)] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn usernames_that_look_alike_are_alike() {
        let key = |text: &str| text.parse::<Username>().unwrap().key().to_owned();
        assert_eq!(key("Sita"), key("sITA"));
        assert_eq!(key("ｓｉｔａ"), key("sita"), "full width");
        assert_eq!(key("e\u{301}"), key("É"), "composed and not");
        assert_ne!(key("sita"), key("gita"));
    }

    #[test]
    fn the_other_names_have_bounds() {
        assert!("".parse::<PersonName>().is_ok() && "Sita\u{7}".parse::<PersonName>().is_err());
        assert!(" ".parse::<GroupName>().is_err());
        assert_eq!(" staff ".parse::<GroupName>().unwrap().as_str(), "staff");
        assert!("orders.refund".parse::<Permission>().is_ok());
        for bad in ["", "a b", "é", &"x".repeat(101)] {
            assert!(bad.parse::<Permission>().is_err(), "{bad:?}");
        }
        assert!("sita@example.com".parse::<Email>().is_ok());
        for bad in
            ["", "sita", "@example.com", "a b@example.com", &format!("{}@example.com", "x".repeat(250))]
        {
            assert!(bad.parse::<Email>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_username_reads_as_itself_again(text in "\\PC{0,160}") {
            if let Ok(username) = text.parse::<Username>() {
                let again = username.as_str().parse::<Username>();
                prop_assert_eq!(again.as_ref().map(Username::key), Ok(username.key()));
                let other_case: Result<Username, _> = username.as_str().to_lowercase().parse();
                if let Ok(other) = other_case {
                    prop_assert_eq!(other.key(), username.key());
                }
            }
        }
    }
}
