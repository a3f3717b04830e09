"""
What moves data: the only room that reads sources, starts threads and asks clocks.
"""
