"""What `tallystick health` says: every rule at its bound, the line, the document, and whatever stands in the file."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.health.case import Case, case_of
from daemon.health.finding import Finding, worst
from daemon.health.judge import judge
from daemon.health.look import process
from daemon.health.report import document, line
from daemon.health.rules import RULES
from daemon.health.steps import Steps
from tests.daemon.beats import NOW, looked, own_process, well
from tests.daemon.conftest import Host
from tests.daemon.live import until

TALLYSTICK = str(Path(sys.executable).parent / "tallystick")
SERVICE = {"service.manager": "user", "service.unit": "tallystick.service", "service.is_enabled": True}
MIB = 1024 * 1024


def case(said: dict[str, Any] | bytes | None = None, **seen: Any) -> Case:
    return case_of(looked(well() if said is None else said, **seen), NOW, "/srv/state", ["--state-dir", "/srv/state"])


def rules(judged: Case) -> list[str]:
    return [finding.rule for finding in judge(judged)]


def only(judged: Case) -> Finding:
    found = judge(judged)
    assert 1 == len(found), found
    return found[0]


def test_a_daemon_that_is_well_has_no_finding() -> None:
    """
    The yardstick of all that follow: each of them changes one thing about this.
    """
    assert [] == judge(case())


# -- each rule at its bound ----------------------------------------------------------------------------------------

#: Rule, what makes it true, and what is just not it yet.
AT_ITS_BOUND: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("daemon_starting", {"state": "starting"}, {"state": "running"}),
    ("worker_dead", {"workers.projector.is_alive": False}, {"workers.projector.is_alive": None}),
    ("worker_dead", {"workers.loop.age_seconds": 301}, {"workers.loop.age_seconds": 300}),
    ("disk_full", {"state": "paused"}, {"state": "stopping"}),
    ("log_damaged", {"log.damages": 1}, {"log.damages": 0}),
    ("backlog_old", {"sources.codex.backlog_age_seconds": 901}, {"sources.codex.backlog_age_seconds": 900}),
    ("backlog_old", {"sweep.age_seconds": 901}, {"sweep.age_seconds": 900}),
    ("mark_frozen", {"sources.codex.frozen_seconds": 901}, {"sources.codex.frozen_seconds": 900}),
    ("projection_lag", {"tables.lag_age_seconds": 901}, {"tables.lag_age_seconds": 900}),
    ("projection_lag", {"tables.failure": "IOException"}, {"tables.failure": None}),
    ("unreadable_path", {"sources.codex.unreadable": 1}, {"sources.codex.unreadable": 0}),
    ("nothing_to_read", {"sweep.files": 0}, {"sweep.files": 1}),
    (
        "watch_degraded",
        {"watch.blindness": ["missed"], "watch.blind_seconds": 61},
        {"watch.blindness": ["missed"], "watch.blind_seconds": 60},
    ),
    ("inbox_blocked", {"inbox.failure": "foreign_owner"}, {"inbox.failure": None}),
    ("checkouts_failed", {"checkouts.failure": "EACCES"}, {"checkouts.failure": None}),
    ("checkouts_failed", {"checkouts.busy_seconds": 61}, {"checkouts.busy_seconds": 60}),
    ("plugin_failed", {"plugins.failures": ["toy.read_line"]}, {"plugins.failures": []}),
    ("clock_skew", {"clock.step_seconds": -3600}, {"clock.step_seconds": 0}),
    ("clock_skew", {"clock.step_seconds": 61}, {"clock.step_seconds": 60}),
    (
        "health_silent",
        {"last_runs.health.silent_seconds": 1801},
        {"last_runs.health.silent_seconds": 1800},
    ),
    ("judge_failed", {"config.failure": "extra_forbidden:health.windows"}, {"config.failure": None}),
    ("judge_failed", {"signals": None}, {"signals": []}),
    ("judge_failed", {"signals": ["?"]}, {"signals": []}),
    ("judge_failed", {"state": "dreaming"}, {"state": "running"}),
]


@pytest.mark.parametrize(("rule", "over", "not_yet"), AT_ITS_BOUND, ids=lambda value: str(value)[:40])
def test_a_rule_speaks_at_its_bound_and_not_before(rule: str, over: dict[str, Any], not_yet: dict[str, Any]) -> None:
    """
    One step more is a finding of exactly that rule, one step less is none.
    """
    assert [rule] == rules(case(well(over)))
    assert [] == rules(case(well(not_yet)))


#: The same for what is seen from outside.
SEEN_AT_ITS_BOUND: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("disk_low", {"disk_free_bytes": 512 * MIB - 1}, {"disk_free_bytes": 512 * MIB}),
    ("disk_low", {"disk_free_bytes": None}, {"disk_free_bytes": 512 * MIB}),
    ("message_rejected", {"rejected_messages": 1}, {"rejected_messages": 0}),
    ("message_rejected", {"rejected_messages": None}, {"rejected_messages": 0}),
    ("health_silent", {"stamp_failure": "EACCES"}, {"stamp_failure": None}),
    (
        "reconcile_silent",
        {"stamps": {"health": NOW.timestamp(), "reconcile": NOW.timestamp() - 172_801}},
        {"stamps": {"health": NOW.timestamp(), "reconcile": NOW.timestamp() - 172_800}},
    ),
    (
        "invariants_silent",
        {"stamps": {"health": NOW.timestamp(), "invariants": NOW.timestamp() - 172_801}},
        {"stamps": {"health": NOW.timestamp(), "invariants": NOW.timestamp() - 172_800}},
    ),
]


@pytest.mark.parametrize(("rule", "over", "not_yet"), SEEN_AT_ITS_BOUND, ids=lambda value: str(value)[:40])
def test_what_is_seen_from_outside_is_judged_at_its_bound(
    rule: str, over: dict[str, Any], not_yet: dict[str, Any]
) -> None:
    """
    Disk, inbox and stamps are looked at by health itself, whatever the daemon says.
    """
    assert [rule] == rules(case(**over))
    assert [] == rules(case(**not_yet))


@pytest.mark.parametrize(
    ("process_is", "ago_seconds", "expected"),
    [
        ("there", 30, []),
        ("there", 31, ["heartbeat_stale"]),
        ("blocked", 31, ["heartbeat_stale"]),
        ("gone", 11, []),
        ("gone", 12, ["heartbeat_stale"]),
        ("stopped", 12, ["heartbeat_stale"]),
    ],
)
def test_silence_is_told_after_30_seconds_and_sooner_where_nobody_can_be_heard(
    process_is: str, ago_seconds: int, expected: list[str]
) -> None:
    """
    A heartbeat comes every 5 s; of a process that is gone, or stopped by a signal, none is to be expected.
    """
    assert expected == rules(case(well(ago_seconds=ago_seconds), process=process_is))


@pytest.mark.parametrize(
    ("process_is", "says", "then"),
    [
        ("gone", "is gone", "tallystick run --state-dir /srv/state"),
        ("stopped", "is stopped by a signal", f"kill -CONT {os.getpid()}"),
        ("blocked", "waits for a disk", "df -h /srv/state"),
        ("there", "it hangs", f"kill -9 {os.getpid()} && tail --pid={os.getpid()} -f /dev/null && tallystick run"),
    ],
    ids=["gone", "stopped", "blocked", "hung"],  # the number of a process is another one in each worker
)
def test_each_kind_of_silence_has_its_own_step(process_is: str, says: str, then: str) -> None:
    """
    A process that is there and stands still wants something else than one that is gone.
    """
    found = only(case(well(ago_seconds=60), process=process_is))

    assert says in found.message
    assert found.next.startswith(then)
    assert (NOW - timedelta(seconds=60)).isoformat(timespec="seconds") == found.since


def test_under_systemd_the_unit_is_named() -> None:
    """
    Who keeps the daemon running also starts it; that it is enabled and not there is a finding of its own.
    """
    found = judge(case(well(SERVICE, ago_seconds=60), process="gone"))

    assert ["heartbeat_stale", "unit_inactive"] == [each.rule for each in found]
    assert {"tallystick service start"} == {each.next for each in found}
    assert "tallystick service restart --system ann" == Steps("/s", (), "system", "tallystick@ann.service").restart(7)
    assert "journalctl -u t.service -n 50 --no-pager" == Steps("/s", (), "system", "t.service").log()


def test_a_daemon_that_was_stopped_is_critical_however_it_ended() -> None:
    """
    It said goodbye; nobody reads all the same.
    """
    found = only(case(well({"state": "stopped"}, ago_seconds=5), process="gone"))

    assert ("daemon_stopped", "critical", "tallystick run --state-dir /srv/state") == (
        found.rule,
        found.rank,
        found.next,
    )


def test_a_first_sweep_is_no_excuse_for_longer_than_a_window() -> None:
    """
    Until then nobody can know; after that something is wrong.
    """
    young = well({"state": "starting", "uptime_seconds": 900, "signals": None})
    old = well({"state": "starting", "uptime_seconds": 901, "signals": None})

    assert ("unknown", "critical") == (only(case(young)).rank, only(case(old)).rank)


def test_a_young_daemon_whose_judges_were_not_asked_yet_is_well() -> None:
    """
    The host is looked at once a minute.
    """
    assert [] == judge(case(well({"signals": None, "uptime_seconds": 30})))


def test_nobody_promised_to_ask_for_health_where_no_service_is_installed() -> None:
    """
    A service comes with a timer; who runs the daemon by hand may never ask. Who asked once and stopped is told.
    """
    unasked = {"last_runs.health.silent_seconds": 100_000}
    never = {"health": None, "reconcile": None}

    assert [] == rules(case(well(unasked), stamps=never))
    assert ["health_silent"] == rules(case(well(unasked | SERVICE), stamps=never))
    assert ["health_silent"] == rules(case(well(unasked)))


def test_what_the_daemons_judges_found_is_passed_on() -> None:
    """
    Signals are findings like any other, and the worst of all decides.
    """
    drift = Finding("drift", "codex", None, "codex 0.150 states no usage", "tallystick doctor")
    found = only(case(well({"signals": [drift.document()]})))

    assert (drift.id, "critical") == (found.id, found.rank)


def test_a_heartbeat_of_the_future_is_told_where_only_the_wall_clock_tells() -> None:
    """
    In the same boot another clock tells how old it is; across boots nobody knows.
    """
    ahead = well(ago_seconds=-120)
    ahead["clock"]["boot_id"] = "another"

    judged = case(ahead, boot_id="this")
    found = only(judged)

    assert ("clock_skew", "unknown", "date -u") == (found.rule, found.rank, found.next)
    assert 0 == judged.age_seconds


def test_a_wall_clock_that_was_set_back_does_not_make_a_dead_daemon_young() -> None:
    """
    Its last heartbeat lies in the future by then; its age is that of the clock which nobody can set.
    """
    said = well(ago_seconds=45)
    said["at"] = (NOW + timedelta(hours=1)).isoformat()

    assert 45 == round(case(said).age_seconds or 0)
    assert ["heartbeat_stale"] == rules(case(said))


def test_a_host_that_does_not_tell_its_boot_is_judged_by_the_wall_clock() -> None:
    """
    A container may hide it: the heartbeat says so with null, which is an answer.
    """
    judged = case(well({"clock.boot_id": None}, ago_seconds=5))

    assert [] == rules(judged)
    assert 5 == round(judged.age_seconds or 0)


def test_a_field_that_is_missing_does_not_look_well() -> None:
    """
    A daemon of an older version says less; what cannot be judged is unknown, and one field is named.
    """
    said = well()
    del said["tables"]["lag_age_seconds"]

    found = only(case(said))

    assert ("judge_failed", "unknown", True) == (found.rule, found.rank, "tables.lag_age_seconds" in found.message)


def test_of_a_daemon_that_is_not_heard_old_words_are_not_repeated() -> None:
    """
    What it said of its tables an hour ago is nothing that anybody could mend now.
    """
    said = well({"tables.failure": "IOException", "inbox.failure": "foreign_owner"}, ago_seconds=3_600)

    assert ["heartbeat_stale"] == rules(case(said))


def test_an_idle_day_of_heartbeats_is_well_at_every_second_of_ten() -> None:
    """
    Nothing is written, tables and published copies grow old, sweeps come every five minutes, health every minute.
    """
    for second in range(30, 86_400, 10):
        said = well(
            {
                "uptime_seconds": second,
                "tables.published_age_seconds": second,
                "sweep.age_seconds": second % 310,
                "last_runs.health.silent_seconds": second % 65,
                "workers.scheduler.age_seconds": second % 10,
                "workers.projector.age_seconds": second % 6,
                "sources.codex.backlog_bytes": 17,  # the torn last line of an agent that was killed
            },
            ago_seconds=second % 6,
        )

        assert [] == judge(case(said)), second


# -- what is shown -------------------------------------------------------------------------------------------------

LINE = re.compile(
    r"TALLYSTICK (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n/]+ \| "
    r"((?:^| )?[a-z_]+=(?:U|-?\d+(?:s|B)?);(?:\d+:?)?;(?:\d+)?;0 ?)+"
)


@pytest.mark.parametrize(
    "judged",
    [
        case(),
        case(b""),
        case(well({"state": "stopped"})),
        case(well({"sources.codex.unreadable": 2, "sources.codex.unreadable_path": "/home/zoe/x|y"})),
        case(well({"signals": [Finding("drift", "/home/zoe/x", None, "m|n", "n").document()]})),
        case(well({"inbox.failure": "foreign_owner", "log.damages": 2}), rejected_messages=3),
    ],
)
def test_the_line_is_one_that_monitoring_systems_read_and_names_no_path(judged: Case) -> None:
    """
    State, words of ours, a bar, and figures as `label=value[unit];warn;critical;min`.
    """
    shown = line(judged, judge(judged))

    assert LINE.fullmatch(shown), shown
    assert "zoe" not in shown
    assert shown.partition(" - ")[0].lower().endswith(worst(judge(judged)))


def test_the_line_names_the_worst_and_counts_the_rest() -> None:
    """
    A warning that came first does not hide what is critical.
    """
    judged = case(well({"watch.blindness": ["missed"], "watch.blind_seconds": 99, "log.damages": 1}))

    shown = line(judged, judge(judged))

    assert shown.startswith(f"TALLYSTICK CRITICAL - log_damaged: {RULES['log_damaged'].means}, +1 more | ")


def test_the_document_has_exactly_these_parts() -> None:
    """
    A contract for programs; null for what never was.
    """
    judged = case(well({"log.damages": 1}, ago_seconds=3))
    shown = document(judged, judge(judged))

    assert ["schema", "state", "line", "findings", "sources", "heartbeat_age_seconds", "last_runs"] == list(shown)
    assert ("tallystick.health/1", "critical", 3) == (shown["schema"], shown["state"], shown["heartbeat_age_seconds"])
    assert {"id", "rule", "severity", "source", "since", "message", "next"} == set(shown["findings"][0])
    assert {"at": "2026-11-01T09:59:00+00:00", "age_seconds": 60} == shown["last_runs"]["health"]
    assert shown["last_runs"]["reconcile"] is None
    assert (3, 0) == (shown["sources"]["claude_code"]["files"], shown["sources"]["codex"]["files"])


def test_every_next_step_is_one_command_of_the_shell() -> None:
    """
    Typed as it stands, with a state directory of the worst name.
    """
    state = "/srv/a b'; rm -rf $HOME #"
    options = ["--state-dir", state]
    overs = [over for _, over, _ in AT_ITS_BOUND] + [{"state": "stopped"}, SERVICE]
    for over in overs:
        for how in ("there", "gone", "stopped", "blocked"):
            seen = looked(well(over, ago_seconds=60 if how != "there" else 0), process=how, rejected_messages=1)
            for found in judge(case_of(seen, NOW, state, options)):
                words = shlex.split(found.next)
                assert subprocess.run(["sh", "-n", "-c", found.next], check=False).returncode == 0
                assert not any("rm -rf" in word and word not in (state, f"{state}/inbox") for word in words), words


# -- whatever stands in the file -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def places(said: dict[str, Any], above: str = "") -> list[str]:
    """Name every place of a heartbeat, inner ones with dots."""
    found = [f"{above}{name}" for name in said]
    return found + [
        place for name, value in said.items() if isinstance(value, dict) for place in places(value, f"{above}{name}.")
    ]


@given(st.data())
def test_whatever_stands_at_a_place_ends_nobody_and_is_no_text_of_the_line(data: st.DataObject) -> None:
    """
    Any value at any place: there is an answer, of one line, that a terminal and a monitoring system can take.
    """
    said = well()
    place = data.draw(st.sampled_from([name for name in places(said) if name != "schema"]))
    judged = case(json.dumps(well({place: data.draw(JSON)})).encode())

    found = judge(judged)

    assert LINE.fullmatch(line(judged, found)), line(judged, found)
    assert json.loads(json.dumps(document(judged, found)))["schema"] == "tallystick.health/1"


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_the_file_holds_nothing_is_known_then(content: bytes) -> None:
    """
    Torn, of another program, or no JSON at all: unknown, with the reason.
    """
    judged = case(content)

    assert "unknown" == worst(judge(judged))
    assert LINE.fullmatch(line(judged, judge(judged)))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b'{"schema": "tallystick.hea', "no_json"),
        (b"[" * 200_000, "no_json"),
        (b'{"schema": "tallystick.heartbeat/2"}', "other_schema"),
        (b" " * (5 << 20) + b"{}", "too_long"),
        (b'{"schema": "tallystick.heartbeat/1", "n": ' + b"9" * 9_999 + b"}", "no_json"),
    ],
    ids=["empty", "torn", "deep", "other", "huge", "number"],
)
def test_a_file_that_cannot_be_used_says_why(content: bytes, why: str) -> None:
    """
    The reason is a word of ours, and no part of the file.
    """
    assert f"({why})" in only(case(content)).message


# -- the command -----------------------------------------------------------------------------------------------------


def health(host: Host, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [TALLYSTICK, "health", "--home", str(host.home), "--state-dir", str(host.state.root), *arguments]
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, text=True, check=False, **given)


def beat(host: Host, over: dict[str, Any] | None = None) -> None:
    """Write a heartbeat of this very process."""
    host.state.create()
    host.state.health.write_text(
        json.dumps(well(own_process() | {"disk_free_mib": 1} | (over or {}))), encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("over", "word", "code"),
    [
        ({}, "OK", 0),
        ({"sources.codex.unreadable": 1}, "WARNING", 1),
        ({"log.damages": 1}, "CRITICAL", 2),
        ({"sweep.files": 0}, "UNKNOWN", 3),
    ],
)
def test_the_exit_code_is_what_monitoring_systems_take(host: Host, over: dict[str, Any], word: str, code: int) -> None:
    """
    0 ok, 1 warning, 2 critical, 3 unknown; one line on stdout, and on stderr what to do.
    """
    beat(host, over)

    done = health(host)

    assert (code, 1) == (done.returncode, done.stdout.count("\n")), done.stdout
    assert done.stdout.startswith(f"TALLYSTICK {word} - ")
    assert ("next: " in done.stderr) == bool(code)
    assert str(host.home) not in done.stdout
    assert word.lower() == json.loads(health(host, "--json").stdout)["state"]


def test_it_works_without_a_state_directory_and_makes_none(host: Host) -> None:
    """
    Where no daemon ever ran nobody can know anything, and looking changes nothing.
    """
    done = health(host)

    assert (3, False) == (done.returncode, host.state.root.exists())
    assert "heartbeat_missing" in done.stdout


def test_a_heartbeat_that_may_not_be_read_or_is_no_file_is_unknown(host: Host) -> None:
    """
    A pipe that nobody writes to keeps nobody waiting.
    """
    host.state.create()
    os.mkfifo(host.state.health)

    assert 3 == health(host, timeout=30).returncode

    host.state.health.unlink()
    host.state.health.symlink_to("/dev/zero")

    assert "ELOOP" in health(host, timeout=30).stderr


def test_it_leaves_a_stamp_when_a_timer_asks_and_none_when_a_person_does(host: Host) -> None:
    """
    Somebody who looks now and then must not make a dead timer look alive.
    """
    beat(host)
    stamp = host.state.stamp("health")
    leader, terminal = pty.openpty()

    health(host, stderr=terminal)

    assert not stamp.exists()
    health(host)
    first = stamp.stat()
    health(host)
    assert first.st_mtime_ns < stamp.stat().st_mtime_ns
    assert (0, 0o600, first.st_ino) == (first.st_size, first.st_mode & 0o777, stamp.stat().st_ino)
    os.close(leader)
    os.close(terminal)


def test_a_stamp_that_cannot_be_left_is_a_finding(host: Host) -> None:
    """
    And no crash: the rest of the answer stands.
    """
    beat(host)
    host.state.stamp("health").mkdir()

    done = health(host)

    assert (1, True) == (done.returncode, "EISDIR" in done.stderr)


def test_a_planted_link_in_the_place_of_the_stamp_is_not_followed(host: Host, tmp_path: Path) -> None:
    """
    Nobody makes health touch a file of somebody else.
    """
    beat(host)
    host.state.stamp("health").symlink_to(tmp_path / "made")

    assert "ELOOP" in health(host).stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("stdout", ["closed", "full", "broken"])
def test_whoever_cannot_take_the_answer_gets_the_exit_code(host: Host, stdout: str) -> None:
    """
    The most important part of it reaches whoever started it.
    """
    beat(host, {"log.damages": 1})
    where = {"closed": ">&-", "full": "> /dev/full", "broken": "| true"}[stdout]
    command = shlex.join([TALLYSTICK, "health", "--home", str(host.home), "--state-dir", str(host.state.root)])
    script = f"{{ {command}; echo $? > {shlex.quote(str(host.home / 'code'))}; }} {where}"

    done = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert "2" == (host.home / "code").read_text().strip()
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_it_imports_nothing_that_a_check_of_every_minute_should_pay_for(host: Host) -> None:
    """
    No database, no models, no parser of the other verbs, no time zones, no metadata of packages.
    """
    beat(host)
    script = (
        "import sys; from daemon.command import main; code = main();"
        " print(*sorted(name.partition('.')[0] for name in sys.modules), file=sys.stderr); sys.exit(code)"
    )
    arguments = ["health", "--state-dir", str(host.state.root), "--home", str(host.home)]

    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    heavy = {
        "duckdb", "pydantic", "msgspec", "structlog", "apscheduler", "watchdog", "zstandard", "rich", "argparse",
        "zoneinfo", "importlib_metadata", "email", "logging", "sqlite3", "subprocess", "hashlib", "tomllib", "shutil",
        "projections", "adapters", "dataclasses", "inspect",
    }  # fmt: skip
    assert 0 == done.returncode, done.stderr
    assert set() == heavy & set(done.stderr.split())


def test_what_it_does_not_know_is_refused_by_the_parser(host: Host) -> None:
    """
    Options are those of every verb; help is there, too.
    """
    assert 2 == health(host, "--loud").returncode
    assert "--json" in health(host, "--help").stdout
    assert 3 == health(host, f"--state-dir={host.home}").returncode


def test_the_process_of_another_boot_is_nobody_of_ours(host: Host) -> None:
    """
    After a reboot its number is a stranger's: it is never named to be killed.
    """
    beat(host, {"clock.boot_id": "11111111-1111-4111-8111-111111111111", "at": "2026-11-01T10:00:00+00:00"})

    told = health(host)

    assert 2 == told.returncode
    assert "heartbeat_stale" in told.stdout
    assert "kill" not in told.stderr


# -- how a process is ------------------------------------------------------------------------------------------------


def test_a_process_is_seen_as_it_is() -> None:
    """
    There, stopped, gone; and gone when another one has its number by now.
    """
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        until(lambda: process(sleeper.pid, None) == "there", "it sleeps")
        assert "gone" == process(sleeper.pid, beat_at=1.0)
        sleeper.send_signal(19)
        os.waitpid(sleeper.pid, os.WUNTRACED)
        assert "stopped" == process(sleeper.pid, None)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert "gone" == process(sleeper.pid, None)
