//! `hulak keys`: a secret is shown once, when it is made; what is kept of it cannot be turned back.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, OPERATOR_PREFIX};
use hulak_common::audit::Act;
use hulak_common::client::KeyRecord;
use hulak_common::rng::Rng;
use hulak_common::sms_template::client_name;
use hulak_store::Store;

use crate::command::{CommandArgs, print, record};
use crate::launch::{Done, Failure};

#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(crate) common: CommandArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Make a key and print it, this one time. A client may have several: that is how one is replaced without a pause.
    Create {
        /// The client application it is for, which is made when it is new.
        #[arg(long, value_name = "NAME", value_parser = client_name)]
        client: String,
        /// Make an operator's key, which sees all clients and works on the admin address only.
        #[arg(long)]
        operator: bool,
    },
    /// Print all keys there are or were; never their secrets.
    List,
    /// Refuse a key from now on; the running APIs do so within five seconds.
    Revoke {
        /// The key's first characters, as `list` shows them: as many as tell it from all others.
        prefix: String,
    },
}

pub(crate) async fn run(settings: &Settings) -> Done {
    let act = async |store: &Store| match &settings.action {
        Action::Create { client, operator } => create(store, &Rng::system(), client, *operator).await,
        Action::List => print(&table(&store.keys().await?)),
        Action::Revoke { prefix } => revoke(store, prefix).await,
    };
    settings.common.with_store(act).await
}

async fn create(store: &Store, rng: &Rng, client: &str, operator: bool) -> Done {
    let now = store.time().await?;
    let key = ApiKey::generate(if operator { OPERATOR_PREFIX } else { CLIENT_PREFIX }, rng);
    let kept = key.to_store(client);
    let what = format!("{} key {}… of {client}", kind(operator), kept.prefix);
    record(store, Act::CreateKey, what).await?;
    store.install_key(&kept, rng.uuid_v7(now), now).await?;
    print(&format!("{}\n", key.expose())).inspect_err(|_| {
        eprintln!("the new key could not be shown; revoke it with: hulak keys revoke {}", kept.prefix);
    })?;
    let kind = kind(operator);
    eprintln!("This is a new {kind} key of {client:?} ({}…). It is not shown again.", kept.prefix);
    Ok(())
}

async fn revoke(store: &Store, prefix: &str) -> Done {
    let found = find(store.keys().await?, prefix)?;
    record(store, Act::RevokeKey, format!("{}… of {}", found.prefix, found.client_name)).await?;
    let now = store.time().await?;
    let at = store.revoke_key(&found.hash, now).await?.ok_or("the key has just gone")?;
    let KeyRecord { prefix, client_name, .. } = found;
    match found.revoked_at {
        Some(_) => print(&format!("{prefix}… of {client_name:?} was revoked at {at}\n")),
        None => print(&format!("{prefix}… of {client_name:?} is revoked since {at}\n")),
    }
}

/// The one key that is meant. A whole key is taken, too: an operator who finds a leaked one has nothing else.
fn find(keys: Vec<KeyRecord>, prefix: &str) -> Result<KeyRecord, Failure> {
    let whole = ApiKey::parse(prefix).ok().map(|key| key.hash());
    let meant = |key: &KeyRecord| match whole {
        Some(hash) => key.hash == hash,
        None => !prefix.is_empty() && key.prefix.starts_with(prefix),
    };
    let mut found: Vec<_> = keys.into_iter().filter(meant).collect();
    match (found.pop(), found.is_empty()) {
        (Some(key), true) => Ok(key),
        // The argument may be a secret, so it is not repeated.
        (None, _) => Err("no key begins like that; `hulak keys list` shows them".into()),
        (Some(last), false) => {
            found.push(last);
            eprint!("{}", table(&found));
            Err(format!("{} keys begin like that; give more of the one you mean", found.len()).into())
        }
    }
}

fn kind(operator: bool) -> &'static str {
    if operator { "operator" } else { "client" }
}

fn table(keys: &[KeyRecord]) -> String {
    let mut text = "CLIENT\tPREFIX\tKIND\tCREATED\tREVOKED\n".to_owned();
    for key in keys {
        let KeyRecord { client_name, prefix, operator, created_at, revoked_at, .. } = key;
        let revoked = revoked_at.map_or("-".to_owned(), |at| at.to_string());
        // Writing to a string does not fail.
        let _written =
            writeln!(text, "{client_name}\t{prefix}\t{}\t{created_at}\t{revoked}", kind(*operator));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::time::Timestamp;

    fn record(key: &ApiKey) -> KeyRecord {
        let kept = key.to_store("shop");
        KeyRecord {
            client_name: kept.client_name,
            prefix: kept.prefix,
            hash: kept.hash,
            operator: kept.operator,
            created_at: Timestamp::from_millis(1_800_000_000_000),
            revoked_at: None,
        }
    }

    fn key(text: &str) -> ApiKey {
        ApiKey::parse(text).unwrap()
    }

    #[test]
    fn a_prefix_must_tell_one_key_from_all_others() {
        let all =
            ["hk_aaaabbbbccccddddeeeeffff1", "hk_aaaabbbbccccddddeeeeffff2", "ho_aaaabbbbccccddddeeeeffff3"];
        let keys = || all.iter().map(|text| record(&key(text))).collect::<Vec<_>>();
        assert!(find(keys(), "ho_").unwrap().operator);
        for several in ["h", "hk_aaaabbbb"] {
            assert!(find(keys(), several).unwrap_err().to_string().contains("keys begin"), "{several}");
        }
        for none in ["", "hk_x", "xx", "hk_aaaabbbbc"] {
            assert!(find(keys(), none).unwrap_err().to_string().starts_with("no key"), "{none}");
        }
        // The same beginning, but a whole key is enough.
        assert_eq!(find(keys(), all[1]).unwrap().hash, key(all[1]).hash());
        assert!(find(keys(), "hk_aaaabbbbccccddddeeeeffff4").is_err());
    }

    #[test]
    fn a_list_shows_no_secret() {
        let (key, other) = (key("hk_aaaabbbbccccddddeeeeffff1"), key("ho_AAAABBBBccccddddeeeeffff1"));
        let rows =
            [KeyRecord { revoked_at: Some(Timestamp::from_millis(1)), ..record(&key) }, record(&other)];
        assert_eq!(
            table(&rows),
            "CLIENT\tPREFIX\tKIND\tCREATED\tREVOKED\n\
             shop\thk_aaaabbbb\tclient\t2027-01-15T08:00:00.000Z\t1970-01-01T00:00:00.001Z\n\
             shop\tho_AAAABBBB\toperator\t2027-01-15T08:00:00.000Z\t-\n"
        );
    }
}
