# Ce que dit le portefeuille.

ask-pin = Code PIN ou phrase secrète :
ask-new-pin = Choisissez un code PIN de 6 chiffres ou plus ; une phrase de cinq mots au hasard est bien meilleure :
ask-pin-again = Encore une fois :
ask-ticket = Le texte du code carré du ticket, ou les lettres et chiffres au-dessous :

new-made = Votre portefeuille est { $file }. Sans son code PIN, personne ne peut l’ouvrir, vous non plus.
new-next = Ensuite : utilisez votre ticket avec `annona-wallet enrol`.

enrolled = Vous participez à « { $programme } » de { $agency }. Le ticket est utilisé : il ne sert plus à personne.
enrolled-next = Ensuite : retirez des bons avec `annona-wallet draw`.

draw-nothing = Il n’y a rien à retirer à la distribution { $round }.
drawn =
    { $count ->
        [one] Vous avez retiré un bon pour { $site }, distribution { $round }.
       *[other] Vous avez retiré { $count } bons pour { $site }, distribution { $round }.
    }

amount = { $line } : { $units }
any-site = n’importe quel point

show-empty = Ce portefeuille est vide. Utilisez votre ticket avec `annona-wallet enrol`.
show-title = { $programme } ({ $agency })
show-round = Maintenant : distribution { $round }, d’après ce que sait ce portefeuille.
show-no-round = Aucune distribution n’est encore ouverte.
show-no-vouchers = Vous n’avez aucun bon.
show-vouchers = Vous pouvez aller chercher :
show-at =
    { $count ->
        [one] - à { $site }, jusqu’à la fin de la distribution { $round } : { $amounts } (un bon)
       *[other] - à { $site }, jusqu’à la fin de la distribution { $round } : { $amounts } ({ $count } bons)
    }
show-nothing-to-draw = Il n’y a plus rien à retirer pour cette distribution.
show-to-draw = Vous pouvez encore retirer : { $amounts }.
show-expires = Vous pouvez retirer jusqu’à la distribution { $round } comprise.
show-owed = { $site } vous doit encore : { $amounts }. Allez le chercher avec `annona-wallet collect`.
show-refused =
    { $count ->
        [one] Un bon a été refusé. Adressez-vous au bureau des plaintes de l’agence.
       *[other] { $count } bons ont été refusés. Adressez-vous au bureau des plaintes de l’agence.
    }
show-receipts =
    { $count ->
        [one] Vous avez un reçu : `annona-wallet receipts`.
       *[other] Vous avez { $count } reçus : `annona-wallet receipts`.
    }
show-alike-unknown = On ne sait pas, pour tout ce que vous avez, combien d’autres ont retiré la même chose. `annona-wallet check` le trouve dans le registre public.

unfinished =
    { $count ->
        [one] Une demande n’a pas encore de réponse. Continuez avec `annona-wallet resume`.
       *[other] { $count } demandes n’ont pas encore de réponse. Continuez avec `annona-wallet resume`.
    }
refresh-due = La dernière demande a été refusée. Le prochain `annona-wallet draw` remettra le portefeuille en ordre.

visit-accepted = { $site } a pris vos bons.
visit-accepted-before = { $site } avait déjà pris ces bons ; vous pouvez encore recevoir ce qu’ils valent.
visit-handed-over = { $site } dit avoir déjà pris ces bons et tout remis. Si c’est faux, allez au bureau des plaintes.
visit-other-counter = Un autre guichet de { $site } a pris ces bons. Allez à ce guichet.
visit-take = Vous recevez maintenant : { $amounts }.
visit-owed = Pas en stock, et dû à vous : { $amounts }. Allez le chercher plus tard avec `annona-wallet collect`.
visit-code = Montrez ce code au guichet : { $code }

amended = Le changement de votre ménage est pris en compte. Il vaut à partir de la prochaine distribution.

