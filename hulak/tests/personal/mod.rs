//! Whatever happens, and however much is logged: no code, no key and no whole number is found afterwards.

use std::fs::File;
use std::process::Command;

use hulak_testkit::collector::Collector;
use hulak_testkit::metrics::Metrics;
use hulak_testkit_stack::eventually;
use hulak_testkit_stack::personal::{BACK, Ground, walk};

use crate::started::{Hulak, may_come_back};

/// Stops it in order, so that it hands over what it has.
async fn stop(hulak: &mut Hulak) {
    let id = hulak.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    eventually("its end", || std::future::ready(hulak.child.try_wait().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_left_behind() {
    for format in ["json", "text"] {
        let directory = tempfile::tempdir().unwrap();
        let (data, log) = (directory.path().join("data"), directory.path().join("log"));
        let collector = Collector::start().await;
        let settings = [
            ("HULAK_LOG", "trace"),
            ("HULAK_LOG_FORMAT", format),
            ("HULAK_CODE_LENGTH", "10"),
            ("HULAK_RESEND_COOLDOWN", "1s"),
            ("HULAK_NUMBER_HOURLY", "100"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ];
        let mut hulak = Hulak::start_logging(&data, &settings, File::create(&log).unwrap().into());
        may_come_back(&data, BACK).await;
        let ground = Ground {
            api: hulak.address("API"),
            sandbox: hulak.address("SMS inbox").replace("/inbox", ""),
            admin: hulak.address("Admin").replace("/readyz", ""),
            key: hulak.key(),
            operator_key: std::fs::read_to_string(data.join("operator-key")).unwrap().trim().to_owned(),
            http: hulak.http.clone(),
        };
        let mut secrets = Box::pin(walk(&ground)).await;
        for entry in std::fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            if path
                .file_name()
                .is_some_and(|name| ["secret", "api-key", "operator-key"].iter().any(|kept| name == *kept))
            {
                secrets.add("what is kept", std::fs::read_to_string(path).unwrap().trim());
            }
        }
        let metrics =
            hulak.http.get(format!("{}/metrics", ground.admin)).send().await.unwrap().text().await.unwrap();
        stop(&mut hulak).await;

        let log = std::fs::read_to_string(&log).unwrap();
        assert_eq!(secrets.find(&log), Vec::<String>::new(), "in the log ({format})");
        assert_eq!(secrets.find(&collector.text()), Vec::<String>::new(), "in the traces");
        assert_eq!(secrets.find(&metrics), Vec::<String>::new(), "in the metrics");

        // There was something to find it in.
        assert!(secrets.count() > 30, "{}", secrets.count());
        for what in
            ["a page's token", "a page code", "token", "client_token", "the session's cookie", "a code"]
        {
            assert!(secrets.holds(what), "{what}");
        }
        for line in ["answered", "called the gateway", "+97798•••••678", "TRACE"] {
            assert!(log.contains(line), "no {line} in the log ({format})");
        }
        assert!(collector.spans().len() > 30 && Metrics::parse(&metrics).series() > 100);
        if format == "json" {
            every_line_is_an_object(&log);
        }
    }
}

fn every_line_is_an_object(log: &str) {
    let mut traced = 0;
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        if ["answered", "called the gateway"].contains(&line["message"].as_str().unwrap_or_default()) {
            assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
            assert_eq!(line["span_id"].as_str().map(str::len), Some(16), "{line}");
            traced += 1;
        }
    }
    assert!(traced > 20, "{traced}");
}
