"""Mail to a signed reply address from somebody else than the Customer whom it names.

The address proves that its sender has seen a mail of ours to the Customer, not who they are: the mail joins
the Customer's thread as a guest's, and links nobody's identifiers. See docs/decisions/0015.
"""

from collections.abc import Mapping

from services.identity.domain.claims import Owners, Person, Resolution, key


def guest_of(
    named: str | None, sender: Person, owners: Owners, survivors: Mapping[str, str]
) -> Resolution | None:
    """Return whose thread a message to a reply address joins as a guest's; None for all other messages.

    `named` is the Customer whom the address names; `survivors` are the Customers there are, with who stands
    for each: one may be erased by now.
    """
    if named is None or named not in survivors:
        return None
    theirs = (owners[key(identifier)] for identifier in sender if key(identifier) in owners)
    if any(owner.survivor == survivors[named] for owner in theirs):
        return None
    return Resolution(survivors[named], named, own=(), guest=True)
