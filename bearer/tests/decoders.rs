//! What was printed is read by programs that are not ours: pages are rendered by poppler and decoded by zbar.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use annona_bearer::{
    Backdrop, Code, CodeError, Printed, Sheet, SheetText, Symbol,
    frames::{self, Collector, Progress},
};
use annona_protocol::{
    fixture::{CASH, FOOD, Fixture, INFANT, LOT, SITE},
    ids::{KeyIndex, LineId, ProgrammeId, Round, SiteId},
    programme::KeyId,
    redeem::RedeemRequest,
    secret::{SecretBytes, SecretScalar},
    slip::{Place, QuoteTerms, Signed},
    voucher::Voucher,
    wire::Message as _,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const LANGUAGES: [&str; 5] = ["en", "fr", "ar", "uk", "es"];

/// Dots an inch of an ordinary scan; a module of 0.65 mm has less than four.
const SCAN: &str = "150";

struct World {
    fixture: Fixture,
    /// Of a household of nine.
    vouchers: Vec<Voucher>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let fixture = Fixture::new(&mut rng);
    let (credential, _) = fixture.enrol(LOT, 12, &[9, 3], &mut rng);
    let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
    let key = |line: LineId, value: u32| -> KeyIndex {
        let id = KeyId { line, value, round: Round(1), site: Some(SITE), slot: None };
        fixture.programme.key_index(&id).unwrap()
    };
    let mut keys = vec![(key(FOOD, 1), 9), (key(INFANT, 1), 3), (key(CASH, 2), 6), (key(CASH, 5), 6)];
    keys.sort_unstable();
    let (_, vouchers, _) = fixture.draw(1, &credential, keys, &mut rng);
    World { fixture, vouchers }
});

impl World {
    fn id(&self) -> ProgrammeId {
        self.fixture.programme.id()
    }

    /// All 24 vouchers with texts of a language, short or as long as they get.
    fn printed(&self, language: &str, is_long: bool) -> Vec<(&Voucher, Printed)> {
        let print = |voucher: &Voucher| {
            let id = self.fixture.programme.key(voucher.key()).unwrap().id;
            let [food, infant, cash, unit, site] = labels(language);
            let (pictogram, line) = match id.line {
                FOOD => ("food", food),
                INFANT => ("infant", infant),
                _ => ("cash", cash),
            };
            let long = |text: &str, times: usize| if is_long { vec![text; times].join(" ") } else { text.to_owned() };
            Printed {
                line: long(line, 3),
                pictogram: pictogram.to_owned(),
                value: if is_long { u32::MAX } else { id.value },
                unit: long(unit, 3),
                site: Some(long(site, 4)),
                round: if is_long { Round(u32::MAX) } else { id.round },
            }
        };
        self.vouchers.iter().map(|voucher| (voucher, print(voucher))).collect()
    }

    fn whole(&self, language: &str) -> Sheet {
        Sheet::whole(text(language), &self.id(), &self.printed(language, false)).unwrap()
    }

    fn split(&self, language: &str) -> Sheet {
        let seed = SecretBytes::new([42; 32]);
        Sheet::split(text(language), &self.id(), seed, &self.printed(language, false)).unwrap()
    }
}

/// Food, infants, cash, unit, site.
fn labels(language: &str) -> [&'static str; 5] {
    match language {
        "fr" => ["Farine de blé", "Kit nourrisson", "Espèces", "kg", "Porte du nord"],
        "ar" => ["دقيق القمح", "مستلزمات الرضيع", "نقد", "كغ", "البوابة الشمالية"],
        "uk" => ["Пшеничне борошно", "Набір для немовлят", "Готівка", "кг", "Північна брама"],
        "es" => ["Harina de trigo", "Kit de lactantes", "Efectivo", "kg", "Puerta norte"],
        _ => ["Wheat flour", "Infant kit", "Cash", "kg", "North gate"],
    }
}

fn text(language: &str) -> SheetText {
    let (agency, programme) = match language {
        "ar" => ("وكالة الإغاثة", "برنامج الشتاء ٢٠٢٦"),
        "uk" => ("Агенція допомоги", "Зимова програма 2026"),
        _ => ("Relief Agency", "Winter programme 2026"),
    };
    SheetText { language: language.into(), agency: agency.into(), programme: programme.into() }
}

