"""
What bears the name of a log and is none, what may not be read, and names that nobody should have to print.
"""

import os
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.bootstrap import open_log, roots
from daemon.cli import main
from daemon.discover import Found, Listed, look_at, look_below, sweep
from daemon.ingest import Ingest
from daemon.tail import NotRegular, SourceFile
from daemon.verification import verification
from tests.daemon.conftest import Host, claude_line, gptme_lines
from tests.daemon.live import append, as_nobody, daemon, until

GOOD = claude_line("msg_good", 5)


def counted(host: Host) -> list[str]:
    """
    Run a pass, see that the one good log counts and nothing else, and return why places were denied.
    """
    told = host.ingest()
    assert (1, 15) == host.totals()
    return sorted(each.code for each in told.read.denied)


def sources_of(host: Host) -> dict[str, int]:
    """
    Return how many lines still stand in the files they were read from, by what became of them.
    """
    document, _ = verification(host.settings, with_sources=True)
    return {name: count for name, count in document["sources"].items() if count and name != "lines"}


def test_hard_link(host: Host) -> None:
    """
    Claude Code links a subagent's transcript into its tasks: the file is read under one of its names, also when the
    other one is heard of.
    """
    log = host.claude()
    log.write_bytes(GOOD)
    log.with_name("22222222-2222-4222-8222-222222222222.jsonl").hardlink_to(log)

    read = host.ingest()

    assert (1, len(GOOD)) == (read.read.files, read.read.bytes_read)
    assert ["opened"] == host.changes()


def test_link_out_of_the_root(host: Host) -> None:
    """
    Neither a link that is there, nor a directory that becomes one between being seen and being read.
    """
    log, secret = host.claude(), host.home / "secret" / host.claude().name
    append(log, GOOD)
    append(secret, claude_line("msg_secret", 900))
    for name, target in {"out": str(secret), "device": "/dev/zero", "loop": "loop.jsonl"}.items():
        log.with_name(f"{name}.jsonl").symlink_to(target)
    (log.parent / "up").symlink_to(log.parent)
    log.parent.with_name("-srv-out").symlink_to(secret.parent)
    assert ["symlink"] * 3 == counted(host)

    places = roots(host.settings)
    append(log, b"{}\n")
    seen = look_at(places, str(log), "UTC")
    log.parent.rename(host.home / "aside")
    log.parent.symlink_to(secret.parent)
    assert isinstance(seen, Found)
    with open_log(host.settings) as held:
        ingest = Ingest(held, lambda: host.now, is_live=True)
        below = list(look_below(places, str(log.parent), "UTC", ingest.is_settled))
        for each in (seen, *below):
            ingest.look(each)
        ingest.commit()

    assert [] == below
    assert [] == counted(host)


@pytest.mark.timeout(30)
def test_fifo_in_the_tree(host: Host) -> None:
    """
    It is passed over; and one that took the place of a log after that was seen is opened, and waited for by nobody.
    """
    host.claude().write_bytes(GOOD)
    pipe = host.claude().with_name("pipe.jsonl")
    os.mkfifo(pipe)

    assert ["not_regular"] == counted(host)
    with pytest.raises(NotRegular):
        SourceFile(str(pipe))


def make_device(path: Path) -> None:
    """Make one that gives zeros without end."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device is not allowed here")


def make_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize(
    ("make", "told", "error"),
    [
        pytest.param(make_device, ["not_regular"], NotRegular, id="device"),
        pytest.param(make_socket, ["not_regular"], OSError, id="socket"),
        pytest.param(Path.mkdir, [], NotRegular, id="directory"),  # it is one, whatever it is called
    ],
)
def test_device_socket_or_directory_named_as_a_log(
    host: Host, make: Callable[[Path], None], told: list[str], error: type[Exception]
) -> None:
    """
    Also when it took the place of a log after that was seen.
    """
    host.claude().write_bytes(GOOD)
    path = host.claude().with_name("other.jsonl")
    make(path)

    assert told == counted(host)
    opened = list(Path("/proc/self/fd").iterdir())
    with pytest.raises(error):
        SourceFile(str(path))
    assert len(opened) == len(list(Path("/proc/self/fd").iterdir()))


def test_permission_denied_then_granted(host: Host) -> None:
    """
    Health names the file while it may not be read; nobody is told when it may be, and it is read all the same.
    """
    append(host.claude(), GOOD)
    append(host.gptme(), gptme_lines([1]))
    host.claude().chmod(0)
    with daemon(host, wrapper=as_nobody(host), environment={"HOME": str(host.home)}) as run:

        def unreadable() -> object:
            return run.health()["sources"]["claude_code"]["unreadable_path"]

        assert str(host.claude()) == unreadable()
        host.claude().chmod(0o600)
        run.has_read(host.claude())
        until(lambda: unreadable() is None, "health is told")


@pytest.mark.parametrize("name", [b"bad-\xff\xfe.jsonl", "ümläut ✓.jsonl".encode()])
def test_name_that_is_no_utf_8(host: Host, name: bytes) -> None:
    """
    A name that is no text is kept as a URI, and the file is found again by it; one that is stays as it is.
    """
    (host.claude().parent / os.fsdecode(name)).write_bytes(GOOD)

    assert [] == counted(host)
    assert {"same": 1} == sources_of(host)


def test_path_too_long_or_hostile(host: Host, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """
    A name that would act on a terminal or end a line is shown as a URI; a path that no call takes is told as too deep.
    """
    name = "\x1b]0;owned\x07\x1b[2J\"'\nnot a line.jsonl"
    (host.claude().parent / name).write_bytes(GOOD)
    bury(host.claude().parent, "\x1b", 4_090)

    assert ["too_deep"] == counted(host)
    assert host.events()
    assert {"same": 1} == sources_of(host)
    places = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    for verb in (["ingest"], ["status"], ["sessions"], ["explain", "2026-11-01"], ["verify", "--sources"]):
        main([*verb, *places])
    said = b"".join(capsysbinary.readouterr())
    assert b"%1B%5D0%3Bowned" in said
    assert b"\x1b" not in said
    assert b"\nnot a line" not in said


def bury(directory: Path, letter: str, path_bytes: int) -> None:
    """
    Make directories in each other: one whose path has *path_bytes*, and in it two that no path leads to.
    """
    most, rest = divmod(path_bytes - len(os.fsencode(directory)), 251)
    at = os.open(directory, os.O_DIRECTORY)
    for length in (max(rest - 1, 1), *[250] * (most + 2)):
        os.mkdir(letter * length, dir_fd=at)
        below = os.open(letter * length, os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.mark.parametrize("files", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_hundred_thousand_files(host: Host, files: int) -> None:
    """
    A sweep holds one directory at a time, however many files there are.
    """
    for n in range(files // 100):
        directory = host.home / f".claude/projects/-srv-{n}"
        directory.mkdir(parents=True)
        for m in range(100):
            (directory / f"11111111-1111-4111-8111-{n:06}{m:06}.jsonl").touch()
    places = roots(host.settings)
    next(sweep(places, "UTC"))  # what is imported by the first one is no part of it

    tracemalloc.start()
    seen = sum(isinstance(each, Found) for each in sweep(places, "UTC"))
    directories = sum(isinstance(each, Listed) for each in sweep(places, "UTC", lambda *_: True))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert files == seen
    assert files // 100 < directories
    assert (
        peak_bytes < (4 << 20) + 100 * files
    )  # caches, and the interpreter's own table of names; a file takes ten times that