receipt = { $site }, distribution { $round } : { $amounts } ; dans le registre public avec le lot { $batch } au plus tard
receipt-pending = { $site }, distribution { $round } : { $amounts } ; à confirmer, dans le registre public avec le lot { $batch } au plus tard
receipts-none = Il n’y a pas de reçus.
receipts-erased =
    { $count ->
        [one] Un reçu a été effacé.
       *[other] { $count } reçus ont été effacés.
    }
receipts-exported =
    { $count ->
        [one] Un reçu a été écrit dans le fichier. Qui le lit voit ce qui a été retiré, où et à quelle distribution. Donnez-le à un auditeur ou à un bureau des plaintes en qui vous avez confiance, puis effacez-le.
       *[other] { $count } reçus ont été écrits dans le fichier. Qui le lit voit qu’un seul ménage a retiré tout cela, où et à quels tours. Donnez-le à un auditeur ou à un bureau des plaintes en qui vous avez confiance, puis effacez-le.
    }

resume-nothing = Rien n’était en attente.
resume-drawn =
    { $count ->
        [one] Le retrait est fait : un bon.
       *[other] Le retrait est fait : { $count } bons.
    }
resume-credential = La demande du portefeuille a sa réponse : il est en ordre.
swapped =
    { $count ->
        [one] L’échange est fait : un nouveau bon.
       *[other] L’échange est fait : { $count } nouveaux bons.
    }

site-added = { $site } se trouve à { $url }.
site-known = { $number } : { $site }, { $url }
site-unknown = { $number } : { $site }, aucune adresse notée

pin-changed = Le code PIN est changé. Les copies faites avant s’ouvrent encore avec l’ancien.
backup-made = La copie est { $file }. Elle s’ouvre avec le même code PIN.
backup-old = N’utilisez qu’un des deux fichiers. Une copie ignore ce qui se passe ensuite.
man-written = Les pages du manuel sont dans { $folder }.

# Ce qui n’a pas marché, et que faire.

error-address = Cette adresse ne peut pas servir. Écrivez https://hôte:port et rien après.
error-already-enrolled = Ce portefeuille a déjà utilisé son ticket. Un deuxième ticket demande un deuxième portefeuille : `annona-wallet new`.
error-answer-false = La réponse n’est pas juste ; rien n’a été changé. Réessayez depuis un autre réseau ; si cela continue, dites-le à l’agence.
error-contradiction = Le serveur de l’agence ne dit plus la même chose qu’avant. N’allez pas plus loin ; dites-le à quelqu’un de confiance et à l’agence.
error-file-cut-off = { $about } est coupé : la fin manque. Prenez une sauvegarde.
error-file-damaged = { $about } est abîmé. Prenez une sauvegarde.
error-file-exists = { $about } existe déjà et n’est pas remplacé. Donnez un autre nom.
error-file-foreign = { $about } n’est pas un portefeuille. Vérifiez le nom.
error-file-in-use = Un autre programme utilise { $about }. Attendez qu’il finisse, puis réessayez.
error-file-newer = { $about } vient d’un programme plus récent. Mettez celui-ci à jour.
error-file-permissions = D’autres peuvent lire ou changer { $about }. Lancez `chmod 600` dessus, puis choisissez un nouveau code PIN avec `annona-wallet pin`.
error-file-unreadable = { $about } ne peut pas être lu. Vérifiez le nom, et que le fichier est à vous.
error-file-unwritable = Le portefeuille ne peut pas être enregistré. Vérifiez qu’il y a de la place et que le dossier est à vous, puis réessayez.
error-folder = On ne peut pas écrire dans le dossier. Vérifiez son nom et la place.
error-folder-permissions = D’autres pourraient mettre un autre fichier à la place du portefeuille dans { $about }. Lancez `chmod go-w` sur ce dossier, ou déplacez le portefeuille.
error-no-address = On ne connaît pas l’adresse de { $about }. Donnez-la avec --site-url ; elle est affichée sur place.
error-no-change = Vos bons ne font pas exactement { $number } de { $about }. Choisissez une autre quantité : `annona-wallet show --json` donne leurs valeurs.
error-no-end = Beaucoup d’essais n’ont pas abouti. Réessayez plus tard.
error-no-file = Quel portefeuille ? Donnez son fichier avec --wallet.
error-no-round = Aucune distribution n’est encore ouverte. Réessayez quand l’agence en aura ouvert une.
error-no-way = Impossible de joindre ce serveur : vérifiez son adresse et le proxy.
error-not-enrolled = Ce portefeuille n’a encore utilisé aucun ticket. Faites-le d’abord : `annona-wallet enrol`.
error-nothing-owed = On ne vous doit rien là-bas.
error-nothing-to-redeem = Vous n’avez aucun bon pour ce point et sa distribution. Voyez `annona-wallet show`.
error-other-programme = Ce ticket ou ce portefeuille est d’un autre programme. Prenez un autre fichier.
error-output = Le résultat ne peut pas être affiché. Ce qui était demandé est fait ; voyez `annona-wallet show`.
error-passphrase-descriptor = Le code PIN ne peut pas être lu depuis ce descripteur de fichier.
error-passphrase-differs = Les deux saisies diffèrent. Réessayez.
error-passphrase-empty = Aucun code PIN n’a été donné.
error-passphrase-no-terminal = Il n’y a pas de terminal pour demander le code PIN. Donnez --passphrase-fd, ou la variable ANNONA_PASSPHRASE.
error-passphrase-not-text = Le code PIN n’est pas un texte lisible.
error-passphrase-too-long = Le code PIN est trop long.
error-passphrase-too-short =
    { $number ->
        [one] Un code PIN a au moins un caractère.
       *[other] Un code PIN a au moins { $number } caractères. Une phrase de cinq mots au hasard est bien meilleure.
    }
