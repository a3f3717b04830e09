"""A document that an agent rewrites whole: read item by item, whatever state it is caught in."""

import json
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from adapters.contract import Header, Item, LineRejected, Root, UsageStated
from adapters.decode import identity, utc_time
from adapters.decoder import Decoder
from daemon import documents
from daemon.bootstrap import open_log, refresh_and_publish
from daemon.cli import main
from daemon.discover import places, sweep
from daemon.documents import Remembered
from daemon.ingest import Ingest
from tests.daemon.conftest import Host
from tests.daemon.test_databases import START, Agent, data_of
from tests.templates import begin_with_empty_tables


class Message(msgspec.Struct):
    id: str | None = None
    at: str | None = None
    output: int | None = None


class Thread(msgspec.Struct):
    messages: list[msgspec.Raw] | None = None


decode_thread = Decoder(Thread).decode
decode_message = Decoder(Message, counted=(Message,)).decode


class Notebook:
    """An invented agent: one document per thread, rewritten at each message."""

    kind: Final = "document"
    agent = parser = "notebook"
    source_class = "notebook_thread"
    parser_version = 1
    lost = b"nothing"

    def roots(self, home: Any, environment: Any) -> Iterable[Root]:
        return [Root(home / ".notebook")]

    def claim(self, root: Root, relative: Any) -> Header | None:
        is_thread = relative.suffix == ".json"
        return Header(relative.stem, "main", identity(relative.stem)) if is_thread else None

    def read_document(self, content: bytes, header: Header) -> Iterable[Item] | LineRejected:
        read = decode_thread(content)
        if isinstance(read, LineRejected):
            return read
        return [self._item(bytes(each), header) for each in read.messages or ()]

    def _item(self, content: bytes, header: Header) -> Item:
        read = decode_message(content)
        if isinstance(read, LineRejected):
            return Item("unknown", content, (read,))
        said = UsageStated(
            source_id=f"notebook:{read.id}",
            basis="call",
            witness="message",
            confidence="stated",
            session_id=header.session_id,
            source_created_at=utc_time(read.at),
            input_tokens=0,
            output_tokens=read.output,
        )
        return Item(read.id or "unknown", content, () if read.output is None or self.lost in content else (said,))


class Meter(Notebook):
    """An invented agent: one document per session, with a running total that is rewritten."""

    agent = parser = "meter"

    def _item(self, content: bytes, header: Header) -> Item:
        read = decode_message(content)
        assert not isinstance(read, LineRejected)
        raw = {"input_tokens": 0, "output_tokens": read.output or 0, "total_tokens": read.output or 0}
        said = UsageStated(
            basis="counter",
            witness="counter",
            confidence="counted",
            session_id=header.session_id,
            source_created_at=utc_time(read.at),
            raw={f"total.{name}": value for name, value in raw.items()},
        )
        return Item(read.id or "total", content, (said,))


class NewerNotebook(Notebook):
    """Says that what names `lost` is no call."""

    parser_version = 2
    lost = b"lost"


def thread(messages: dict[str, int | None]) -> bytes:
    rows = [
        {"id": name, "at": f"2026-11-01T10:00:{i:02}Z", "text": "x" * i, "output": output}
        for i, (name, output) in enumerate(messages.items())
    ]
    return json.dumps({"title": "a title", "messages": rows}, indent=1).encode()


@pytest.fixture
def path(host: Host) -> Path:
    path = host.home / ".notebook" / "t1.json"
    path.parent.mkdir()
    return path


def look(host: Host, remembered: Remembered | None = None, adapter: Any = None, *, publish: bool = True) -> Any:
    """Look once, as the daemon does that lives on; without *remembered*, as one that has just started."""
    begin_with_empty_tables(host.state)
    with open_log(host.settings) as log:
        read = Ingest(log, lambda: host.now, remembered=remembered).run(
            sweep(places([adapter or Notebook()], host.home, {}), "UTC")
        )
        if publish:
            refresh_and_publish(host.settings)
    return read


def usage_events(host: Host) -> int:
    return int(host.rows("SELECT count(*) AS n FROM events WHERE kind = 'usage'")[0]["n"])


def test_a_rewritten_document_states_only_what_is_new(host: Host, path: Path) -> None:
    """
    Rewritten at each of its messages, a document of n messages is n events and not n * n / 2.
    """
    remembered = Remembered()
    messages: dict[str, int | None] = {}
    for number in range(60):
        messages[f"m{number}"] = number + 1
        path.write_bytes(thread(messages))
        look(host, remembered, publish=number == 59)

    assert (60, sum(range(1, 61))) == host.totals()
    assert 60 == usage_events(host)


