"""`python -m services.identity`: the service alone, on PORT."""

from services.chassis.service import serve
from services.identity.app import build_app
from services.identity.settings import IdentitySettings

if __name__ == "__main__":
    serve(build_app, IdentitySettings())