error-passphrase-unset = La variable qui devrait contenir le code PIN n’est pas définie.
error-pending = Une autre demande n’a pas encore de réponse. Continuez-la d’abord : `annona-wallet resume`.
error-proxy = Le proxy n’est pas une adresse. Écrivez hôte:port, par exemple 127.0.0.1:9050.
error-refresh-due = La dernière demande a été refusée. Lancez d’abord `annona-wallet draw` : il remet le portefeuille en ordre.
error-refused = Refusé : { $reason }
error-round-not-open =
    { $number ->
        [0] La distribution n’est pas ouverte. Voyez `annona-wallet show`.
       *[other] La distribution { $number } n’est pas ouverte. Voyez `annona-wallet show`.
    }
error-state-too-long = Le portefeuille est devenu trop gros. Effacez les reçus dont vous n’avez plus besoin : `annona-wallet receipts`.
error-ticket-alone = Les lettres seules ne disent pas de quel programme elles sont. Scannez le code carré, ou donnez --programme et --issuer.
error-ticket-amends = Ce ticket change un ménage. Utilisez-le avec `annona-wallet amend`.
error-ticket-code-character = Un ticket a des chiffres et des lettres sauf U, et peut finir par * ~ $ = ou U. Comparez avec le papier.
error-ticket-code-check = Les lettres du ticket sont mal saisies. Comparez-les avec le papier, une par une.
error-ticket-code-length = Un ticket a 17 lettres et chiffres. Saisissez-les tous.
error-ticket-enrols = Ce ticket est pour un nouveau portefeuille. Utilisez-le avec `annona-wallet enrol`.
error-ticket-slip-damaged = Le code carré n’a pas été lu en entier. Scannez-le encore, ou saisissez les lettres et chiffres au-dessous.
error-ticket-slip-foreign = Ce n’est pas le code carré d’un ticket.
error-ticket-slip-server = L’adresse du ticket ne peut pas servir. Demandez à qui vous a donné le ticket.
error-ticket-slip-version = Ce ticket est plus récent que ce programme. Mettez le programme à jour.
error-ticket-unread = Le texte du ticket ne peut pas être lu.
error-ticket-without-server = Le ticket ne donne pas d’adresse. Donnez-la avec --issuer ; l’agence la connaît.
error-uncovered = C’est plus que ce que vous pouvez retirer. Voyez `annona-wallet show`.
error-unknown-line = Le programme n’a rien qui s’appelle { $about }. Voyez `annona-wallet show`.
error-unknown-site = Le programme n’a pas de point appelé { $about }. Voyez `annona-wallet site list`.
error-unreached = Personne n’a pu être joint. Rien n’est perdu : réessayez plus tard.
error-values = Le programme n’a pas de bons qui font cette quantité. Demandez-en une autre.
error-visit-open = Une autre visite à ce point n’a pas encore de réponse. Continuez-la d’abord : `annona-wallet resume`.
error-voucher-not-free = Un bon fait partie d’une autre demande, ou a été refusé avant. Continuez avec `annona-wallet resume`.
error-which-site = Quel point ? Donnez-le avec --site : { $list }.
error-work-factor = Ce coût ne peut pas servir pour le fichier. Prenez un nombre de 1 à 22 ; 16 est habituel.
error-wrong-passphrase = Le code PIN n’ouvre pas { $about }. Réessayez.

