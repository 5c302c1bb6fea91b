# What the wallet says. Every language has the same messages with the same places.

ask-pin = PIN or passphrase:
ask-new-pin = Choose a PIN of 6 digits or more; a passphrase of five random words is much better:
ask-pin-again = The same again:
ask-ticket = The text of the square code on the ticket, or the letters and digits below it:

new-made = Your wallet is { $file }. Without its PIN nobody can open it, you included.
new-next = Next: use your ticket with `annona-wallet enrol`.

enrolled = You take part in “{ $programme }” of { $agency }. The ticket is used: it is of no more use to anybody.
enrolled-next = Next: draw vouchers with `annona-wallet draw`.

draw-nothing = There is nothing to draw in round { $round }.
drawn =
    { $count ->
        [one] You drew one voucher for { $site }, round { $round }.
       *[other] You drew { $count } vouchers for { $site }, round { $round }.
    }

amount = { $line }: { $units }
any-site = any site

show-empty = This wallet is empty. Use your ticket with `annona-wallet enrol`.
show-title = { $programme } ({ $agency })
show-round = Now: round { $round }, as far as this wallet knows.
show-no-round = No round is open yet.
show-no-vouchers = You hold no vouchers.
show-vouchers = You can collect:
show-at =
    { $count ->
        [one] - at { $site }, until the end of round { $round }: { $amounts } (one voucher)
       *[other] - at { $site }, until the end of round { $round }: { $amounts } ({ $count } vouchers)
    }
show-nothing-to-draw = Nothing more can be drawn in this round.
show-to-draw = You can still draw: { $amounts }.
show-expires = You can draw up to round { $round }, that one included.
show-owed = { $site } still owes you: { $amounts }. Fetch it with `annona-wallet collect`.
show-refused =
    { $count ->
        [one] One voucher was refused at a site. Ask the agency's complaint desk.
       *[other] { $count } vouchers were refused at sites. Ask the agency's complaint desk.
    }
show-receipts =
    { $count ->
        [one] You have one receipt: `annona-wallet receipts`.
       *[other] You have { $count } receipts: `annona-wallet receipts`.
    }
show-alike-unknown = How many others drew the same as you is not known for all that you hold. `annona-wallet check` finds it in the public log.

unfinished =
    { $count ->
        [one] One request has no answer yet. Go on with `annona-wallet resume`.
       *[other] { $count } requests have no answer yet. Go on with `annona-wallet resume`.
    }
refresh-due = The last request was refused. The next `annona-wallet draw` puts the wallet in order again.

visit-accepted = { $site } took your vouchers.
visit-accepted-before = { $site } had taken these vouchers before; you can still get what they are for.
visit-handed-over = { $site } says that it took these vouchers before and handed everything over. If that is wrong, go to the complaint desk.
visit-other-counter = Another counter of { $site } took these vouchers. Go to that counter.
visit-take = You get now: { $amounts }.
visit-owed = Not in stock, and owed to you: { $amounts }. Fetch it later with `annona-wallet collect`.
visit-code = Show this code at the counter: { $code }

amended = The change of your household is taken over. It counts from the next round on.

receipt = { $site }, round { $round }: { $amounts }; in the public record by batch { $batch }
receipt-pending = { $site }, round { $round }: { $amounts }; to be confirmed, in the public record by batch { $batch }
receipts-none = There are no receipts.
receipts-erased =
    { $count ->
        [one] One receipt was erased.
       *[other] { $count } receipts were erased.
    }
receipts-exported =
    { $count ->
        [one] One slip was written to the file. Whoever reads it sees what was collected, where and in which round. Give it to an auditor or complaint desk that you trust, then erase it.
       *[other] { $count } slips were written to the file. Whoever reads it sees that one household collected all of this, where and in which rounds. Give it to an auditor or complaint desk that you trust, then erase it.
    }

resume-nothing = Nothing was waiting.
resume-drawn =
    { $count ->
        [one] The draw is done: one voucher.
       *[other] The draw is done: { $count } vouchers.
    }
