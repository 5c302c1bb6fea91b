//! `annona-audit report` and `stock` on real folders: exit status, what each output says, and what none of them says.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod sample;
mod story;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use annona_audit::report::{Document, Protection, html, json, manifest::ManifestFacts, stock, text};
use annona_protocol::{audit::testing::Block, ids::SiteId, log::leaf::SiteLeaf};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;
use story::{STORY, folder, run, stderr, stdout};

/// A folder in which a site signed a forged voucher.
fn forged() -> tempfile::TempDir {
    let story = &STORY.0;
    let mut draft = story.draft.clone();
    let Block::Batch(_, events) = &mut draft.sites[1].1[0] else { panic!("a batch") };
    let Some(SiteLeaf::Voucher(leaf)) = events.first_mut() else { panic!("a voucher") };
    leaf.voucher.shown.holder = leaf.voucher.shown.r;
    folder(&draft.publish(story, &mut ChaCha20Rng::seed_from_u64(32)))
}

/// Writes a report in all forms.
fn report(folder: &Path, more: &[&str]) -> (Output, Value, String) {
    let [json, html] = ["report.json", "report.html"].map(|name| folder.join(name));
    let mut arguments = vec!["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    arguments.extend(more);
    let output = run("report", folder, &arguments);
    assert_ne!(output.status.code(), Some(2), "{}", stderr(&output));
    let json = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    (output, json, fs::read_to_string(html).unwrap())
}

#[test]
fn a_report_has_the_figures_of_verify() {
    let folder = folder(&STORY.1);
    let (output, json, html) = report(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&json["verified"], &json["protection"]["kind"]), (&true.into(), &"none".into()));
    let totals = folder.path().join("totals.csv");
    assert_eq!(run("verify", folder.path(), &["--totals", totals.to_str().unwrap()]).status.code(), Some(0));
    let mut from_json = "round,site,line,units\n".to_owned();
    for (at, round) in json["rounds"].as_array().unwrap().iter().enumerate() {
        for (site_at, site) in json["sites"].as_array().unwrap().iter().enumerate() {
            for line in json["lines"].as_array().unwrap() {
                let units = &line["redeemed"]["cells"][at][site_at];
                if units != 0 {
                    let (site, line) = (site["name"].as_str().unwrap(), line["name"].as_str().unwrap());
                    from_json += &format!("{round},{site},{line},{units}\n");
                }
            }
        }
    }
    assert_eq!(from_json, fs::read_to_string(totals).unwrap());
    let text = stdout(&output);
    assert!(
        text.contains("\nVERIFIED\n") && text.ends_with("\nverified\n") && !text.contains("NOT VERIFIED"),
        "{text}"
    );
    assert!(text.contains("cash: redeemed\nsite   round 1  round 2  all\nnorth       50       64  114\n"), "{text}");
    assert!(html.contains("\u{2713} Verified") && !html.contains("not verified"));
    assert!(html.contains("<th scope=\"row\"><bdi>north</bdi></th><td class=\"n\">50</td><td class=\"n\">64</td>"));
}

