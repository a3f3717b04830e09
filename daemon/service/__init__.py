"""The daemon as a service of systemd: its units, and whether they stand as they should."""