resume-credential = The wallet's request was answered: it is in order.
swapped =
    { $count ->
        [one] The exchange is done: one new voucher.
       *[other] The exchange is done: { $count } new vouchers.
    }

site-added = { $site } is at { $url }.
site-known = { $number }: { $site }, { $url }
site-unknown = { $number }: { $site }, no address noted

pin-changed = The PIN is changed. Copies that were made before still open with the old one.
backup-made = The copy is { $file }. It opens with the same PIN.
backup-old = Use one of the two files only. A copy does not know what happens later.
man-written = The manual's pages are in { $folder }.

# What went wrong, and what to do next.

error-address = This is not an address that can be used. Write https://host:port and nothing after it.
error-already-enrolled = This wallet has used its ticket. A second ticket needs a second wallet: `annona-wallet new`.
error-answer-false = The answer is not right, so nothing was changed. Try again from another network; if it stays so, tell the agency.
error-contradiction = The agency's server says something else than it said before. Do not go on; tell somebody you trust, and the agency.
error-file-cut-off = { $about } is cut off: its end is missing. Use a backup.
error-file-damaged = { $about } is damaged. Use a backup.
error-file-exists = { $about } is there already and is not overwritten. Give another name.
error-file-foreign = { $about } is no wallet. Check the name.
error-file-in-use = { $about } is in use by another program. Wait until that one ends, then try again.
error-file-newer = { $about } was made by a newer program. Update this one.
error-file-permissions = Others can read or change { $about }. Run `chmod 600` on it, then choose a new PIN with `annona-wallet pin`.
error-file-unreadable = { $about } cannot be read. Check the name, and that the file is yours.
error-file-unwritable = The wallet cannot be saved. Check that there is space and that the folder is yours, then try again.
error-folder = The folder cannot be written to. Check its name and its space.
error-folder-permissions = Others could put another file in the wallet's place in { $about }. Run `chmod go-w` on that folder, or move the wallet.
error-no-address = No address is known for { $about }. Give it with --site-url; it is posted at the site.
error-no-change = Your vouchers do not make up exactly { $number } of { $about }. Choose another amount: `annona-wallet show --json` lists their values.
error-no-end = There was no end after many tries. Try again later.
error-no-file = Which wallet? Name its file with --wallet.
error-no-round = No round is open yet. Try again when the agency has opened one.
error-no-way = There is no way to reach this server: check its address and the proxy.
error-not-enrolled = This wallet has used no ticket yet. Do that first: `annona-wallet enrol`.
error-nothing-owed = Nothing is owed to you there.
error-nothing-to-redeem = You hold no voucher that fits this site and its round. See `annona-wallet show`.
error-other-programme = This ticket or wallet belongs to another programme. Take another wallet file.
error-output = The result cannot be written out. What was asked for is done; see `annona-wallet show`.
error-passphrase-descriptor = The PIN cannot be read from that file descriptor.
error-passphrase-differs = The two entries differ. Try again.
error-passphrase-empty = No PIN was given.
error-passphrase-no-terminal = There is no terminal to ask for the PIN. Give --passphrase-fd, or set ANNONA_PASSPHRASE.
error-passphrase-not-text = The PIN is not readable text.
error-passphrase-too-long = The PIN is too long.
error-passphrase-too-short =
    { $number ->
        [one] A PIN needs at least one character.
       *[other] A PIN needs at least { $number } characters. A passphrase of five random words is much better.
    }
error-passphrase-unset = The variable that should hold the PIN is not set.
error-pending = Another request has no answer yet. Go on with it first: `annona-wallet resume`.
error-proxy = The proxy is not an address. Write host:port, such as 127.0.0.1:9050.
error-refresh-due = The last request was refused. Run `annona-wallet draw` first: it puts the wallet in order again.
error-refused = Refused: { $reason }
error-round-not-open =
    { $number ->
        [0] The round is not open. Look with `annona-wallet show`.
       *[other] Round { $number } is not open. Look with `annona-wallet show`.
    }
