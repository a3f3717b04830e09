"""`tallystick metrics`: on stdout, or as a file that node_exporter's textfile collector reads."""

from pathlib import Path
from typing import Final

from daemon import show
from daemon.exports.target import put
from daemon.lag import lag_events
from daemon.metrics import metrics_text
from daemon.options import BadOption
from daemon.settings import Settings
from projections.read import Tables
from state.errors import TallystickError

DONE: Final = 0

#: The collector reads no other file of its directory, and is another user than ours.
SUFFIX: Final = ".prom"
READABLE: Final = 0o644


def metrics(settings: Settings, textfile: str | None) -> int:
    """
    Print the metrics, or put them whole in the place of *textfile*.

    Raises:
        BadOption: The collector would not read a file of that name.
        NothingPublished, TablesUnusable: There are no figures; an old file stays, and its age tells.
        NotWritten: The file cannot be written; the old one stays.
    """
    if textfile is not None and not textfile.endswith(SUFFIX):
        raise BadOption(option="--textfile", can_be=f"a path that ends in {SUFFIX}")
    with Tables(settings.state.published) as tables:
        text = metrics_text(tables, lag_of(tables, settings))
    if textfile is None:
        show.out(text.decode().removesuffix("\n"))
        return DONE
    put(Path(textfile).absolute(), [text], READABLE)
    return DONE


def lag_of(tables: Tables, settings: Settings) -> int | None:
    """Return how far the tables are behind the log; null, and said, when the log cannot be read."""
    try:
        return lag_events(tables.head(), settings)
    except TallystickError as error:
        show.warn(str(error))
        return None
