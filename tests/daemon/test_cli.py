"""The commands as an operator or a script sees them: their output and their exit codes."""

import io
import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

import pytest

from daemon import commands
from daemon.cli import _COMMANDS, main
from daemon.commands.declared import Commands
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines, gptme_lines

TALLYSTICK = str(Path(sys.executable).parent / "tallystick")

TOY_ADAPTER = '''
"""What a line of the toy agent means."""

import msgspec

from adapters.contract import NOTHING, Header, Root, UsageStated
from adapters.decode import log_stem


class Line(msgspec.Struct):
    id: str
    tokens: int


class Toy:
    kind = "lines"
    agent = parser = "toy"
    source_class = "toy_log"
    parser_version = 1

    def roots(self, home, environment):
        return [Root(home / ".toy")]

    def claim(self, root, relative):
        stem = log_stem(relative.name)
        return Header(stem, "main", stem) if stem else None

    def with_first_line(self, header, line):
        return header

    def read_line(self, line, header):
        read = msgspec.json.decode(line, type=Line)
        return [
            UsageStated(
                source_id=read.id, basis="call", witness="message", confidence="stated",
                session_id=header.session_id, output_tokens=read.tokens,
            )
        ]


ADAPTER = Toy()
'''


class Done(NamedTuple):
    """
    What became of a command, under the names that a process has for it.
    """

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def place(host: Host) -> list[str]:
    return ["--home", str(host.home), "--state-dir", str(host.state.root)]


