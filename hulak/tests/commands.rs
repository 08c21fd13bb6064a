//! `hulak keys` and `hulak clients` as operators start them, beside a running API.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use hulak_testkit::database::TestDatabase;
use hulak_testkit_stack::{eventually, install_tls};
use reqwest::Method;

/// Within what time a revoked key is refused, as docs/operations.md says.
const REFUSED: Duration = Duration::from_secs(5);

/// The program with none of our settings but the database's.
fn program(database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hulak"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HULAK_")) {
        command.env_remove(name);
    }
    command.env("HULAK_DATABASE_URL", database);
    command
}

/// An API without a broker, which takes requests all the same. Killed when it goes out of scope.
struct Api {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Api {
    async fn start(database: &str) -> Self {
        install_tls();
        let mut child = program(database)
            .arg("api")
            .env("HULAK_SECRET", "dGhpcyBpcyBhIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2Vl")
            .env("HULAK_BROKER_URL", "amqp://127.0.0.1:1")
            .envs(["HULAK_HTTP_ADDR", "HULAK_ADMIN_ADDR"].map(|name| (name, "127.0.0.1:0")))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = log.find_map(|line| {
            let line = line.unwrap();
            let address = line.split_once("API on ")?.1;
            Some(address.split(',').next()?.to_owned())
        });
        // Whatever else it logs is thrown away, or it would wait for somebody to read it.
        std::thread::spawn(move || log.for_each(drop));
        let api = Self { child, url: url.unwrap(), http: reqwest::Client::new() };
        eventually("the API", || async {
            (api.status("hk_nobodys-key-of-24-letters").await == 401).then_some(())
        })
        .await;
        api
    }

    async fn status(&self, key: &str) -> u16 {
        let url = format!("{}/v1/phones/9812345678", self.url);
        self.http.get(url).bearer_auth(key).send().await.unwrap().status().as_u16()
    }

