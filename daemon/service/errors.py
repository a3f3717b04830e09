"""What can go wrong with the service, and what the operator does next."""

from state.errors import TallystickError


class UserUnknown(TallystickError):
    """
    There is no such user on this host, or the name cannot be part of a unit's. Name one that `getent passwd` lists.
    """

    exit_code = 2


class CommandMissing(TallystickError):
    """
    The command that the units should run is not there, or not reachable by the user for whom it should run. Install
    tallystick where that user may execute it, /usr/local or /opt for example, and run that one's `service install`.
    """


class SystemdAbsent(TallystickError):
    """
    No systemd answers here, so nothing was started or stopped. Let whatever starts things on this host run `tallystick
    run` and, every five minutes, `tallystick health`. Where systemd runs but this user has no manager: `loginctl
    enable-linger`, then the same again.
    """


class SystemdRefused(TallystickError):
    """
    systemd did not do what it was asked to; it says above why. `tallystick service status` shows what is there.
    """


class NotInstalled(TallystickError):
    """
    There are no units of ours here. Run `tallystick service install`, or `tallystick run` in a terminal.
    """
