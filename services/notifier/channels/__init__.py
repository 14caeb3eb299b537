"""One module a provider: how a message is sent through its API, and what its answers mean."""

from services.notifier.channels.sending import RefusalKind, Refused, Retry, Send, Sent, Unknown

__all__ = ["RefusalKind", "Refused", "Retry", "Send", "Sent", "Unknown"]