#[test]
fn the_figures_of_a_run_with_findings_are_called_unverified() {
    let (output, json, html) = report(forged().path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let finding = &json["findings"][0];
    assert_eq!((&json["verified"], &finding["check"]), (&false.into(), &"voucher-invalid".into()));
    assert_eq!((&finding["number"], &finding["party"]), (&"9.5.4".into(), &"site-2".into()));
    assert!(finding["leaf"].is_u64() && finding["units"].is_u64());
    let text = stdout(&output);
    let tables = text.lines().filter(|line| line.contains(": redeemed") || line.contains(": draws"));
    let (all, flagged) =
        tables.fold((0, 0), |(all, flagged), line| (all + 1, flagged + usize::from(line.contains("(NOT VERIFIED)"))));
    assert!(all >= 4 && all == flagged, "{text}");
    assert!(text.ends_with("NOT VERIFIED: 1 finding\n"));
    assert!(html.find("\u{2717} Not verified").unwrap() < html.find("<h2>What failed</h2>").unwrap());
    assert!(html.find("<h2>What failed</h2>").unwrap() < html.find("<h2>Lines at a glance").unwrap());
    // Each heading over figures says so: the glance, and three lines.
    assert_eq!(html.matches("<span class=\"flag\">not verified</span>").count(), 4);
    // Noise would need the bounds that failed.
    let (_, json, _) = report(forged().path(), &["--epsilon", "1"]);
    assert!(json["lines"][0]["redeemed"]["total"].is_null() && json["lines"][0]["drawn"][0].is_null());
}

/// One pattern for all forms: what the JSON withholds is in neither the text nor the page.
#[test]
fn suppression_is_the_same_in_every_form() {
    let folder = folder(&STORY.1);
    let (output, json, html) = report(folder.path(), &["--suppress-below", "9"]);
    let lines = json["lines"].as_array().unwrap();
    // Food at north in round 1 is 4, at river 8; infant is 1.
    assert!(lines[0]["redeemed"]["cells"][0][0].is_null() && lines[1]["redeemed"]["total"].is_null());
    assert_eq!(lines[2]["redeemed"]["cells"][0][0], 50);
    for field in ["enrolments", "amends", "leaves"] {
        assert!(json[field].is_null(), "{field}");
    }
    let withheld = json.to_string().matches("null").count();
    assert!(withheld > 10);
    let text = stdout(&output);
    // The household that is in no cohort is not counted.
    assert!(text.contains("note: some enrolments (drawn 2") && html.contains("Some enrolments (drawn 2"));
    // Every figure of the text and the page is one of the JSON.
    let mut known = BTreeSet::new();
    collect_numbers(&json, &mut known);
    for cell in html.split("<td class=\"n").skip(1) {
        let content = cell.split_once('>').unwrap().1.split_once('<').unwrap().0.replace('\u{202f}', "");
        if let Ok(value) = content.parse::<u64>() {
            // Sums over the rounds of shown draws are made in the page.
            let sums = lines.iter().map(|line| {
                line["drawn"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap_or(1 << 60)).sum::<u64>()
            });
            let so_far = lines.iter().flat_map(|line| partial_sums(&line["redeemed"]["by_round"]));
            assert!(known.contains(&value) || sums.chain(so_far).any(|sum| sum == value), "{value}");
        }
    }
    assert!(html.contains("(x)") && text.contains("(x)"));
    assert!(text.contains("Figures from 1 to 8 are withheld"), "{text}");
    assert!(text.contains("one household may draw up to 250 units of cash in a round"), "{text}");
}

fn partial_sums(values: &Value) -> Vec<u64> {
    let mut sum = 0;
    let known = values.as_array().unwrap().iter().map_while(Value::as_u64);
    known
        .map(|value| {
            sum += value;
            sum
        })
        .collect()
}

fn collect_numbers(value: &Value, known: &mut BTreeSet<u64>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_numbers(value, known)),
        Value::Object(values) => values.values().for_each(|value| collect_numbers(value, known)),
        Value::Number(number) => known.extend(number.as_u64()),
        _ => {}
    }
}

