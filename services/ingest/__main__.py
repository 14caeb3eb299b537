"""Runs ingest alone: `python -m services.ingest`."""

from services.chassis.service import serve
from services.ingest.app import build_app
from services.ingest.settings import IngestSettings

if __name__ == "__main__":
    serve(build_app, IngestSettings())
