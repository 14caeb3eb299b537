"""One module a provider: how a message is sent through its API, and what its answers mean."""

from services.notifier.channels.sending import Means, RefusalKind, Refused, Retry, Send, Sent, Unknown

__all__ = ["Means", "RefusalKind", "Refused", "Retry", "Send", "Sent", "Unknown"]