def run(host: Host, *arguments: str, input: str = "") -> Done:  # noqa: A002 - as subprocess.run has it
    """
    Run a command in this process: what it says and returns is that of a process of its own, which takes longer.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        try:
            code = main([*arguments, *place(host)])
        except SystemExit as ended:  # the parser's own end
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def process(host: Host, *arguments: str, **options: Any) -> Done:
    """
    Run a command as a process of its own.
    """
    command = [TALLYSTICK, *arguments, *place(host)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def document(host: Host, *arguments: str) -> dict[str, Any]:
    done = run(host, *arguments, "--json")
    assert done.returncode in (0, 1), done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.fixture
def three_agents(host: Host) -> Host:
    host.claude().write_bytes(
        claude_line("msg_a", 5, gitBranch="main") + claude_line("msg_b", 7, model="m-2", second=70)
    )
    host.codex().write_bytes(codex_lines([100, 250]))
    host.gptme().write_bytes(gptme_lines([3]))
    host.ingest()
    return host


def test_a_process_says_what_its_command_says(three_agents: Host) -> None:
    """
    Output, errors and exit code leave it as they are: what the other tests ask of a command holds for a process.
    """
    for arguments in (("usage", "--by", "agent"), ("usage", "--by", "colour"), ("frobnicate",), ("sessions", "nobody")):
        assert run(three_agents, *arguments) == process(three_agents, *arguments), arguments


def test_usage_json_keeps_its_contract(three_agents: Host) -> None:
    """
    Every row names its class, every sum its imperfections; what is not priced or not estimated is said.
    """
    read = document(three_agents, "usage", "--by", "agent,day")

    assert "tallystick.usage/1" == read["schema"]
    assert {"seq", "at", "price_book", "asked", "rules"} == set(read["as_of"])
    assert {"measured", "estimated", "allocated", "superseded"} == set(read["totals"])
    assert 0 == read["unmetered_sources"]
    row = read["rows"][0]
    assert {
        "agent": "claude_code",
        "day": "2026-11-01",
        "measurement": "measured",
        "calls": 2,
        "input_tokens": 20,
        "output_tokens": 12,
        "total_tokens": 32,
        "total_without_cache_read_tokens": 32,
        "incomplete_calls": 0,
        "cost_usd_micros": 10 * 5 + 5 * 25,
        "cache_savings_usd_micros": 0,
        "unpriced_calls": 1,
    }.items() <= row.items()
    assert row["cache_read_tokens"] is None


def test_every_dimension_adds_up_to_the_same_total(three_agents: Host) -> None:
    """
    Grouping slices the measured tokens; it never changes them. A key that is unknown is null.
    """
    total = three_agents.totals()
    for by in ("day", "agent", "model", "session", "branch", "host", "day,agent,model,session,branch,host"):
        rows = document(three_agents, "usage", "--by", by)["rows"]
        assert total == (sum(row["calls"] for row in rows), sum(row["total_tokens"] for row in rows)), by
        assert all(set(by.split(",")) <= set(row) for row in rows)
    branches = {row["branch"] for row in document(three_agents, "usage", "--by", "branch")["rows"]}
    assert {"main", None} == branches


def test_a_window_and_a_zone_decide_what_a_day_is(three_agents: Host) -> None:
    """
    10:00 UTC on the first is the evening of the first on Kiribati, and the morning of the second is not there yet.
    """
    there = document(three_agents, "usage", "--by", "day", "--timezone", "Pacific/Kiritimati")
    window = document(three_agents, "usage", "--since", "2026-11-01T10:01", "--until", "2026-11-02")

    assert ["2026-11-02"] == [row["day"] for row in there["rows"]]
    assert 1 == window["totals"]["measured"]["calls"]
    assert [] == document(three_agents, "usage", "--since", "2026-11-02")["rows"]


def test_superseded_is_shown_beside_and_never_in_the_total(host: Host) -> None:
    """
    `--include superseded` adds rows of that class; measured stays what it was.
    """
    host.claude().write_bytes(claude_line("msg_a", 1, stop=None) + claude_line("msg_a", 300))
    host.ingest()

    read = document(host, "usage", "--include", "superseded")

    assert {"measured": 310, "superseded": 11} == {row["measurement"]: row["total_tokens"] for row in read["rows"]}
    assert 310 == read["totals"]["measured"]["total_tokens"]
    assert 1 == read["totals"]["superseded"]["calls"]
    assert {} == document(host, "usage")["totals"]["superseded"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("usage", "--by", "colour"),
            2,
            "can_be=day,agent,source,provider,model,session,repo,branch,task,workstream,host",
        ),
        (("usage", "--include", "guesses"), 2, "can_be=estimated,allocated,superseded"),
        (("usage", "--since", "soon"), 2, "30d"),
        (("usage", "--timezone", "Mars/Olympus"), 2, "IANA"),
        (("sql", "SELECT nothing FROM nowhere"), 2, "query failed"),
        (("sql", "DELETE FROM calls"), 2, "query failed"),
        (("sessions", "no-such-session"), 1, "usage --by day,session"),
        (("frobnicate",), 2, "invalid choice"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(
    three_agents: Host, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """
    One line on stderr that says what would be right, nothing on stdout, and the exit code of its kind.
    """
    done = run(three_agents, *arguments)

    assert (code, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_writer_is_refused_with_the_first_ones_pid(three_agents: Host) -> None:
    """
    Two passes at once would write one log: the second exits 3 and names who holds it.
    """
    from daemon.bootstrap import open_log

    with open_log(three_agents.settings):
        done = process(three_agents, "ingest")

    assert 3 == done.returncode
    assert str(os.getpid()) in done.stderr


@pytest.mark.parametrize("damage", ["zeros", "of another version"])
def test_tables_that_cannot_be_read_say_how_to_make_them_anew(three_agents: Host, damage: str) -> None:
    """
    Damaged or of another version: exit 3 and the command that mends it, which then does.
    """
    import duckdb

    if damage == "zeros":
        three_agents.state.published.write_bytes(b"\0" * 8192)
    else:
        with duckdb.connect(str(three_agents.state.published)) as connection:
            connection.execute("UPDATE projection SET layout = 'older'")

    broken = run(three_agents, "usage")

    assert 3 == broken.returncode
    assert "tallystick rebuild" in broken.stderr
    assert 0 == run(three_agents, "rebuild").returncode
    assert 0 == run(three_agents, "usage").returncode


def test_sessions_show_the_unmetered_too(three_agents: Host) -> None:
    """
    A session without usage is there, with null tokens.
    """
    three_agents.claude("33333333-3333-4333-8333-333333333333").write_bytes(b'{"type":"ai-title"}\n')
    three_agents.ingest()

    rows = {row["session_id"]: row for row in document(three_agents, "sessions")["rows"]}

    assert {SESSION, THREAD, "2026-11-01-calm-red-fox", "33333333-3333-4333-8333-333333333333"} == set(rows)
    unmetered = rows["33333333-3333-4333-8333-333333333333"]
    assert (False, None, 0) == (unmetered["is_metered"], unmetered["total_tokens"], unmetered["calls"])
    assert 1 == document(three_agents, "usage")["unmetered_sources"]
    assert 2 == len(document(three_agents, "sessions", THREAD)["rows"])


def test_verify_and_rebuild_print_the_same_hashes(three_agents: Host) -> None:
    """
    The tables that were kept up to date are those that the log alone gives.
    """
    verified, rebuilt = document(three_agents, "verify"), document(three_agents, "rebuild")

    assert verified["ok"]
    assert [verified[name] for name in ("tables_hash", "facts_hash")] == [
        rebuilt[name] for name in ("tables_hash", "facts_hash")
    ]


def test_verify_tells_changed_moved_and_gone_sources_apart(three_agents: Host) -> None:
    """
    Every surviving line is read again; what is not where it was read is counted by what became of it.
    """
    three_agents.codex().rename(three_agents.codex(archived=True))
    three_agents.gptme().unlink()
    three_agents.ingest()
    log = three_agents.claude()
    log.write_bytes(log.read_bytes().replace(b'"output_tokens": 7', b'"output_tokens": 9'))

    done = run(three_agents, "verify", "--sources", "--json")
    sources = json.loads(done.stdout)["sources"]

    assert 1 == done.returncode
    assert [str(log)] == sources.pop("changed_sources")
    assert {"lines": 7, "same": 1, "moved": 4, "changed": 1, "gone": 1, "unreadable": 0} == sources


def test_a_damaged_log_is_integrity_broken(three_agents: Host) -> None:
    """
    One flipped bit: `verify` exits 4 and says what to do.
    """
    segment = next(three_agents.state.log_directory.iterdir())
    content = bytearray(segment.read_bytes())
    content[len(content) // 3] ^= 1
    segment.write_bytes(content)

    done = run(three_agents, "verify")

    assert 4 == done.returncode
    assert "restore" in done.stderr


def test_a_log_cut_at_a_commit_is_noticed(three_agents: Host) -> None:
    """
    A chain proves order, not length: the remembered head says that something was cut off.
    """
    segment = next(three_agents.state.log_directory.iterdir())
    lines = segment.read_bytes().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines[:-1]) if line.startswith(b'{"k":"commit"'))
    segment.write_bytes(b"".join(lines[: last + 1]))

    assert 4 == run(three_agents, "verify").returncode
    assert 4 == run(three_agents, "ingest").returncode


def test_damage_in_the_middle_of_the_log_is_loud_and_leaves_no_number_behind(host: Host) -> None:
    """
    Every command says it until the log is restored, what the sources still hold is read again, and the tables say what
    the log says: a rebuild changes nothing more.
    """
    lost, kept = host.claude(SESSION), host.claude("22222222-2222-4222-8222-222222222222")
    lost.write_bytes(claude_line("msg_lost", 5))
    kept.write_bytes(claude_line("msg_kept", 5))
    host.ingest()
    lost.unlink()
    host.ingest()
    segment = next(host.state.log_directory.iterdir())
    segment.write_bytes(segment.read_bytes().replace(b'"source_id":"msg_lost"', b'"source_id":"msg_lust"'))

    ingested, status, rebuilt = run(host, "ingest"), run(host, "status"), run(host, "rebuild")

    assert (1, 1, 1, 4) == (ingested.returncode, status.returncode, rebuilt.returncode, run(host, "verify").returncode)
    assert all("damaged" in done.stderr for done in (ingested, status, rebuilt))
    assert (1, 15) == host.totals()
    again = run(host, "ingest")
    assert (1, "damaged" in again.stderr) == (again.returncode, True)


def test_tables_whose_log_is_gone_are_said_to_be_so(three_agents: Host) -> None:
    """
    The published numbers are still shown, with a warning; `status` and `verify` are broken.
    """
    shutil.rmtree(three_agents.state.log_directory)

    assert "Restore" in run(three_agents, "usage").stderr or "restore" in run(three_agents, "usage").stderr
    assert (4, 4) == (run(three_agents, "status").returncode, run(three_agents, "verify").returncode)


def test_verify_checks_the_log_even_without_tables(three_agents: Host) -> None:
    """
    A disposable file that is bad keeps nobody from checking the truth.
    """
    three_agents.state.published.write_bytes(b"garbage")

    read = document(three_agents, "verify")

    assert (True, "unusable") == (read["ok"], read["tables"])


def test_a_question_touches_no_file_and_no_network(three_agents: Host, tmp_path: Path) -> None:
    """
    `sql` reads our tables; it neither writes elsewhere nor loads code.
    """
    target = tmp_path / "out.csv"
    for query in (
        f"COPY (SELECT 1) TO '{target}'",
        "INSTALL httpfs",
        "SELECT * FROM read_text('/etc/passwd')",
        "",
        "SELECT 1; SELECT 2",
    ):
        assert 2 == run(three_agents, "sql", query).returncode, query
    assert not target.exists()


@pytest.mark.parametrize("target", ["/dev/full", None])
def test_output_that_nobody_can_take_is_no_traceback(three_agents: Host, target: str | None) -> None:
    """
    A full disk behind a redirection, or no stdout at all: one line on stderr and exit 3.
    """
    redirect = f"> {target}" if target else ">&-"
    command = shlex.join([TALLYSTICK, "usage", *place(three_agents)])
    done = subprocess.run(["sh", "-c", f"{command} {redirect}"], capture_output=True, text=True, check=False)

    assert 3 == done.returncode
    assert "cannot read or write" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_written_is_the_owners_to_read(host: Host) -> None:
    """
    Log and tables hold paths and branches: no other user of the machine reads them, whatever the umask was.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    assert 0 == process(host, "ingest").returncode

    open_to_others = [path for path in host.state.root.rglob("*") if path.stat().st_mode & 0o077]
    assert [] == open_to_others


