"""Instagram messaging: events of a professional account. How they are read stands in `meta_messaging`."""

from services.ingest.channels import meta, meta_messaging

PROVIDER = "instagram"
handshake = meta.handshake
verify = meta.verify
parse = meta_messaging.parse