# Ce que les serveurs refusent.

refused-already-redeemed = Un bon a déjà été utilisé. Si ce n’est pas par vous, allez au bureau des plaintes : le portefeuille garde la parole signée du point.
refused-answer-erased = Le programme est terminé, et la réponse a été effacée.
refused-closed = Le point est fermé pour l’instant. Revenez quand il ouvrira.
refused-enrolment-invalid = Le serveur n’a pas accepté le ticket. Réessayez ; si cela continue, dites-le à l’agence.
refused-line-not-quoted = Le point ne donne pas cela aujourd’hui.
refused-no-announcement = L’agence n’a encore rien publié. Réessayez plus tard.
refused-no-round-open = Le point n’est pas encore ouvert. Revenez quand il ouvrira.
refused-other-round = Le point a une autre distribution ouverte. Voyez `annona-wallet show`.
refused-other-site = Un bon est pour un autre point. Allez-y, ou échangez-le avant l’ouverture avec `annona-wallet swap`.
refused-other-slot = Un autre guichet de ce point prend ces bons. Allez à ce guichet.
refused-owed-unknown = Le point ne sait pas ce qu’il vous doit, ou l’a déjà donné. Allez au bureau des plaintes : le portefeuille garde son papier signé.
refused-round-not-open = La distribution n’est pas ouverte pour cela. Réessayez quand l’agence l’aura ouverte.
refused-show-invalid = Le serveur n’a pas accepté la demande. Relancez `annona-wallet draw` ; si cela continue, dites-le à l’agence.
refused-spent = Ce portefeuille a été utilisé depuis une autre copie. Prenez la copie la plus récente.
refused-swap-invalid = Le serveur n’a pas accepté l’échange. Vos bons sont comme avant.
refused-swapped = Un bon a déjà été échangé. Prenez la copie la plus récente du fichier.
refused-ticket-early = Le ticket n’est pas encore valable. Réessayez quand l’agence le dira.
refused-ticket-guesses = Trop de faux tickets ont été essayés. Attendez un peu, puis réessayez.
refused-ticket-unknown = Le serveur de l’agence ne connaît pas ce ticket. Comparez avec le papier, ou demandez à qui vous l’a donné.
refused-ticket-used = Ce ticket a déjà été utilisé. Si ce n’est pas par vous, allez tout de suite voir qui vous l’a donné.
refused-voucher-invalid = Le point dit qu’un bon n’est pas valable. Allez au bureau des plaintes : le portefeuille garde la parole signée du point.