#[test]
fn noise_hides_everything_but_noisy_units() {
    let folder = folder(&STORY.1);
    let (output, json, html) = report(folder.path(), &["--epsilon", "0.5"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&json["protection"]["kind"], &json["protection"]["epsilon"]), (&"noise".into(), &"0.5".into()));
    for line in json["lines"].as_array().unwrap() {
        assert!(line["redeemed"]["cells"][0][0].is_i64() || line["redeemed"]["cells"][0][0].is_u64());
        let cells = line["redeemed"]["cells"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        assert_eq!(cells.map(|cell| cell.as_i64().unwrap()).sum::<i64>(), line["redeemed"]["total"].as_i64().unwrap());
        for hidden in
            ["/voided/total", "/owed/total", "/collected/total", "/counted/0", "/granted_at_most/0", "/swapped/0"]
        {
            assert!(line.pointer(hidden).unwrap().is_null(), "{hidden}");
        }
    }
    for text in [&stdout(&output), &html] {
        assert!(text.contains("epsilon = 0.5 of differential privacy"));
    }
    // Two runs are two samples: noise of a scale of some hundred is hardly ever the same in every cell.
    let (_, again, _) = report(folder.path(), &["--epsilon", "0.5"]);
    assert_ne!(json["lines"], again["lines"]);
    let output = run("report", folder.path(), &["--epsilon", "0.5", "--suppress-below", "5"]);
    assert_eq!(output.status.code(), Some(2));
}

/// The noise has the scale that the specification says: household maximum times tables over epsilon.
#[test]
fn the_noise_has_the_stated_scale() {
    let (report, facts) = (sample::report(), sample::facts());
    let mut rng = ChaCha20Rng::seed_from_u64(33);
    let truth = report.totals.sites[&(annona_protocol::ids::Round(1), SiteId(1), annona_protocol::ids::LineId(1))];
    let noise = |rng: &mut ChaCha20Rng| {
        let document =
            Document::new(&report, &facts, Vec::new(), Protection::Noise("2".parse().unwrap()), rng).unwrap();
        (document.figures.lines[0].redeemed.cells[0][0].unwrap() - i128::from(truth.redeemed.0)).unsigned_abs() as f64
    };
    // 15 units a household, 2 tables of each of 3 lines, epsilon 2: a mean distance of 45.
    let mean = (0..2000).map(|_| noise(&mut rng)).sum::<f64>() / 2000.0;
    assert!((mean - 45.0).abs() < 5.0, "{mean}");
}

#[test]
fn hostile_names_stay_text() {
    let facts = sample::facts();
    let report = sample::with_findings();
    let mut rng = ChaCha20Rng::seed_from_u64(34);
    let document = Document::new(&report, &facts, Vec::new(), Protection::None, &mut rng).unwrap();
    let page = html::page(&document);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
    assert!(
        page.contains("<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>") && page.contains("Relief &amp; Co &lt;b&gt;")
    );
    assert!(page.contains("Winter &quot;distribution&quot; 2026"));
    // Overrides of the direction of writing are gone, letters of every script stay.
    assert!(!page.contains('\u{202e}') && page.contains("<bdi>\u{fffd}مركز التوزيع</bdi>"));
    assert!(
        page.contains("default-src &#39;none&#39;")
            || page.contains("content=\"default-src 'none'; style-src 'sha256-")
    );
    for outside in ["http://", "https://", "src=", "href=", "url(h", "@import", " style=", "javascript:"] {
        let rest = page.replace("http://www.w3.org/2000/svg", "").replace("&lt;img src=x onerror", "");
        assert!(!rest.contains(outside), "{outside}");
    }
    let mut out = Vec::new();
    text::document(&document, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\u{202e}') && !text.chars().any(|c| c.is_control() && c != '\n'));
}

/// Every field of the JSON is a row of the table in spec/audit.md, 5, and the other way round.
#[test]
fn the_json_is_the_documented_one() {
    let (report, facts) = (sample::with_findings(), sample::facts());
    let mut sheet = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::io::Write::write_all(&mut sheet, b"item,received\ncereals,1\n").unwrap();
    let stock = stock::reconcile(SiteId(1), sheet.path(), &report.totals, &facts).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(35);
    let document = Document::new(&report, &facts, stock, Protection::None, &mut rng).unwrap();
    let mut fields = BTreeSet::new();
    paths("", &json::document(&document), &mut fields);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/audit.md")).unwrap();
    let section = page.split("\n## 5. ").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(section.contains(&format!("`{}`", json::SCHEMA)));
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split('`').next());
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(fields, documented);
}

fn paths(at: &str, value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                fields.insert(path.clone());
                paths(&path, value, fields);
            }
        }
        Value::Array(array) => array.iter().for_each(|value| paths(at, value, fields)),
        _ => {}
    }
}

