"""The local HTTP API: reads what was published; every write is a file put into the inbox, daemon or not."""