ask-words = Les 24 mots de secours dans l’ordre, ou le texte du carré de l’enveloppe :
words-title = Vos mots de secours, dans cet ordre :
words-keep = Écrivez-les sur papier, maintenant. Avec eux vous retrouvez votre portefeuille ; qui les trouve le peut aussi.
restored =
    { $count ->
        [0] Votre portefeuille est de retour, sans bon.
        [one] Votre portefeuille est de retour, avec un bon.
       *[other] Votre portefeuille est de retour, avec { $count } bons.
    }
restored-nothing = Rien n’a été trouvé pour ces mots. Si vous avez utilisé le portefeuille ces dernières heures, réessayez plus tard ; sinon, utilisez votre ticket.
restored-unusable =
    { $count ->
        [one] Une entrée n’a pas pu servir. Réessayez plus tard et dites-le à l’agence.
       *[other] { $count } entrées n’ont pas pu servir. Réessayez plus tard et dites-le à l’agence.
    }
restored-old = Des bons déjà échangés ou donnés peuvent s’y trouver : le site le dira.
error-copied = Ce fichier est une copie. Lancez d’abord `annona-wallet restore` : l’autre a pu continuer.
error-envelope-damaged = Le code de l’enveloppe est abîmé. Scannez-le à nouveau ou tapez les 24 mots.
error-has-words = Ce portefeuille a des mots de secours : `annona-wallet words` les montre.
error-no-words = Ce portefeuille n’a pas de mots de secours. `annona-wallet words --new` en crée pour la suite.
error-restore-later = Le serveur de l’agence n’est pas prêt. Réessayez plus tard.
error-restore-small = Le serveur de l’agence apprendrait à qui est ce portefeuille. Rien n’a été demandé ; dites-le à l’agence.
error-words-alone = Les mots seuls ne disent pas quel programme : donnez --programme et --issuer, ou le code de l’enveloppe.
error-words-count = Il y a { $number } mots ; il en faut 24, dans l’ordre.
error-words-together = Les mots ne vont pas ensemble : l’un est un autre, ou deux sont inversés.
error-words-unknown = Le mot numéro { $number } n’est pas un mot de secours. Regardez le papier ; les quatre premières lettres suffisent.
error-words-unread = Les mots ne peuvent pas être lus.

ask-card-pin = Le code PIN de la carte :
key-slip = la clé
printed =
    { $count ->
        [one] { $file } contient un bon. Qui le lit peut retirer : gardez le papier comme de l’argent.
       *[other] { $file } contient { $count } bons. Qui les lit peut retirer : gardez le papier comme de l’argent.
    }
printed-next = C’est la feuille { $number }. Une fois imprimée, scannez chaque code dans `annona-wallet read-back { $number }` : les bons sont alors effacés ici. Si l’impression a échoué : `annona-wallet print --again { $number }`.
read-back =
    { $count ->
        [one] Le code a été lu. Le bon n’est plus que sur papier.
       *[other] Les { $count } codes ont été lus. Les bons ne sont plus que sur papier.
    }
read-back-missing = Pas encore lus : { $list }. Rien n’a été effacé ; scannez tout à nouveau ou réimprimez.
read-back-foreign =
    { $count ->
        [one] Un code n’est pas de cette feuille.
       *[other] { $count } codes ne sont pas de cette feuille.
    }
give-next = C’est le don { $number }. Quand l’autre portefeuille l’a reçu : `annona-wallet give --done { $number }`. Pour le reprendre : `annona-wallet unpack { $number }`.
given =
    { $count ->
        [one] Un bon a été effacé ici.
       *[other] { $count } bons ont été effacés ici.
    }
unpacked =
    { $count ->
        [one] Un bon est de retour dans le portefeuille. Détruisez son papier ou sa carte : le premier venu a la marchandise.
       *[other] { $count } bons sont de retour dans le portefeuille. Détruisez leur papier ou leur carte : le premier venu a la marchandise.
    }