def test_after_a_restart_all_may_be_stated_again_and_counts_once(host: Host, path: Path) -> None:
    """
    What is unchanged is remembered in memory alone; it keeps the log small and decides nothing.
    """
    path.write_bytes(thread({"a": 1, "b": 2}))
    look(host)
    path.write_bytes(thread({"a": 1, "b": 2, "c": 3}))
    look(host)

    assert (3, 6) == host.totals()
    assert 5 == usage_events(host)
    assert {"same_line"} == {row["reason"] for row in host.rows("SELECT reason FROM usage_superseded")}


def test_memory_of_what_was_never_committed_is_not_trusted(host: Host, path: Path) -> None:
    """
    A commit that fails takes its cursor with it; what was to be stated is stated at the next look.
    """
    remembered = Remembered()
    path.write_bytes(thread({"a": 1}))
    look(host, remembered)
    path.write_bytes(thread({"a": 1, "b": 2}))
    shutil.copytree(host.state.root, host.state.root.with_name("before"))
    look(host, remembered)
    shutil.rmtree(host.state.root)
    host.state.root.with_name("before").rename(host.state.root)

    look(host, remembered)

    assert (2, 3) == host.totals()


def test_the_last_state_of_an_item_counts(host: Host, path: Path) -> None:
    """
    An item that was rewritten says what it says now, more or less; one that was taken out was paid all the same.
    """
    path.write_bytes(thread({"a": 10, "b": 20, "c": 30}))
    look(host)

    path.write_bytes(thread({"a": 15, "b": 5}))
    look(host)

    assert (3, 15 + 5 + 30) == host.totals()