def test_a_killed_pass_leaves_nothing_behind(three_agents: Host) -> None:
    """
    What it had copied aside is removed by the next one.
    """
    (three_agents.state.temporary / "events-1.ndjson").write_bytes(b"x" * 1000)

    run(three_agents, "ingest")

    assert [] == list(three_agents.state.temporary.iterdir())


def test_one_file_adds_an_agent(host: Host, tmp_path: Path) -> None:
    """
    An adapter is found by being in its folder; nothing else has to know of it.
    """
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "toy.py").write_text(TOY_ADAPTER)
    (host.home / ".toy").mkdir()
    (host.home / ".toy" / "play.jsonl").write_bytes(b'{"id":"t1","tokens":42}\n')
    script = (
        f"import sys, adapters; adapters.__path__.append({str(tmp_path / 'more')!r});"
        "from daemon.cli import main; sys.exit(main())"
    )

    subprocess.run([sys.executable, "-c", script, "ingest", *place(host)], check=True, capture_output=True)

    assert [("toy", 42)] == [(row["agent"], row["output_tokens"]) for row in host.usage()["rows"]]


def test_progress_with_bytes_is_shown_on_a_terminal_only(three_agents: Host) -> None:
    """
    A person sees how much is left; a log file gets no control characters.
    """
    leader, follower = pty.openpty()
    fresh = ["--home", str(three_agents.home), "--state-dir", str(three_agents.state.root) + "2"]
    watched = subprocess.Popen([TALLYSTICK, "ingest", *fresh], stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    seen = b""
    try:
        while chunk := os.read(leader, 4096):
            seen += chunk
    except OSError:  # the terminal is gone when its last user is
        pass
    watched.wait()

    assert b"bytes" in seen or b"kB" in seen
    assert "" == process(three_agents, "ingest").stderr


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to become somebody"
)
def test_a_directory_that_may_not_be_read_is_counted(three_agents: Host) -> None:
    """
    "0 files, 0 errors" over a tree full of logs is the lie; the denied place is named, and told once it can be read.
    """
    closed = three_agents.claude().parent
    for path in (three_agents.home.parent, *three_agents.home.parent.parents[:3]):
        path.chmod(0o755)
    for path in (three_agents.home, *three_agents.home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    closed.chmod(0o700)
    state = three_agents.home.parent / "theirs"
    state.mkdir()
    state.chmod(0o777)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", TALLYSTICK, "ingest", "--json"]
    own = ["--home", str(three_agents.home), "--state-dir", str(state / "s")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(three_agents.home)}

    denied = subprocess.run([*command, *own], capture_output=True, text=True, env=environment, check=False)
    if "Permission denied" in denied.stderr and not denied.stdout:
        pytest.skip("the environment itself cannot be read by another user")
    closed.chmod(0o755)
    allowed = subprocess.run([*command, *own], capture_output=True, text=True, env=environment, check=False)

    assert (1, 0) == (denied.returncode, allowed.returncode)
    assert [(str(closed), "permission")] == [
        (each["path"], each["code"]) for each in json.loads(denied.stdout)["denied"]
    ]
    assert f"cannot read {closed}" in denied.stderr
    assert 3 == json.loads(allowed.stdout)["files"]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """
    What there is can be found without the documentation.
    """
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out

    for verb in (
        "demo",
        "ingest",
        "usage",
        "sessions",
        "status",
        "explain",
        "verify",
        "inbox",
        "task",
        "rebuild",
        "sql",
    ):
        assert f"    {verb} " in text


def test_no_command_pays_for_another() -> None:
    """
    All of them are declared for each one that is typed, and what one of them needs is imported when it runs.
    """
    heavy = {"duckdb", "msgspec", "pydantic", "rich", "structlog", "starlette", "uvicorn", "zstandard"}
    asked = "import sys; from daemon.cli import _parser; _parser(); print('\\n'.join(sys.modules))"

    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)

    assert "daemon.commands.reading" in done.stdout.split()
    assert set() == heavy & set(done.stdout.split())


def test_every_command_that_is_declared_can_be_typed() -> None:
    """
    A declaration that stands in its group and not in the list of commands would be a command that nobody has.
    """
    declared = {
        function
        for group in iter_modules(commands.__path__)
        for function in vars(import_module(f"daemon.commands.{group.name}")).values()
        if isfunction(function) and function.__annotations__ == {"commands": Commands, "return": None}
    }

    assert declared
    assert declared == {each for each in _COMMANDS if each.__module__ != "daemon.cli"}
