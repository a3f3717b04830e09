"""
The tail against a model: random writers, random looks, crashes; what was there to be read is in the tables, once.

The model is a set: every line that was complete when somebody looked. It knows what was visible, for it drives the
looks. What was written and removed again between two looks was never seen, and is in no set.
"""

import itertools
import json
import os
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.bootstrap import catch_up, roots, seen_files
from daemon.discover import Found, Place, Seen, look_at, look_below, sweep
from daemon.identity import line_hash
from daemon.ingest import Ingest
from daemon.provenance import salted_hash
from daemon.tail import LINE_BYTES_MAX
from projections.build import Projection
from projections.catalog import relations
from projections.hashes import tables_hash
from state.cursors import Cursor
from state.head import recall
from state.log import Log
from state.paths import StatePaths
from state.verify import verify
from tests.daemon.conftest import Host
from tests.daemon.writers import File, Totals, Writers, totals

#: A line behind the mark is also stated, when it is complete JSON and nobody writes at it any more.
Key = tuple[str, str]

#: A line of which nothing was read has no hash of its own.
TOO_LONG = "0" * 32


class Evidence:
    """What stands in the log: the hash of every line that said something, and the session its file's folder names."""

    def __init__(self, log_directory: Path) -> None:
        self._directory = log_directory
        self._offset = 0
        self.lines: set[Key] = set()
        self.hashes: set[str] = set()
        self.events = 0

    def read(self) -> None:
        """Take in what was committed since."""
        (segment,) = sorted(self._directory.iterdir())
        content = segment.read_bytes()[self._offset :]
        content = content[: content.rfind(b"\n") + 1]
        self._offset += len(content)
        for line in content.splitlines():
            event = json.loads(line)
            self.events += "q" in event
            if "line_hash" in event:
                self.hashes.add(event["line_hash"])
                self.lines.add((event["line_hash"], event.get("source_session_id") or ""))


