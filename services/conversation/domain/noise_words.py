"""What thanks and greetings consist of, by language; `noise` says what follows from it.

Phrases stand between commas, in small letters. Words that are not here make a message a message: a language,
or a way of saying it, that is missing costs an Agent a glance. A word that is here by mistake costs a
Customer their answer: nothing belongs here that can also answer a question (`ok`, `yes`, `done`), ask one, or
say that something is wrong.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """Phrases that a message may be made of."""

    thanks: str
    """One of these must be in it."""
    beside: str = ""
    """These may stand beside thanks."""
    greetings: str = ""
    """A message of nothing else is a greeting."""


LANGUAGES: dict[str, Language] = {
    "en": Language(
        thanks="""
        thanks, thank you, thank u, thanx, thx, tnx, ty, tysm, cheers, many thanks, much
        appreciated, i appreciate it, appreciate it
        """,
        beside="""
        so much, very much, a lot, a million, again, for your help, for your time, for your
        patience, for your quick reply, for the help, for the quick reply, for all your help, for
        all the help, for everything, for that, for helping, that worked, that works, it worked, it
        works, it works now, it is working now, that works now, works now, works perfectly, worked
        perfectly, that did it, that did the trick, that fixed it, that solved it, that solved the
        problem, problem solved, all good, all good now, all sorted, you are the best, you re the
        best, have a nice day, have a great day, have a good day, have a nice weekend, have a good
        one, perfect, great, awesome, brilliant, wonderful, amazing, bye
        """,
        greetings="""
        hi, hi there, hello, hello there, hey, hey there, hiya, good day, good morning, good
        afternoon, good evening, morning, everyone, team, dear team
        """,
    ),
    "de": Language(
        thanks="""
        danke, danke schön, dankeschön, danke sehr, vielen dank, vielen lieben dank, herzlichen
        dank, besten dank, tausend dank, lieben dank, ich danke ihnen, ich danke dir
        """,
        beside="""
        für die hilfe, für ihre hilfe, für deine hilfe, für die schnelle antwort, für die schnelle
        hilfe, für alles, nochmals, noch einmal, es funktioniert, es funktioniert jetzt, jetzt
        funktioniert es, jetzt geht es, jetzt geht s, hat funktioniert, das hat funktioniert, das
        hat geholfen, hat geklappt, das hat geklappt, problem gelöst, perfekt, super, klasse, toll,
        prima, wunderbar, schönen tag, schönen tag noch, einen schönen tag, schönes wochenende,
        tschüss
        """,
        greetings="""
        hallo, hallo zusammen, hallo liebes team, guten tag, guten morgen, guten abend, moin, moin
        moin, servus, grüß gott, grüezi
        """,
    ),
    "fr": Language(
        thanks="merci, merci beaucoup, merci bien, mille mercis, un grand merci, je vous remercie",
        beside="""
        à vous, à toi, pour tout, pour votre aide, pour ton aide, pour l aide, pour votre réponse,
        encore, ça marche maintenant, ça fonctionne, ça fonctionne maintenant, ça a marché, cela
        fonctionne, problème résolu, c est parfait, parfait, super, génial, bonne journée, bonne
        soirée, bon week end, au revoir
        """,
        greetings="bonjour, bonjour à tous, bonsoir, salut, coucou",
    ),
    "es": Language(
        thanks="gracias, muchas gracias, muchísimas gracias, mil gracias",
        beside="""
        por todo, por su ayuda, por tu ayuda, por la ayuda, de nuevo, ya funciona, funcionó, ha
        funcionado, problema resuelto, perfecto, genial, excelente, buen día, que tenga buen día,
        adiós
        """,
        greetings="hola, hola a todos, buenas, buenos días, buenas tardes, buenas noches",
    ),
    "it": Language(
        thanks="grazie, grazie mille, mille grazie, molte grazie, tante grazie, grazie tante",
        beside="""
        di tutto, per tutto, per l aiuto, per il vostro aiuto, ancora, adesso funziona, ora
        funziona, ha funzionato, problema risolto, perfetto, ottimo, buona giornata, buona serata,
        arrivederci
        """,
        greetings="ciao, salve, buongiorno, buonasera, buona sera",
    ),
    "pt": Language(
        thanks="obrigado, obrigada, muito obrigado, muito obrigada, obrigadão, valeu",
        beside="""
        pela ajuda, por tudo, pela sua ajuda, funcionou, agora funciona, problema resolvido,
        perfeito, ótimo, bom dia para você, tenha um bom dia, tchau
        """,
        greetings="olá, oi, bom dia, boa tarde, boa noite",
    ),
    "nl": Language(
        thanks="""
        bedankt, dank je, dank je wel, dankjewel, dank u, dank u wel, dankuwel, hartelijk dank, heel
        erg bedankt
        """,
        beside="""
        voor de hulp, voor uw hulp, voor je hulp, voor alles, nogmaals, het werkt, het werkt nu, het
        werkt weer, opgelost, perfect, super, top, fijne dag, fijne dag nog, prettige dag
        """,
        greetings="hoi, hallo, goedemorgen, goedemiddag, goedenavond, goedendag",
    ),
    "sv": Language(
        thanks="tack, tack så mycket, tusen tack, stort tack",
        beside="""
        för hjälpen, för all hjälp, för din hjälp, det fungerar nu, nu fungerar det, perfekt,
        toppen, ha en bra dag
        """,
        greetings="hej, hejsan, god morgon, god dag",
    ),
    "da, no": Language(
        thanks="tak, mange tak, tusind tak, takk, takk skal du ha, tusen takk, mange takk",
        beside="for hjælpen, for hjelpen, det virker nu, det fungerer nå, perfekt",
        greetings="hej, hei, god morgen, godmorgen, god dag",
    ),
    "pl": Language(
        thanks="dzięki, dziękuję, dziękuje, dziękuję bardzo, bardzo dziękuję, wielkie dzięki",
        beside="za pomoc, za wszystko, już działa, teraz działa, działa, super, świetnie, miłego dnia",
        greetings="cześć, dzień dobry, dobry wieczór, witam",
    ),
    "tr": Language(
        thanks="teşekkürler, teşekkür ederim, çok teşekkürler, çok teşekkür ederim, sağ olun, sağol",
        beside="yardımınız için, iyi günler",  # noqa: RUF001  (Turkish has it)
        greetings="merhaba, merhabalar, selam, günaydın",  # noqa: RUF001  (Turkish has it)
    ),
    "ru": Language(
        thanks="спасибо, спасибо большое, большое спасибо, огромное спасибо, благодарю",
        beside="за помощь, вам, всё работает, все работает, теперь работает, отлично, супер, хорошего дня",
        greetings="привет, здравствуйте, добрый день, доброе утро, добрый вечер",
    ),
    "uk": Language(
        thanks="дякую, дуже дякую, щиро дякую",
        beside="за допомогу, все працює",
        greetings="привіт, добрий день, доброго дня",
    ),
    "ar": Language(
        thanks="شكرا, شكراً, شكرا لك, شكرا جزيلا, شكراً جزيلاً",
        greetings="مرحبا, مرحباً, السلام عليكم",
    ),
    "hi": Language(
        thanks="धन्यवाद, बहुत धन्यवाद, बहुत बहुत धन्यवाद, शुक्रिया",
        greetings="नमस्ते",
    ),
    "zh": Language(
        thanks="谢谢, 谢谢你, 谢谢您, 謝謝, 謝謝你, 多谢, 非常感谢",
        greetings="你好, 您好",
    ),
    "ja": Language(
        thanks="ありがとう, ありがとうございます, ありがとうございました",
        beside="助かりました",
        greetings="こんにちは, おはようございます, こんばんは",
    ),
    "ko": Language(
        thanks="감사합니다, 고맙습니다",
        greetings="안녕하세요",
    ),
}

APPROVING = "👍👌👏🙌🙏🤝💪✅✔❤🧡💛💚💙💜🖤🤍💕💖💗💯🎉🥳😀😃😄😁😊🙂😇🥰😍🤩😘☺😎🤗✨🌟⭐💐🌹♥"
"""Signs that say thanks or applaud. A message of nothing else is like a reaction."""
