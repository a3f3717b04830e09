"""
What an agent's line means: pure, no I/O, no storage.
"""
