//! `hulak clients`: what is set for one client application.

use std::fmt::{Display, Write as _};
use std::str::FromStr;

use clap::{Args, Subcommand};
use hulak_common::audit::Act;
use hulak_common::client::{Change, ClientRecord, ClientSettings, SettingsChange};
use hulak_common::origin;
use hulak_common::sms_template::{Templates, app_name};
use hulak_runtime::settings::messages::MessageArgs;
use hulak_store::Store;

use crate::command::{CommandArgs, print, record};
use crate::launch::{Done, Failure};

#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(crate) common: CommandArgs,
    #[command(flatten)]
    messages: MessageArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Print all client applications, and what is set for them.
    List,
    /// Change what is set for one. `default` or nothing takes a setting back: the program's own counts again.
    Set(Wanted),
}

/// What becomes of a client's settings.
#[derive(Debug, Clone, Default, Args)]
struct Wanted {
    /// The client application; `keys create` makes one.
    name: String,
    /// The name in its messages.
    #[arg(long, value_name = "NAME")]
    app_name: Option<String>,
    /// Origins whose pages may call, separated by commas, besides HULAK_CORS_ORIGINS.
    #[arg(long, value_name = "ORIGINS")]
    cors_origins: Option<String>,
    /// Where the hosted page may send a browser back to, separated by commas.
    #[arg(long, value_name = "ADDRESSES")]
    redirect_uris: Option<String>,
    /// Codes that it may ask for in a second, or off.
    #[arg(long, value_name = "AMOUNT")]
    rate: Option<String>,
    /// Codes that may be asked for in an hour from one address, or off.
    #[arg(long, value_name = "AMOUNT")]
    address_hourly: Option<String>,
}

impl Wanted {
    /// What is asked for, as it was typed.
    fn flags(&self) -> String {
        let flags = [
            ("app-name", &self.app_name),
            ("cors-origins", &self.cors_origins),
            ("redirect-uris", &self.redirect_uris),
            ("rate", &self.rate),
            ("address-hourly", &self.address_hourly),
        ];
        let given = flags.iter().filter_map(|(flag, text)| Some(format!("--{flag} {}", text.as_deref()?)));
        given.collect::<Vec<_>>().join(" ")
    }

    fn change(&self, templates: &Templates) -> Result<SettingsChange, Failure> {
        let app_name = |text: &str| {
            let name = app_name(text)?;
            templates.check_name(&name).map(|()| name).map_err(|refused| {
                format!("with it {refused}, of {} that HULAK_MAX_PARTS allows", refused.allowed)
            })
        };
        Ok(SettingsChange {
            app_name: read("app-name", self.app_name.as_deref(), app_name)?,
            cors_origins: read("cors-origins", self.cors_origins.as_deref(), origin::list)?,
            redirect_uris: read("redirect-uris", self.redirect_uris.as_deref(), origin::list)?,
            rate: read("rate", self.rate.as_deref(), FromStr::from_str)?,
            address_hourly: read("address-hourly", self.address_hourly.as_deref(), FromStr::from_str)?,
        })
    }
}

/// What a flag asks for; not given, nothing.
fn read<T>(
    flag: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Change<T>, Failure> {
    match text.map(str::trim) {
        None => Ok(Change::Keep),
        Some("" | "default") => Ok(Change::Reset),
        Some(text) => parse(text).map(Change::To).map_err(|reason| format!("--{flag}: {reason}").into()),
    }
}

pub(crate) async fn run(settings: &Settings) -> Done {
    let templates = settings.messages.templates()?;
    let act = async |store: &Store| match &settings.action {
        Action::List => print(&table(&store.clients().await?)),
        Action::Set(wanted) => set(store, &templates, wanted).await,
    };
    settings.common.with_store(act).await
}

async fn set(store: &Store, templates: &Templates, wanted: &Wanted) -> Done {
    let change = wanted.change(templates)?;
    if change == SettingsChange::default() {
        return Err("nothing to set: see `hulak clients set --help`".into());
    }
    let name = wanted.name.trim();
    record(store, Act::SetClient, format!("{name}: {}", wanted.flags())).await?;
    let client = store
        .change_client(name, &change)
        .await?
        .ok_or_else(|| format!("there is no client {name:?}; `hulak keys create --client NAME` makes one"))?;
    print(&table(&[client]))
}

fn table(clients: &[ClientRecord]) -> String {
    let mut text =
        "CLIENT\tID\tAPP NAME\tRATE\tADDRESS HOURLY\tCORS ORIGINS\tREDIRECT URIS\tCREATED\n".to_owned();
    for ClientRecord { id, name, created_at, settings } in clients {
        let ClientSettings { app_name, cors_origins, redirect_uris, rate, address_hourly } = settings;
        // Writing to a string does not fail.
        let _written = writeln!(
            text,
            "{name}\t{id}\t{}\t{}\t{}\t{}\t{}\t{created_at}",
            shown(app_name.as_ref()),
            shown(rate.as_ref()),
            shown(address_hourly.as_ref()),
            joined(cors_origins.as_deref()),
            joined(redirect_uris.as_deref()),
        );
    }
    text
}

fn shown(setting: Option<&impl Display>) -> String {
    setting.map_or("default".to_owned(), ToString::to_string)
}

fn joined(setting: Option<&[impl Display]>) -> String {
    let join = |all: &[_]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    setting.map_or("default".to_owned(), join)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::rate_limit::Amount;

    fn set(change: impl FnOnce(&mut Wanted)) -> Result<SettingsChange, String> {
        let mut set = Wanted::default();
        change(&mut set);
        set.change(&Templates::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_setting_is_read_and_taken_back() {
        assert_eq!(set(|_| ()), Ok(SettingsChange::default()));
        let all = set(|set| {
            set.app_name = Some(" Shop ".to_owned());
            set.cors_origins = Some("https://a.example, https://b.example".to_owned());
            set.redirect_uris = Some("https://a.example/done".to_owned());
            set.rate = Some("off".to_owned());
            set.address_hourly = Some("7".to_owned());
        })
        .unwrap();
        assert_eq!(all.app_name, Change::To("Shop".to_owned()));
        assert_eq!(all.cors_origins.value().map(Vec::len), Some(2));
        assert_eq!(all.redirect_uris.value().map(Vec::len), Some(1));
        assert_eq!((all.rate, all.address_hourly), (Change::To(Amount(None)), Change::To(Amount(Some(7)))));
        for taken_back in ["", "default", " "] {
            let change = set(|set| {
                set.app_name = Some(taken_back.to_owned());
                set.rate = Some(taken_back.to_owned());
            })
            .unwrap();
            assert_eq!((change.app_name, change.rate), (Change::Reset, Change::Reset), "{taken_back:?}");
        }
    }

    #[test]
    fn a_bad_value_is_named_with_its_flag() {
        let long = "x".repeat(31);
        for (refused, flag) in [
            (set(|set| set.app_name = Some(long)), "--app-name: "),
            (set(|set| set.cors_origins = Some("*".to_owned())), "--cors-origins: "),
            (set(|set| set.redirect_uris = Some("http://a.example/".to_owned())), "--redirect-uris: "),
            (set(|set| set.rate = Some("0".to_owned())), "--rate: "),
            (set(|set| set.address_hourly = Some("many".to_owned())), "--address-hourly: "),
        ] {
            assert!(refused.clone().unwrap_err().starts_with(flag), "{refused:?}");
        }
    }
}
