# ما تقوله المحفظة. الأوامر والكلمات اللاتينية بين علامتي عزل (U+2066 و U+2069).

ask-pin = الرمز السري أو عبارة السر:
ask-new-pin = اختاروا رمزًا سريًا من ⁦6⁩ أرقام أو أكثر؛ وعبارة من خمس كلمات عشوائية أفضل بكثير:
ask-pin-again = أعيدوا كتابته:
ask-ticket = نص المربع المطبوع على التذكرة، أو الحروف والأرقام التي تحته:

new-made = محفظتكم هي { $file }. لا أحد يفتحها بلا رمزها السري، ولا أنتم.
new-next = بعد ذلك: استعملوا تذكرتكم بالأمر ⁦annona-wallet enrol⁩.

enrolled = أنتم مشتركون في «{ $programme }» لدى { $agency }. استُعملت التذكرة: لم تعد تنفع أحدًا.
enrolled-next = بعد ذلك: اسحبوا القسائم بالأمر ⁦annona-wallet draw⁩.

draw-nothing = لا شيء يُسحب في التوزيع { $round }.
drawn =
    { $count ->
        [zero] لم تسحبوا أي قسيمة من { $site }، التوزيع { $round }.
        [one] سحبتم قسيمة واحدة من { $site }، التوزيع { $round }.
        [two] سحبتم قسيمتين من { $site }، التوزيع { $round }.
        [few] سحبتم { $count } قسائم من { $site }، التوزيع { $round }.
        [many] سحبتم { $count } قسيمة من { $site }، التوزيع { $round }.
       *[other] سحبتم { $count } قسيمة في المجموع من { $site }، التوزيع { $round }.
    }

amount = { $line }: { $units }
any-site = أي نقطة توزيع

show-empty = هذه المحفظة فارغة. استعملوا تذكرتكم بالأمر ⁦annona-wallet enrol⁩.
show-title = { $programme } ({ $agency })
show-round = الآن: التوزيع { $round }، حسب ما تعرفه هذه المحفظة.
show-no-round = لم يُفتح أي توزيع بعد.
show-no-vouchers = ليست لديكم قسائم.
show-vouchers = يمكنكم أن تستلموا:
show-at =
    { $count ->
        [zero] - في { $site }، حتى نهاية التوزيع { $round }: { $amounts } (بلا قسائم)
        [one] - في { $site }، حتى نهاية التوزيع { $round }: { $amounts } (قسيمة واحدة)
        [two] - في { $site }، حتى نهاية التوزيع { $round }: { $amounts } (قسيمتان)
        [few] - في { $site }، حتى نهاية التوزيع { $round }: { $amounts } ({ $count } قسائم)
        [many] - في { $site }، حتى نهاية التوزيع { $round }: { $amounts } ({ $count } قسيمة)
       *[other] - في { $site }، حتى نهاية التوزيع { $round }: { $amounts } ({ $count } قسيمة)
    }
show-nothing-to-draw = لم يبق شيء يُسحب في هذا التوزيع.
show-to-draw = يمكنكم أن تسحبوا بعد: { $amounts }.
show-expires = يمكنكم السحب حتى التوزيع { $round }، وهو منها.
show-owed = ما زال لكم عند { $site }: { $amounts }. استلموه بالأمر ⁦annona-wallet collect⁩.
show-refused =
    { $count ->
        [zero] لم تُرفض أي قسيمة.
        [one] رُفضت قسيمة واحدة. اسألوا مكتب الشكاوى لدى الوكالة.
        [two] رُفضت قسيمتان. اسألوا مكتب الشكاوى لدى الوكالة.
        [few] رُفضت { $count } قسائم. اسألوا مكتب الشكاوى لدى الوكالة.
        [many] رُفضت { $count } قسيمة. اسألوا مكتب الشكاوى لدى الوكالة.
       *[other] رُفضت { $count } قسيمة. اسألوا مكتب الشكاوى لدى الوكالة.
    }
show-receipts =
    { $count ->
        [zero] ليست لديكم إيصالات.
        [one] لديكم إيصال واحد: ⁦annona-wallet receipts⁩.
        [two] لديكم إيصالان: ⁦annona-wallet receipts⁩.
        [few] لديكم { $count } إيصالات: ⁦annona-wallet receipts⁩.
        [many] لديكم { $count } إيصالًا: ⁦annona-wallet receipts⁩.
       *[other] لديكم { $count } إيصال: ⁦annona-wallet receipts⁩.
    }
show-alike-unknown = كم غيركم سحب مثل ما سحبتم: غير معروف.

