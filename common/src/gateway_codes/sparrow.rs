//! The `response_code`s of Sparrow SMS. Source: the gateway's public documentation (repository sparrowsms/apidocs).

use super::code::KnownCode;
use super::code::Refused::{Account, Credits, Message, Receiver};

/// Every code of the documentation. 1009 does not exist.
pub const CODES: [KnownCode; 13] = [
    KnownCode { code: "1000", refused: Message, meaning: "a required field is missing" },
    KnownCode { code: "1001", refused: Account, meaning: "our IP address is not on the account's list" },
    KnownCode { code: "1002", refused: Account, meaning: "the token is wrong" },
    KnownCode { code: "1003", refused: Account, meaning: "the account is not active" },
    KnownCode { code: "1004", refused: Account, meaning: "the account is not active" },
    KnownCode { code: "1005", refused: Account, meaning: "the account has expired" },
    KnownCode { code: "1006", refused: Account, meaning: "the account has expired" },
    KnownCode { code: "1007", refused: Receiver, meaning: "no such receiver" },
    KnownCode { code: "1008", refused: Account, meaning: "the sender's name is not approved" },
    KnownCode { code: "1010", refused: Message, meaning: "the text is empty" },
    KnownCode { code: "1011", refused: Receiver, meaning: "no valid receiver" },
    KnownCode { code: "1012", refused: Credits, meaning: "no credits left" },
    KnownCode { code: "1013", refused: Account, meaning: "not enough credits" },
];
