"""Visitors follow their Conversation into another, and hear nothing of each other after a split."""

from schemas.common import Channel
from schemas.conversations import ConversationMerged, ConversationSplit, MergedData, SplitData
from services.chassis.delivery import Delivery
from services.notifier.feed.chats import Chats, visitor_key
from services.notifier.feed.items import Item, item_of
from tests.unit.notifier.feeding import EVENTS, base, message, ref

ZOE, MAX = visitor_key("demo", "zoe"), visitor_key("demo", "max")


def seen(chats: Chats, record: object) -> Item:
    return item_of(Delivery(EVENTS, 0, 0, record), chats)


def test_both_visitors_hear_of_the_conversation_that_goes_on_and_of_their_own_half_after_a_split() -> None:
    chats = Chats()
    seen(chats, message("1", channel=Channel.CHAT, visitor="zoe", conversation="k1"))
    seen(chats, message("2", channel=Channel.CHAT, visitor="max", conversation="k2"))
    data = MergedData(**ref(conversation="k1"), merged="k2", merge_id="m1")
    told = seen(chats, ConversationMerged(**base("3"), data=data))
    assert set(told.visitors) == {ZOE, MAX}
    place = chats.of_visitor(MAX)
    assert place is not None
    assert place.conversation_id == "k1"

    half = SplitData(**ref(conversation="k2"), before="k1")
    assert seen(chats, ConversationSplit(**base("4"), data=half)).visitors == ()
    assert chats.of_conversation("k1") == ()
    seen(chats, message("5", channel=Channel.CHAT, visitor="max", conversation="k2"))
    assert chats.of_conversation("k2") == (MAX,)
