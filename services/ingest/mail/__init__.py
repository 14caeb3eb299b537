"""Reading RFC 5322 mail from anyone: linear in time, without a crash, whatever the bytes."""
