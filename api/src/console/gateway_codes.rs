//! What the error codes of the Sparrow SMS gateway mean.

/// The meaning of a code, as the end of a sentence.
pub(super) const fn meaning(code: i32) -> &'static str {
    match code {
        1000 => "a required field is missing",
        1001 => "our IP address is not on the account's list",
        1002 => "the token is wrong",
        1003 | 1004 => "the account is not active",
        1005 | 1006 => "the account has expired",
        1007 => "no such receiver",
        1008 => "the sender's name is not approved",
        1010 => "the text is empty",
        1011 => "no valid receiver",
        1012 => "no credits left",
        1013 => "not enough credits",
        _ => "a code that its documentation does not list",
    }
}