taken =
    { $count ->
        [0] Vous avez déjà ces bons.
        [one] Vous avez un bon de plus.
       *[other] Vous avez { $count } bons de plus.
    }
taken-first = Qui vous les a donnés peut en garder une copie : échangez-les vite, ou faites-les vôtres avec `annona-wallet swap`.
received =
    { $count ->
        [one] Bien. Le bon utilisé est effacé.
       *[other] Bien. Les { $count } bons utilisés sont effacés.
    }
not-received =
    { $count ->
        [one] Un bon peut être présenté à nouveau. Le site donne ce qu’il n’a pas remis.
       *[other] { $count } bons peuvent être présentés à nouveau. Le site donne ce qu’il n’a pas remis.
    }
card-written =
    { $count ->
        [one] Un bon est sur la carte, et plus dans le portefeuille.
       *[other] { $count } bons sont sur la carte, et plus dans le portefeuille.
    }
card-read =
    { $count ->
        [0] La carte ne contient plus rien.
        [one] Un bon est venu de la carte.
       *[other] { $count } bons sont venus de la carte.
    }
card-show = Sur la carte : { $count }. Remis : { $number }.
error-card-damaged = Ce n’est pas une carte de ce programme, ou elle est abîmée.
error-card-file = La carte ne peut être lue ou écrite.
error-card-full = La carte est pleine : elle contient 30 bons.
error-card-pin = Le code PIN n’ouvre pas la carte, ou elle est abîmée.
error-card-short-pin = Le code PIN d’une carte a au moins quatre caractères ; six valent mieux.
error-code-damaged = Un code est abîmé. Scannez-le à nouveau, à plat et bien éclairé.
error-code-foreign = Un des codes n’est pas celui d’un bon.
error-code-invalid = Un bon est faux : personne ne l’a émis, ou il a été changé. Gardez le papier et dites-le à l’agence.
error-code-key = Un bon est plus récent que ce que ce portefeuille sait du programme. Connectez-vous, lancez `annona-wallet draw` et réessayez.
error-code-programme = Un code est d’un autre programme.
error-codes-unread = Les codes ne peuvent pas être lus.
error-key-slips = Feuille et clé ne vont pas ensemble : scannez tous les codes d’une feuille et son unique clé.
error-no-parcel = Rien n’attend ici sous le numéro { $number }.
error-no-visit = Aucune visite n’attend sa marchandise.
error-sheet = La feuille ne peut être imprimée dans cette langue. Choisissez-en une autre avec --language.
error-split-differs = Imprimez une feuille partagée avec --split, une autre sans.

check-manifest = Le programme est à la version { $version }. { $count } de ses { $number } témoins attestent que tous voient la même chose.
check-no-witness = Le programme est à la version { $version }. Il nomme { $number } témoins et en demande { $count } : personne n’atteste que tous voient la même chose.
check-issuer = Le registre public de l’agence est entier : { $number } entrées.
check-crowd = À { $site }, distribution { $round } : { $count } retraits ont apporté au moins ce que vous avez. Une visite vous cache parmi eux.
check-small-crowd =
    { $count ->
        [0] À { $site }, distribution { $round } : aucun retrait n’a apporté à lui seul tout ce que vous avez. Faites plusieurs visites, avec peu de bons chacune.
        [one] À { $site }, distribution { $round } : { $count } seul retrait a apporté ce que vous avez. Qui lit le registre public peut suivre cette visite.
       *[other] À { $site }, distribution { $round } : { $count } retraits seulement ont apporté au moins ce que vous avez. Faites plusieurs visites, avec peu de bons chacune.
    }
check-receipts = { $site } : { $count } reçus sont dans son registre public, { $number } attendent.
check-no-log = { $site } : son registre ne peut être vérifié ({ $reason }).
check-broken =
    { $count ->
        [one] Un reçu n’a pas été tenu : le site n’a rien inscrit. La preuve le confond ; portez-la au bureau des plaintes.
       *[other] { $count } reçus n’ont pas été tenus : le site n’a rien inscrit. Les preuves le confondent ; portez-les au bureau des plaintes.
    }
