//! What a slip tells its holder, in the languages that the program knows. Others get English.

use annona_protocol::programme::TicketKind;

/// The languages that a slip has room for.
pub(super) const MAX_LANGUAGES: usize = 4;

/// A slip's heading.
pub(super) fn heading(language: &str, kind: TicketKind) -> &'static str {
    match (known(language), kind) {
        ("fr", TicketKind::Enrol) => "Ticket d’inscription",
        ("fr", TicketKind::Amend) => "Ticket : changement du ménage",
        ("fr", TicketKind::Split) => "Ticket : nouveau ménage",
        ("ar", TicketKind::Enrol) => "تذكرة تسجيل",
        ("ar", TicketKind::Amend) => "تذكرة: تغيير في الأسرة",
        ("ar", TicketKind::Split) => "تذكرة: أسرة جديدة",
        ("uk", TicketKind::Enrol) => "Талон на реєстрацію",
        ("uk", TicketKind::Amend) => "Талон: зміни в родині",
        ("uk", TicketKind::Split) => "Талон: нова родина",
        ("es", TicketKind::Enrol) => "Boleto de inscripción",
        ("es", TicketKind::Amend) => "Boleto: cambio en el hogar",
        ("es", TicketKind::Split) => "Boleto: hogar nuevo",
        (_, TicketKind::Enrol) => "Enrolment ticket",
        (_, TicketKind::Amend) => "Ticket: change of a household",
        (_, TicketKind::Split) => "Ticket: new household",
    }
}

/// What to do with a slip.
pub(super) fn instructions(language: &str) -> &'static str {
    match known(language) {
        "fr" => {
            "Scannez le carré ou saisissez le code dans le portefeuille. Il sert une seule fois. Ne le montrez à personne : \
             qui l’a peut s’en servir."
        }
        "ar" => {
            "امسحوا المربع أو اكتبوا الرمز في المحفظة. يُستعمل مرة واحدة فقط. لا تُظهروه لأحد: من يحصل عليه يستطيع استعماله."
        }
        "uk" => {
            "Відскануйте квадрат або введіть код у гаманець. Він діє один раз. Нікому його не показуйте: хто має код, той може \
             ним скористатися."
        }
        "es" => {
            "Escanee el cuadrado o escriba el código en la billetera. Sirve una sola vez. No lo muestre a nadie: quien lo tiene \
             puede usarlo."
        }
        _ => {
            "Scan the square or type the code into the wallet. It works once. Show it to nobody: whoever has it can use it."
        }
    }
}

/// A language's own words, each once and in order; English if none is known.
pub(super) fn spoken(languages: &[String]) -> Vec<&'static str> {
    let mut spoken: Vec<&'static str> = Vec::new();
    for language in languages.iter().map(|language| known(language)) {
        if !language.is_empty() && !spoken.contains(&language) {
            spoken.push(language);
        }
    }
    if spoken.is_empty() {
        spoken.push("en");
    }
    spoken.truncate(MAX_LANGUAGES);
    spoken
}

/// The primary part of a language tag, if the program knows it.
fn known(language: &str) -> &'static str {
    let primary = language.split('-').next().unwrap_or_default();
    ["en", "fr", "ar", "uk", "es"].into_iter().find(|known| *known == primary).unwrap_or_default()
}
