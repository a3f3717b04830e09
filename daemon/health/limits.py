"""From when on something is wrong; the operator's `[health]`, else these."""

from typing import NamedTuple

from daemon.settings import Settings


class Limits(NamedTuple):
    """
    Bounds that operators set.

    Args:
        reporting_window_seconds: Within so long every silence is told.
        canary_events: So many signs of work without a token in a window are a flatline.
        disk_free_mib: Less room than this on the state directory's disk is told.
        has_sentinel: Whether a synthetic session is planted and has to come out.
        expected_hooks: Agents whose hook has to be in place (`claude-code`, `codex`).
        roots: Further directories of logs, each with its agent; one that is missing is told.
        claims: Files of records that harnesses write.
    """

    reporting_window_seconds: int = 900
    canary_events: int = 1
    disk_free_mib: int = 512
    has_sentinel: bool = False
    expected_hooks: tuple[str, ...] = ()
    roots: tuple[tuple[str, str], ...] = ()
    claims: tuple[str, ...] = ()

    @property
    def plant_seconds(self) -> float:
        """How often a synthetic session is planted: three in a window, so that one that is late is no loss."""
        return self.reporting_window_seconds / 3


def limits(settings: Settings) -> Limits:
    """
    Return what the configuration says.

    Raises:
        ConfigUnusable: It cannot be read.
    """
    if not settings.config_file.exists():
        return Limits()
    from daemon.config import read_config  # brings pydantic, which a daemon without a configuration never needs

    config = read_config(settings.config_file)
    return Limits(
        reporting_window_seconds=config.health.reporting_window_seconds,
        canary_events=config.health.canary_events,
        disk_free_mib=config.health.disk_free_mib,
        has_sentinel=config.health.sentinel,
        expected_hooks=config.hooks.expected,
        roots=tuple((root.agent, root.path) for root in config.roots),
        claims=tuple(claim.path for claim in config.claims),
    )
