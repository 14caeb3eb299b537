"""identity: which Customer a message comes from, and who the Customers are."""
