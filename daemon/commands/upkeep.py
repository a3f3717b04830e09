"""Whether all is well: `health`, `doctor`, `status`, `reconcile`, `invariants`, `service`, `privacy`."""

import argparse

from daemon.commands.declared import Commands, command, group
from daemon.settings import Settings


def health(commands: Commands) -> None:
    """Declare `health`: one line for a monitoring system."""
    command(commands, "health", _health, "one line for a monitoring system: 0 ok, 1 warning, 2 critical, 3 unknown")


def _health(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.health.verb import health

    return health(settings, as_json=options.json)


def doctor(commands: Commands) -> None:
    """Declare `doctor`: one page."""
    command(commands, "doctor", _doctor, "one page: what is wrong and what to type, where everything is, what runs")


def _doctor(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.doctor.page import doctor

    return doctor(settings, as_json=options.json)


def status(commands: Commands) -> None:
    """Declare `status`: how new the evidence is."""
    command(commands, "status", _status, "per agent: how new the evidence is and what is unread")


def _status(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import status

    return status(settings, as_json=options.json)


def reconcile(commands: Commands) -> None:
    """Declare `reconcile`: disk, log and tables against each other."""
    what = "disk, log and tables against each other: what is missing, and what can be mended; writes with --apply"
    parser = command(commands, "reconcile", _reconcile, what)
    parser.add_argument("--since", metavar="T", help="only what happened from this day or time on, or 30d, 12h")
    parser.add_argument("--apply", action="store_true", help="read what can be read; without it nothing is")
    parser.add_argument(
        "--zero-superseded-fallbacks",
        action="store_true",
        help="also decide that fallbacks beside a measurement of the same session or task do not count",
    )
    parser.add_argument("--restore-fallbacks", action="store_true", help="take all those decisions back")
    parser.add_argument("--wait", metavar="SECONDS", help="how long a daemon may take to apply it (default 660)")
    scheduled = "a timer or cron runs it: from then on health tells when none does any more"
    parser.add_argument("--scheduled", action="store_true", help=scheduled)


def _reconcile(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.message_options import seconds
    from daemon.reconcile.backfill import WAIT_SECONDS
    from daemon.reconcile.verb import Asked, reconcile
    from daemon.window import moment_of

    asked = Asked(
        since=moment_of("--since", options.since),
        is_applied=options.apply,
        is_superseding=options.zero_superseded_fallbacks,
        is_restoring=options.restore_fallbacks,
        is_scheduled=options.scheduled,
        wait_seconds=WAIT_SECONDS if options.wait is None else seconds(options.wait),
    )
    return reconcile(settings, asked, as_json=options.json)


def invariants(commands: Commands) -> None:
    """Declare `invariants`: is anything wrong?"""
    parser = command(commands, "invariants", _invariants, "is anything wrong? 0 no, 1 yes, 3 nobody can tell")
    parser.add_argument("--context", action="store_true", help="the few lines that an agent's next session sees")


def _invariants(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.invariants import invariants

    return invariants(settings, is_context=options.context, as_json=options.json)


_SERVICE_ACTIONS = {
    "install": "write the units, enable and start them, and say what is missing",
    "show": "print what install would write, and where",
    "status": "what is installed, enabled and running, and the next step where something is missing",
    "start": "enable and start all that belongs to an installed service",
    "restart": "end the daemon and start it again",
    "reload": "let the daemon read its configuration again",
    "uninstall": "stop the service and remove its units; log and tables stay",
}


def service(commands: Commands) -> None:
    """Declare `service`: units of systemd."""
    what = "the daemon and its timers, of health and reconcile, as units of systemd"
    actions = group(commands, "service", what)
    for name, help_ in _SERVICE_ACTIONS.items():
        action = command(
            actions,
            name,
            _run_service,
            help_,
            "print one JSON document (tallystick.service/1)" if name == "status" else None,
        )
        action.add_argument("--system", metavar="USER", help="that user's instance of the template, run by the system")
        action.set_defaults(action=name)
        if name == "install":
            action.add_argument("--no-start", action="store_true", help="write the units, and leave systemd alone")
            action.add_argument("--web", action="store_true", help="also the API and the dashboard, on a socket")


def _run_service(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.service import verbs

    asked = verbs.Asked(options.system, options.home, options.state_dir)
    if options.action == "install":
        return verbs.install(settings, asked, is_starting=not options.no_start, has_web=options.web)
    if options.action == "status":
        return verbs.status(settings, asked, as_json=options.json)
    return verbs.PLAIN[options.action](settings, asked)


def privacy(commands: Commands) -> None:
    """Declare `privacy`: what names are stored, and the proof that nothing of a conversation is."""
    actions = group(commands, "privacy", "what may be stored, and the proof that nothing else is")
    name = command(actions, "name", _name, "how a path or branch is called in the log and the tables", None)
    name.add_argument("name", metavar="NAME", help="an absolute path, else a branch")
    what = "plant canaries in a sample of your own logs, read it, and search everything for them"
    command(actions, "prove", _prove, what)


def _prove(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.privacy.prove import prove

    return prove(settings, as_json=options.json)


def _name(options: argparse.Namespace, settings: Settings) -> int:
    from daemon import show
    from daemon.task_rules import branch_patterns
    from daemon.veil import veil_of

    veil = veil_of(settings.state, branch_patterns(settings))
    is_path = options.name.startswith("/")
    show.out(options.name if veil is None else veil.path(options.name) if is_path else veil.branch(options.name))
    return 0
