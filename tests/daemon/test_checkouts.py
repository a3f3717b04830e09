"""Checkouts and their commits are recorded when a log names them, once, and again when they change."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.bootstrap import catch_up, seen_files
from daemon.checkout_reader import CheckoutReader
from daemon.inbox_client import submit
from daemon.mailbox import PATHS_MAX, Mailbox
from state.evidence import KINDS
from tests.daemon.conftest import Host, claude_line, codex_lines, later
from tests.daemon.live import QUICK, Daemon, append, daemon, needs, until
from tests.daemon.repositories import commit, git, repository

SECRET = "Sw0rdf1sh"
URL = f"https://user:{SECRET}@host.example/owner/name.git"


def worked(host: Host, place: Path | str, *calls: str) -> None:
    """Let an agent work in *place*."""
    for call in calls:
        append(host.claude(), claude_line(call, 5, cwd=str(place)))
    later(host.claude())


def events(host: Host, kind: str) -> list[dict[str, Any]]:
    """Return the bodies of all events of a kind, each held against the contract."""
    lines = (line for path in sorted(host.state.log_directory.iterdir()) for line in path.read_bytes().splitlines())
    found = [json.loads(line) for line in lines if line.startswith(b'{"q":') and b'"k":"%b"' % kind.encode() in line]
    for event in found:
        KINDS[kind].model_validate_json(json.dumps(event), strict=True)
    return [event["body"] for event in found]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    place = repository(tmp_path / "repo", commits=2)
    git(place, "remote", "add", "origin", URL)
    return place


# -- single passes -------------------------------------------------------------------------------------------------


def test_a_checkout_is_recorded_when_a_log_names_it(host: Host, top: Path) -> None:
    """
    Once for many lines, and not at all for a directory that is not there.
    """
    worked(host, top, "msg_a", "msg_b", "msg_c")
    append(host.codex(), codex_lines([10]))
    host.ingest()

    (seen,) = events(host, "checkout")

    assert (str(top), "present", {"origin": "host.example/owner/name"}) == (seen["cwd"], seen["state"], seen["remotes"])
    assert git(top, "rev-list", "HEAD").splitlines()[-1] == seen["root_commit"]


def test_a_second_pass_records_nothing_twice(host: Host, top: Path) -> None:
    """
    Nor when work went on: branch and head move all the time, and commits are recorded by themselves.
    """
    worked(host, top, "msg_a")
    host.ingest()
    worked(host, top, "msg_b")
    host.ingest()
    git(top, "checkout", "--quiet", "-b", "fix")
    commit(top, "more")
    worked(host, top, "msg_c")
    host.ingest()

    assert 1 == len(events(host, "checkout"))
    assert ["main", "main", "fix"] == [each["git_branch"] for each in events(host, "git_commit")]


def test_a_changed_remote_is_recorded(host: Host, top: Path) -> None:
    worked(host, top, "msg_a")
    host.ingest()
    git(top, "remote", "set-url", "origin", "https://host.example/owner/renamed")
    worked(host, top, "msg_b")
    host.ingest()

    remotes = [each["remotes"]["origin"] for each in events(host, "checkout")]

    assert ["host.example/owner/name", "host.example/owner/renamed"] == remotes


def test_what_a_directory_becomes_is_recorded(host: Host, tmp_path: Path) -> None:
    """
    No checkout, then one, then deleted, then there again.
    """
    place = tmp_path / "place"
    place.mkdir()
    worked(host, place, "msg_a")
    host.ingest()
    repository(place)
    worked(host, place, "msg_b")
    host.ingest()
    shutil.rmtree(place)
    worked(host, place, "msg_c")
    host.ingest()
    worked(host, place, "msg_d")
    host.ingest()
    place.mkdir()
    worked(host, place, "msg_e")
    host.ingest()

    assert ["none", "present", "gone", "none"] == [each["state"] for each in events(host, "checkout")]


def test_a_checkout_that_was_deleted_is_gone_though_nobody_works_in_it(host: Host, top: Path, tmp_path: Path) -> None:
    worked(host, top, "msg_a")
    host.ingest()
    shutil.rmtree(top)
    worked(host, tmp_path, "msg_b")
    host.ingest()

    assert (str(top), "gone") in [(each["cwd"], each["state"]) for each in events(host, "checkout")]


def test_what_was_read_before_checkouts_were_recorded_is_looked_at(host: Host, tmp_path: Path) -> None:
    """
    A directory that came too late for an earlier pass, or stands in a log of an older version, is not forgotten.
    """
    worked(host, tmp_path / "repo", "msg_a")
    host.ingest()
    repository(tmp_path / "repo")
    worked(host, tmp_path, "msg_b")
    host.ingest()

    assert str(tmp_path / "repo") in [each["cwd"] for each in events(host, "checkout")]


def test_without_tables_a_checkout_is_recorded_once_more(host: Host, top: Path) -> None:
    """
    Tables may be deleted at any time; the repeated event does no harm.
    """
    worked(host, top, "msg_a")
    host.ingest()
    host.state.published.unlink()
    worked(host, top, "msg_b")
    host.ingest()

    first, second = events(host, "checkout")
    assert first == second


def test_no_secret_of_a_remote_is_written_anywhere(host: Host, top: Path) -> None:
    """
    Not into the log, not into the tables, not into a message.
    """
    commit(top, f"{SECRET}\n\nTask: T-1\nTask: {SECRET} {SECRET}\n")
    worked(host, top, "msg_a")
    host.ingest()

    files = [path for path in host.state.root.rglob("*") if path.is_file()]

    assert 1 == len(events(host, "checkout"))
    assert [] == [path.name for path in files if SECRET.encode() in path.read_bytes()]


# -- commits -------------------------------------------------------------------------------------------------------


def test_a_commit_is_recorded_with_the_tasks_it_names_and_no_word_of_its_message(host: Host, top: Path) -> None:
    text = "xyzzy\n\nplugh\n\nTask: T-1\ntask-id: T-2\nTask: no id\nWorkstream: ws.1\nTask: T-1\nReviewed-by: xyzzy\n"
    host.now = host.now.replace(microsecond=0)
    name = commit(top, text, at=f"@{int(host.now.timestamp())} +0530")
    git(top, "branch", "--move", "T-9")
    worked(host, top, "msg_a")
    host.ingest()

    found = {each["commit"]: each for each in events(host, "git_commit")}

    assert {
        "top_path": str(top),
        "git_path": str(top / ".git"),
        "commit": name,
        "committed_at": "2026-11-20T12:00:00.000000Z",
        "git_branch": "T-9",
        "task_ids": ["T-1", "T-2"],
        "workstream_ids": ["ws.1"],
    } == found[name]


def test_only_new_commits_are_recorded_at_the_next_look(host: Host, top: Path) -> None:
    """
    By first parents: what was merged was made elsewhere, and the merge names no work. The oldest comes first.
    """
    worked(host, top, "msg_a")
    host.ingest()
    before = {each["commit"] for each in events(host, "git_commit")}
    git(top, "checkout", "--quiet", "-b", "side", "HEAD~1")
    side = commit(top, "side")
    git(top, "checkout", "--quiet", "main")
    one, two = commit(top, "one"), commit(top, "two")
    git(top, "merge", "--quiet", "--no-edit", "side")
    worked(host, top, "msg_b")
    host.ingest()

    names = [each["commit"] for each in events(host, "git_commit")]

    assert [one, two] == names[len(before) :]
    assert side not in names
    assert len(set(names)) == len(names)


def test_the_first_look_goes_back_a_week_and_two_hundred_commits(host: Host, tmp_path: Path) -> None:
    """
    What is older was made before anybody looked; later it is not made up for.
    """
    place = repository(tmp_path / "repo", commits=0)
    begin = int((host.now - timedelta(days=20)).timestamp())
    lines = []
    for number in range(300):
        when = begin + (number if number < 50 else 15 * 86_400 + number)
        lines.append(f"commit refs/heads/main\ncommitter a <a@example.com> {when} +0000\ndata 1\nx\n\n")
    subprocess.run(["git", "-C", place, "fast-import", "--quiet"], input="".join(lines).encode(), check=True)
    made = git(place, "rev-list", "--reverse", "main").splitlines()
    entries = (f"{'0' * 40} {name} a <a@example.com> 1 +0000\tcommit: x\n" for name in made)
    (place / ".git/logs").mkdir(exist_ok=True)
    (place / ".git/logs/HEAD").write_text("".join(entries))
    worked(host, place, "msg_a")
    host.ingest()
    newest = git(place, "rev-list", "--max-count=200", "main").splitlines()
    worked(host, place, "msg_b")
    host.ingest()

    assert newest == [each["commit"] for each in events(host, "git_commit")][::-1]


def test_only_commits_that_were_made_in_the_checkout_are_its_own(host: Host, top: Path, tmp_path: Path) -> None:
    """
    What was pulled, or merged by fast-forward from a worktree, is somebody else's work.
    """
    worked(host, top, "msg_a")
    host.ingest()
    before = len(events(host, "git_commit"))
    git(top, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "tree"))
    foreign = commit(tmp_path / "tree", "in the worktree\n\nTask: T-1\n")
    git(top, "merge", "--quiet", "--ff-only", "side")
    own = commit(top, "here\n\nTask: T-2\n")
    worked(host, top, "msg_b")
    host.ingest()

    assert [own] == [each["commit"] for each in events(host, "git_commit")[before:]]
    worked(host, tmp_path / "tree", "msg_c")
    host.ingest()
    last = events(host, "git_commit")[-1]
    assert (foreign, str(tmp_path / "tree")) == (last["commit"], last["top_path"])


def test_an_old_checkout_has_no_commits_to_record(host: Host, tmp_path: Path) -> None:
    place = repository(tmp_path / "repo", commits=0)
    commit(place, "long ago\n\nTask: T-1\n", at="@1600000000 +0000")
    worked(host, place, "msg_a")
    host.ingest()
    new = commit(place, "now", at=f"@{int(host.now.timestamp())} +0000")
    worked(host, place, "msg_b")
    host.ingest()

    assert [new] == [each["commit"] for each in events(host, "git_commit")]


def test_the_names_of_trailers_are_the_operators(host: Host, top: Path, tmp_path: Path) -> None:
    commit(top, "title\n\nTask: T-1\nTicket: T-2\nEpic: e\n")
    worked(host, top, "msg_a")
    config = tmp_path / "config.toml"
    config.write_text('[tasks]\ntask_trailers = ["ticket"]\nworkstream_trailers = ["Epic"]\n')
    settings = host.settings._replace(config_file=config)
    catch_up(settings, seen_files(settings), clock=lambda: host.now)

    last = events(host, "git_commit")[-1]

    assert (["T-2"], ["e"]) == (last["task_ids"], last["workstream_ids"])


@pytest.mark.parametrize("when", ["@99999999999999 +0000", "@0 +0000"])
def test_a_commit_of_an_impossible_time_stops_nothing(host: Host, top: Path, when: str) -> None:
    tree = git(top, "rev-parse", "HEAD^{tree}")
    body = f"tree {tree}\nauthor a <a> {when[1:]}\ncommitter a <a> {when[1:]}\n\nTask: T-1\n"
    name = subprocess.run(
        ["git", "-C", top, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        input=body.encode(),
        check=True,
        capture_output=True,
    ).stdout.decode()
    (top / ".git/refs/heads/main").write_text(name)
    worked(host, top, "msg_a")
    host.ingest()

    assert [name.strip()] == [each["head_commit"] for each in events(host, "checkout")]
    assert [] == events(host, "git_commit")


# -- the daemon ----------------------------------------------------------------------------------------------------

PACE = {**QUICK, "checkout": 0.3}


def test_the_daemon_records_a_checkout_and_each_commit_while_somebody_works(host: Host, top: Path) -> None:
    """
    Also a commit that was made after the last line: one more look follows the last activity.
    """
    worked(host, top, "msg_a")
    with daemon(host, pace=PACE) as run:
        until(lambda: events(host, "checkout"), "checkout recorded")
        until(lambda: 2 == len(events(host, "git_commit")), "commits recorded")
        append(host.claude(), claude_line("msg_b", 6, cwd=str(top)))
        run.has_read(host.claude())
        name = commit(top, "title\n\nTask: T-1\n")
        append(host.claude(), claude_line("msg_c", 7, cwd=str(top)))
        until(lambda: [name] == [each["commit"] for each in events(host, "git_commit")[2:]], "new commit recorded")
        until(lambda: 0 == run.health()["checkouts"]["waiting"], "nothing waits")

        assert 0 == run.stop()

    assert 1 == len(events(host, "checkout"))
    assert ["T-1"] == events(host, "git_commit")[2]["task_ids"]
    assert {"busy_seconds": None, "waiting": 0, "failure": None} == run.health()["checkouts"]


def test_a_directory_that_a_report_names_is_looked_at_too(host: Host, top: Path) -> None:
    """
    Tokens that another program reports belong to a repository as well.
    """
    body = {"measurement": "estimated", "source_class": "llm_connect", "input_tokens": 5, "cwd": str(top)}
    with daemon(host, pace=PACE) as run:
        submit(host.state, "token_event", body, producer="test")
        until(lambda: events(host, "checkout"), "checkout recorded")
        run.stop()
    host.state.published.unlink()
    host.ingest()  # makes the tables anew
    shutil.rmtree(top)
    worked(host, top.parent, "msg_a")
    host.ingest()

    assert "gone" in [each["state"] for each in events(host, "checkout")]


def test_a_log_that_lost_its_end_gets_the_checkout_again(host: Host, top: Path) -> None:
    """
    Tables that say more than the log are not believed.
    """
    worked(host, top, "msg_a")
    host.ingest()
    worked(host, top, "msg_b")
    host.ingest()
    (segment,) = host.state.log_directory.glob("*.ndjson")
    content = segment.read_bytes()
    at = content.index(b'"k":"checkout"')
    segment.write_bytes(content[:at] + b"X" + content[at + 1 :])
    host.ingest()

    assert 1 == len(host.rows("SELECT 1 FROM events WHERE kind = 'checkout'"))


def test_a_restarted_daemon_records_nothing_twice_and_what_changed_meanwhile(host: Host, top: Path) -> None:
    """
    Nobody worked there since; it is looked at all the same, once.
    """
    worked(host, top, "msg_a")
    with daemon(host, pace=PACE) as run:
        until(lambda: 2 == len(events(host, "git_commit")), "commits recorded")
        run.stop()
    git(top, "remote", "set-url", "origin", "https://host.example/owner/renamed")
    name = commit(top, "meanwhile")
    with daemon(host, pace=PACE) as run:
        until(lambda: 3 == len(events(host, "git_commit")), "commit recorded")
        run.stop()
    shutil.rmtree(top)
    with daemon(host, pace=PACE) as run:
        until(lambda: 3 == len(events(host, "checkout")), "deletion recorded")
        run.stop()

    assert name == events(host, "git_commit")[2]["commit"]
    assert ["present", "present", "gone"] == [each["state"] for each in events(host, "checkout")]


def test_a_killed_daemon_leaves_a_log_from_which_the_next_goes_on(host: Host, top: Path) -> None:
    worked(host, top, "msg_a")
    run = Daemon(host, pace=PACE).start().ready()
    until(lambda: events(host, "checkout"), "checkout recorded")
    run.kill()
    with daemon(host, pace=PACE) as run:
        worked(host, top, "msg_b")
        run.has_read(host.claude())
        run.stop()

    assert {str(top)} == {each["cwd"] for each in events(host, "checkout")}


def test_a_directory_that_never_answers_keeps_nothing_waiting(host: Host, top: Path, tmp_path: Path) -> None:
    """
    The disk of a dead mount hangs whoever asks for it. Lines are read and committed all the same, the heartbeat says
    for how long it has hung, and the daemon ends when it is asked to.
    """
    dead = tmp_path / "dead"
    dead.mkdir()
    delay = f"inject=stat,lstat,newfstatat,statx,openat:delay_enter={600 * 1_000_000}"
    trace = ("strace", "-D", "--quiet=all", "-f", "-o", "/dev/null", "-P", str(dead), "-e", delay)
    needs(*trace, "true")
    append(host.claude(), claude_line("msg_a", 5, cwd=str(dead)))
    append(host.claude(), claude_line("msg_b", 5, cwd=str(top)))

    with daemon(host, pace=PACE, wrapper=trace) as run:
        try:
            until(lambda: (run.health()["checkouts"]["busy_seconds"] or 0) >= 1, "it hangs")
            append(host.claude(), claude_line("msg_c", 5, cwd=str(top)))
            run.has_read(host.claude())

            assert "running" == run.health()["state"]
            run.signal(signal.SIGTERM)
            until(lambda: "stopped" == run.health()["state"], "it ends")
        finally:
            os.kill(tracer_of(run), signal.SIGKILL)  # as long as it is there the process cannot go


def tracer_of(run: Daemon) -> int:
    status = Path(f"/proc/{run.pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


class Told:
    """A journal that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def error(self, event: str, **_: object) -> None:
        self.events.append(event)

    info = warning = error


def test_a_look_that_hangs_is_told_once(host: Host) -> None:
    """
    At the beats after a minute; and again only when another look hangs.
    """
    told = Told()
    reader = CheckoutReader(host.state, Mailbox(), told, lambda: host.now)
    for begun in (time.monotonic(), time.monotonic() - 61, time.monotonic() - 61, None, time.monotonic() - 61):
        reader._since = begun
        reader.state()

    assert ["checkout_hangs", "checkout_hangs"] == told.events


def test_evidence_that_is_handed_over_is_never_dropped() -> None:
    """
    Unlike paths, of which too many are no hint any more; and it wakes who waits.
    """
    mailbox = Mailbox()
    for number in range(PATHS_MAX + 1):
        mailbox.put_path(f"/{number}")
        mailbox.put_events([b"%d" % number])

    assert PATHS_MAX + 1 == len(mailbox.take(0).events)
    waiting = threading.Timer(0.1, mailbox.put_events, [[b"late"]])
    waiting.start()
    assert [b"late"] == mailbox.take(60).events
