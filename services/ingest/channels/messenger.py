"""Facebook Messenger: events of a page. How they are read stands in `meta_messaging`."""

from services.ingest.channels import meta, meta_messaging

PROVIDER = "messenger"
handshake = meta.handshake
verify = meta.verify
parse = meta_messaging.parse
