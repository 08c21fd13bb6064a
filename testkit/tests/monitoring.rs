//! What `deploy/` brings for Prometheus, as Prometheus itself reads it. That dashboards and alerts speak of metrics that
//! there are is for `deploy/check.py` to see.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hulak_testkit::services::install;

fn prometheus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

async fn promtool(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(install::promtool().await.unwrap()).args(arguments).current_dir(prometheus()).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn the_configuration_is_valid() {
    let (valid, said) = promtool(&["check", "config", "prometheus.yml"]).await;
    assert!(valid && said.contains("1 rule files found"), "{said}");
    let (valid, said) = promtool(&["check", "rules", "--lint-fatal", "alerts.yml"]).await;
    assert!(valid, "{said}");
}

#[tokio::test]
async fn every_alert_fires_when_it_should_and_not_otherwise() {
    let (passed, said) = promtool(&["test", "rules", "alerts.test.yml"]).await;
    assert!(passed && said.contains("SUCCESS"), "{said}");
}

/// A rule without a case would pass the test above.
#[test]
fn every_alert_has_a_case_of_each_kind() {
    let rules = std::fs::read_to_string(prometheus().join("alerts.yml")).unwrap();
    let cases = std::fs::read_to_string(prometheus().join("alerts.test.yml")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let asked = format!("alertname: {alert}\n        exp_alerts:");
        let quiet = cases.matches(&format!("{asked} []\n")).count();
        let firing = cases.matches(&format!("{asked}\n")).count()
            + cases.matches(&format!("alertname=\"{alert}\", alertstate=\"firing\"")).count();
        assert!(firing > 0, "{alert} never fires");
        assert!(quiet > 0, "{alert} is never quiet");
    }
}
