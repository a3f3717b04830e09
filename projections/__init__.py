"""
What the log says: tables that are rebuilt from nothing at any time.
"""
