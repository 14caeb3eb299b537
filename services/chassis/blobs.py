"""Bytes too large for a record: kept in GridFS, named by reference and hash."""

import hashlib

from bson import ObjectId
from gridfs import AsyncGridFSBucket

from schemas.common import BlobRef
from services.chassis.mongo import Database


class Blobs:
    """A store of immutable bytes in the service's own database."""

    def __init__(self, database: Database) -> None:
        self._bucket = AsyncGridFSBucket(database, bucket_name="blobs")

    async def put(self, data: bytes, content_type: str | None = None, filename: str | None = None) -> BlobRef:
        """Store `data` and return where it is. The same bytes may be stored more than once."""
        ref = await self._bucket.upload_from_stream(
            filename or "blob", data, metadata={"content_type": content_type}
        )
        return BlobRef(
            ref=str(ref),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            content_type=content_type,
            filename=filename,
        )

    async def get(self, ref: str) -> bytes:
        """Return the bytes. Raises gridfs.NoFile for an unknown reference."""
        stream = await self._bucket.open_download_stream(ObjectId(ref))
        return bytes(await stream.read())
