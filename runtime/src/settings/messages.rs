//! Settings of the messages: the API has to know what fits into one, and the workers write them.

use clap::Args;

use crate::settings::SettingError;
use hulak_common::sms_template::{DEFAULT_APP_NAME, MaxParts, Templates, app_name};

/// What messages say and may cost.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub struct MessageArgs {
    /// The name that messages are signed with.
    #[arg(long, env = "HULAK_APP_NAME", default_value = DEFAULT_APP_NAME, hide_env_values = true, value_parser = app_name)]
    pub app_name: String,
    /// SMS parts that a message may take, each of them a credit: one number, or one for each language.
    #[arg(long, env = "HULAK_MAX_PARTS", default_value = "en=1,ne=2", hide_env_values = true)]
    pub max_parts: MaxParts,
}

impl MessageArgs {
    /// The templates as the settings have them.
    ///
    /// # Errors
    /// When a message with this name takes more parts than it may.
    pub fn templates(&self) -> Result<Templates, SettingError> {
        Templates::new(self.app_name.clone(), self.max_parts).map_err(|refused| {
            // Only a name can be too long: the rest of each template is one part.
            let allowed = refused.allowed;
            SettingError::new("HULAK_APP_NAME", format!("{refused}; HULAK_MAX_PARTS allows {allowed}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        messages: MessageArgs,
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let cli = Cli::try_parse_from(["hulak", "--app-name", "Hulak", "--max-parts", "en=1,ne=2"]).unwrap();
        assert_eq!(cli.messages.max_parts, MaxParts::default());
        assert_eq!(cli.messages.templates(), Ok(Templates::default()));
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused_by_the_settings_names() {
        let name = "🎉".repeat(30);
        let cli = Cli::try_parse_from(["hulak", "--app-name", &name, "--max-parts", "2"]).unwrap();
        assert!(cli.messages.templates().is_ok());
        let cli = Cli::try_parse_from(["hulak", "--app-name", &name, "--max-parts", "en=2,ne=1"]).unwrap();
        assert_eq!(
            cli.messages.templates().unwrap_err().to_string(),
            "HULAK_APP_NAME: the ne message is 2 parts (87 characters, UCS-2); HULAK_MAX_PARTS allows 1"
        );
    }
}