/// Runs a program of Debian's and returns what it prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => panic!(
            "{program} is missing. As root run:\n    apt-get install -y poppler-utils zbar-tools\nand try again; \
             `make test` does so itself"
        ),
        Err(error) => panic!("{program}: {error}"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The pages of a PDF as images, in order.
fn pages(folder: &Path, pdf: &[u8]) -> Vec<PathBuf> {
    let (file, prefix) = (folder.join("sheet.pdf"), folder.join("page"));
    fs::write(&file, pdf).unwrap();
    run("pdftoppm", &["-r", SCAN, "-gray", "-png", file.to_str().unwrap(), prefix.to_str().unwrap()]);
    let mut pages: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .collect();
    pages.sort();
    pages
}

/// The texts of all QR codes in an image.
fn decode(image: &Path) -> Vec<String> {
    let options = ["--quiet", "--raw", "--nodbus", "-Sdisable", "-Sqrcode.enable"];
    let output = run("zbarimg", &[&options[..], &[image.to_str().unwrap()]].concat());
    output.lines().map(str::to_owned).collect()
}

/// The texts of all codes of a PDF, page by page.
fn printed_codes(pdf: &[u8]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    pages(folder.path(), pdf).iter().map(|page| decode(page)).collect()
}

/// Copies a PDF, and its pages as images, to where a person looks at them.
fn show(name: &str, pdf: &[u8]) {
    if let Ok(target) = std::env::var("ANNONA_TEST_SHEETS") {
        let target = Path::new(&target).join(name);
        fs::create_dir_all(&target).unwrap();
        pages(&target, pdf);
    }
}

#[test]
fn every_code_of_a_sheet_is_read_from_its_pages() {
    for language in LANGUAGES {
        let sheet = WORLD.whole(language);
        let pdf = sheet.pdf().unwrap();
        show(&format!("whole-{language}"), &pdf);
        let found = printed_codes(&pdf);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [12, 12], "{language}");
        let mut waiting = sheet.to_scan();
        for (at, text) in found.iter().flatten().enumerate() {
            assert!(!waiting.is_complete(), "{at} of 24");
            waiting.add(text).unwrap();
        }
        assert!(waiting.is_complete(), "{language}: {waiting:?}");
        // What the paper says is the vouchers, and nothing is missing of them.
        let mut marks = BTreeSet::new();
        for text in found.iter().flatten() {
            let Ok(Code::Voucher(code)) = Code::parse(text) else { panic!("no voucher") };
            marks.insert(code.voucher(&WORLD.fixture.programme).unwrap().shown().mark());
        }
        assert_eq!(marks, WORLD.vouchers.iter().map(|voucher| voucher.shown().mark()).collect());
    }
}

#[test]
fn a_split_sheet_and_its_key_slip_are_read_and_neither_works_alone() {
    let programme = &WORLD.fixture.programme;
    for language in ["en", "ar"] {
        let sheet = WORLD.split(language);
        let (pdf, slip_pdf) = (sheet.pdf().unwrap(), sheet.key_slip_pdf().unwrap().unwrap());
        show(&format!("split-{language}"), &pdf);
        show(&format!("key-slip-{language}"), &slip_pdf);
        let (found, slip_found) = (printed_codes(&pdf), printed_codes(&slip_pdf));
        assert_eq!((found.iter().map(Vec::len).collect::<Vec<_>>(), slip_found.len()), (vec![12, 12], 1));
        let [slip_text] = &slip_found[0][..] else { panic!("one code on the key slip") };
        let Ok(Code::KeySlip(slip)) = Code::parse(slip_text) else { panic!("a key slip") };

        let mut waiting = sheet.to_scan();
        for (text, voucher) in found.iter().flatten().zip(in_order(&found, &sheet)) {
            waiting.add(text).unwrap();
            // The sheet alone.
            let Ok(Code::Voucher(alone)) = Code::parse(&text.replace("/H/", "/V/")) else { panic!("a voucher") };
            assert_eq!(alone.voucher(programme).unwrap_err(), CodeError::Invalid);
            let Ok(Code::Half(half)) = Code::parse(text) else { panic!("half a voucher") };
            assert_eq!(slip.join(half, programme).unwrap().shown(), voucher.shown());
        }
        assert!(!waiting.is_complete(), "the key slip is to be scanned too");
        waiting.add(slip_text).unwrap();
        assert!(waiting.is_complete());
        assert!(waiting.add("ANNONA1/V/000").is_err());
    }
    assert!(WORLD.whole("en").key_slip_pdf().is_none());
}

