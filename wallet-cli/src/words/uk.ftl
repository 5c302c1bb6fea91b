# Що каже гаманець.

ask-pin = PIN-код або секретна фраза:
ask-new-pin = Виберіть PIN-код із 6 цифр чи більше; фраза з п’яти випадкових слів набагато краща:
ask-pin-again = Ще раз те саме:
ask-ticket = Текст квадратного коду з талона або літери й цифри під ним:

new-made = Ваш гаманець — { $file }. Без PIN-коду його не відкриє ніхто, і ви теж.
new-next = Далі: використайте талон командою `annona-wallet enrol`.

enrolled = Ви берете участь у програмі «{ $programme }», її веде { $agency }. Талон використано: більше він нікому не потрібен.
enrolled-next = Далі: отримайте ваучери командою `annona-wallet draw`.

draw-nothing = У видачі { $round } немає чого отримати.
drawn =
    { $count ->
        [one] Ви отримали { $count } ваучер для «{ $site }», видача { $round }.
        [few] Ви отримали { $count } ваучери для «{ $site }», видача { $round }.
       *[other] Ви отримали { $count } ваучерів для «{ $site }», видача { $round }.
    }

amount = { $line }: { $units }
any-site = будь-який пункт

show-empty = Цей гаманець порожній. Використайте талон командою `annona-wallet enrol`.
show-title = { $programme } ({ $agency })
show-round = Зараз: видача { $round }, наскільки знає цей гаманець.
show-no-round = Жодної видачі ще не відкрито.
show-no-vouchers = У вас немає ваучерів.
show-vouchers = Ви можете забрати:
show-at =
    { $count ->
        [one] - «{ $site }», до кінця видачі { $round }: { $amounts } ({ $count } ваучер)
        [few] - «{ $site }», до кінця видачі { $round }: { $amounts } ({ $count } ваучери)
       *[other] - «{ $site }», до кінця видачі { $round }: { $amounts } ({ $count } ваучерів)
    }
show-nothing-to-draw = У цій видачі більше немає чого отримати.
show-to-draw = Ви ще можете отримати ваучери: { $amounts }.
show-expires = Ви можете отримувати до видачі { $round } включно.
show-owed = «{ $site }» ще винен вам: { $amounts }. Заберіть командою `annona-wallet collect`.
show-refused =
    { $count ->
        [one] Не прийнято { $count } ваучер. Зверніться до бюро скарг організації.
        [few] Не прийнято { $count } ваучери. Зверніться до бюро скарг організації.
       *[other] Не прийнято { $count } ваучерів. Зверніться до бюро скарг організації.
    }
show-receipts =
    { $count ->
        [one] У вас { $count } квитанція: `annona-wallet receipts`.
        [few] У вас { $count } квитанції: `annona-wallet receipts`.
       *[other] У вас { $count } квитанцій: `annona-wallet receipts`.
    }
show-alike-unknown = Скільки інших отримали те саме, що й ви: невідомо.

unfinished =
    { $count ->
        [one] { $count } запит іще без відповіді. Продовжте командою `annona-wallet resume`.
        [few] { $count } запити ще без відповіді. Продовжте командою `annona-wallet resume`.
       *[other] { $count } запитів іще без відповіді. Продовжте командою `annona-wallet resume`.
    }
refresh-due = Останній запит відхилено. Наступна команда `annona-wallet draw` упорядкує гаманець.

visit-accepted = «{ $site }» прийняв ваші ваучери.
visit-accepted-before = «{ $site }» уже прийняв ці ваучери раніше; ви ще можете отримати те, на що вони.
visit-handed-over = «{ $site }» каже, що вже прийняв ці ваучери й усе видав. Якщо це не так, ідіть до бюро скарг.
visit-other-counter = Ці ваучери прийняло інше віконце, «{ $site }». Ідіть до того віконця.
visit-take = Ви отримуєте зараз: { $amounts }.
visit-owed = Немає в наявності, вам винні: { $amounts }. Заберіть пізніше командою `annona-wallet collect`.
visit-code = Покажіть цей код у віконці: { $code }

amended = Зміни у вашій родині враховано. Вони діють із наступної видачі.

receipt = «{ $site }», видача { $round }: { $amounts }; у публічному записі не пізніше партії { $batch }
receipt-pending = «{ $site }», видача { $round }: { $amounts }; ще не підтверджено, у публічному записі не пізніше партії { $batch }
receipts-none = Квитанцій немає.
receipts-erased =
    { $count ->
        [one] Стерто { $count } квитанцію.
        [few] Стерто { $count } квитанції.
       *[other] Стерто { $count } квитанцій.
    }

resume-nothing = Нічого не чекало.
resume-drawn =
    { $count ->
        [one] Отримано: { $count } ваучер.
        [few] Отримано: { $count } ваучери.
       *[other] Отримано: { $count } ваучерів.
    }
