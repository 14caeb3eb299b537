"""The files that messages carry: their bytes, and links at which a provider may fetch them for a while."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from schemas.common import Attachment
from services.chassis.attachments import Attachments
from services.chassis.blobs import BlobMissing, BlobStore, BlobStoreUnavailable, contents
from services.chassis.clock import Clock
from services.chassis.problems import not_found
from services.chassis.serving import served
from services.notifier.channels.sending import Retry, refused

_ALGORITHM = "HS256"
_USE = "file"
PATH = "/v1/files/{token}"


class Links:
    """Signed, expiring names of attachments (JWT, HS256)."""

    def __init__(self, secret: str, base: str, lifetime: timedelta, clock: Clock) -> None:
        """`base` is what the token is put behind."""
        self._key = OctKey.import_key(secret.encode()) if secret else None
        self._base = base
        self._lifetime = lifetime
        self._clock = clock

    def make(self, attachment_id: UUID) -> str | None:
        """Return a URL; None without a secret."""
        if self._key is None:
            return None
        expires_at = int((self._clock() + self._lifetime).timestamp())
        claims = {"sub": str(attachment_id), "use": _USE, "exp": expires_at}
        return f"{self._base}{jwt.encode({'alg': _ALGORITHM}, claims, self._key)}"

    def read(self, token: str) -> str | None:
        """Return the attachment's id; None when the token is forged or expired."""
        if self._key is None:
            return None
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
            jwt.JWTClaimsRegistry(
                now=int(self._clock().timestamp()),
                exp={"essential": True},
                sub={"essential": True},
                use={"essential": True, "value": _USE},
            ).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        return str(claims["sub"])


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Implements sending.Files on the store that all services share."""

    blobs: BlobStore
    link_of: Callable[[UUID], str | None]

    async def read(self, attachment: Attachment, /) -> bytes:
        """Return the bytes. Raises Refused when there are none, Retry when the store is away."""
        if attachment.blob is None:
            raise refused("no_file", "rejected")
        try:
            return await contents(self.blobs, attachment.blob.ref)
        except BlobMissing:
            raise refused("no_file", "rejected") from None
        except BlobStoreUnavailable as error:
            raise Retry(None, "file_store") from error

    def link(self, attachment: Attachment, /) -> str:
        """Return a URL for the provider. Raises Refused without FILE_LINK_SECRET."""
        url = self.link_of(attachment.id) if attachment.id is not None else None
        if url is None:
            raise refused("no_file_link", "rejected")
        return url


def routes(attachments: Attachments, links: Links) -> APIRouter:
    """Return the public route of linked files."""
    router = APIRouter()

    @router.get(PATH)
    async def linked_file(token: str) -> Response:
        """Give the file to whoever has its link, until that expires."""
        attachment_id = links.read(token)
        file = (await attachments.find([attachment_id])).get(attachment_id) if attachment_id else None
        if file is None:
            raise not_found("the file, or a link that is still valid,")
        return await served(file, attachments.blobs)

    return router
