"""Which identifier anchors a message, who gets what nobody has, and who wins."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Identifier, IdentifierKind
from services.identity.domain.claims import Claim, Owner, key, next_claims, person, resolve
from tests.unit.identity.messages import EMAIL, MAIL_FROM, OTHER_PHONE, PHONE, USER, WHATSAPP, shown


def _people(*senders: tuple[Identifier, ...]) -> list[tuple[Identifier, ...]]:
    return [person(shown(*identifiers).personal) for identifiers in senders]


def _settled(people: list[tuple[Identifier, ...]], owners: dict[str, Owner]) -> dict[str, Owner]:
    names = count(1)
    while claims := next_claims(people, owners, lambda: f"c{next(names)}"):
        assert len({key(claim.identifier) for claim in claims}) == len(claims)
        owners |= {
            key(claim.identifier): Owner(claim.customer_id, claim.identifier.verified) for claim in claims
        }
    return owners


def test_a_verified_phone_number_anchors_before_the_sender_itself() -> None:
    assert person(shown(WHATSAPP, USER, PHONE).personal) == (PHONE, WHATSAPP, USER)


def test_without_a_phone_number_the_sender_anchors() -> None:
    assert person(shown(USER, EMAIL).personal) == (USER, EMAIL)


def test_an_unverified_sender_anchors_by_its_address() -> None:
    assert person(shown(MAIL_FROM).personal) == (MAIL_FROM,)


def test_a_claim_besides_the_sender_links_to_nobody() -> None:
    claimed = PHONE.model_copy(update={"verified": False})
    assert person(shown(USER, MAIL_FROM, claimed).personal) == (USER,)


def test_an_identifier_named_twice_counts_once_and_keeps_its_vouching() -> None:
    assert person(shown(MAIL_FROM, EMAIL).personal) == (EMAIL,)


def test_the_anchor_is_claimed_before_the_rest() -> None:
    people = _people((WHATSAPP, PHONE))
    assert next_claims(people, {}, lambda: "c1") == [Claim(PHONE, "c1")]
    assert next_claims(people, {key(PHONE): Owner("c9", verified=True)}, lambda: "c1") == [
        Claim(WHATSAPP, "c9")
    ]


def test_a_known_identifier_brings_its_customer_to_an_unknown_anchor() -> None:
    owners = {key(WHATSAPP): Owner("c9", verified=True)}
    assert next_claims(_people((WHATSAPP, PHONE)), owners, lambda: "c1") == [Claim(PHONE, "c9")]


def test_two_messages_of_one_new_number_make_one_customer() -> None:
    assert _settled(_people((PHONE,), (PHONE,)), {}) == {key(PHONE): Owner("c1", verified=True)}


def test_a_later_message_of_the_batch_follows_what_an_earlier_one_links() -> None:
    owners = _settled(_people((WHATSAPP, USER, PHONE), (USER,), (USER, EMAIL)), {})
    assert {owner.customer_id for owner in owners.values()} == {"c1"}
    assert len(owners) == 4


def test_identifiers_of_two_customers_keep_the_anchors_and_name_the_other() -> None:
    owners = {key(PHONE): Owner("a", verified=True), key(WHATSAPP): Owner("b", verified=True)}
    (identifiers,) = _people((WHATSAPP, PHONE))
    resolution = resolve(identifiers, owners, identifiers[0])
    assert resolution.customer_id == "a"
    assert resolution.own == (Claim(PHONE, "a"),)
    assert resolution.contradicting == (Claim(WHATSAPP, "b"),)


def test_what_is_vouched_for_the_first_time_is_told() -> None:
    (identifiers,) = _people((EMAIL,))
    assert resolve(identifiers, {key(EMAIL): Owner("a", verified=False)}, EMAIL).vouched == (
        Claim(EMAIL, "a"),
    )
    assert resolve(identifiers, {key(EMAIL): Owner("a", verified=True)}, EMAIL).vouched == ()


def test_a_mail_without_proof_does_not_lower_what_is_known_of_its_address() -> None:
    (identifiers,) = _people((MAIL_FROM,))
    assert resolve(identifiers, {key(EMAIL): Owner("a", verified=True)}, EMAIL).own == (Claim(EMAIL, "a"),)


_KNOWN = [
    PHONE,
    OTHER_PHONE,
    WHATSAPP,
    USER,
    EMAIL,
    Identifier(kind=IdentifierKind.VISITOR, value="v1", verified=True),
]
_senders = st.lists(
    st.lists(st.sampled_from(_KNOWN), min_size=1, max_size=3, unique=True).map(tuple), max_size=6
)


@given(_senders)
def test_a_batch_settles_as_its_messages_one_by_one(senders: list[tuple[Identifier, ...]]) -> None:
    together = _settled(_people(*senders), {})
    one_by_one: dict[str, Owner] = {}
    names = count(1)
    for identifiers in _people(*senders):
        while claims := next_claims([identifiers], one_by_one, lambda: f"c{next(names)}"):
            one_by_one |= {key(c.identifier): Owner(c.customer_id, c.identifier.verified) for c in claims}
        # one that names two known Customers is a conflict: whose its new identifiers become is open
        if len({one_by_one[key(each)].customer_id for each in identifiers if key(each) in one_by_one}) > 1:
            return
    assert _groups(together) == _groups(one_by_one)


def _groups(owners: dict[str, Owner]) -> set[frozenset[str]]:
    customers = {owner.customer_id for owner in owners.values()}
    return {
        frozenset(name for name, owner in owners.items() if owner.customer_id == one) for one in customers
    }
