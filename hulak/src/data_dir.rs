//! The directory of the one-process shape: database, secret and API key, for its own user only.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, OPERATOR_PREFIX};
use hulak_common::code::Secret;
use hulak_common::rng::Rng;
use hulak_runtime::settings::SettingError;

/// An opened data directory; nobody else uses it while this lives.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// The file of the API key.
const API_KEY: &str = "api-key";
/// The file of the operator's key.
const OPERATOR_KEY: &str = "operator-key";

type Failure = Box<dyn std::error::Error>;

impl DataDir {
    /// Makes the directory when there is none, and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, SettingError> {
        let bad = |reason: &dyn std::fmt::Display| {
            SettingError::new("HULAK_DATA_DIR", format!("{}: {reason}", path.display()))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| bad(&error))?;
        let lock =
            private().create(true).truncate(false).open(path.join("lock")).map_err(|error| bad(&error))?;
        lock.try_lock().map_err(|_| bad(&"another hulak is using it"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("hulak.db")
    }

    /// The secret that codes are derived from; made the first time. Without it no live code can be checked, so it is on
    /// the disk before it is used.
    pub(crate) fn secret(&self, rng: &Rng) -> Result<Secret, Failure> {
        let text = self.keep("secret", || STANDARD.encode(rng.bytes::<32>()))?;
        Ok(Secret::from_base64(&text).map_err(|error| self.unusable("secret", &error))?)
    }

    /// The API key of the client `default`; made the first time.
    pub(crate) fn api_key(&self, rng: &Rng) -> Result<ApiKey, Failure> {
        let text = self.keep(API_KEY, || ApiKey::generate(CLIENT_PREFIX, rng).expose().to_owned())?;
        Ok(ApiKey::parse(text.trim()).map_err(|error| self.unusable(API_KEY, &error))?)
    }

    /// The operator's key for the console; made the first time.
    pub(crate) fn operator_key(&self, rng: &Rng) -> Result<ApiKey, Failure> {
        let text = self.keep(OPERATOR_KEY, || ApiKey::generate(OPERATOR_PREFIX, rng).expose().to_owned())?;
        Ok(ApiKey::parse(text.trim()).map_err(|error| self.unusable(OPERATOR_KEY, &error))?)
    }

    /// Where the API key is.
    pub(crate) fn api_key_file(&self) -> PathBuf {
        self.path.join(API_KEY)
    }

    /// Where the operator's key is.
    pub(crate) fn operator_key_file(&self) -> PathBuf {
        self.path.join(OPERATOR_KEY)
    }

    fn unusable(&self, name: &str, error: &dyn std::fmt::Display) -> SettingError {
        SettingError::new("HULAK_DATA_DIR", format!("{}: {error}", self.path.join(name).display()))
    }

    /// The file's content, or `make`'s when there is no file yet. Written beside and renamed, so that a process killed in
    /// between leaves no half of a secret.
    fn keep(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                Ok(text)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = make();
                let half = self.path.join(format!("{name}.new"));
                let mut file = private().create(true).truncate(true).open(&half)?;
                writeln!(file, "{text}")?;
                file.sync_all()?;
                fs::rename(&half, &path)?;
                File::open(&self.path)?.sync_all()?;
                Ok(text)
            }
            Err(error) => Err(self.unusable(name, &error).into()),
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