unfinished =
    { $count ->
        [zero] لا طلبات بلا جواب.
        [one] طلب واحد بلا جواب بعد. تابعوا بالأمر ⁦annona-wallet resume⁩.
        [two] طلبان بلا جواب بعد. تابعوا بالأمر ⁦annona-wallet resume⁩.
        [few] { $count } طلبات بلا جواب بعد. تابعوا بالأمر ⁦annona-wallet resume⁩.
        [many] { $count } طلبًا بلا جواب بعد. تابعوا بالأمر ⁦annona-wallet resume⁩.
       *[other] { $count } طلب بلا جواب بعد. تابعوا بالأمر ⁦annona-wallet resume⁩.
    }
refresh-due = رُفض آخر طلب. الأمر ⁦annona-wallet draw⁩ في المرة القادمة يعيد ترتيب المحفظة.

visit-accepted = أخذت { $site } قسائمكم.
visit-accepted-before = كانت { $site } قد أخذت هذه القسائم؛ وما زال يمكنكم استلام ما تستحقونه بها.
visit-handed-over = تقول { $site } إنها أخذت هذه القسائم من قبل وسلّمت كل شيء. إن لم يكن ذلك صحيحًا فاذهبوا إلى مكتب الشكاوى.
visit-other-counter = أخذ هذه القسائم شباك آخر في { $site }. اذهبوا إلى ذلك الشباك.
visit-take = تستلمون الآن: { $amounts }.
visit-owed = غير متوفر الآن، وهو لكم: { $amounts }. استلموه لاحقًا بالأمر ⁦annona-wallet collect⁩.
visit-code = أروا هذا الرمز عند الشباك: { $code }

amended = سُجّل تغيير أسرتكم. وهو نافذ من التوزيع القادم.

receipt = { $site }، التوزيع { $round }: { $amounts }؛ في السجل العام مع الدفعة { $batch } على الأكثر
receipt-pending = { $site }، التوزيع { $round }: { $amounts }؛ ينتظر التأكيد، في السجل العام مع الدفعة { $batch } على الأكثر
receipts-none = لا إيصالات.
receipts-erased =
    { $count ->
        [zero] لم يُمحَ أي إيصال.
        [one] مُحي إيصال واحد.
        [two] مُحي إيصالان.
        [few] مُحيت { $count } إيصالات.
        [many] مُحي { $count } إيصالًا.
       *[other] مُحي { $count } إيصال.
    }

resume-nothing = لم يكن شيء ينتظر.
resume-drawn =
    { $count ->
        [zero] تم السحب: بلا قسائم.
        [one] تم السحب: قسيمة واحدة.
        [two] تم السحب: قسيمتان.
        [few] تم السحب: { $count } قسائم.
        [many] تم السحب: { $count } قسيمة.
       *[other] تم السحب: { $count } قسيمة في المجموع.
    }
resume-credential = جاء جواب طلب المحفظة: كل شيء على ما يرام.
swapped =
    { $count ->
        [zero] تم التبديل: بلا قسائم جديدة.
        [one] تم التبديل: قسيمة جديدة واحدة.
        [two] تم التبديل: قسيمتان جديدتان.
        [few] تم التبديل: { $count } قسائم جديدة.
        [many] تم التبديل: { $count } قسيمة جديدة.
       *[other] تم التبديل: { $count } قسيمة جديدة.
    }

site-added = عنوان { $site } هو { $url }.
site-known = { $number }: { $site }، { $url }
site-unknown = { $number }: { $site }، بلا عنوان مسجل

pin-changed = تغيّر الرمز السري. النسخ التي صُنعت من قبل تُفتح بالرمز القديم.
backup-made = النسخة هي { $file }. تُفتح بالرمز السري نفسه.
backup-old = استعملوا أحد الملفين فقط. النسخة لا تعرف ما يحدث بعدها.
man-written = صفحات الدليل في { $folder }.

# ما لم ينجح، وما العمل.

