"""
What survives a restart: the log, and the words in which evidence is written.
"""