/// The vouchers in the order in which their codes were found.
fn in_order<'v>(found: &[Vec<String>], sheet: &Sheet) -> Vec<&'v Voucher> {
    let position = |text: &String| sheet.codes().position(|code| code == text).expect("of the sheet");
    found.iter().flatten().map(|text| &WORLD.vouchers[position(text)]).collect()
}

/// A visit of a household of nine, from screen to screen.
#[test]
fn a_large_visit_goes_through_several_codes() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let view = WORLD.fixture.view(1);
    let place = Place::new(&view, SiteId(1));
    let terms = QuoteTerms { place, id: Default::default(), lines: vec![FOOD, INFANT, CASH] };
    let quote = Signed::sign(terms, &WORLD.fixture.site_logs[0]);
    let vouchers: Vec<&Voucher> = WORLD.vouchers.iter().take(18).collect();
    let spare = SecretScalar::random(&mut rng);
    let message = RedeemRequest::new(&view, &quote, &vouchers, &spare, &mut rng).unwrap().encode();
    assert!((2300..2600).contains(&message.len()), "{}", message.len());

    let texts = frames::split(&message).unwrap();
    assert_eq!(texts.len(), 5);
    let symbols: Vec<Symbol> = texts.iter().map(|text| Symbol::alphanumeric(text).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::new();
    let mut complete = None;
    // From the last to the first, and the last again.
    for (at, symbol) in symbols.iter().enumerate().rev().chain([(4, &symbols[4])]) {
        let path = folder.path().join(format!("{at}.png"));
        fs::write(&path, &*symbol.png(4)).unwrap();
        let [text] = &decode(&path)[..] else { panic!("one code in image {at}") };
        match collector.add(text).unwrap() {
            Progress::Waiting { .. } => {}
            Progress::Complete(whole) => complete = Some(whole),
        }
    }
    assert_eq!(**complete.as_ref().unwrap(), message);
}

#[test]
fn a_message_is_read_from_a_terminal_of_either_colour() {
    let folder = tempfile::tempdir().unwrap();
    for length in [7, 100, 640] {
        let message: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let text = frames::split(&message).unwrap().remove(0);
        let symbol = Symbol::alphanumeric(&text).unwrap();
        for backdrop in [Backdrop::Dark, Backdrop::Light] {
            let path = folder.path().join("terminal.png");
            photograph(&symbol.terminal(backdrop), backdrop, &path);
            assert_eq!(decode(&path), [text.as_str()], "{backdrop:?}");
        }
    }
}

