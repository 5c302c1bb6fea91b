//! What sheets and key slips tell their holder, in the languages that the program knows. Others get English.

/// The words of one language.
pub(crate) struct Words {
    /// Whether the page begins at the right.
    pub(crate) is_right_to_left: bool,
    pub(crate) sheet: &'static str,
    /// How a sheet is used.
    pub(crate) whole: &'static str,
    /// How a split sheet is used.
    pub(crate) split: &'static str,
    pub(crate) key_slip: &'static str,
    pub(crate) key_slip_use: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) site: &'static str,
    pub(crate) any_site: &'static str,
    pub(crate) round: &'static str,
    pub(crate) page: &'static str,
}

const ENGLISH: Words = Words {
    is_right_to_left: false,
    sheet: "Voucher sheet",
    whole: "Each square is one voucher. Show it at the site and in the round that stand beside it, and you are given what is \
            written there. Each square works once. Whoever has this sheet, or a photograph of it, can use it: show nobody the \
            squares that you keep, and cut off only those that you use today. A lost sheet is like lost money.",
    split: "Each square is one voucher. Show it, with the key slip, at the site and in the round that stand beside it, and you \
            are given what is written there. Each square works once. This sheet works only together with the key slip that has \
            the same mark: keep them in different places, and bring both. Cut off only the squares that you use today. If sheet \
            or slip is lost, it is like lost money.",
    key_slip: "Key slip",
    key_slip_use: "This slip belongs to the voucher sheet that has the same mark. Neither works without the other: keep them in \
                   different places, and bring both. Show this slip only at the distribution site, and take it back.",
    mark: "Mark",
    site: "Site",
    any_site: "any",
    round: "Round",
    page: "Page",
};

const FRENCH: Words = Words {
    is_right_to_left: false,
    sheet: "Feuille de bons",
    whole: "Chaque carré est un bon. Montrez-le sur le site et pendant le cycle indiqués à côté : on vous remet ce qui y est \
            écrit. Chaque carré sert une seule fois. Qui a cette feuille, ou une photo de cette feuille, peut s’en servir : ne \
            montrez à personne les carrés que vous gardez, et ne découpez que ceux que vous utilisez aujourd’hui. Une feuille \
            perdue, c’est comme de l’argent perdu.",
    split: "Chaque carré est un bon. Montrez-le avec le billet-clé, sur le site et pendant le cycle indiqués à côté : on vous \
            remet ce qui y est écrit. Chaque carré sert une seule fois. Cette feuille ne sert qu’avec le billet-clé qui porte le \
            même signe : gardez-les à des endroits différents et apportez les deux. Ne découpez que les carrés que vous utilisez \
            aujourd’hui. Perdre la feuille ou le billet-clé, c’est comme perdre de l’argent.",
    key_slip: "Billet-clé",
    key_slip_use: "Ce billet va avec la feuille de bons qui porte le même signe. L’un ne sert pas sans l’autre : gardez-les à des \
                   endroits différents et apportez les deux. Ne montrez ce billet que sur le site de distribution, et \
                   reprenez-le.",
    // With the space that French has before a colon.
    mark: "Signe\u{a0}",
    site: "Site\u{a0}",
    any_site: "tous",
    round: "Cycle",
    page: "Page",
};

const ARABIC: Words = Words {
    is_right_to_left: true,
    sheet: "ورقة القسائم",
    whole: "كل مربع قسيمة واحدة. أظهروه في الموقع وفي الدورة المكتوبين بجانبه تستلموا ما هو مكتوب هناك. يُستعمل كل مربع مرة \
            واحدة فقط. من لديه هذه الورقة أو صورة عنها يستطيع استعمالها: لا تُظهروا لأحد المربعات التي تحتفظون بها، وقصّوا فقط ما \
            تستعملونه اليوم. الورقة الضائعة كالمال الضائع.",
    split: "كل مربع قسيمة واحدة. أظهروه مع قصاصة المفتاح في الموقع وفي الدورة المكتوبين بجانبه تستلموا ما هو مكتوب هناك. يُستعمل \
            كل مربع مرة واحدة فقط. لا تنفع هذه الورقة إلا مع قصاصة المفتاح التي تحمل العلامة نفسها: احفظوهما في مكانين مختلفين \
            وأحضروهما معًا. قصّوا فقط المربعات التي تستعملونها اليوم. ضياع الورقة أو القصاصة كضياع المال.",
    key_slip: "قصاصة المفتاح",
    key_slip_use: "هذه القصاصة تخص ورقة القسائم التي تحمل العلامة نفسها. لا تنفع إحداهما دون الأخرى: احفظوهما في مكانين مختلفين \
                   وأحضروهما معًا. لا تُظهروا هذه القصاصة إلا في موقع التوزيع، واستعيدوها بعد ذلك.",
    mark: "العلامة",
    site: "الموقع",
    any_site: "أي موقع",
    round: "الدورة",
    page: "صفحة",
};