class Tail:
    """A daemon's reader that is driven by hand, the disk it reads, and the model of what it must have seen."""

    def __init__(self, host: Host, seed: int) -> None:
        self.host = host
        self.seed = seed
        self.dice = random.Random(seed)
        self.writers = Writers(host.home, self.dice)
        self.places: list[Place] = roots(host.settings)
        self.log: Log[Cursor] = Log.open(host.state, Cursor, host="test")
        self.salt = self.log.log_id
        self.evidence = Evidence(host.state.log_directory)
        self.ingest = Ingest(self.log, self.now, is_live=True)
        #: Whatever was complete at some look; and what cannot have been missed, committed or not yet.
        self.may: set[str] = set()
        self.must: set[str] = set()
        self._uncommitted: set[str] = set()
        #: Of each inode, how far it was read at the last look: a shorter file is given time.
        self._marks: dict[int, int] = {}
        #: What was there to be read at each place when it was last looked at; and how many events that can be.
        self._contents: dict[Path, int] = {}
        self.events_max = 100
        self._walk: Iterator[Seen] | None = None
        self.trace: list[str] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    # -- looks ---------------------------------------------------------------------------------------------------

    def look(self, seen: Seen | None) -> None:
        """Look at one place, as the loop does, and note what is there to be seen."""
        if seen is None:
            return
        if isinstance(seen, Found):
            self._note(Path(seen.path))
        while self.ingest.look(seen):
            pass

    def _note(self, path: Path, *, is_final: bool = False) -> None:
        complete, rest = self.writers.lines(path)
        try:
            inode, size = path.stat().st_ino, path.stat().st_size
        except OSError:
            return
        content = hash((inode, *complete, rest))
        self.events_max += 0 if self._contents.get(path) == content else len(complete) + 6
        self._contents[path] = content
        visible = {name for line in complete for name in self._names(line)}
        self.may |= visible | self._names(rest)
        if not is_final and (path.suffix == ".zst" or size < self._marks.get(inode, 0)):
            return
        self._marks[inode] = size - len(rest)
        self._uncommitted |= visible

    def _names(self, line: bytes) -> set[str]:
        """Return the hash under which a line must be in the log; none for a line that says nothing."""
        if line_hash(line) in self.writers.said:
            return {line_hash(line)}
        if len(line) > LINE_BYTES_MAX:
            return {TOO_LONG}
        bare = line.strip(b" \t\r")
        if not bare:
            return set()
        clean = line.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r")
        if line_hash(clean) in self.writers.said:  # what is left of a hole, with a line behind it
            self.writers.said[line_hash(line)] = self.writers.said[line_hash(clean)]
            return {line_hash(line)}
        try:
            content = json.loads(clean)
        except ValueError:
            return {salted_hash(self.salt, line)}
        return {line_hash(line)} if content["type"] in ("session_meta", "turn_context") else set()

    def look_somewhere(self) -> None:
        """Be told of a file or a directory, sweep a little, or look again at what was shorter."""
        chance = self.dice.random()
        files = self.writers.here(packed=True)
        if chance < 0.4 and files:
            self.look(look_at(self.places, str(self.dice.choice(files).path), "UTC"))
        elif chance < 0.55 and files:
            folder = str(self.dice.choice(files).path.parent)
            for seen in look_below(
                self.places, folder, "UTC", self.ingest.is_settled, depth_max=self.dice.randint(0, 8)
            ):
                self.look(seen)
        elif chance < 0.8:
            self.sweep_a_little()
        elif chance < 0.9:
            self.poll()
        else:
            self.commit()

    def sweep_a_little(self) -> None:
        if self._walk is None:
            self.ingest.begin_sweep()
            self._walk = sweep(self.places, "UTC", self.ingest.is_settled)
        for seen in itertools.islice(self._walk, self.dice.randint(1, 12)):
            self.look(seen)
        if self.dice.random() < 0.2:
            self.finish_sweep()

    def finish_sweep(self) -> None:
        if self._walk is None:
            return
        for seen in self._walk:
            self.look(seen)
        self._walk = None
        self.ingest.end_sweep()

    def sweep(self) -> None:
        self.finish_sweep()
        self.ingest.begin_sweep()
        self._walk = sweep(self.places, "UTC", self.ingest.is_settled)
        self.finish_sweep()

    def poll(self) -> None:
        for file in self.writers.here():  # a file that is still shorter is read once it is believed
            complete, rest = self.writers.lines(file.path)
            self.may |= {name for line in (*complete, rest) for name in self._names(line)}
        self.ingest.poll_shrunk()

    def commit(self) -> None:
        self.ingest.commit()
        self.must |= self._uncommitted
        self._uncommitted = set()

    # -- the life of the process ---------------------------------------------------------------------------------

    def crash(self) -> None:
        """Forget all that was not committed; what cannot have been missed is only what was."""
        self.log.close()  # lets the lock go and flushes nothing
        self._uncommitted = set()
        self._reopen()

    def restart(self) -> None:
        self.commit()
        self.log.close()
        self._reopen()

    def _reopen(self) -> None:
        self._walk = None
        self.log = Log.open(self.host.state, Cursor, host="test")
        self.ingest = Ingest(self.log, self.now, is_live=True)

    def one_pass(self) -> None:
        """`tallystick ingest` while no daemon runs: nothing is given time."""
        self.commit()
        self.log.close()
        for file in self.writers.here(packed=True):
            self._note(file.path, is_final=True)
            _, rest = self.writers.lines(file.path)
            if not file.is_packed and line_hash(rest) in self.writers.said:
                self._uncommitted |= self._names(rest)
        catch_up(self.host.settings, seen_files(self.host.settings), clock=self.now)
        self.must |= self._uncommitted
        self._uncommitted = set()
        self._reopen()

    def settle(self) -> None:
        """Let the daemon have the time it wants: then nothing may be left to read."""
        self.sweep()
        for _ in range(12):
            self.poll()
        self.sweep()
        for file in self.writers.here(packed=True):
            self._note(file.path, is_final=True)
        self.commit()

    # -- the comparison ------------------------------------------------------------------------------------------

    def check_log(self) -> None:
        """Hold the log against the model."""
        self.commit()
        self.evidence.read()
        assert not self.evidence.hashes - self.may, self.blame(
            f"was never there: {self._events_of(self.evidence.hashes - self.may)}"
        )
        assert not self.must - self.evidence.hashes, self.blame("was not read: " + self._where(self.must))
        assert self.evidence.events <= self.events_max, self.blame("more events than there were lines to read")

    def check(self) -> None:
        """Hold the tables against the model, too."""
        self.check_log()
        with Projection.open(self.host.state) as tables:
            tables.refresh(self.host.state.log_directory)
            expected, found = self.model(), measured(tables)
            differing = {key: (expected.get(key), found.get(key)) for key in expected.keys() | found.keys()}
            differing = {key: each for key, each in differing.items() if each[0] != each[1]}
            assert not differing, self.blame(f"is counted otherwise (model, tables): {differing}")

    def _events_of(self, names: set[str]) -> list[str]:
        """Name the events that nobody can have seen."""
        lines = (line for segment in sorted(self.host.state.log_directory.iterdir()) for line in segment.open())
        return [line[:400] for line in lines if '"line_hash"' in line and json.loads(line)["line_hash"] in names]

    def _where(self, names: set[str]) -> str:
        """Name the files and lines in which something stands that the log lacks."""
        found = (
            f"{file.session[-3:]}:{number}{' packed' if file.is_packed else ''}"
            for file in self.writers.files
            for number, line in enumerate(self.writers.lines(file.path)[0])
            if self._names(line) & names - self.evidence.hashes
        )
        return ", ".join(found)

    def check_rest(self) -> None:
        """Where nothing changes, nothing is written; marks stand behind the last newline; the log is whole."""
        before = self.log.head
        self.settle()
        assert before == self.log.head, self.blame("came to rest and wrote on")
        cursors = {cursor.source_path: cursor for cursor in self.log.cursors.values()}
        for file in self.writers.here():
            if file.content and not file.links:
                assert cursors[str(file.path)].offset_bytes == file.content.rfind(b"\n") + 1, self.blame("mark")
        assert verify(self.host.state.log_directory, recall(self.host.state.head)).ok

    def check_rebuild(self, aside: Path) -> None:
        """Tables that were kept up are those that the log makes at once."""
        shutil.rmtree(aside, ignore_errors=True)
        anew = StatePaths(aside)
        anew.create()
        with Projection.open(self.host.state) as tables, Projection.open(anew) as fresh:
            tables.refresh(self.host.state.log_directory)
            fresh.refresh(self.host.state.log_directory)
            differing = [name for name in FACTS_AND_TABLES if rows(tables, name) != rows(fresh, name)]
            assert tables_hash(tables.connection) == tables_hash(fresh.connection), self.blame(
                f"rebuilt otherwise: {differing}"
            )

    def model(self) -> Totals:
        return totals(self.evidence.lines, self.writers.said)

    def blame(self, what: str) -> str:
        return f"seed {self.seed}: {what}; last steps: {', '.join(self.trace[-30:])}"

    # -- steps ---------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Do one thing at random."""
        name = self.dice.choices(list(STEPS), list(STEPS.values()))[0]
        files = self.writers.here()
        if not files or (len(files) < 4 and name == "delete"):
            name = "begin"
        file = self.dice.choice(files) if files else None
        self.trace.append(f"{name} {file.session[-3:] if file else ''}")
        getattr(self, name)(file)

    def begin(self, _: File | None) -> None:
        if len(self.writers.here()) < 12:
            self.writers.write(self.writers.begin())

    def say(self, file: File) -> None:
        if file.is_small:
            self.writers.speak(file)
            self.writers.write(file, None if self.dice.random() < 0.5 else len(file.todo))

    def write_on(self, file: File) -> None:
        self.writers.write(file)

    def say_too_much(self, file: File) -> None:
        """Write one line that is too long to be read, and one that is not."""
        if file.is_small:
            file.todo += b"x" * (LINE_BYTES_MAX + self.dice.randint(1, 500_000)) + b"\n"
            self.say(file)

    def watch(self, _: File) -> None:
        self.look_somewhere()

    def truncate(self, file: File) -> None:
        size = self.dice.choice((0, self.dice.randint(0, len(file.content))))
        if file.agent == "codex":
            # What was cut off and never seen would make a hole in a running total: then nobody knows the truth.
            self.see_all()
        self.writers.truncate(file, size)
        if self.dice.random() < 0.7:
            self.look_somewhere()
        if file.agent == "codex" or self.dice.random() < 0.3:
            self.rewrite(file)

    def see_all(self) -> None:
        self.finish_sweep()
        self.settle()

    def copytruncate(self, file: File) -> None:
        """Rotated by a copy: what follows stands in the emptied file."""
        if file.agent == "codex":
            self.writers.write(file, len(file.todo))
            self.see_all()
        copy = file.path.with_suffix(".1")
        shutil.copyfile(file.path, copy)
        self.writers.truncate(file, 0)
        file.full = b""
        if self.dice.random() < 0.5:
            self.look_somewhere()
        self.say(file)

    def rewrite(self, file: File) -> None:
        content = self._other(file)
        for _ in self.writers.rewrite(file, content):
            if self.dice.random() < 0.6:
                self.look_somewhere()

    def replace(self, file: File) -> None:
        self.writers.replace(file, self._other(file))

    def _other(self, file: File) -> bytes:
        """Return what a tool writes in the place of what stood there: the same, more of it, or something else."""
        if file.agent == "codex":
            self.see_all()
        if file.agent == "codex" or self.dice.random() < 0.6:
            more, file.todo = file.todo, b""
            return file.full + more
        file.todo = b""
        lines = file.full.splitlines(keepends=True)
        kept = [line for line in lines if self.dice.random() < 0.8]
        if self.dice.random() < 0.3:
            self.dice.shuffle(kept)
        return b"".join(kept)

    def overwrite(self, file: File) -> None:
        self.writers.overwrite(file)

    def move(self, file: File) -> None:
        self.writers.move(file)

    def pack(self, file: File) -> None:
        if file.agent == "codex":
            self.see_all()
        for _ in self.writers.pack(file):
            if self.dice.random() < 0.6:
                self.look_somewhere()

    def unpack(self, _: File) -> None:
        packed = [file for file in self.writers.here(packed=True) if file.is_packed]
        if packed:
            self.writers.unpack(self.dice.choice(packed))

    def delete(self, file: File) -> None:
        if file.agent == "codex":
            self.see_all()
        self.writers.delete(file)

    def restore(self, _: File) -> None:
        self.writers.restore()

    def reuse_inode(self, file: File) -> None:
        """Delete it and begin another at once: the file system gives the inode away again."""
        self.delete(file)
        self.writers.write(self.writers.begin(file.agent))

    def copy_history(self, file: File) -> None:
        self.writers.copy_history(file)

    def set_time_back(self, file: File) -> None:
        os.utime(file.path, (1_000_000_000, 1_000_000_000))

    def link(self, file: File) -> None:
        self.writers.link(file)

    def unlink(self, file: File) -> None:
        self.writers.unlink(file)

    def block(self, file: File) -> None:
        if not file.links:
            self.writers.block(file)
            self.look_somewhere()

    def unblock(self, _: File) -> None:
        for file in self.writers.files:
            if file.is_blocked and not self.writers.away:
                self.writers.unblock(file)

    def root_away(self, _: File) -> None:
        self.writers.take_root_away()

    def root_back(self, _: File) -> None:
        self.writers.bring_root_back()