resume-credential = На запит гаманця є відповідь: усе гаразд.
swapped =
    { $count ->
        [one] Обмін зроблено: { $count } новий ваучер.
        [few] Обмін зроблено: { $count } нові ваучери.
       *[other] Обмін зроблено: { $count } нових ваучерів.
    }

site-added = «{ $site }» має адресу { $url }.
site-known = { $number }: «{ $site }», { $url }
site-unknown = { $number }: «{ $site }», адресу не записано

pin-changed = PIN-код змінено. Копії, зроблені раніше, відкриваються старим.
backup-made = Копія — { $file }. Вона відкривається тим самим PIN-кодом.
backup-old = Користуйтеся лише одним із двох файлів. Копія не знає, що було потім.
man-written = Сторінки довідки лежать у { $folder }.

# Що не вдалося і що робити далі.

error-address = Цю адресу не можна використати. Пишіть https://host:port і нічого після.
error-already-enrolled = Цей гаманець уже використав свій талон. Для другого талона потрібен другий гаманець: `annona-wallet new`.
error-answer-false = Відповідь неправильна, тому нічого не змінено. Спробуйте з іншої мережі; якщо так і далі, повідомте організацію.
error-contradiction = Сервер організації каже не те, що казав раніше. Не продовжуйте; скажіть тому, кому довіряєте, і організації.
error-file-cut-off = { $about } обрізано: бракує кінця. Візьміть резервну копію.
error-file-damaged = { $about } пошкоджено. Візьміть резервну копію.
error-file-exists = { $about } уже є, його не буде перезаписано. Дайте іншу назву.
error-file-foreign = { $about } — не гаманець. Перевірте назву.
error-file-in-use = { $about } зараз використовує інша програма. Зачекайте, поки вона закінчить, і спробуйте ще раз.
error-file-newer = { $about } зробила новіша програма. Оновіть цю.
error-file-permissions = Інші можуть читати або змінювати { $about }. Виконайте для нього `chmod 600`, а тоді виберіть новий PIN-код: `annona-wallet pin`.
error-file-unreadable = { $about } не читається. Перевірте назву і те, чи файл ваш.
error-file-unwritable = Гаманець не вдається зберегти. Перевірте, чи є місце і чи тека ваша, і спробуйте ще раз.
error-folder = У теку не можна писати. Перевірте її назву і місце.
error-folder-permissions = Інші могли б підмінити файл гаманця в { $about }. Виконайте для цієї теки `chmod go-w` або перенесіть гаманець.
error-no-address = Адреса «{ $about }» невідома. Вкажіть її через --site-url; вона вивішена на місці.
error-no-change = З ваших ваучерів не складається рівно { $number } ({ $about }). Візьміть дрібніші: `annona-wallet swap`.
error-no-end = Багато спроб не дали результату. Спробуйте пізніше.
error-no-file = Який гаманець? Назвіть його файл через --wallet.
error-no-round = Жодної видачі ще не відкрито. Спробуйте, коли організація її відкриє.
error-no-way = До цього сервера немає шляху: перевірте його адресу і проксі.
error-not-enrolled = Цей гаманець ще не використав талона. Спершу зробіть це: `annona-wallet enrol`.
error-nothing-owed = Там вам нічого не винні.
error-nothing-to-redeem = У вас немає ваучера для цього пункту і його видачі. Дивіться `annona-wallet show`.
error-other-programme = Цей талон або гаманець з іншої програми. Візьміть інший файл гаманця.
error-output = Результат не вдалося вивести. Те, про що ви просили, зроблено; дивіться `annona-wallet show`.
error-passphrase-descriptor = PIN-код не читається з цього дескриптора файлу.
error-passphrase-differs = Введене двічі не збігається. Спробуйте ще раз.
error-passphrase-empty = PIN-код не введено.
error-passphrase-no-terminal = Немає термінала, щоб запитати PIN-код. Дайте --passphrase-fd або змінну ANNONA_PASSPHRASE.
error-passphrase-not-text = PIN-код не є читабельним текстом.
error-passphrase-too-long = PIN-код задовгий.
error-passphrase-too-short =
    { $number ->
        [one] PIN-код має щонайменше { $number } знак.
        [few] PIN-код має щонайменше { $number } знаки. Фраза з п’яти випадкових слів набагато краща.
       *[other] PIN-код має щонайменше { $number } знаків. Фраза з п’яти випадкових слів набагато краща.
    }
error-passphrase-unset = Змінну, у якій мав бути PIN-код, не задано.
error-pending = Інший запит іще без відповіді. Спершу продовжте його: `annona-wallet resume`.
error-proxy = Проксі — це не адреса. Пишіть host:port, наприклад 127.0.0.1:9050.
error-refresh-due = Останній запит відхилено. Спершу виконайте `annona-wallet draw`: це впорядкує гаманець.
error-refused = Відхилено: { $reason }
error-round-not-open =
    { $number ->
        [0] Видачу не відкрито. Дивіться `annona-wallet show`.
       *[other] Видачу { $number } не відкрито. Дивіться `annona-wallet show`.
    }