check-redeemed =
    { $count ->
        [one] Un bon avait déjà été échangé ; il n’est plus dans le portefeuille.
       *[other] { $count } bons avaient déjà été échangés ; ils ne sont plus dans le portefeuille.
    }
error-log-false = Un registre public ne contient pas ce qui a été signé. N’allez pas plus loin ; dites-le à quelqu’un de confiance et à l’agence.
error-log-missing = Rien n’est encore publié. Réessayez plus tard.
error-receipt-false = Un reçu n’est pas de ce programme ou de ce site.

show-sheet =
    { $count ->
        [one] Feuille { $number } : un bon, jusqu’à ce que `annona-wallet read-back { $number }` l’ait lu.
       *[other] Feuille { $number } : { $count } bons, jusqu’à ce que `annona-wallet read-back { $number }` les ait lus.
    }
show-gift =
    { $count ->
        [one] Don { $number } : un bon. `annona-wallet give --again { $number }` le montre à nouveau.
       *[other] Don { $number } : { $count } bons. `annona-wallet give --again { $number }` les montre à nouveau.
    }
show-card =
    { $count ->
        [one] Un bon n’est pas arrivé sur sa carte. Reprenez-le avec `annona-wallet unpack { $number }` et réécrivez la carte.
       *[other] { $count } bons ne sont pas arrivés sur leur carte. Reprenez-les avec `annona-wallet unpack { $number }` et réécrivez la carte.
    }

words-uncovered = Vos mots de secours rendent ce qui a été fait jusqu’ici, et rien de plus de la distribution { $round }. Dès la prochaine distribution, ils rendent tout à nouveau.
words-beyond = Vos mots de secours ne rendent pas les derniers messages de la distribution { $round }. Si le téléphone est perdu avant la prochaine distribution, ce qu’ils ont retiré est perdu, et rien ne peut plus être retiré jusqu’à la fin de la durée de votre ticket. Faites une sauvegarde maintenant. Dès la prochaine distribution, les mots rendent tout à nouveau.

qr-scan-quote = Scannez le carré du guichet.
qr-visit = Ces carrés sont pour { $site }, distribution { $round }.
qr-again = La visite à { $site }, distribution { $round }, a déjà commencé. Voici de nouveau ses carrés.
qr-shown = Présentez ces carrés au guichet, l’un après l’autre :
qr-scan-answer = Scannez maintenant la réponse du guichet : tous ses carrés, dans n’importe quel ordre.
qr-unanswered = { $site } n’a pas encore répondu. Montrez encore les carrés avec la même commande, ou scannez la réponse avec --qr --answer.
error-frames-conflict = Ce carré a été lu avant avec un autre contenu. Recommencez.
error-frames-damaged = Le carré n’a pas été lu en entier. Scannez-le encore.
error-frames-foreign = Ce n’est pas un carré de l’écran du guichet.
error-frames-kind = C’est le carré d’un ticket ou d’un bon. Scannez ceux de l’écran du guichet.
error-frames-mismatch = Les carrés ne vont pas ensemble. Scannez-les tous de nouveau.
error-frames-other-message = Ce carré est d’un autre message. Scannez ceux d’un seul écran.
error-frames-too-long = C’est trop pour des carrés. Montrez moins de bons à la fois, avec --part.
error-frames-version = Ce carré vient d’un programme plus récent. Mettez celui-ci à jour.
error-qr-answer = Ce n’est pas la réponse à votre visite ; rien n’a changé. Scannez ce que le guichet montre maintenant.
error-qr-foreign = Ces carrés ne sont pas la réponse à une visite. Scannez ce que le guichet montre maintenant.
error-qr-missing = Il manque des carrés : { $list }. Scannez-les tous.
error-qr-not-asked = Aucune visite n’attend de réponse. Commencez par `annona-wallet redeem --qr`.
error-qr-nothing = Rien n’a été scanné. Scannez le carré du guichet.
error-quote-false = Ce carré n’est pas signé avec la clé du point. Ne lui montrez rien et prévenez l’agence.
error-quote-foreign = Ces carrés ne sont pas ce qu’un guichet montre d’abord. Demandez son premier carré.
error-quote-manifest = Le guichet suit d’autres règles que celles que ce portefeuille connaît. Lancez `annona-wallet check` là où il y a un réseau.
error-quote-programme = Ce guichet est d’un autre programme.
error-quote-site = Ce guichet est d’un autre point : le numéro { $number }. Donnez --site si vous voulez y retirer.