#: How often each is done, beside the others.
STEPS: dict[str, float] = {
    "begin": 4,
    "say": 20,
    "write_on": 12,
    "say_too_much": 0.03,
    "watch": 30,
    "truncate": 3,
    "copytruncate": 1,
    "rewrite": 5,
    "replace": 3,
    "overwrite": 4,
    "move": 4,
    "pack": 2,
    "unpack": 2,
    "delete": 2,
    "restore": 1,
    "reuse_inode": 1,
    "copy_history": 1,
    "set_time_back": 1,
    "link": 1,
    "unlink": 2,
    "block": 0.5,
    "unblock": 2,
    "root_away": 0.5,
    "root_back": 2,
}


FACTS_AND_TABLES = [relation.name for relation in relations() if relation.is_table]


def rows(tables: Projection, name: str) -> list[Any]:
    return sorted(tables.connection.table(name).fetchall(), key=repr)


def measured(tables: Projection) -> Totals:
    """Return calls and tokens by agent and session, as the tables have them."""
    rows = tables.connection.execute(
        "SELECT agent, session_id, count(*), CAST(sum(total_tokens) AS BIGINT) FROM usage_measured GROUP BY ALL"
    ).fetchall()
    return {(agent, session): (count, tokens) for agent, session, count, tokens in rows}