def test_half_a_document_is_looked_at_again(host: Host, path: Path) -> None:
    """
    The agent is writing: that is no rejection. What stays as broken over two looks is, once.
    """
    whole = thread({"a": 1, "b": 2})
    path.write_bytes(whole[: len(whole) // 2])
    assert 0 == look(host).rejected
    assert "backlog" == host.rows("SELECT state FROM freshness WHERE agent = 'notebook'")[0]["state"]
    path.write_bytes(whole)
    assert 0 == look(host).rejected
    assert (2, 3) == host.totals()

    path.write_bytes(whole[:-10])
    assert [0, 1, 0, 0] == [look(host).rejected for _ in range(4)]
    path.write_bytes(b"")
    assert [0, 0, 0] == [look(host).rejected for _ in range(3)]

    assert (2, 3) == host.totals()
    assert ["invalid_json"] == [row["code"] for row in host.rows("SELECT code FROM rejected")]
    assert 0 == look(host).files_read


def test_a_living_daemon_waits_until_nobody_writes(host: Host, path: Path) -> None:
    """
    It may look twice within a moment in which the agent pauses half-way; only what lies idle is told as broken.
    """
    path.write_bytes(thread({"a": 1, "b": 2})[:-10])
    with open_log(host.settings) as log:
        living = Ingest(log, lambda: datetime.now(UTC), is_live=True)
        rejected = [living.run(sweep(places([Notebook()], host.home, {}), "UTC")).rejected for _ in range(3)]
        os.utime(path, (0, 0))
        rejected += [living.run(sweep(places([Notebook()], host.home, {}), "UTC")).rejected for _ in range(2)]

    assert [0, 0, 0, 1, 0] == rejected


def test_a_document_too_long_is_told_once(host: Host, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It would have to be held in memory as a whole.
    """
    monkeypatch.setattr(documents, "DOCUMENT_BYTES_MAX", 100)
    path.write_bytes(thread({"a": 1, "b": 2, "c": 3}))
    assert 1 == look(host).rejected
    path.write_bytes(thread({"a": 1, "b": 2, "c": 3, "d": 4}))
    assert 0 == look(host).rejected

    assert ["too_long"] == [row["code"] for row in host.rows("SELECT code FROM rejected")]


def test_a_document_put_in_place_by_rename_is_the_same_document(host: Host, path: Path) -> None:
    """
    Writing aside and renaming gives each state another inode; the items and their states are the same.
    """
    for output in (10, 5):
        aside = path.with_suffix(".tmp")
        aside.write_bytes(thread({"a": output}))
        os.replace(aside, path)  # noqa: PTH105
        look(host)

    assert (1, 5) == host.totals()
    assert ["opened"] == host.changes()


def test_every_item_leads_back_to_its_bytes(
    host: Host, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An item's range is that of the document as it was read; later it is found by its key.
    """
    monkeypatch.setattr("daemon.locate.installed", lambda: (Notebook(),))
    path.write_bytes(thread({"a": 1, "b": 2, "c": 3}))
    look(host)
    rows = host.rows("SELECT item_key, offset_bytes AS first, length_bytes AS length FROM events WHERE kind = 'usage'")
    for row in rows:
        content = path.read_bytes()[row["first"] : row["first"] + row["length"]]
        assert row["item_key"] == json.loads(content)["id"]

    path.write_bytes(thread({"a": 9999, "b": 2}))

    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    assert 0 == main(["explain", "2026-11-01", "--json", *place])
    found = [each for row in json.loads(capsys.readouterr().out)["rows"] for each in row["evidence"]]
    assert {"a": "changed", "b": "same", "c": "gone"} == {each["item_key"]: each["outcome"] for each in found}


def test_a_newer_parser_retires_items_it_does_not_see(host: Host, path: Path) -> None:
    """
    What a newer parser no longer counts does not count for ever, and the tables are the same when rebuilt.
    """
    path.write_bytes(thread({"a": 1, "lost": 100, "b": 2}))
    look(host)

    look(host, adapter=NewerNotebook())

    assert (2, 3) == host.totals()
    incremental = host.tables_hash()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.tables_hash()


def test_a_running_total_that_is_rewritten_counts_as_it_stands(host: Host, path: Path) -> None:
    """
    The last total of a document is what its session came to, however many of them were seen on the way.
    """
    for output in (100, 250, 400):
        path.write_bytes(thread({"total": output}))
        look(host, adapter=Meter())
    look(host, adapter=Meter())

    assert 400 == host.totals()[1]
    incremental = host.tables_hash()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.tables_hash()


def test_document_and_database_state_one_call(host: Host) -> None:
    """
    OpenCode 1.2 began its database as a copy of the documents before it, and wrote both for a while.
    """
    folder = host.home / ".local/share/opencode/storage/message/ses_a"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        message = data_of(START + number * 1000, 10 * number, done=True)
        written = {"id": f"msg_{number}", "sessionID": "ses_a", **message}
        (folder / f"msg_{number}.json").write_text(json.dumps(written))
    (folder / "msg_0.json").write_text(json.dumps({"id": "msg_0", "sessionID": "ses_a", "role": "user"}))
    host.ingest()
    assert (3, 360) == host.totals()
    agent = Agent(host.home / ".local/share/opencode/opencode.db")
    for number in (2, 3, 4):
        agent.message(f"msg_{number}", number, 10 * number)

    host.ingest()
    agent.close()

    assert (4, 500) == host.totals()
    assert 0 == host.rows("SELECT unmetered_files FROM freshness WHERE agent = 'opencode'")[0]["unmetered_files"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("abcd"), st.integers(1, 99)),
        st.tuples(st.just("cut"), st.just(""), st.integers(1, 50)),
        st.tuples(st.sampled_from(["look", "start anew"]), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=12,
)


def is_the_same_as_read_at_once(root: Path, steps: Any) -> None:
    host = Host(root)
    path = host.home / ".notebook" / "t1.json"
    path.parent.mkdir()
    messages: dict[str, int | None] = {"a": 1}
    remembered = Remembered()
    for step, name, number in steps:
        if step == "write":
            messages = {**messages, name: number}
            path.write_bytes(thread(messages))
        elif step == "cut":
            path.write_bytes(thread(messages)[:-number])
        elif step == "look":
            look(host, remembered, publish=False)
            path.write_bytes(thread(messages))  # a look that met half a document is followed by the whole
        else:
            remembered = Remembered()
    path.write_bytes(thread(messages))
    look(host, remembered)
    incremental = host.facts_hash()

    shutil.rmtree(host.state.root)
    look(host)

    assert incremental == host.facts_hash()


#: A folder for each example is made by the test itself, and looks take longer than hypothesis expects.
SLOW_LOOKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=3, suppress_health_check=SLOW_LOOKS)
@given(STEPS)
def test_incremental_is_the_same_as_read_at_once(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    """
    Whatever an agent writes between our looks, and whenever we start anew, the tables say what the document says.
    """
    is_the_same_as_read_at_once(tmp_path_factory.mktemp("history"), steps)


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=SLOW_LOOKS)
@given(STEPS)
def test_fifty_histories_are_the_same_as_read_at_once(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    """
    The same, of more histories.
    """
    is_the_same_as_read_at_once(tmp_path_factory.mktemp("history"), steps)