error-state-too-long = The wallet has become too large. Erase receipts that you need no more: `annona-wallet receipts`.
error-ticket-alone = The letters alone do not say which programme they belong to. Scan the square code, or give --programme and --issuer.
error-ticket-amends = This ticket changes a household. Use it with `annona-wallet amend`.
error-ticket-code-character = A ticket has digits and letters except U, and may end in * ~ $ = or U. Compare it with the paper.
error-ticket-code-check = The ticket's letters are mistyped. Compare them with the paper, one by one.
error-ticket-code-length = A ticket has 17 letters and digits. Type all of them.
error-ticket-enrols = This ticket is for a new wallet. Use it with `annona-wallet enrol`.
error-ticket-slip-damaged = The square code was not read whole. Scan it again, or type the letters and digits below it.
error-ticket-slip-foreign = This is not the square code of a ticket.
error-ticket-slip-server = The address in the ticket cannot be used. Ask who gave you the ticket.
error-ticket-slip-version = This ticket is newer than this program. Update the program.
error-ticket-unread = The ticket's text cannot be read.
error-ticket-without-server = The ticket names no address. Give it with --issuer; the agency tells it.
error-uncovered = That is more than you can draw. See `annona-wallet show`.
error-unknown-line = The programme has nothing called { $about }. See `annona-wallet show`.
error-unknown-site = The programme has no site called { $about }. See `annona-wallet site list`.
error-unreached = Nobody could be reached. Nothing is lost: try again later.
error-values = The programme has no vouchers that make up this amount. Ask for another one.
error-visit-open = Another visit to this site has no answer yet. Go on with it first: `annona-wallet resume`.
error-voucher-not-free = A voucher is part of another request, or was refused before. Go on with `annona-wallet resume`.
error-which-site = Which site? Name it with --site: { $list }.
error-work-factor = This cost cannot be used for the file. Use a number from 1 to 22; 16 is usual.
error-wrong-passphrase = The PIN does not open { $about }. Try again.

# What servers refuse.

refused-already-redeemed = A voucher was redeemed before. If not by you, go to the complaint desk: the wallet keeps the site's signed word.
refused-answer-erased = The programme is over, and the answer was erased.
refused-closed = The site has closed for now. Come back when it opens.
refused-enrolment-invalid = The server did not take the ticket's request. Try again; if it stays so, tell the agency.
refused-line-not-quoted = The site does not give that today.
refused-no-announcement = The agency has published nothing yet. Try again later.
refused-no-round-open = The site is not open yet. Come back when it opens.
refused-other-round = The site has another round open. See `annona-wallet show`.
refused-other-site = A voucher is for another site. Go there, or exchange it before the round opens with `annona-wallet swap`.
refused-other-slot = Another counter of this site takes these vouchers. Go to that counter.
refused-owed-unknown = The site does not know what it owes you, or gave it before. Go to the complaint desk: the wallet keeps its slip.
refused-round-not-open = The round is not open for this. Try again when the agency has opened it.
refused-show-invalid = The server did not take the request. Run `annona-wallet draw` again; if it stays so, tell the agency.
refused-spent = This wallet was used from another copy. Use the newest copy of the file.
refused-swap-invalid = The server did not take the exchange. Your vouchers are as they were.
refused-swapped = A voucher was exchanged before. Use the newest copy of the file.
refused-ticket-early = The ticket is not valid yet. Try again when the agency says so.
refused-ticket-guesses = Too many wrong tickets were tried. Wait a while, then try again.
refused-ticket-unknown = The agency's server does not know this ticket. Compare it with the paper, or ask who gave it to you.
refused-ticket-used = This ticket was used before. If not by you, go to who gave it to you at once.
refused-voucher-invalid = The site says that a voucher is not good. Go to the complaint desk: the wallet keeps the site's signed word.

