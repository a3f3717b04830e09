"""What a process does that the daemon starts for a piece of work and waits for."""

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with(parent_pid: int) -> bool:
    """
    End without a word when the process *parent_pid*, which started this one, ends, however it ends.

    Returns:
        Whether it is still there; it may have ended before this was said.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent_pid
