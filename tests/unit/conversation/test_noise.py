"""What needs nobody, and what does: in doubt it is a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Channel
from services.conversation.domain.noise import Weight, weigh
from services.conversation.domain.noise_words import LANGUAGES, Language
from tests.unit.conversation.builders import empty, message, received

NOISE = """
thanks
Thanks!
THANK YOU
thanks, that worked
Thanks, that worked!
Thank you so much for all your help!
ty 😊
thx!!
Many thanks. Have a nice day!
perfect, thank you
Great, thanks again :)
Thanks 👍🏽
Thank you ❤️
cheers
that fixed it, thanks
Danke!
Danke schön
Vielen Dank für die schnelle Hilfe
Super, vielen Dank, jetzt funktioniert es!
Merci beaucoup, ça fonctionne maintenant
Parfait, merci
Muchas gracias por su ayuda
¡Gracias!
Grazie mille
Muito obrigado, funcionou
Bedankt, het werkt weer
Tack så mycket för hjälpen
Tusen takk
Dziękuję bardzo za pomoc
Teşekkür ederim
Спасибо большое!
Дякую
شكرا جزيلا
धन्यवाद
谢谢
ありがとうございました
감사합니다
👍
👍🏽
👍👍
❤️
🙏🙏🏿
🎉 🎉
Liked “Your parcel is on its way”
Loved "See you tomorrow"
Liked an image
Reacted 👍 to “Your parcel is on its way”
"""

MESSAGES = """
thanks but it still fails
Thanks, but it still doesn't work
thanks for nothing
no thanks
no thank you
thanks, when will it arrive
thanks, and my refund
Thanks! Is there anything else I should do?
Danke, und wo ist mein Paket?
Danke, aber es funktioniert nicht
Danke nein
Merci, mais ça ne marche pas
Merci ?
¿Gracias?
gracias pero no funciona
ok
Ok.
okay
okay thanks
yes
yes thanks
no
done
sure
perfect
great
it works
stop it
👎
😡
🤔
❓
😢
thanks 😡
Thank you 🙃
👍 2
thanks 3
thx 4 that
!
...
?
？
Questioned “Your parcel is on its way”
Disliked “Your parcel is on its way”
Liked
Reacted 😡 to “Your parcel is on its way”
Liked “it” but where is it
Thanks Ana, see you on Monday
the works
hello, my parcel is broken
hello?
hello 😡
hi thanks
good
guten
tag
hola gracias hello
danke merci
谢谢，但是还没有收到
thanks http://shop.example
"""  # noqa: RUF001  (so people write)

GREETINGS = """
hi
Hi!
Hello there
good morning
Good morning, team 👋
hey 😊
Hallo
Guten Tag
Moin moin
Bonjour
Hola, buenas tardes
Buongiorno
Olá, bom dia
Hej
Dzień dobry
Merhaba
Здравствуйте
你好
こんにちは
안녕하세요
नमस्ते
مرحبا
"""


def each(texts: str) -> list[str]:
    return texts.strip().splitlines()


def phrases(texts: str) -> list[str]:
    return [phrase.strip() for phrase in texts.split(",") if phrase.strip()]


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        *((text, Weight.NOISE) for text in each(NOISE)),
        *((text, Weight.MESSAGE) for text in each(MESSAGES)),
        *((text, Weight.GREETING) for text in each(GREETINGS)),
    ],
)
def test_a_text_weighs(text: str, weight: Weight) -> None:
    assert weigh("text", text, automatic=False) is weight


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))
def test_every_phrase_of_every_language_is_understood(language: Language) -> None:
    for thanks in phrases(language.thanks):
        assert weigh("text", thanks, automatic=False) is Weight.NOISE
        for beside in phrases(language.beside):
            assert weigh("text", f"{beside}, {thanks}!", automatic=False) is Weight.NOISE
    for greeting in phrases(language.greetings):
        assert weigh("text", greeting, automatic=False) is Weight.GREETING


@pytest.mark.parametrize(
    "kind", ["reaction", "delivery_report", "system", "read", "complaint", "unsubscribe"]
)
def test_what_programs_write_is_noise_whatever_it_says(kind: str) -> None:
    assert weigh(kind, "Where is my parcel?", automatic=False) is Weight.NOISE
    assert weigh("text", "I am out of the office until Monday.", automatic=True) is Weight.NOISE


@pytest.mark.parametrize("kind", ["image", "audio", "location", "contacts", "edit", "call", "unknown"])
def test_other_kinds_are_messages_whatever_they_say(kind: str) -> None:
    assert weigh(kind, "thanks", automatic=False) is Weight.MESSAGE


def test_thanks_with_a_file_are_a_message() -> None:
    assert weigh("text", "thanks", automatic=False, files=True) is Weight.MESSAGE


@pytest.mark.parametrize(
    ("subject", "answers", "noise"),
    [
        ("Where is my parcel", None, False),
        ("Thank you", None, True),
        (None, None, True),
        ("Re: Where is my parcel", "<1@parley.example>", True),
    ],
)
def test_a_mail_of_thanks_whose_subject_asks_is_a_message(
    subject: str | None, answers: str | None, *, noise: bool
) -> None:
    mail = message(1, "thanks!", channel=Channel.EMAIL)
    personal = mail.personal.model_copy(update={"subject": subject, "in_reply_to": answers})
    change = received(empty(), mail.model_copy(update={"personal": personal}))
    assert (change.thread.current is None) is noise


def test_long_thanks_are_a_message() -> None:
    assert weigh("text", "thanks " * 30, automatic=False) is Weight.MESSAGE


@given(st.text())
def test_any_text_can_be_weighed_and_a_question_is_never_noise(text: str) -> None:
    assert weigh("text", text, automatic=False) in Weight
    assert weigh("text", f"thanks {text}?", automatic=False) is Weight.MESSAGE


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20))
def test_a_word_nobody_knows_makes_it_a_message(word: str) -> None:
    assert weigh("text", f"thanks qz{word}", automatic=False) is Weight.MESSAGE
