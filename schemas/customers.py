"""What happens to Customers: `customers.events`, key: Customer."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.common import Identifier
from schemas.envelope import Envelope, Model, Personal, Time, Whole


class CustomerData(Model):
    """Nothing but the id is known outside the personal part."""

    customer_id: str


class AttributeSource(Model):
    """Who said it, as `agent:ana`, `system:shop` or `channel:chat`, and when."""

    source: str
    at: Time


class CustomerPersonal(Personal):
    """The profile as it is after the event."""

    name: str | None = None
    identifiers: tuple[Identifier, ...] = ()
    attributes: dict[str, str] = Field(default_factory=dict)
    attribute_sources: dict[str, AttributeSource] | None = None
    """By name of the attribute, also of one that was taken away."""
    name_source: AttributeSource | None = None
    """Of a name that no channel showed."""


class CustomerEvent(Envelope):
    """Base: all events carry the profile as it is after them."""

    customer_id: str
    home: str
    data: CustomerData
    personal: CustomerPersonal


class CustomerCreated(CustomerEvent):
    """A person was seen for the first time, or made by an Agent."""

    type: Literal["customer.created"] = "customer.created"


class CustomerUpdated(CustomerEvent):
    """Name, attributes or identifiers changed."""

    type: Literal["customer.updated"] = "customer.updated"


class MergeData(CustomerData):
    """Who was found to be whom. `customer_id` is the absorbed Customer's."""

    merge_id: str
    survivor: str
    """Who stands for both; may have been absorbed since."""
    n: Whole
    """How many merges and undos the absorbed Customer has seen, with this one: only the latest counts."""
    by: str | None = None
    """The lead who did it; None where a message proved it."""
    reason: str


MERGES_KEY = "merges"
"""Key of all merges and undos: they have one order, so that nobody ever sees a circle of them."""


class MergeEvent(Envelope):
    """Base: keyed by MERGES_KEY."""

    customer_id: str
    home: str
    seq: Whole
    data: MergeData


class CustomerMerged(MergeEvent):
    """Two Customers are one person; the absorbed one's id leads to the survivor."""

    type: Literal["customer.merged"] = "customer.merged"


class CustomerSplit(MergeEvent):
    """A merge was undone."""

    type: Literal["customer.split"] = "customer.split"


class CustomerErasedData(CustomerData):
    """Who is no more."""

    homes: tuple[str, ...]
    """All Customers who were this person, `customer_id` among them."""


class CustomerErased(Envelope):
    """A person was erased: nothing that identifies them is left, and their ids are unknown from now on."""

    type: Literal["customer.erased"] = "customer.erased"
    customer_id: str
    home: str
    data: CustomerErasedData


AnyCustomerEvent = Annotated[
    CustomerCreated | CustomerUpdated | CustomerMerged | CustomerSplit | CustomerErased,
    Field(discriminator="type"),
]