ask-words = The 24 recovery words in their order, or the text of the envelope’s square code:
words-title = Your recovery words, in this order:
words-keep = Write them on paper, now. With them you get your wallet back; so does anybody who finds them.
restored =
    { $count ->
        [0] Your wallet is back. It brought no vouchers.
        [one] Your wallet is back, with one voucher.
       *[other] Your wallet is back, with { $count } vouchers.
    }
restored-nothing = Nothing was found for these words. If you used the wallet in the last hours, try again later; or use your ticket.
restored-unusable =
    { $count ->
        [one] One entry could not be used. Try again later, and tell the agency.
       *[other] { $count } entries could not be used. Try again later, and tell the agency.
    }
restored-old = Vouchers that you redeemed before, or gave away, may be among them: a site will say so.
error-copied = This file is a copy. Run `annona-wallet restore` first: the other one may have gone on.
error-envelope-damaged = The envelope’s code is damaged. Scan it again, or type the 24 words.
error-has-words = This wallet has recovery words: `annona-wallet words` shows them.
error-no-words = This wallet has no recovery words. `annona-wallet words --new` makes some for what you do from now on.
error-restore-later = The agency’s server is not ready. Try again later.
error-restore-small = The agency’s server would learn whose wallet this is. Nothing was asked; tell the agency.
error-words-alone = Words alone do not say which programme: give --programme and --issuer, or the envelope’s code.
error-words-count = There are { $number } words; there must be 24, in their order.
error-words-together = The words do not belong together: one is another, or two are exchanged.
error-words-unknown = Word number { $number } is not a recovery word. Look at the paper again; the first four letters are enough.
error-words-unread = The words cannot be read.

ask-card-pin = The card’s PIN:
key-slip = the key slip
printed =
    { $count ->
        [one] { $file } has one voucher. Whoever reads it can collect: keep the paper as you keep money.
       *[other] { $file } has { $count } vouchers. Whoever reads them can collect: keep the paper as you keep money.
    }
printed-next = This is sheet { $number }. Once it is printed, scan every code into `annona-wallet read-back { $number }`: then the vouchers are erased here. If the printer failed: `annona-wallet print --again { $number }`.
read-back =
    { $count ->
        [one] The code was read. The voucher is on paper only now.
       *[other] All { $count } codes were read. The vouchers are on paper only now.
    }
read-back-missing = Not read yet: { $list }. Nothing was erased; scan all again, or print again.
read-back-foreign =
    { $count ->
        [one] One code was not of this sheet.
       *[other] { $count } codes were not of this sheet.
    }
give-next = This is gift { $number }. When the other wallet has it: `annona-wallet give --done { $number }`. To take it back: `annona-wallet unpack { $number }`.
given =
    { $count ->
        [one] One voucher was erased here.
       *[other] { $count } vouchers were erased here.
    }
unpacked =
    { $count ->
        [one] One voucher is in the wallet again. Destroy its paper or card: whoever comes first has the goods.
       *[other] { $count } vouchers are in the wallet again. Destroy their paper or card: whoever comes first has the goods.
    }
taken =
    { $count ->
        [0] You have these vouchers already.
        [one] You have one voucher more.
       *[other] You have { $count } vouchers more.
    }
taken-first = Whoever gave them to you may still have a copy: redeem them soon, or make them yours with `annona-wallet swap`.
received =
    { $count ->
        [one] Good. The used voucher is erased.
       *[other] Good. The { $count } used vouchers are erased.
    }
not-received =
    { $count ->
        [one] One voucher can be shown again. The site gives what it did not hand over.
       *[other] { $count } vouchers can be shown again. The site gives what it did not hand over.
    }
card-written =
    { $count ->
        [one] One voucher is on the card, and no longer in the wallet.
       *[other] { $count } vouchers are on the card, and no longer in the wallet.
    }
card-read =
    { $count ->
        [0] The card holds nothing more.
        [one] One voucher came from the card.
       *[other] { $count } vouchers came from the card.
    }