error-address = لا يمكن استعمال هذا العنوان. اكتبوا ⁦https://host:port⁩ ولا شيء بعده.
error-already-enrolled = استعملت هذه المحفظة تذكرتها. التذكرة الثانية تحتاج إلى محفظة ثانية: ⁦annona-wallet new⁩.
error-answer-false = الجواب غير صحيح، فلم يتغير شيء. حاولوا من شبكة أخرى؛ وإن بقي كذلك فأخبروا الوكالة.
error-contradiction = يقول خادم الوكالة غير ما قاله من قبل. لا تتابعوا؛ أخبروا من تثقون به، وأخبروا الوكالة.
error-file-cut-off = الملف { $about } مقطوع: آخره ناقص. استعملوا نسخة احتياطية.
error-file-damaged = الملف { $about } تالف. استعملوا نسخة احتياطية.
error-file-exists = الملف { $about } موجود ولا يُكتب فوقه. أعطوا اسمًا آخر.
error-file-foreign = الملف { $about } ليس محفظة. تحققوا من الاسم.
error-file-in-use = برنامج آخر يستعمل { $about }. انتظروا حتى ينتهي ثم حاولوا.
error-file-newer = صنع برنامج أحدث الملف { $about }. حدّثوا هذا البرنامج.
error-file-permissions = يستطيع غيركم قراءة { $about } أو تغييره. نفّذوا عليه ⁦chmod 600⁩ ثم اختاروا رمزًا جديدًا بالأمر ⁦annona-wallet pin⁩.
error-file-unreadable = لا يمكن قراءة { $about }. تحققوا من الاسم ومن أن الملف لكم.
error-file-unwritable = لا يمكن حفظ المحفظة. تحققوا من وجود مساحة ومن أن المجلد لكم ثم حاولوا.
error-folder = لا يمكن الكتابة في المجلد. تحققوا من اسمه ومن المساحة.
error-folder-permissions = يستطيع غيركم وضع ملف آخر مكان المحفظة في { $about }. نفّذوا ⁦chmod go-w⁩ على هذا المجلد أو انقلوا المحفظة.
error-no-address = لا يُعرف عنوان { $about }. أعطوه مع ⁦--site-url⁩؛ وهو معلّق في المكان.
error-no-change = قسائمكم لا تساوي { $number } من { $about } بالضبط. اختاروا كمية أخرى: ⁦annona-wallet show --json⁩ يعرض قيمها.
error-no-end = لم تنته المحاولات الكثيرة إلى شيء. حاولوا لاحقًا.
error-no-file = أي محفظة؟ سمّوا ملفها مع ⁦--wallet⁩.
error-no-round = لم يُفتح أي توزيع بعد. حاولوا عندما تفتح الوكالة توزيعًا.
error-no-way = لا طريق إلى هذا الخادم: تحققوا من عنوانه ومن الوسيط.
error-not-enrolled = لم تستعمل هذه المحفظة أي تذكرة بعد. ابدأوا بذلك: ⁦annona-wallet enrol⁩.
error-nothing-owed = لا شيء لكم هناك.
error-nothing-to-redeem = ليست لديكم قسيمة لهذه النقطة ولتوزيعها. انظروا ⁦annona-wallet show⁩.
error-other-programme = هذه التذكرة أو المحفظة من برنامج آخر. خذوا ملف محفظة آخر.
error-output = لا يمكن إظهار النتيجة. ما طلبتموه تم؛ انظروا ⁦annona-wallet show⁩.
error-passphrase-descriptor = لا يمكن قراءة الرمز السري من واصف الملف هذا.
error-passphrase-differs = الكتابتان مختلفتان. حاولوا مرة أخرى.
error-passphrase-empty = لم يُعطَ أي رمز سري.
error-passphrase-no-terminal = لا توجد شاشة أوامر لطلب الرمز السري. أعطوا ⁦--passphrase-fd⁩ أو المتغير ⁦ANNONA_PASSPHRASE⁩.
error-passphrase-not-text = الرمز السري ليس نصًا مقروءًا.
error-passphrase-too-long = الرمز السري طويل جدًا.
error-passphrase-too-short =
    { $number ->
        [zero] الرمز السري قصير جدًا.
        [one] أقل الرمز السري حرف واحد.
        [two] أقل الرمز السري حرفان.
        [few] أقل الرمز السري { $number } أحرف. وعبارة من خمس كلمات عشوائية أفضل بكثير.
        [many] أقل الرمز السري { $number } حرفًا. وعبارة من خمس كلمات عشوائية أفضل بكثير.
       *[other] أقل الرمز السري { $number } حرف. وعبارة من خمس كلمات عشوائية أفضل بكثير.
    }
error-passphrase-unset = المتغير الذي يجب أن يحمل الرمز السري غير موجود.
error-pending = طلب آخر بلا جواب بعد. تابعوه أولًا: ⁦annona-wallet resume⁩.
error-proxy = الوسيط ليس عنوانًا. اكتبوا ⁦host:port⁩ مثل ⁦127.0.0.1:9050⁩.
error-refresh-due = رُفض آخر طلب. نفّذوا أولًا ⁦annona-wallet draw⁩: فهو يعيد ترتيب المحفظة.
error-refused = مرفوض: { $reason }
error-round-not-open =
    { $number ->
        [0] التوزيع غير مفتوح. انظروا ⁦annona-wallet show⁩.
       *[other] التوزيع { $number } غير مفتوح. انظروا ⁦annona-wallet show⁩.
    }
