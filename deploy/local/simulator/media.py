"""The files that simulated providers keep: what customers sent, and what we uploaded.

`PUT /dev/providers/media/<name>` lays a file down. Twilio then has it at
`…/twilio-sms/2010-04-01/Accounts/<sid>/Messages/<any>/Media/<name>`, for the account's credentials, and
redirects to storage that needs none; WhatsApp has it under the media id `<name>`. Of every call there is
a recording of half a second of silence, for the account's credentials.
"""

import wave
from io import BytesIO
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, RedirectResponse, Response

from deploy.local.simulator import twilio, whatsapp
from services.chassis.accounts import Accounts

MOST_FILES = 1000
UNKNOWN = "application/octet-stream"


class Shelf:
    """The latest files, by name."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}

    def put(self, name: str, data: bytes, content_type: str) -> None:
        """Keep a file; the oldest goes when there are too many."""
        self._files[name] = data, content_type
        if len(self._files) > MOST_FILES:
            del self._files[next(iter(self._files))]

    def answer(self, name: str) -> Response:
        """Return the file, or 404."""
        if name not in self._files:
            return JSONResponse({"status": 404, "message": "no such media"}, 404)
        data, content_type = self._files[name]
        return Response(data, headers={"Content-Type": content_type})

    def size(self, name: str) -> int | None:
        """Return the file's size, None without one."""
        return len(self._files[name][0]) if name in self._files else None


def router(accounts: Accounts, shelf: Shelf, prefix: str) -> APIRouter:
    """Return the routes of media. What they refer to is where they were asked, under `prefix`."""
    routes = APIRouter()

    @routes.put("/media/{name}", status_code=204)
    async def lay_down(name: str, request: Request) -> Response:
        shelf.put(name, await request.body(), request.headers.get("content-type", UNKNOWN))
        return Response(status_code=204)

    routes.include_router(_twilio(accounts, shelf, prefix))
    routes.include_router(_recordings(accounts))
    routes.include_router(_whatsapp(accounts, shelf, prefix))
    return routes


def _recordings(accounts: Accounts) -> APIRouter:
    routes = APIRouter()

    @routes.get(f"/{twilio.VOICE}/2010-04-01/Accounts/{{sid}}/Recordings/{{recording}}")
    async def twilio_recording(sid: str, recording: str, request: Request) -> Response:  # noqa: ARG001  (any call's)
        if not twilio.is_known(accounts, sid, request):
            return twilio.TwilioError(401, 20003, "Authenticate").response()
        return Response(_silence(), headers={"Content-Type": "audio/x-wav"})

    return routes


def _silence(seconds: float = 0.5, rate: int = 8000) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, rate, 0, "NONE", ""))
        written.writeframes(bytes(2 * int(seconds * rate)))
    return file.getvalue()


def _twilio(accounts: Accounts, shelf: Shelf, prefix: str) -> APIRouter:
    routes = APIRouter()

    @routes.get(f"/{twilio.PROVIDER}/2010-04-01/Accounts/{{sid}}/Messages/{{message}}/Media/{{name}}")
    async def twilio_media(sid: str, message: str, name: str, request: Request) -> Response:  # noqa: ARG001  (any message's)
        if not twilio.is_known(accounts, sid, request):
            return twilio.TwilioError(401, 20003, "Authenticate").response()
        return RedirectResponse(f"{_base(request, prefix)}/{twilio.PROVIDER}/storage/{name}", 307)

    @routes.get(f"/{twilio.PROVIDER}/storage/{{name}}")
    async def twilio_storage(name: str, request: Request) -> Response:
        if "authorization" in request.headers:
            return JSONResponse({"code": "InvalidRequest"}, 400)  # as S3 does
        return shelf.answer(name)

    return routes


def _whatsapp(accounts: Accounts, shelf: Shelf, prefix: str) -> APIRouter:
    routes = APIRouter()

    @routes.get(f"/{whatsapp.PROVIDER}/{{version}}/{{media_id}}")
    async def whatsapp_node(version: str, media_id: str, request: Request) -> Response:  # noqa: ARG001  (any version's)
        if not _known_to_whatsapp(accounts, request):
            return whatsapp.GraphError(401, 190, "Invalid OAuth access token").response()
        if accounts.by_address(whatsapp.PROVIDER, media_id) is not None:  # ids of all kinds share one path
            return JSONResponse({"id": media_id, "quality_rating": "GREEN"})
        size = shelf.size(media_id)
        if size is None:
            return whatsapp.GraphError(400, 100, "Unsupported get request").response()
        url = f"{_base(request, prefix)}/{whatsapp.PROVIDER}/storage/files/{media_id}"
        return JSONResponse({"messaging_product": "whatsapp", "id": media_id, "url": url, "file_size": size})

    @routes.get(f"/{whatsapp.PROVIDER}/storage/files/{{media_id}}")
    async def whatsapp_storage(media_id: str, request: Request) -> Response:
        if not _known_to_whatsapp(accounts, request):
            return JSONResponse({"error": "no access"}, 401)
        return shelf.answer(media_id)

    @routes.post(f"/{whatsapp.PROVIDER}/{{version}}/{{phone_number_id}}/media")
    async def whatsapp_upload(version: str, phone_number_id: str, request: Request) -> Response:
        try:
            whatsapp.account_of(accounts, version, phone_number_id, request)
        except whatsapp.GraphError as error:
            return error.response()
        form = await request.form()
        file = form.get("file")
        if form.get("messaging_product") != "whatsapp" or not isinstance(file, UploadFile):
            return whatsapp.GraphError(400, 100, "Invalid parameter").response()
        media_id = str(uuid4().int)[:16]
        shelf.put(media_id, await file.read(), file.content_type or UNKNOWN)
        return JSONResponse({"id": media_id})

    return routes


def _base(request: Request, prefix: str) -> str:
    return f"{str(request.base_url).rstrip('/')}{prefix}"


def _known_to_whatsapp(accounts: Accounts, request: Request) -> bool:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == whatsapp.PROVIDER)
    return any(given == f"Bearer {token}" for account in own for token in account.valid("access_token"))