error-state-too-long = Гаманець став завеликий. Зітріть непотрібні квитанції: `annona-wallet receipts`.
error-ticket-alone = Самі літери не кажуть, з якої вони програми. Відскануйте квадратний код або дайте --programme і --issuer.
error-ticket-amends = Цей талон змінює дані родини. Використайте його командою `annona-wallet amend`.
error-ticket-code-character = У талоні є цифри й латинські літери, крім U, а в кінці може бути * ~ $ = або U. Звірте з папером.
error-ticket-code-check = Літери талона введено з помилкою. Звірте їх із папером, одну за одною.
error-ticket-code-length = У талоні 17 літер і цифр. Введіть усі.
error-ticket-enrols = Цей талон для нового гаманця. Використайте його командою `annona-wallet enrol`.
error-ticket-slip-damaged = Квадратний код прочитано не весь. Відскануйте ще раз або введіть літери й цифри під ним.
error-ticket-slip-foreign = Це не квадратний код талона.
error-ticket-slip-server = Адресу з талона не можна використати. Спитайте того, хто дав талон.
error-ticket-slip-version = Талон новіший за цю програму. Оновіть програму.
error-ticket-unread = Текст талона не читається.
error-ticket-without-server = У талоні немає адреси. Дайте її через --issuer; її скаже організація.
error-uncovered = Це більше, ніж ви можете отримати. Дивіться `annona-wallet show`.
error-unknown-line = У програмі немає нічого з назвою { $about }. Дивіться `annona-wallet show`.
error-unknown-site = У програмі немає пункту { $about }. Дивіться `annona-wallet site list`.
error-unreached = Ні до кого не вдалося достукатися. Нічого не втрачено: спробуйте пізніше.
error-values = У програмі немає ваучерів, з яких складається ця кількість. Попросіть іншу.
error-visit-open = Інший візит до цього пункту ще без відповіді. Спершу продовжте його: `annona-wallet resume`.
error-voucher-not-free = Ваучер уже в іншому запиті або його відхилили раніше. Продовжте командою `annona-wallet resume`.
error-which-site = Який пункт? Назвіть його через --site: { $list }.
error-work-factor = Цю вартість не можна взяти для файлу. Візьміть число від 1 до 22; звичайно 16.
error-wrong-passphrase = PIN-код не відкриває { $about }. Спробуйте ще раз.

# Що відхиляють сервери.

refused-already-redeemed = Ваучер уже використано. Якщо не вами, ідіть до бюро скарг: гаманець зберігає підписане слово пункту.
refused-answer-erased = Програма закінчилася, і відповідь стерто.
refused-closed = Пункт поки зачинено. Приходьте, коли відчиниться.
refused-enrolment-invalid = Сервер не прийняв запит із талоном. Спробуйте ще раз; якщо так і далі, повідомте організацію.
refused-line-not-quoted = Сьогодні пункт цього не видає.
refused-no-announcement = Організація ще нічого не оприлюднила. Спробуйте пізніше.
refused-no-round-open = Пункт іще не відкрито. Приходьте, коли відкриється.
refused-other-round = У пункті відкрита інша видача. Дивіться `annona-wallet show`.
refused-other-site = Ваучер для іншого пункту. Ідіть туди або обміняйте його до відкриття: `annona-wallet swap`.
refused-other-slot = Ці ваучери приймає інше віконце цього пункту. Ідіть до нього.
refused-owed-unknown = Пункт не знає, що він вам винен, або вже видав. Ідіть до бюро скарг: гаманець зберігає підписаний папір.
refused-round-not-open = Видачу для цього не відкрито. Спробуйте, коли організація її відкриє.
refused-show-invalid = Сервер не прийняв запит. Виконайте `annona-wallet draw` ще раз; якщо так і далі, повідомте організацію.
refused-spent = Цим гаманцем користувалися з іншої копії. Візьміть найновішу копію файлу.
refused-swap-invalid = Сервер не прийняв обмін. Ваші ваучери такі, як були.
refused-swapped = Ваучер уже обміняно. Візьміть найновішу копію файлу.
refused-ticket-early = Талон іще не діє. Спробуйте, коли скаже організація.
refused-ticket-guesses = Забагато неправильних талонів. Зачекайте трохи і спробуйте ще раз.
refused-ticket-unknown = Сервер організації не знає цього талона. Звірте з папером або спитайте того, хто його дав.
refused-ticket-used = Цей талон уже використано. Якщо не вами, одразу йдіть до того, хто його дав.
refused-voucher-invalid = Пункт каже, що ваучер недійсний. Ідіть до бюро скарг: гаманець зберігає підписане слово пункту.
