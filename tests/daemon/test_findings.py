"""What cannot be right in claims and measurements: where each rule fires, and the near miss where it does not."""

import os
import random
from typing import Any

import pytest

from daemon.findings import found
from projections.read import Tables
from tests.daemon.conftest import Host, claude_line, gptme_lines
from tests.daemon.live import append
from tests.daemon.test_claims import record

#: Whatever is told apart by a number here is told apart by these: no rule knows one.
RANDOM = random.Random()


def claimed(session: str, path: Any = None, **over: Any) -> dict[str, Any]:
    """Return a record that is in order, of a session around the logs that `claude_line` and `gptme_lines` write."""
    minute = RANDOM.randrange(50, 59)
    said = record(session, trajectory_path=None if path is None else str(path), model="claude-opus-4-8")
    said |= {
        "start_time": f"2026-11-01T09:{minute}:{RANDOM.randrange(1, 60):02}.{RANDOM.randrange(10**6):06}+00:00",
        "timestamp": f"2026-11-01T10:{minute}:{RANDOM.randrange(1, 60):02}.{RANDOM.randrange(10**6):06}+00:00",
        "input_tokens": RANDOM.randrange(10**9),
        "output_tokens": RANDOM.randrange(10**9),
        "cache_read_tokens": RANDOM.randrange(1, 10**9),
        "duration_seconds": 1500,
    }
    return said | over


class Found:
    """The findings of one host."""

    def __init__(self, host: Host) -> None:
        with Tables(host.state.published) as tables:
            self.rows = found(tables, host.now)

    def sessions(self, rule: str) -> list[list[str]]:
        """Return the sessions of each finding of *rule*."""
        return sorted(row["sessions"] for row in self.rows if row["rule"] == rule)

    def evidence(self, rule: str, session: str) -> list[str]:
        """Return the evidence of the finding of *rule* that names *session*."""
        (evidence,) = [row["evidence"] for row in self.rows if row["rule"] == rule and session in row["sessions"]]
        return list(evidence)


def log(host: Host, name: str) -> Any:
    """Write a transcript of one call, with as many tokens as no other has."""
    path = host.claude(name)
    append(path, claude_line(f"msg_{name}", RANDOM.randrange(10**9), session=name))
    return path


def conversation(host: Host, name: str) -> Any:
    path = host.gptme(name)
    append(path, gptme_lines([RANDOM.randrange(10**9)]))
    return path


def evaluation() -> str:
    return f"2026-11-01-gptme-evals-{RANDOM.choice(['a', 'b'])}-markdown-{RANDOM.randrange(16**8):08x}"


@pytest.fixture(scope="module")
def pointing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Host, Found]:
    """A host whose records point at logs rightly and wrongly."""
    host = Host(tmp_path_factory.mktemp("pointing"))
    deleted = log(host, "deleted")
    host.ingest()
    deleted.unlink()
    both = conversation(host, "2026-11-01-calm-red-fox")
    present = host.home / "elsewhere.jsonl"
    append(present, b"{}\n")
    unread = host.home / "unread.jsonl"
    append(unread, b"{}\n")
    os.utime(unread, (0, 1_761_900_000))  # 2025
    host.records(
        claimed("good", log(host, "own")),
        claimed("pointless"),
        # shared
        claimed("one", both, harness="gptme"),
        claimed("two", both.parent, harness="gptme"),
        claimed("again", log(host, "twice")),
        claimed("again", log(host, "twice2")),
        # of another kind
        claimed("graded", conversation(host, evaluation()), harness="gptme"),
        claimed("graded_unread", f"/srv/logs/{evaluation()}/conversation.jsonl", harness="gptme"),
        claimed("evaluation", conversation(host, evaluation()), harness="gptme", run_type="eval-nightly"),
        claimed("evals_repo", log(host, "gptme-evals-notes")),
        claimed("crossed", log(host, "of_claude"), harness="gptme"),
        claimed("own_name", log(host, "of_claude_too"), harness="nightly-runner"),
        # nowhere
        claimed("nowhere", f"/srv/{RANDOM.randrange(10**9)}.jsonl"),
        claimed("relative", "logs/x.jsonl"),
        claimed("read_before", deleted),
        claimed("elsewhere", present),
        # at another time
        claimed("day_before", log(host, "later"), start_time="2026-10-31T09:55:00Z"),
        claimed("hour_after", log(host, "earlier"), start_time="2026-11-01T11:00:01Z"),
        claimed("nine_minutes_after", log(host, "near"), start_time="2026-11-01T10:09:00Z"),
        claimed("written_before", unread),
        claimed("at_noon", log(host, "noon"), start_time="2026-10-30T12:00:00Z"),
        claimed("resumed", log(host, "resumed"), start_time="2026-11-01T10:00:00.5Z", duration_seconds=5),
    )
    host.ingest()
    return host, Found(host)


def test_one_log_of_several_sessions_is_shared(pointing: tuple[Host, Found]) -> None:
    """
    Its directory is the same log; two records of one session are no finding.
    """
    _, found = pointing

    assert [["one", "two"]] == found.sessions("shared_trajectory")


def test_a_log_of_an_evaluation_or_another_harness_is_nobodys(pointing: tuple[Host, Found]) -> None:
    """
    Also where nobody has read it; what says that it is an evaluation may point at one, and a harness that we do not
    know at any log.
    """
    _, found = pointing

    assert [["crossed"], ["graded"], ["graded_unread"]] == found.sessions("eval_trajectory")
    assert "reason:evaluation" in found.evidence("eval_trajectory", "graded")
    assert {"reason:other_harness", "log_agent:claude_code"} <= set(found.evidence("eval_trajectory", "crossed"))


def test_a_log_that_never_was_is_missing(pointing: tuple[Host, Found]) -> None:
    """
    No pointer is honest; a log that was read and then deleted is known.
    """
    _, found = pointing

    assert [["graded_unread"], ["nowhere"], ["relative"]] == found.sessions("trajectory_missing")
    assert "state:unusable" in found.evidence("trajectory_missing", "relative")


def test_a_log_of_another_time_is_not_the_sessions(pointing: tuple[Host, Found]) -> None:
    """
    Of one that was not read tells its last change. Ten minutes are what clocks differ by; a time that stands for
    another proves nothing, and a log may go on.
    """
    _, found = pointing

    assert [["day_before"], ["hour_after"], ["written_before"]] == found.sessions("trajectory_outside_time")
    assert "log_first_at:2026-11-01T10:00:00Z" in found.evidence("trajectory_outside_time", "day_before")
