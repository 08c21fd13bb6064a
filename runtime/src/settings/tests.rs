//! Settings as people write them.

use super::*;

#[test]
fn durations_read_as_people_write_them() {
    for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3_600), ("1m 30s", 90), ("0s", 0)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "30", "five", "-5s"] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert!(some_duration("0s").is_err());
}

#[test]
fn a_password_has_no_place_on_a_command_line() {
    assert!(public_url("postgres://hulak@db/hulak").is_ok());
    assert!(public_url("postgres://hulak:secret@db/hulak").is_err());
    assert!(public_url("memory").is_ok());
}

#[test]
fn secrets_come_from_one_place() {
    fn both(name: &str) -> Option<OsString> {
        matches!(name, "HULAK_X" | "HULAK_X_FILE").then(|| "/x".into())
    }
    fn none(_: &str) -> Option<OsString> {
        None
    }
    fn plain(name: &str) -> Option<OsString> {
        (name == "HULAK_X").then(|| "value".into())
    }
    assert!(Environment(both).secret("HULAK_X").unwrap_err().reason.contains("not both"));
    assert!(Environment(none).secret("HULAK_X").unwrap().is_none());
    assert_eq!(Environment(plain).secret("HULAK_X").unwrap().unwrap().expose_secret(), "value");
    assert!(Environment(none).keyring().unwrap_err().to_string().starts_with("HULAK_SECRET: is not set"));
}