error-state-too-long = صارت المحفظة كبيرة جدًا. امحوا الإيصالات التي لا تحتاجونها: ⁦annona-wallet receipts⁩.
error-ticket-alone = الحروف وحدها لا تقول من أي برنامج هي. امسحوا المربع، أو أعطوا ⁦--programme⁩ و ⁦--issuer⁩.
error-ticket-amends = هذه التذكرة تغيّر أسرة. استعملوها بالأمر ⁦annona-wallet amend⁩.
error-ticket-code-character = في التذكرة أرقام وحروف لاتينية عدا ⁦U⁩، وقد تنتهي بـ ⁦* ~ $ = U⁩. قارنوها بالورقة.
error-ticket-code-check = في حروف التذكرة خطأ. قارنوها بالورقة حرفًا حرفًا.
error-ticket-code-length = في التذكرة ⁦17⁩ من الحروف والأرقام. اكتبوها كلها.
error-ticket-enrols = هذه التذكرة لمحفظة جديدة. استعملوها بالأمر ⁦annona-wallet enrol⁩.
error-ticket-slip-damaged = لم يُقرأ المربع كله. امسحوه مرة أخرى أو اكتبوا الحروف والأرقام التي تحته.
error-ticket-slip-foreign = هذا ليس مربع تذكرة.
error-ticket-slip-server = لا يمكن استعمال العنوان الذي في التذكرة. اسألوا من أعطاكم التذكرة.
error-ticket-slip-version = هذه التذكرة أحدث من هذا البرنامج. حدّثوا البرنامج.
error-ticket-unread = لا يمكن قراءة نص التذكرة.
error-ticket-without-server = لا عنوان في التذكرة. أعطوه مع ⁦--issuer⁩؛ والوكالة تعرفه.
error-uncovered = هذا أكثر مما يمكنكم سحبه. انظروا ⁦annona-wallet show⁩.
error-unknown-line = ليس في البرنامج شيء اسمه { $about }. انظروا ⁦annona-wallet show⁩.
error-unknown-site = ليست في البرنامج نقطة اسمها { $about }. انظروا ⁦annona-wallet site list⁩.
error-unreached = لم يمكن الوصول إلى أحد. لم يضع شيء: حاولوا لاحقًا.
error-values = ليست في البرنامج قسائم تساوي هذه الكمية. اطلبوا كمية أخرى.
error-visit-open = زيارة أخرى إلى هذه النقطة بلا جواب بعد. تابعوها أولًا: ⁦annona-wallet resume⁩.
error-voucher-not-free = قسيمة في طلب آخر، أو رُفضت من قبل. تابعوا بالأمر ⁦annona-wallet resume⁩.
error-which-site = أي نقطة؟ سمّوها مع ⁦--site⁩: { $list }.
error-work-factor = لا يمكن استعمال هذه الكلفة للملف. خذوا عددًا من ⁦1⁩ إلى ⁦22⁩؛ والمعتاد ⁦16⁩.
error-wrong-passphrase = الرمز السري لا يفتح { $about }. حاولوا مرة أخرى.

# ما ترفضه الخوادم.

refused-already-redeemed = استُعملت قسيمة من قبل. إن لم تكونوا أنتم فاذهبوا إلى مكتب الشكاوى: المحفظة تحفظ كلام النقطة موقّعًا.
refused-answer-erased = انتهى البرنامج ومُحي الجواب.
refused-closed = النقطة مغلقة الآن. عودوا عندما تفتح.
refused-enrolment-invalid = لم يقبل الخادم طلب التذكرة. حاولوا مرة أخرى؛ وإن بقي كذلك فأخبروا الوكالة.
refused-line-not-quoted = لا تعطي النقطة هذا اليوم.
refused-no-announcement = لم تنشر الوكالة شيئًا بعد. حاولوا لاحقًا.
refused-no-round-open = لم تفتح النقطة بعد. عودوا عندما تفتح.
refused-other-round = المفتوح في النقطة توزيع آخر. انظروا ⁦annona-wallet show⁩.
refused-other-site = قسيمة لنقطة أخرى. اذهبوا إليها، أو بدّلوها قبل الفتح بالأمر ⁦annona-wallet swap⁩.
refused-other-slot = شباك آخر في هذه النقطة يأخذ هذه القسائم. اذهبوا إليه.
refused-owed-unknown = لا تعرف النقطة ما لكم عندها، أو أعطته من قبل. اذهبوا إلى مكتب الشكاوى: المحفظة تحفظ ورقتها الموقّعة.
refused-round-not-open = التوزيع غير مفتوح لهذا. حاولوا عندما تفتحه الوكالة.
refused-show-invalid = لم يقبل الخادم الطلب. نفّذوا ⁦annona-wallet draw⁩ مرة أخرى؛ وإن بقي كذلك فأخبروا الوكالة.
refused-spent = استُعملت هذه المحفظة من نسخة أخرى. خذوا أحدث نسخة من الملف.
refused-swap-invalid = لم يقبل الخادم التبديل. قسائمكم كما كانت.
refused-swapped = بُدّلت قسيمة من قبل. خذوا أحدث نسخة من الملف.
refused-ticket-early = التذكرة غير صالحة بعد. حاولوا عندما تقول الوكالة.
refused-ticket-guesses = جُرّبت تذاكر خاطئة كثيرة. انتظروا قليلًا ثم حاولوا.
refused-ticket-unknown = لا يعرف خادم الوكالة هذه التذكرة. قارنوها بالورقة أو اسألوا من أعطاكم إياها.
refused-ticket-used = استُعملت هذه التذكرة من قبل. إن لم تكونوا أنتم فاذهبوا فورًا إلى من أعطاكم إياها.
refused-voucher-invalid = تقول النقطة إن قسيمة غير صالحة. اذهبوا إلى مكتب الشكاوى: المحفظة تحفظ كلام النقطة موقّعًا.