def drive(host: Host, seed: int, steps: int) -> Tail:
    """Let *steps* random things happen, and compare again and again."""
    tail = Tail(host, seed)
    for number in range(1, steps + 1):
        tail.step()
        chance = tail.dice.random()
        if chance < 0.02:
            tail.crash()
        elif chance < 0.03:
            tail.restart()
        elif chance < 0.04:
            tail.one_pass()
        if number % 10 == 0:
            tail.check_log()
        if number % 50 == 0:
            tail.settle()
            tail.check_rest()
        if number % 100 == 0:
            tail.check()
        if number % 500 == 0:
            tail.check_rebuild(host.home.parent / "anew")
    tail.unblock(tail.writers.begin())
    tail.writers.bring_root_back()
    tail.settle()
    tail.check()
    tail.check_rest()
    tail.one_pass()
    tail.check()
    tail.check_rebuild(host.home.parent / "anew")
    tail.log.close()
    return tail


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_whatever_happens_to_files_the_tables_say_what_was_seen(host: Host, seed: int) -> None:
    """
    Writers, looks and crashes in random order: no line is missing, none counts twice, nothing is invented.
    """
    drive(host, seed, steps=150)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_thousand_random_steps_find_no_difference(host: Host, seed: int) -> None:
    """
    The same, for long.
    """
    drive(host, seed, steps=1_000)