card-show = On the card: { $count }. Given out: { $number }.
error-card-damaged = This is no card of this program, or it is damaged.
error-card-file = The card cannot be read or written.
error-card-full = The card is full: it holds 30 vouchers.
error-card-pin = The PIN does not open the card, or the card is damaged.
error-card-short-pin = A card’s PIN has at least four characters; six are better.
error-code-damaged = A code is damaged. Scan it again, flat and in good light.
error-code-foreign = One of the codes is not a voucher’s.
error-code-invalid = A voucher is false: nobody issued it, or it was changed. Keep the paper, and tell the agency.
error-code-key = A voucher is newer than what this wallet knows of the programme. Connect, run `annona-wallet draw`, and try again.
error-code-programme = A code is of another programme.
error-codes-unread = The codes cannot be read.
error-key-slips = Sheet and key slip do not fit: scan all codes of one sheet and its one key slip.
error-no-parcel = Nothing with number { $number } waits here.
error-no-visit = No visit waits for its goods.
error-sheet = The sheet cannot be printed in this language. Choose another with --language.
error-split-differs = Print a split sheet with --split, and another one without.

check-manifest = The programme is version { $version }. { $count } of its { $number } witnesses vouch that everybody sees the same.
check-no-witness = The programme is version { $version }. It names { $number } witnesses and asks for { $count }: nobody vouches that everybody sees the same.
check-issuer = The agency’s public log is whole: { $number } entries.
check-crowd = At { $site }, round { $round }: { $count } draws brought at least what you hold. A visit hides you among them.
check-small-crowd =
    { $count ->
        [0] At { $site }, round { $round }: no single draw brought all that you hold. Redeem in several visits, a few vouchers each.
        [one] At { $site }, round { $round }: only { $count } draw brought what you hold. Whoever reads the public log can follow this visit.
       *[other] At { $site }, round { $round }: only { $count } draws brought at least what you hold. Redeem in several visits, a few vouchers each.
    }
check-receipts = { $site }: { $count } receipts are in its public log, { $number } wait for it.
check-no-log = { $site }: its log cannot be checked ({ $reason }).
check-broken =
    { $count ->
        [one] One receipt was broken: the site wrote nothing down for it. The proof convicts the site; take it to the complaint desk.
       *[other] { $count } receipts were broken: the site wrote nothing down for them. The proofs convict the site; take them to the complaint desk.
    }
check-redeemed =
    { $count ->
        [one] One voucher was redeemed before, and is gone from the wallet.
       *[other] { $count } vouchers were redeemed before, and are gone from the wallet.
    }
error-log-false = A public log does not hold what was signed. Do not go on; tell somebody you trust, and the agency.
error-log-missing = Nothing was published yet. Try again later.
error-receipt-false = A receipt is not of this programme or site.

show-sheet =
    { $count ->
        [one] Sheet { $number }: one voucher, until `annona-wallet read-back { $number }` has read it.
       *[other] Sheet { $number }: { $count } vouchers, until `annona-wallet read-back { $number }` has read them.
    }
show-gift =
    { $count ->
        [one] Gift { $number }: one voucher. `annona-wallet give --again { $number }` shows it again.
       *[other] Gift { $number }: { $count } vouchers. `annona-wallet give --again { $number }` shows them again.
    }
show-card =
    { $count ->
        [one] One voucher did not get onto its card. Take it back with `annona-wallet unpack { $number }`, and write the card again.
       *[other] { $count } vouchers did not get onto their card. Take them back with `annona-wallet unpack { $number }`, and write the card again.
    }

words-uncovered = Your recovery words bring back what you did so far, and nothing more of round { $round }. From the next round on they bring back everything again.
words-beyond = Your recovery words do not bring back the last messages of round { $round }. If the telephone is lost before the next round, what they drew is lost, and nothing more can be drawn until your ticket's term ends. Make a backup now. From the next round on the words bring back everything again.