const UKRAINIAN: Words = Words {
    is_right_to_left: false,
    sheet: "Аркуш ваучерів",
    whole: "Кожен квадрат — це один ваучер. Покажіть його в пункті видачі та в раунді, зазначених поруч, і вам видадуть те, що \
            там написано. Кожен квадрат діє один раз. Хто має цей аркуш або його фото, той може ним скористатися: нікому не \
            показуйте квадратів, які зберігаєте, і відрізайте лише ті, що використовуєте сьогодні. Загубити аркуш — це як \
            загубити гроші.",
    split: "Кожен квадрат — це один ваучер. Покажіть його разом із ключем у пункті видачі та в раунді, зазначених поруч, і вам \
            видадуть те, що там написано. Кожен квадрат діє один раз. Цей аркуш діє лише разом із ключем, який має ту саму \
            позначку: зберігайте їх у різних місцях і приносьте обидва. Відрізайте лише ті квадрати, що використовуєте \
            сьогодні. Загубити аркуш або ключ — це як загубити гроші.",
    key_slip: "Ключ до ваучерів",
    key_slip_use: "Цей ключ належить до аркуша ваучерів із тією самою позначкою. Одне без одного не діє: зберігайте їх у різних \
                   місцях і приносьте обидва. Показуйте цей ключ лише в пункті видачі та забирайте його назад.",
    mark: "Позначка",
    site: "Пункт видачі",
    any_site: "будь-який",
    round: "Раунд",
    page: "Сторінка",
};

const SPANISH: Words = Words {
    is_right_to_left: false,
    sheet: "Hoja de vales",
    whole: "Cada cuadrado es un vale. Muéstrelo en el sitio y en la ronda que están al lado y le darán lo que dice. Cada cuadrado \
            sirve una sola vez. Quien tiene esta hoja, o una foto de ella, puede usarla: no muestre a nadie los cuadrados que \
            guarda y corte solo los que use hoy. Una hoja perdida es como dinero perdido.",
    split: "Cada cuadrado es un vale. Muéstrelo con el papel llave en el sitio y en la ronda que están al lado y le darán lo que \
            dice. Cada cuadrado sirve una sola vez. Esta hoja solo sirve junto con el papel llave que tiene la misma marca: \
            guárdelos en lugares distintos y traiga ambos. Corte solo los cuadrados que use hoy. Perder la hoja o el papel llave \
            es como perder dinero.",
    key_slip: "Papel llave",
    key_slip_use: "Este papel va con la hoja de vales que tiene la misma marca. Uno no sirve sin el otro: guárdelos en lugares \
                   distintos y traiga ambos. Muestre este papel solo en el sitio de distribución y recójalo.",
    mark: "Marca",
    site: "Sitio",
    any_site: "cualquiera",
    round: "Ronda",
    page: "Página",
};

/// The words of a language tag's language.
pub(crate) fn words(language: &str) -> &'static Words {
    match language.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "fr" => &FRENCH,
        "ar" => &ARABIC,
        "uk" => &UKRAINIAN,
        "es" => &SPANISH,
        _ => &ENGLISH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_found_by_its_tag() {
        for (tag, sheet) in [
            ("fr", "Feuille de bons"),
            ("fr-CD", "Feuille de bons"),
            ("AR-SY", "ورقة القسائم"),
            ("uk", "Аркуш ваучерів"),
            ("es-VE", "Hoja de vales"),
            ("en", "Voucher sheet"),
            ("sw", "Voucher sheet"),
            ("", "Voucher sheet"),
        ] {
            assert_eq!(words(tag).sheet, sheet, "{tag}");
        }
        assert!(words("ar").is_right_to_left && !words("uk").is_right_to_left);
    }
}
