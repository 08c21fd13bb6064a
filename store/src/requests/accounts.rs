//! What is asked of accounts and groups.

use uuid::Uuid;

use hulak_common::account::{Account, Email, Group, GroupName, Permission, PersonName, Username};
use hulak_common::idempotency::Remember;
use hulak_common::phone::PhoneNumber;

/// A new account.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: Uuid,
    /// Whose it will be.
    pub client: Uuid,
    /// Unique within the client.
    pub username: Username,
    /// May be empty.
    pub first_name: PersonName,
    /// May be empty.
    pub last_name: PersonName,
    /// Not verified.
    pub email: Option<Email>,
    /// Not verified.
    pub phone: Option<PhoneNumber>,
    /// Groups of the client.
    pub groups: Vec<GroupName>,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<AccountChanged>>,
}

/// Changes to an account; what is `None` stays.
#[derive(Debug, Clone)]
pub struct AccountPatch {
    /// Whose it must be.
    pub client: Uuid,
    /// Which.
    pub id: Uuid,
    /// See [`Account::username`].
    pub username: Option<Username>,
    /// See [`Account::first_name`].
    pub first_name: Option<PersonName>,
    /// See [`Account::last_name`].
    pub last_name: Option<PersonName>,
    /// `Some(None)` takes it away.
    pub email: Option<Option<Email>>,
    /// `Some(None)` takes it away. Another number is not verified.
    pub phone: Option<Option<PhoneNumber>>,
    /// All of its groups from now on.
    pub groups: Option<Vec<GroupName>>,
    /// See [`Account::is_active`].
    pub is_active: Option<bool>,
}

/// What became of a [`NewAccount`] or an [`AccountPatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChanged {
    /// It is like this now.
    Done(Box<Account>),
    /// Another account has this username.
    UsernameTaken,
    /// The client has no such groups.
    UnknownGroups(Vec<GroupName>),
    /// This client has no such account.
    NotFound,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

/// Why a number cannot be verified for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountConflict {
    /// The client has no such account.
    Unknown,
    /// It has this number verified already.
    AlreadyVerified,
    /// Another account has this number verified.
    PhoneTaken,
}

/// Which of a client's accounts, newest first.
#[derive(Debug, Clone)]
pub struct AccountList {
    /// Whose.
    pub client: Uuid,
    /// With this id only.
    pub id: Option<Uuid>,
    /// With this username only.
    pub username: Option<Username>,
    /// With this number only, verified or not.
    pub phone: Option<PhoneNumber>,
    /// Older than this one: where the page before ended.
    pub before: Option<Uuid>,
    /// How many.
    pub limit: u32,
}

/// A group as it shall be.
#[derive(Debug, Clone)]
pub struct PutGroup {
    /// Its id, if it is new.
    pub id: Uuid,
    /// Whose.
    pub client: Uuid,
    /// Unique within the client.
    pub name: GroupName,
    /// All of its permissions from now on, sorted, each once.
    pub permissions: Vec<Permission>,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<GroupPut>>,
}

/// What became of a [`PutGroup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupPut {
    /// There was none of this name.
    Made(Group),
    /// Its permissions were replaced.
    Replaced(Group),
    /// The client has as many as it may have.
    TooMany,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

/// A group to delete; its accounts lose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRef {
    /// Whose.
    pub client: Uuid,
    /// Which.
    pub name: GroupName,
}
