"""Run the router alone: `python -m services.router`."""

from services.chassis.service import serve
from services.router.app import build_app
from services.router.settings import RouterSettings

if __name__ == "__main__":
    serve(build_app, RouterSettings())