qr-scan-quote = Scan the counter's square.
qr-visit = These squares are for { $site }, round { $round }.
qr-again = The visit to { $site }, round { $round }, was begun before. These are its squares again.
qr-shown = Hold these squares to the counter, one after the other:
qr-scan-answer = Now scan the counter's answer: all its squares, in any order.
qr-unanswered = { $site } has not answered yet. Show the squares again with the same command, or scan the answer with --qr --answer.
error-frames-conflict = This square was read before with another content. Begin again.
error-frames-damaged = The square was not read whole. Scan it again.
error-frames-foreign = This is not a square of the counter's screen.
error-frames-kind = This is a ticket's or a voucher's square. Scan those of the counter's screen.
error-frames-mismatch = The squares do not belong together. Scan all of them again.
error-frames-other-message = This square belongs to another message. Scan those of one screen only.
error-frames-too-long = This is too much for squares. Show fewer vouchers at once, with --part.
error-frames-version = This square was made by a newer program. Update this one.
error-qr-answer = This is not the answer to your visit, so nothing was changed. Scan what the counter shows now.
error-qr-foreign = These squares are no answer to a visit. Scan what the counter shows now.
error-qr-missing = Squares are missing: { $list }. Scan all of them.
error-qr-not-asked = No visit waits for an answer. Begin with `annona-wallet redeem --qr`.
error-qr-nothing = Nothing was scanned. Scan the counter's square.
error-quote-false = This square is not signed by the site's key. Show it nothing, and tell the agency.
error-quote-foreign = These squares are not what a counter shows first. Ask for its first square.
error-quote-manifest = The counter goes by other rules than this wallet knows. Run `annona-wallet check` where there is a network.
error-quote-programme = This counter belongs to another programme.
error-quote-site = This counter belongs to another site: number { $number }. Give --site if you want to collect there.

show-alike = Draws that brought at least what you hold for { $site } in round { $round }: { $count }. So says the agency’s public log at { $number } entries, when you last ran `check`.
show-same = Draws that asked for exactly that: { $number }.
crowd-few = That is few: whoever reads the public log may find out which visit is yours. Redeem in several visits, a few vouchers each, with --part.
crowd-few-part = That is few: whoever reads the public log may find out which visit is yours. Redeem in several visits: { $about } alone is what { $count } draws brought.
crowd-at-most = Draws of one voucher each make that up at most this often: { $count }. One household may have made many of them, so do not count on it.
visit-alike = Draws that brought at least what this visit shows to { $site } in round { $round }, as your last `check` found it: { $count }.
visit-alike-unknown = How many others could show what this visit shows is not known. Run `annona-wallet check` before a visit.
error-crowd-unknown = No `check` has looked at all these vouchers yet, so nothing was shown. Run `annona-wallet check` first.
error-small-crowd = Only { $number } draws brought what this visit would show, so nothing was shown. Show less with --part, or ask for fewer with --hide-among.
drawn-singles =
    { $count ->
        [one] One draw of one voucher is done, for { $site }, round { $round }.
       *[other] { $count } draws of one voucher each are done, for { $site }, round { $round }.
    }
singles-at-once =
    { $count ->
        [one] It went out at once.
       *[other] They went out in a row: each looks like anybody's, but the agency's server saw one address draw { $count } times. Next time spread them with `--within`.
    }
resume-singles =
    { $count ->
        [one] The draw of one voucher is done.
       *[other] All { $count } draws of one voucher each are done.
    }
resume-singles-left =
    { $count ->
        [one] One draw of one voucher is left. Go on with the same `annona-wallet draw --uniform`.
       *[other] { $count } draws of one voucher each are left. Go on with the same `annona-wallet draw --uniform`.
    }
error-draws-left = Draws of one voucher each are left from before. Go on with the same `annona-wallet draw --uniform`, or draw what is left in this way with `--instead`.
error-draws-too-many = That would be { $number } draws. Draw less at once, with `--line`.
error-words-too-few = That is { $number } more draws of this round, and your recovery words bring back { $about }. Draw less with `--line`, draw without `--uniform`, or say `--beyond-words`: what goes beyond is lost if the telephone is lost, and with it what you could draw later.
