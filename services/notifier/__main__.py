"""`python -m services.notifier`: the service alone, on PORT."""

from services.chassis.service import serve
from services.notifier.app import build_app
from services.notifier.settings import NotifierSettings

if __name__ == "__main__":
    serve(build_app, NotifierSettings())