    async fn allows(&self, origin: &str) -> bool {
        let url = format!("{}/v1/verifications", self.url);
        let request = self.http.request(Method::OPTIONS, url).header("Origin", origin);
        let answer = request.header("Access-Control-Request-Method", "POST").send().await.unwrap();
        answer.headers().get("access-control-allow-origin").is_some_and(|allowed| allowed == origin)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A command that succeeds: what it printed.
fn run(database: &str, arguments: &[&str]) -> String {
    let output = program(database).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

/// A command that is refused, with nothing on stdout: what it said.
fn refused(database: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = program(database).args(arguments).output().unwrap();
    let error = text(&stderr);
    assert_eq!((status.code(), text(&stdout)), (Some(2), String::new()), "{arguments:?}: {error}");
    error
}

/// Makes a key: the secret, which is all that is printed.
fn create(database: &str, arguments: &[&str]) -> String {
    let output = program(database).args(["keys", "create"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    let secret = printed.trim_end().to_owned();
    assert_eq!(printed, format!("{secret}\n"));
    assert!(said.contains(&secret[..11]) && !said.contains(&secret), "{said}");
    secret
}

/// Keys from the first to the last.
async fn keys(database: &str) {
    // The first command of all makes the schema, too.
    let first = create(database, &["--client", "shop"]);
    let api = Api::start(database).await;
    assert_eq!(api.status(&first).await, 200);

    let second = create(database, &["--client", "shop"]);
    let operator = create(database, &["--client", "staff", "--operator"]);
    assert!(first.starts_with("hk_") && second.starts_with("hk_") && operator.starts_with("ho_"));
    assert_eq!((api.status(&first).await, api.status(&second).await), (200, 200), "two live keys");
    assert_eq!(api.status(&operator).await, 403);

    let list = run(database, &["keys", "list"]);
    for secret in [&first, &second, &operator] {
        assert!(list.contains(&secret[..11]) && !list.contains(&secret[11..]), "{list}");
    }
    let rows: Vec<Vec<_>> = list.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["shop", "shop", "staff"]);
    assert_eq!(rows.iter().map(|row| row[2]).collect::<Vec<_>>(), ["client", "client", "operator"]);
    assert!(rows.iter().all(|row| row[4] == "-"), "{list}");

    let several = refused(database, &["keys", "revoke", "hk_"]);
    assert!([&first, &second].iter().all(|key| several.contains(&key[..11])), "{several}");
    assert!(!several.contains(&operator[..11]) && several.contains("2 keys"), "{several}");
    assert!(refused(database, &["keys", "revoke", "hk_nothing"]).contains("no key"));
    assert_eq!((api.status(&first).await, api.status(&second).await), (200, 200));

    let revoked = run(database, &["keys", "revoke", &first[..11]]);
    let refused = eventually("the refusal", || async { (api.status(&first).await == 401).then_some(()) });
    tokio::time::timeout(REFUSED, refused).await.unwrap();
    assert_eq!((api.status(&first).await, api.status(&second).await), (401, 200));
    // Again: it says when it was.
    let again = run(database, &["keys", "revoke", &first[..11]]);
    let moment = |text: &str| text.split_whitespace().last().unwrap().to_owned();
    assert!(again.contains("was revoked at") && moment(&again) == moment(&revoked), "{revoked}{again}");
    assert!(run(database, &["keys", "list"]).contains(&moment(&revoked)));
    let record = record(database).await;
    let made = |kind: &str, key: &str, client: &str| {
        ("create-key", format!("{kind} key {}… of {client}", &key[..11]))
    };
    let expected = [
        ("revoke-key", format!("{}… of shop", &first[..11])),
        ("revoke-key", format!("{}… of shop", &first[..11])),
        made("operator", &operator, "staff"),
        made("client", &second, "shop"),
        made("client", &first, "shop"),
    ];
    assert_eq!(record, expected.map(|(act, what)| (act.to_owned(), what)));
}

/// What the console's record has, newest first.
async fn record(database: &str) -> Vec<(String, String)> {
    let rules = hulak_testkit::fixtures::rules();
    let store = hulak_service::connect::store(&database.to_owned().into(), rules, 1, "test").unwrap();
    let entries = store.audit_log(None, 100).await.unwrap();
    store.close().await;
    entries.into_iter().map(|entry| (entry.act.as_str().to_owned(), entry.what)).collect()
}

/// What is set for clients.
async fn clients(database: &str) {
    let key = create(database, &["--client", "shop"]);
    create(database, &["--client", "bank"]);
    let api = Api::start(database).await;
    let set = |flags: &[&str]| run(database, &[&["clients", "set", "shop"], flags].concat());
    let row = |list: &str, name: &str| {
        let line = list.lines().find(|line| line.starts_with(&format!("{name}\t"))).unwrap();
        line.split('\t').map(str::to_owned).skip(2).take(5).collect::<Vec<_>>()
    };
    let all = ["Shop", "5", "off", "https://shop.example", "https://shop.example/done"];
    set(&["--app-name", " Shop ", "--cors-origins", "https://shop.example:443"]);
    set(&["--redirect-uris", "https://shop.example/done", "--rate", "5", "--address-hourly", "off"]);
    let list = run(database, &["clients", "list"]);
    assert_eq!(row(&list, "shop"), all);
    assert_eq!(row(&list, "bank"), ["default"; 5]);
    eventually("the origin", || async { api.allows("https://shop.example").await.then_some(()) }).await;
    assert!(!api.allows("https://bank.example").await);
    assert_eq!(api.status(&key).await, 200);

    let reset = set(&["--app-name", "", "--cors-origins", "default", "--rate", ""]);
    assert_eq!(row(&reset, "shop"), ["default", "default", "off", "default", "https://shop.example/done"]);
    eventually("no origin", || async { (!api.allows("https://shop.example").await).then_some(()) }).await;

    for (flags, reason) in [
        (&["--rate", "0"][..], "--rate: must be"),
        (&["--address-hourly", "1.5"], "--address-hourly: must be"),
        (&["--cors-origins", "*"], "--cors-origins: \"*\" must be an origin"),
        (&["--cors-origins", "https://a.example/x"], "without a path"),
        (&["--redirect-uris", "http://a.example/"], "--redirect-uris: "),
        (&["--app-name", "a name that is far too long for an SMS"], "1 to 30 characters"),
        (&[], "nothing to set"),
    ] {
        let error = refused(database, &[&["clients", "set", "shop"], flags].concat());
        assert!(error.contains(reason), "{flags:?}: {error}");
    }
    assert!(refused(database, &["clients", "set", "nobody", "--rate", "1"]).contains("no client \"nobody\""));
    assert_eq!(row(&run(database, &["clients", "list"]), "shop"), row(&reset, "shop"));
}

async fn on_sqlite(test: impl AsyncFnOnce(&str)) {
    let directory = tempfile::tempdir().unwrap();
    test(&format!("sqlite://{}/hulak.db", directory.path().display())).await;
}

async fn on_postgres(test: impl AsyncFnOnce(&str)) {
    let database = TestDatabase::bare().await;
    test(&database.url()).await;
    database.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_on_sqlite() {
    on_sqlite(keys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_on_postgres() {
    on_postgres(keys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_on_sqlite() {
    on_sqlite(clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_on_postgres() {
    on_postgres(clients).await;
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/hulak.db", directory.path().display());
    for (arguments, reason) in [
        (&["keys", "create"][..], "--client"),
        (&["keys", "create", "--client", " "], "--client: \" \": must have 1 to 64 characters"),
        (&["keys", "revoke"], "<PREFIX>"),
        (&["clients", "set"], "<NAME>"),
    ] {
        let error = refused(&database, arguments);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(reason) && !error.contains("HULAK_"), "{arguments:?}: {error}");
    }
    let output = program("").args(["keys", "list"]).output().unwrap();
    assert!(text(&output.stderr).contains("HULAK_DATABASE_URL"), "{output:?}");
    // The setting `HULAK_CORS_ORIGINS` is named by its variable, the flag `clients set --cors-origins` as it is typed.
    let output = program(&database).arg("api").env("HULAK_CORS_ORIGINS", "https://a/b").output().unwrap();
    assert!(text(&output.stderr).contains("HULAK_CORS_ORIGINS: \"https://a/b\""), "{output:?}");
    let output = program(&database).args(["keys", "list"]).env("HULAK_CODE_TTL", "soon").output().unwrap();
    assert!(text(&output.stderr).contains("HULAK_CODE_TTL: \"soon\""), "{output:?}");
    // The settings of another role do not concern this one.
    let output = program(&database).args(["keys", "list"]).env("HULAK_CORS_ORIGINS", "https://a/b").output();
    assert!(output.unwrap().status.success());
}
