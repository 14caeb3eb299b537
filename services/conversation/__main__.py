"""`python -m services.conversation`: the service alone, on PORT."""

from services.chassis.service import serve
from services.conversation.app import build_app
from services.conversation.settings import ConversationSettings

if __name__ == "__main__":
    serve(build_app, ConversationSettings())
