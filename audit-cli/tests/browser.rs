//! The page of a report in Chromium, over DevTools through pipes: opened from `file://`, it logs nothing, asks for nothing, and
//! prints. Screenshots are left in the target folder, for eyes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod sample;

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use annona_audit::report::{Document, Protection, html, stock};
use annona_protocol::{audit::Report, ids::SiteId};
use base64::Engine as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

/// Chromium with a profile of its own.
struct Browser {
    process: Child,
    commands: File,
    answers: BufReader<File>,
    /// Events that came while an answer was awaited.
    events: Vec<Value>,
    session: Option<String>,
    last: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let [commands, answers] = ["commands", "answers"].map(|name| profile.path().join(name));
        assert!(Command::new("mkfifo").args([&commands, &answers]).status().unwrap().success());
        // DevTools speaks over the descriptors 3 and 4.
        let script = "exec chromium \"$@\" 3<\"$COMMANDS\" 4>\"$ANSWERS\"";
        let process = Command::new("sh")
            .args(["-c", script, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg("about:blank")
            .envs([("COMMANDS", &commands), ("ANSWERS", &answers)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let mut browser =
            Self { process, commands, answers, events: Vec::new(), session: None, last: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn message(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "chromium ended: is it installed (`apt-get install chromium`)?");
        serde_json::from_slice(&message).unwrap()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.message();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    fn open(&mut self, page: &Path) {
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", page.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.message();
            self.events.push(event);
        }
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The whole page, in a window of this width.
    fn screenshot(&mut self, width: u32, scheme: &str, file: &Path) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let shot = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        write_base64(&shot["data"], file);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn write_base64(data: &Value, file: &Path) {
    fs::write(file, base64::engine::general_purpose::STANDARD.decode(data.as_str().unwrap()).unwrap()).unwrap();
}

fn document(report: &Report, protection: Protection) -> Document {
    let facts = sample::facts();
    let sheet = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let rows =
        "item,measure,opening,received,left,returned,damaged\ncereals,kg,1200,14000,230,0,18\noil,l,,900,12.5,,\n";
    fs::write(sheet.path(), rows).unwrap();
    let stock = stock::reconcile(SiteId(1), sheet.path(), &report.totals, &facts).unwrap();
    let stock = if matches!(protection, Protection::Noise(_)) { Vec::new() } else { stock };
    Document::new(report, &facts, stock, protection, &mut ChaCha20Rng::seed_from_u64(9)).unwrap()
}

fn documents() -> Vec<(&'static str, Document)> {
    let report = sample::report();
    let failed = sample::with_findings();
    vec![
        ("whole", document(&report, Protection::None)),
        ("suppressed", document(&report, Protection::SuppressBelow(10))),
        ("noisy", document(&report, Protection::Noise("1".parse().unwrap()))),
        ("failed", document(&failed, Protection::None)),
    ]
}

#[test]
fn the_page_opens_from_a_file_without_an_error_or_a_request() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).unwrap();
    let mut browser = Browser::start();
    for (name, document) in documents() {
        let page = folder.join(format!("{name}.html"));
        fs::write(&page, html::page(&document)).unwrap();
        browser.open(&page);

        // What the hostile names say stands there as text, and ran nowhere.
        assert_eq!(browser.evaluate("document.scripts.length"), 0);
        assert_eq!(browser.evaluate("document.body.innerText.includes('<script>alert(1)</script>')"), true);
        assert_eq!(browser.evaluate("document.querySelectorAll('svg[role=img]').length > 4"), true);
        let labelled = "[...document.querySelectorAll('svg[role=img]')].every(svg => \
                        svg.getAttribute('aria-labelledby').split(' ').every(id => svg.querySelector('#' + id).textContent))";
        assert_eq!(browser.evaluate(labelled), true);
        let ids = "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size == document.querySelectorAll('[id]').length";
        assert_eq!(browser.evaluate(ids), true);
        // The style sheet is the one that the policy allows.
        assert_eq!(browser.evaluate("getComputedStyle(document.querySelector('.solid')).strokeWidth"), "1px");
        let verdict = if document.verified() { "\u{2713} Verified" } else { "\u{2717} Not verified" };
        assert_eq!(browser.evaluate("document.querySelector('.verdict strong').innerText"), verdict);

        browser.screenshot(1100, "light", &folder.join(format!("{name}.png")));
        browser.screenshot(1100, "dark", &folder.join(format!("{name}-dark.png")));
        browser.screenshot(390, "light", &folder.join(format!("{name}-narrow.png")));
        let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(fits), true, "{name} fits a narrow window");
        // Paper does not scroll: 180 mm are 680 pixels.
        browser.call("Emulation.setEmulatedMedia", json!({"media": "print"}));
        let paper = json!({"width": 680, "height": 1000, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", paper);
        let whole = "[...document.querySelectorAll('.wide, .chart')].every(e => e.scrollWidth <= e.clientWidth)";
        assert_eq!(browser.evaluate(whole), true, "{name}: no table is cut off on paper");
        browser.call("Emulation.setEmulatedMedia", json!({"media": ""}));
        let printed = browser.call("Page.printToPDF", json!({"preferCSSPageSize": true, "printBackground": false}));
        let pdf = folder.join(format!("{name}.pdf"));
        write_base64(&printed["data"], &pdf);
        let text = Command::new("pdftotext").arg(&pdf).arg("-").output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains(if document.verified() { "Verified" } else { "NOT VERIFIED" }), "{name}");

        let said = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded"];
        let heard: Vec<_> =
            browser.events.iter().filter(|event| said.iter().any(|method| event["method"] == **method)).collect();
        assert!(heard.is_empty(), "{name}: {heard:?}");
        let asked: Vec<_> = browser
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(asked, [format!("file://{}", page.display())], "{name}: the page itself, and nothing else");
    }
}

/// The test would hear an error and see a request: a page that makes both.
#[test]
fn a_page_that_asks_and_complains_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("bad.html");
    fs::write(&page, "<img src=\"https://annona.example/x.png\"><script>console.error('bad')</script>").unwrap();
    let mut browser = Browser::start();
    browser.open(&page);
    let happened = |method: &str| browser.events.iter().filter(|event| event["method"] == method).count();
    assert_eq!(happened("Network.requestWillBeSent"), 2);
    assert!(happened("Runtime.consoleAPICalled") >= 1);
}