/// A terminal's screen as an image, each half of a character four pixels wide and high, with a wide edge of the ground.
fn photograph(screen: &str, backdrop: Backdrop, path: &Path) {
    const PIXELS: usize = 4;
    const EDGE: usize = 10;
    let (ground, ink) = if backdrop == Backdrop::Dark { (0u8, 255u8) } else { (255, 0) };
    let lines: Vec<Vec<char>> = screen.lines().map(|line| line.chars().collect()).collect();
    let (columns, rows) = (lines[0].len() + 2 * EDGE, 2 * lines.len() + 2 * EDGE);
    let mut pixels = vec![ground; columns * rows * PIXELS * PIXELS];
    for (row, line) in lines.iter().enumerate() {
        for (column, character) in line.iter().enumerate() {
            let halves = match character {
                '█' => [true, true],
                '▀' => [true, false],
                '▄' => [false, true],
                ' ' => [false, false],
                other => panic!("{other:?}"),
            };
            for (half, _) in halves.iter().enumerate().filter(|(_, is_ink)| **is_ink) {
                let (x, y) = ((column + EDGE) * PIXELS, (2 * row + half + EDGE) * PIXELS);
                for y in y..y + PIXELS {
                    let from = y * columns * PIXELS + x;
                    pixels[from..from + PIXELS].fill(ink);
                }
            }
        }
    }
    let file = BufWriter::new(File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, (columns * PIXELS) as u32, (rows * PIXELS) as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// A torn sheet is printed again: the same bytes, so the same sheet.
#[test]
fn a_sheet_is_printed_again_byte_for_byte() {
    for language in LANGUAGES {
        assert!(*WORLD.whole(language).pdf().unwrap() == *WORLD.whole(language).pdf().unwrap(), "{language}");
        let (one, two) = (WORLD.split(language), WORLD.split(language));
        assert!(*one.pdf().unwrap() == *two.pdf().unwrap(), "{language}");
        assert!(*one.key_slip_pdf().unwrap().unwrap() == *two.key_slip_pdf().unwrap().unwrap(), "{language}");
    }
    // A PDF says nothing of when and by whom it was made, and carries no code as text.
    let pdf = WORLD.whole("en").pdf().unwrap();
    let content = String::from_utf8_lossy(&pdf);
    for word in ["CreationDate", "ModDate", "/Author", "/Producer", "ANNONA1"] {
        assert!(!content.contains(word), "{word}");
    }
}

/// A word on a page: page, left, top, right, bottom.
type Word = (usize, [f32; 4], String);

/// The words of a PDF with their places.
fn words(pdf: &[u8]) -> Vec<Word> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sheet.pdf");
    fs::write(&file, pdf).unwrap();
    let mut page = 0;
    let mut words = Vec::new();
    for line in run("pdftotext", &["-bbox", file.to_str().unwrap(), "-"]).lines().map(str::trim) {
        if line.starts_with("<page ") {
            page += 1;
        } else if let Some(rest) = line.strip_prefix("<word ") {
            let mut values = rest.split('"').skip(1).step_by(2).map(|value| value.parse().unwrap());
            let place = std::array::from_fn(|_| values.next().unwrap());
            let (_, word) = rest.split_once('>').unwrap();
            words.push((page, place, word.trim_end_matches("</word>").to_owned()));
        }
    }
    words
}

#[test]
fn each_page_says_whose_sheet_it_is_and_each_voucher_what_it_is() {
    for (language, site) in [("en", "North gate"), ("fr", "Porte du nord"), ("uk", "Північна брама")] {
        let words = words(&WORLD.whole(language).pdf().unwrap());
        let SheetText { agency, programme, .. } = text(language);
        for page in [1, 2] {
            let all: Vec<&str> = words.iter().filter(|word| word.0 == page).map(|word| word.2.as_str()).collect();
            let all = all.join(" ");
            for expected in [agency.as_str(), &programme, &format!("{page}/2")] {
                assert!(all.contains(expected), "{language}, page {page}: {expected}");
            }
            assert_eq!(all.matches(site).count(), 12, "{language}");
            assert_eq!(all.matches("/24").count(), 12, "{language}");
        }
    }
}

/// Texts of any length stay in their places: no two words overlap, and none leaves the page.
#[test]
fn nothing_overlaps_however_long_texts_are() {
    for language in LANGUAGES {
        for is_long in [false, true] {
            let SheetText { agency, programme, .. } = text(language);
            let times = if is_long { 8 } else { 1 };
            let text = SheetText {
                language: language.into(),
                agency: vec![agency; times].join(" "),
                programme: vec![programme; times].join(" "),
            };
            let seed = SecretBytes::new([42; 32]);
            let sheet = Sheet::split(text, &WORLD.id(), seed, &WORLD.printed(language, is_long)).unwrap();
            let (pdf, slip) = (sheet.pdf().unwrap(), sheet.key_slip_pdf().unwrap().unwrap());
            show(&format!("long-{is_long}-{language}"), &pdf);
            for (document, pdf) in [("sheet", &pdf), ("key slip", &slip)] {
                let words = words(pdf);
                assert!(words.len() > 20, "{document}, {language}");
                for (at, (page, a, word)) in words.iter().enumerate() {
                    assert!(
                        a[0] > 14.0 && a[1] > 14.0 && a[2] < 581.0 && a[3] < 828.0,
                        "{document}, {language}: {word}"
                    );
                    for (_, b, other) in words[..at].iter().filter(|other| other.0 == *page) {
                        // Boxes are as high as the font, which is more than its letters.
                        let across = a[2].min(b[2]) - a[0].max(b[0]);
                        let down = a[3].min(b[3]) - a[1].max(b[1]);
                        let is_over = across > 0.5 && down > 0.25 * (a[3] - a[1]).min(b[3] - b[1]);
                        assert!(!is_over, "{document}, {language}: {word} {a:?} and {other} {b:?}");
                    }
                }
            }
        }
    }
}