ask-words = كلمات الاستعادة الأربع والعشرون بترتيبها، أو نص مربع الظرف:
words-title = كلمات الاستعادة الخاصة بكم، بهذا الترتيب:
words-keep = اكتبوها على ورق الآن. بها تستعيدون محفظتكم، وكذلك كل من يجدها.
restored =
    { $count ->
        [0] عادت محفظتكم من دون قسائم.
        [zero] عادت محفظتكم من دون قسائم.
        [one] عادت محفظتكم ومعها قسيمة واحدة.
        [two] عادت محفظتكم ومعها قسيمتان.
        [few] عادت محفظتكم ومعها { $count } قسائم.
        [many] عادت محفظتكم ومعها { $count } قسيمة.
       *[other] عادت محفظتكم ومعها { $count } قسيمة.
    }
restored-nothing = لم يُعثر على شيء بهذه الكلمات. إن كنتم استعملتم المحفظة في الساعات الأخيرة فحاولوا لاحقًا، أو استعملوا تذكرتكم.
restored-unusable =
    { $count ->
        [zero] كل ما وُجد صالح.
        [one] لم يمكن استعمال شيء واحد. حاولوا لاحقًا وأخبروا الوكالة.
        [two] لم يمكن استعمال شيئين. حاولوا لاحقًا وأخبروا الوكالة.
        [few] لم يمكن استعمال { $count } أشياء. حاولوا لاحقًا وأخبروا الوكالة.
        [many] لم يمكن استعمال { $count } شيئًا. حاولوا لاحقًا وأخبروا الوكالة.
       *[other] لم يمكن استعمال { $count } شيء. حاولوا لاحقًا وأخبروا الوكالة.
    }
restored-old = قد يكون بينها قسائم صرفتموها أو أعطيتموها من قبل: ستقول نقطة التوزيع ذلك.
error-copied = هذا الملف نسخة. شغّلوا أولًا ⁦annona-wallet restore⁩: ربما تابع الملف الآخر.
error-envelope-damaged = رمز الظرف تالف. امسحوه مرة أخرى أو اكتبوا الكلمات الأربع والعشرين.
error-has-words = لهذه المحفظة كلمات استعادة: يعرضها ⁦annona-wallet words⁩.
error-no-words = ليس لهذه المحفظة كلمات استعادة. ينشئها ⁦annona-wallet words --new⁩ لما سيأتي.
error-restore-later = خادم الوكالة غير جاهز. حاولوا لاحقًا.
error-restore-small = كان خادم الوكالة سيعرف لمن هذه المحفظة. لم يُطلب شيء؛ أخبروا الوكالة.
error-words-alone = الكلمات وحدها لا تقول أي برنامج: اذكروا ⁦--programme⁩ و ⁦--issuer⁩، أو رمز الظرف.
error-words-count = عدد الكلمات { $number }؛ يجب أن تكون ⁦24⁩ كلمة بترتيبها.
error-words-together = الكلمات لا تتوافق معًا: إحداها غير صحيحة، أو تبدّل موضع كلمتين.
error-words-unknown = الكلمة رقم { $number } ليست من كلمات الاستعادة. انظروا إلى الورقة؛ تكفي الحروف الأربعة الأولى.
error-words-unread = تعذرت قراءة الكلمات.