show-alike = Retraits qui ont apporté au moins ce que vous avez pour { $site } à la distribution { $round } : { $count }. C’est ce que disait le registre public de l’agence, long de { $number } entrées, lors de votre dernier `check`.
show-same = Retraits qui ont demandé exactement cela : { $number }.
crowd-few = C’est peu : qui lit le registre public peut trouver quelle visite est la vôtre. Faites plusieurs visites, avec peu de bons chacune, grâce à --part.
crowd-few-part = C’est peu : qui lit le registre public peut trouver quelle visite est la vôtre. Faites plusieurs visites : { $about } seul correspond à { $count } retraits.
crowd-at-most = Les retraits d’un seul bon y suffisent au plus tant de fois : { $count }. Un même ménage peut en avoir fait beaucoup : n’y comptez pas.
visit-alike = Retraits qui ont apporté au moins ce que cette visite montre à { $site } à la distribution { $round }, selon votre dernier `check` : { $count }.
visit-alike-unknown = On ne sait pas combien d’autres pourraient montrer ce que cette visite montre. Lancez `annona-wallet check` avant une visite.
error-crowd-unknown = Aucun `check` n’a encore porté sur tous ces bons : rien n’a été montré. Lancez d’abord `annona-wallet check`.
error-small-crowd = Seuls { $number } retraits ont apporté ce que cette visite montrerait : rien n’a été montré. Montrez moins avec --part, ou demandez moins avec --hide-among.
drawn-singles =
    { $count ->
        [one] Un retrait d’un bon est fait, pour { $site }, distribution { $round }.
       *[other] { $count } retraits d’un bon chacun sont faits, pour { $site }, distribution { $round }.
    }
singles-at-once =
    { $count ->
        [one] Il est parti tout de suite.
       *[other] Ils sont partis à la suite : chacun ressemble à celui de n’importe qui, mais le serveur de l’agence a vu une adresse retirer { $count } fois. La prochaine fois, étalez-les avec `--within`.
    }
resume-singles =
    { $count ->
        [one] Le retrait d’un bon est fait.
       *[other] Les { $count } retraits d’un bon chacun sont faits.
    }
resume-singles-left =
    { $count ->
        [one] Il reste un retrait d’un bon. Continuez avec la même commande `annona-wallet draw --uniform`.
       *[other] Il reste { $count } retraits d’un bon chacun. Continuez avec la même commande `annona-wallet draw --uniform`.
    }
error-draws-left = Il reste des retraits d’un bon chacun d’une fois précédente. Continuez avec la même commande `annona-wallet draw --uniform`, ou retirez le reste de cette façon-ci avec `--instead`.
error-draws-too-many = Cela ferait { $number } retraits. Retirez moins à la fois, avec `--line`.
error-words-too-few = Il y aurait encore { $number } retraits de cette distribution, et vos mots de secours en rendent { $about }. Retirez moins avec `--line`, retirez sans `--uniform`, ou dites `--beyond-words` : ce qui va au-delà est perdu si le téléphone est perdu, et avec cela ce que vous pourriez retirer plus tard.
