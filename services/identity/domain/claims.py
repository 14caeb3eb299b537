"""Which identifiers say who wrote, who gets those that nobody has, and who wins where they disagree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from schemas.common import Identifier, IdentifierKind
from schemas.inbound import InboundPersonal

Person = tuple[Identifier, ...]
"""The identifiers of one message's sender, the anchor first."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The Customer who has an identifier, and whether anybody ever vouched for it."""

    customer_id: str
    verified: bool
    survivor: str = ""
    """Who stands for them since a merge; left out, they do themselves."""

    def __post_init__(self) -> None:
        """Fill in the survivor."""
        if not self.survivor:
            object.__setattr__(self, "survivor", self.customer_id)


Owners = Mapping[str, Owner]
"""Owners of the known identifiers, by `key`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish: this identifier for this Customer. The first to write it down has it."""

    identifier: Identifier
    customer_id: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Whose message it is."""

    customer_id: str
    """Who stands for them today."""
    home: str
    """The Customer who has the identifier that the message came by."""
    own: tuple[Claim, ...]
    """The identifiers that are this Customer's, marked verified where anybody vouches for them, with the
    home of each."""
    vouched: tuple[Claim, ...] = ()
    """Those of `own` that nobody vouched for until now."""
    contradicting: tuple[Claim, ...] = ()
    """Those that are another Customer's, who is named."""
    proven: bool = False
    """Somebody vouches for all of them: the Customers are one person."""
    guest: bool = False
    """Somebody else wrote it into this Customer's thread."""


def key(identifier: Identifier) -> str:
    """Return the name under which an identifier is unique: `phone:+15551230001`."""
    return f"{identifier.kind.value}:{identifier.value}"


def person(shown: InboundPersonal) -> Person:
    """Return the identifiers that lead from a message to its Customer, the anchor first.

    The anchor is a phone number somebody vouches for, since other channels show it too; else the
    address the message came from. Besides the sender's address only what is vouched for counts: a
    mere claim links to nobody.
    """
    known: dict[str, Identifier] = {}
    for identifier in (shown.sender, *shown.identifiers):
        if identifier.verified or key(identifier) not in known:
            known[key(identifier)] = identifier
    sender = key(shown.sender)
    linking = [identifier for name, identifier in known.items() if name == sender or identifier.verified]
    return tuple(sorted(linking, key=lambda identifier: _rank(identifier, sender)))


def _rank(identifier: Identifier, sender: str) -> int:
    if identifier.kind is IdentifierKind.PHONE and identifier.verified:
        return 0
    return 1 if key(identifier) == sender else 2


def next_claims(people: Sequence[Person], owners: Owners, new_customer: Callable[[], str]) -> list[Claim]:
    """Return one round of claims for identifiers without owner, [] when each message is settled.

    A message's anchor is claimed first and alone; the rest follows in a later round, for whoever then
    has the anchor. Where an earlier message is about to claim something that this one shows too, this
    one waits for the next round: the result is that of one message after the other.
    """
    claims: list[Claim] = []
    spoken_for: set[str] = set()
    for identifiers in people:
        missing = [identifier for identifier in identifiers if key(identifier) not in owners]
        free = [identifier for identifier in missing if key(identifier) not in spoken_for]
        claims += _claims(identifiers[0], missing, free, owner_of(identifiers, owners), new_customer)
        spoken_for.update(key(identifier) for identifier in missing)
    return claims


def _claims(
    anchor: Identifier,
    missing: Sequence[Identifier],
    free: Sequence[Identifier],
    owner: str | None,
    new_customer: Callable[[], str],
) -> list[Claim]:
    if owner is None:
        return [Claim(anchor, new_customer())] if len(free) == len(missing) else []
    wanted = [anchor] if anchor in missing else missing
    return [Claim(identifier, owner) for identifier in wanted if identifier in free]


def owner_of(identifiers: Person, owners: Owners) -> str | None:
    """Return the Customer of the first identifier that has one."""
    known = (owners.get(key(identifier)) for identifier in identifiers)
    return next((owner.customer_id for owner in known if owner), None)


def resolve(identifiers: Person, owners: Owners, sender: Identifier) -> Resolution:
    """Return whose message it is, once every identifier has an owner: the anchor's Customer."""
    anchor = owners[key(identifiers[0])]
    of_sender = owners[key(sender)]
    own = [one for one in identifiers if owners[key(one)].survivor == anchor.survivor]
    others = [one for one in identifiers if one not in own]
    return Resolution(
        anchor.survivor,
        of_sender.customer_id if of_sender.survivor == anchor.survivor else anchor.customer_id,
        own=tuple(Claim(_with_vouching(one, owners[key(one)]), owners[key(one)].customer_id) for one in own),
        vouched=tuple(
            Claim(one, owners[key(one)].customer_id)
            for one in own
            if one.verified and not owners[key(one)].verified
        ),
        contradicting=tuple(Claim(one, owners[key(one)].survivor) for one in others),
        proven=identifiers[0].verified and all(one.verified for one in others),
    )


def _with_vouching(identifier: Identifier, owner: Owner) -> Identifier:
    return identifier.model_copy(update={"verified": identifier.verified or owner.verified})
