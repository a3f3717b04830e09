"""The local HTTP API: every write is a file put into the inbox, whether a daemon lives or not."""
