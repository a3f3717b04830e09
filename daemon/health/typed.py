"""A command of ours as somebody types it into a shell, meaning the same home and state directory."""

import shlex

from daemon.settings import Settings, options


def typed(settings: Settings, *words: str) -> str:
    """Return the command line."""
    return shlex.join(["tallystick", *words, *options(settings)])