fn sheet(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn reconcile(folder: &Path, sheet: &Path) -> Output {
    run("stock", folder, &["--site", "1", sheet.to_str().unwrap()])
}

/// The story's north hands out 13 food, 1 infant, and 114 cash, of which 5 are owed in round 1 and collected in round 2.
#[test]
fn a_stock_sheet_agrees_or_differs() {
    let folder = folder(&STORY.1);
    let agrees = "item,round,opening,received,left,returned,damaged\nfood,,2,15,3,0,1\ninfant,,,1,,,\ncash,1,,45,,,\ncash,2,0,69,,,\n";
    let output = reconcile(folder.path(), &sheet(folder.path(), "true.csv", agrees));
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).ends_with("sheet and vouchers agree\n"));

    let differs = "item,received,left\nFood,15,1.5\ncash,114,\n";
    let path = sheet(folder.path(), "false.csv", differs);
    let output = reconcile(folder.path(), &path);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("1     all    food         13.5        13         0.5     unit\n"), "{text}");
    assert!(text.contains("1     1      infant  not on it         1          -1     unit\n"), "{text}");
    assert!(text.contains("food: more left the store than vouchers account for"), "{text}");
    assert!(text.ends_with("2 rows DIFFER\n"));

    // The same in a report, and withheld where the units are.
    let argument = format!("1={}", path.display());
    let (_, json, html) = report(folder.path(), &["--stock", &argument]);
    assert_eq!((&json["stock"][0]["difference"], &json["stock"][1]["difference"]), (&"0.5".into(), &"0".into()));
    assert!(html.contains("<h2>Stock against vouchers") && html.contains("13.5 unit"));
    let (_, json, _) = report(folder.path(), &["--stock", &argument, "--suppress-below", "9"]);
    assert!(json["stock"][0]["sheet"].is_null() && json["stock"][0]["vouchers"].is_null());

    let output = reconcile(forged().path(), &sheet(folder.path(), "true.csv", agrees));
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("NOT VERIFIED: 1 findings"));
}

