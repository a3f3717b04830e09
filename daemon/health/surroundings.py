"""What the daemon's host looks like around it: settings of agents, units, variables; looked at now and then."""

from daemon.health.finding import Finding
from daemon.health.judging import Judging
from daemon.service.standing import Standing, standing
from daemon.settings import Settings


class Surroundings:
    """Findings of the last look, replaced whole, so that any thread may read them."""

    def __init__(self, judging: Judging[Settings], settings: Settings) -> None:
        self._judging = judging
        self._settings = settings
        #: What was wrong at the last look; null before the first.
        self.findings: tuple[Finding, ...] | None = None
        #: How the units stood then.
        self.service = Standing(settings.manager, settings.unit)

    def obey(self, judging: Judging[Settings]) -> None:
        """Ask others from now on: the configuration has changed."""
        self._judging = judging

    def look(self) -> None:
        """Look at everything once."""
        self.service = standing(self._settings)
        self.findings = self._judging.ask(self._settings)
