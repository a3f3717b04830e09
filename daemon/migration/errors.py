"""What can stop an import: one kind per decision."""

from state.errors import TallystickError


class NoTable(TallystickError):
    """
    The file is no export of a token table that could be read; nothing was imported. See the columns in
    docs/migration.md, name others with --map OLD=NEW and the format with --format; the text has to be UTF-8.
    """

    exit_code = 2


class NeverImported(TallystickError):
    """
    No row of this table was ever imported, so there is nothing to take back; nothing was written. Name the table as the
    import did (--table); it is token_events where the import named none.
    """

    exit_code = 2


class TooManyRows(TallystickError):
    """
    The export has more rows than one import takes, and nothing was written. Split it; the parts may come in any order.
    """

    exit_code = 2


class NotTaken(TallystickError):
    """
    Whoever holds the log takes nothing from the inbox. What was sent waits there: look at `tallystick health`, then
    import again, which goes on from here.
    """


class ImportRuns(TallystickError):
    """
    Another import writes to this state directory. Wait for its end, then import again.
    """
