"""What happens to Customers: `customers.events`, key: Customer."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.common import Identifier
from schemas.envelope import Envelope, Model, Personal


class CustomerData(Model):
    """Nothing but the id is known outside the personal part."""

    customer_id: str


class CustomerPersonal(Personal):
    """The profile as it is after the event."""

    name: str | None = None
    identifiers: tuple[Identifier, ...] = ()
    attributes: dict[str, str] = Field(default_factory=dict)


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


class CustomerErasedData(Model):
    """Who is no more."""

    customer_id: str
    homes: tuple[str, ...]
    """All Customers who were this person, `customer_id` among them."""


class CustomerErased(Envelope):
    """A person was erased: nothing that identifies them is left, and their ids are unknown from now on."""

    type: Literal["customer.erased"] = "customer.erased"
    customer_id: str
    home: str
    data: CustomerErasedData


AnyCustomerEvent = Annotated[CustomerCreated | CustomerUpdated | CustomerErased, Field(discriminator="type")]