#[test]
fn a_workbook_is_read_as_its_csv() {
    let folder = folder(&STORY.1);
    let path = folder.path().join("sheet.xlsx");
    let mut book = rust_xlsxwriter::Workbook::new();
    let page = book.add_worksheet();
    for (column, heading) in (0..).zip(["item", "received", "left", "round"]) {
        page.write(0, column, heading).unwrap();
    }
    page.write(2, 0, "food").unwrap().write(2, 1, 15.25).unwrap().write(2, 2, 2.25).unwrap();
    page.write(3, 0, "infant").unwrap().write(3, 1, 1).unwrap().write(3, 3, 1).unwrap();
    page.write(4, 0, "cash").unwrap().write(4, 1, 114).unwrap();
    book.save(&path).unwrap();
    let output = reconcile(folder.path(), &path);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// Physical amounts: 12 kg of cereals a ration up to round 3 and 10 kg after, oil of two lines.
#[test]
fn amounts_are_what_units_are_worth() {
    let (report, facts) = (sample::report(), sample::facts());
    let folder = tempfile::tempdir().unwrap();
    let path = sheet(folder.path(), "sheet.csv", "item,measure,received\ncereals,kg,0\noil,l,0\n");
    let rows = stock::reconcile(SiteId(2), &path, &report.totals, &facts).unwrap();
    let handed_out = |line: u16, from: u32, until: u32| -> i128 {
        let rows = report
            .totals
            .sites
            .iter()
            .filter(|((round, site, of), _)| (from..=until).contains(&round.0) && site.0 == 2 && of.0 == line);
        rows.map(|(_, row)| i128::from(row.redeemed.0 + row.collected.0) - i128::from(row.owed.0)).sum()
    };
    let cereals = (handed_out(1, 1, 3) * 12_000 + handed_out(1, 4, 6) * 10_000) * 1000;
    let oil = (handed_out(1, 1, 6) * 900 + handed_out(2, 1, 6) * 100) * 1000;
    assert!(cereals > 0 && oil > 0);
    assert_eq!((rows[0].vouchers, rows[0].measure.as_str()), (Some(cereals), "g"));
    assert_eq!((rows[1].vouchers, rows[1].measure.as_str()), (Some(oil), "ml"));
    // Sixteen tonnes are sixteen million grams.
    let path = sheet(folder.path(), "sheet.csv", "item,measure,received\ncereals,t,16\n");
    let rows = stock::reconcile(SiteId(2), &path, &report.totals, &facts).unwrap();
    assert_eq!(rows[0].sheet, Some(16_000_000_000));
}

#[test]
fn a_bad_sheet_says_which_row_and_what_to_do() {
    let folder = folder(&STORY.1);
    let refused = |name: &str, content: &str, expected: [&str; 2]| {
        let output = reconcile(folder.path(), &sheet(folder.path(), name, content));
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
        assert!(expected.iter().all(|part| stderr(&output).contains(part)), "{}", stderr(&output));
    };
    refused("a.csv", "", ["empty", "item, received"]);
    refused("a.csv", "item,left\nfood,1\n", ["row 1", "`received` is missing"]);
    refused("a.csv", "item,received,remarks\nfood,1,\n", ["row 1: column 3", "Remove it"]);
    refused("a.csv", "item,received,Received\nfood,1,1\n", ["row 1: column 3", "twice"]);
    refused("a.csv", "item,received\n\nfood,\"1,5\"\n", ["row 3: `received`", "no unit"]);
    refused("a.csv", "item,received\nfood,-1\n", ["row 2: `received`", "digits"]);
    refused("a.csv", "item,received\n,1\n", ["row 2: `item`", "Name the item"]);
    refused("a.csv", "item,received\nrice,1\n", ["row 2: ", "cash, food, infant"]);
    refused("a.csv", "item,received,round\nfood,1,one\n", ["row 2: `round`", "number"]);
    refused("a.csv", "item,received,measure\nfood,1,kg\n", ["row 2: ", "Convert"]);
    refused("a.csv", "item,received\nfood,1\nfood,2\n", ["row 3 ", "Add them up"]);
    refused("a.csv", "item,received\nfood,1,9\n", ["row 2 has more cells", "name their columns"]);
    refused("a.ods", "item,received\nfood,1\n", ["neither .csv nor .xlsx", "Save"]);
    refused("a.xlsx", "item,received\nfood,1\n", ["no workbook", "Save"]);
    let path = folder.path().join("a.csv");
    fs::write(&path, b"item,received\nf\xffood,1\n").unwrap();
    assert!(stderr(&reconcile(folder.path(), &path)).contains("row 2 is no CSV in UTF-8"));
    fs::write(&path, "item,received\nfood,1\n").unwrap();
    let output = run("stock", folder.path(), &["--site", "9", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no site 9"));
    for bad in ["1", "x=a.csv"] {
        assert_eq!(run("report", folder.path(), &["--stock", bad]).status.code(), Some(2));
    }
    let twice = ["--stock", "1=a.csv", "--stock", "1=b.csv"];
    fs::write(folder.path().join("a.csv"), "item,received\nfood,1\n").unwrap();
    let output = run("report", folder.path(), &twice);
    assert_eq!(output.status.code(), Some(2));
}

/// Without a genesis there is no manifest: the report says what the audit says, and has no figures.
#[test]
fn another_programme_has_no_figures() {
    let folder = folder(&STORY.1);
    let mut program = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    let output = program.arg("report").arg(folder.path()).args(["--programme", &"00".repeat(32)]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("[9.2.1] genesis-invalid: issuer"));
    assert_eq!(ManifestFacts::default().items().len(), 0);
}
