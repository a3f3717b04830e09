"""
Writes the demo's synthetic home, and what it must count to: each call is declared once, every trap only adds noise.

A scene is one function per kind of trap: the files an agent leaves, and the calls it really made. `expected.json` is
the sum of the declared calls and knows nothing of the product: where the two differ, one of them is wrong.

    python -m daemon.demo_logs.generate

Everything is invented: people, repositories, ids, texts. Running it again writes the same bytes.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import zstandard

Json = dict[str, Any]

CLAUDE, CODEX, GPTME = "claude_code", "codex", "gptme"

OPUS, SONNET, HAIKU = "claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"
GPT, MINI = "gpt-5.1-codex", "gpt-5.1-codex-mini"

ORCHARD, LIGHTHOUSE = "/home/dev/orchard", "/home/dev/lighthouse"
REMOTES: Final = {
    ORCHARD: "git@git.example.org:demo/orchard.git",
    LIGHTHOUSE: "https://git.example.org/demo/lighthouse.git",
}

PROJECTS, SESSIONS, ARCHIVED = ".claude/projects", ".codex/sessions", ".codex/archived_sessions"
CONVERSATIONS = ".local/share/gptme/logs"


# -- what is true ----------------------------------------------------------------------------------------------------


class Vector(NamedTuple):
    """Tokens as Codex writes them: input with what was cached, output with what was reasoned."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0

    def plus(self, other: "Vector") -> "Vector":
        """Return the sum, part by part."""
        return Vector(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


#: Where every running total begins.
NOTHING: Final = Vector()


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made, in tokens that do not overlap; null is what the agent does not state."""

    agent: str
    id: str
    at: str  #: time of its first statement, which decides its day
    model: str
    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    is_incomplete: bool = False

    @property
    def day(self) -> str:
        """The UTC day it counts on."""
        return self.at[:10]

    @property
    def total(self) -> int:
        """Everything that was read or written."""
        return self.input + (self.cache_read or 0) + (self.cache_write or 0) + self.output

    @property
    def vector(self) -> Vector:
        """The same tokens in Codex' classes."""
        read, written = self.cache_read or 0, self.cache_write or 0
        return Vector(self.input + read + written, read, written, self.output, self.reasoning or 0)


@dataclass(frozen=True, slots=True)
class Scene:
    """The files of one trap, and what really happened."""

    files: Mapping[str, bytes]
    calls: Sequence[Call] = ()
    unmetered_sources: int = 0
    rejected_lines: int = 0
    hidden_calls: int = 0
    progress_only_calls: int = 0


def t(day: int, clock: str) -> str:
    """Return a time of that day of November 2026, as agents write it."""
    return f"2026-11-{day:02}T{clock if '.' in clock else clock + '.000'}Z"


def line_uuid(name: str) -> str:
    """Return the same uuid for the same name, always."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.demo.example.org"))


def jsonl(lines: Iterable[Json | str]) -> bytes:
    """Return *lines* as an agent writes them: one object a line, no spaces; a text goes out as it stands."""
    return "".join(f"{each if isinstance(each, str) else compact(each)}\n" for each in lines).encode()


def compact(document: Json) -> str:
    """Return *document* without spaces."""
    return json.dumps(document, separators=(",", ":"))


# -- Claude Code -----------------------------------------------------------------------------------------------------


def claude(  # one line of the declaration per call: the numbers of the demo are here and nowhere else
    name: str,
    at: str,
    tokens: tuple[int, int, int, int],
    model: str = OPUS,
    split: tuple[int, int] | None = None,
    **more: Any,  # noqa: ANN401 - fields of Call
) -> Call:
    """Declare a call of *tokens* (input, cache read, cache write, output); *split*: 5-minute and 1-hour writes."""
    given, read, written, output = tokens
    short, long = split or (None, None)
    return Call(
        CLAUDE,
        f"msg_demo_{name}",
        at,
        model,
        input=given,
        output=output,
        cache_read=read,
        cache_write=written,
        cache_write_5m=short,
        cache_write_1h=long,
        **more,
    )


def claude_usage(call: Call, output: int | None = None) -> Json:
    """Return ``message.usage`` of *call*, as known when *output* tokens were written."""
    usage: Json = {
        "input_tokens": call.input,
        "cache_creation_input_tokens": call.cache_write,
        "cache_read_input_tokens": call.cache_read,
        "output_tokens": call.output if output is None else output,
        "service_tier": "standard",
    }
    if call.cache_write_5m is not None:
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": call.cache_write_5m,
            "ephemeral_1h_input_tokens": call.cache_write_1h,
        }
    return usage


@dataclass
class Transcript:
    """The lines of one Claude Code file, all of one session, directory and branch."""

    session: str
    cwd: str = ORCHARD
    branch: str = "main"
    version: str = "2.1.210"
    agent_id: str | None = None
    lines: list[Json | str] = field(default_factory=list)

    def line(self, kind: str, at: str, name: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
        """Return a line of *kind*, with everything that each line carries."""
        shared: Json = {
            "parentUuid": None,
            "isSidechain": self.agent_id is not None,
            "cwd": self.cwd,
            "sessionId": self.session,
            "version": self.version,
            "gitBranch": self.branch,
            "type": kind,
            "uuid": line_uuid(f"{self.session}.{name}"),
            "timestamp": at,
        }
        return shared | ({"agentId": self.agent_id} if self.agent_id else {}) | more

    def add(self, kind: str, at: str, name: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
        """Write a line of *kind*, and return it."""
        line = self.line(kind, at, name, **more)
        self.lines.append(line)
        return line

    def person(self, at: str, text: str, **more: Any) -> None:  # noqa: ANN401 - JSON
        """Write what somebody, or a tool, said."""
        self.add("user", at, f"person.{at}", message={"role": "user", "content": text}, **more)

    def answer(
        self,
        call: Call,
        at: str | None = None,
        output: int | None = None,
        stop: str | None = "end_turn",
        text: str = "Done.",
    ) -> Json:
        """Write one of the lines of *call*: one content block, with the usage known by then."""
        message: Json = {
            "id": call.id,
            "type": "message",
            "role": "assistant",
            "model": call.model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": stop,
            "usage": claude_usage(call, output),
        }
        block = f"{call.id}.{at or call.at}.{text}"
        return self.add("assistant", at or call.at, block, message=message, requestId=call.id.replace("msg", "req"))

    def file(self, folder: str, name: str | None = None) -> dict[str, bytes]:
        """Return the file, under its path."""
        return {f"{PROJECTS}/{folder}/{name or self.session}.jsonl": jsonl(self.lines)}


def slug(cwd: str) -> str:
    """Return the folder that Claude Code makes of a directory."""
    return cwd.translate(str.maketrans("/\\:. ", "-----"))


def rewritten(line: Json, session: str, at: str) -> Json:
    """Return *line* as a resumed session copies it: same uuid and message, other session and time."""
    kept = {name: value for name, value in line.items() if name != "requestId"}
    return kept | {"sessionId": session, "timestamp": at}


STREAMED = "5e550001-0000-4000-8000-00000000c1a0"
RESUMED = "5e550002-0000-4000-8000-00000000c1a0"
DELEGATING = "5e550003-0000-4000-8000-00000000c1a0"
LONG = "5e550004-0000-4000-8000-00000000c1a0"
WINDOWS = "5e550005-0000-4000-8000-00000000c1a0"
OLD = "5e550006-0000-4000-8000-00000000c1a0"
LIVE = "5e550007-0000-4000-8000-00000000c1a0"
STUB = "5e550008-0000-4000-8000-00000000c1a0"


def streamed_and_resumed() -> Scene:
    """
    Streamed partials, block-split lines, and a resumed session that copies them all.

    The output runs 1, 1, 1, final; a call with three content blocks stands on three identical lines. The next day
    the session is resumed: the history is written into a new file under the new session's id and with new times.
    """
    first = claude("graft", t(1, "09:00:04"), (9, 14_208, 7_412, 641), split=(7_412, 0))
    second = claude("prune", t(1, "09:02:10"), (4, 21_620, 655, 233), split=(0, 655))
    third = claude("water", t(1, "09:05:31"), (6, 22_275, 2_048, 1_180), split=(1_536, 512))
    log = Transcript(STREAMED)
    log.person(t(1, "09:00:00"), "Why do the apples fall early?")
    log.answer(first, output=1, stop=None, text="Let me look.")
    log.answer(first, t(1, "09:00:05"), output=1, stop=None, text="Reading the orchard map.")
    log.answer(first, t(1, "09:00:06"), output=1, stop=None, text="And the weather.")
    finals = [log.answer(first, t(1, "09:00:09"), stop="tool_use", text="The north row is dry.")]
    log.person(t(1, "09:01:50"), "Then prune it.")
    finals += [log.answer(second, t(1, f"09:02:{10 + block}"), text=f"Block {block}.") for block in range(3)]
    log.person(t(1, "09:05:00"), "And water the rest.")
    log.answer(third, output=3, stop=None, text="Opening the valve.")
    finals.append(log.answer(third, t(1, "09:05:58"), text="Watered."))

    fourth = claude("harvest", t(2, "08:10:02"), (5, 24_323, 1_904, 512), split=(1_904, 0))
    fifth = claude("basket", t(2, "08:14:40"), (3, 26_227, 410, 96), split=(410, 0))
    again = Transcript(RESUMED)
    again.lines += [rewritten(line, RESUMED, t(2, f"08:09:{50 + number}")) for number, line in enumerate(finals)]
    again.person(t(2, "08:10:00"), "Go on where we stopped.")
    again.answer(fourth)
    again.answer(fifth)
    return Scene(log.file(slug(ORCHARD)) | again.file(slug(ORCHARD)), [first, second, third, fourth, fifth])


def subagents() -> Scene:
    """
    A parent and its subagents, whose calls are written down up to four times.

    In the subagent's own file, copied into the parent's, in the parent's progress lines with poorer figures, and once
    more in the roll-up of the tool's result. One call is left in progress lines alone; one call crosses midnight. The
    journal of a workflow has figures of its own, which nobody paid.
    """
    parent = Transcript(DELEGATING, branch="feature/ladder")
    asks = claude("ladder", t(2, "23:40:00"), (11, 18_011, 5_220, 388), split=(5_220, 0))
    child = claude("rung_one", t(2, "23:41:07"), (7, 6_120, 3_301, 452), HAIKU)
    other = claude("rung_two", t(2, "23:43:30"), (7, 9_421, 208, 77), HAIKU)
    lost = claude("rung_three", t(2, "23:44:15"), (5, 9_629, 0, 64), HAIKU)
    late = claude("midnight", t(2, "23:59:58"), (4, 23_231, 870, 905))
    worker = claude("worker", t(3, "00:05:20"), (8, 4_402, 1_007, 310), SONNET)

    own = Transcript(DELEGATING, branch="feature/ladder", agent_id="a5ca1e")
    own.person(t(2, "23:41:00"), "Count the rungs.")
    own.answer(child, output=2, stop=None, text="Counting.")
    child_line = own.answer(child, t(2, "23:41:15"), text="Twelve rungs.")
    other_line = own.answer(other, text="All sound.")

    parent.person(t(2, "23:39:58"), "Have somebody check the ladder.")
    parent.answer(asks, stop="tool_use", text="I shall ask an agent.")
    parent.lines += [_progress(parent, child_line, output=2), _progress(parent, other_line)]
    only_copy = own.line("assistant", lost.at, "lost", message=_message(lost), requestId="req_demo_rung_three")
    parent.lines += [_progress(parent, only_copy), _progress(parent, only_copy, again=True)]
    parent.lines.append(child_line)
    rolled_up = {"status": "completed", "agentId": "a5ca1e", "totalTokens": 29_291, "usage": claude_usage(other)}
    parent.person(t(2, "23:45:00"), "The ladder is sound.", toolUseResult=rolled_up)
    parent.answer(late, output=1, stop=None, text="Good.")
    parent.answer(late, t(3, "00:00:04"), text="The ladder can be used.")

    flow = Transcript(DELEGATING, branch="feature/ladder", agent_id="f10a7")
    flow.answer(worker, text="The step is done.")
    journal: list[Json | str] = [
        {"type": "started", "agentId": "f10a7", "label": "build"},
        {"type": "result", "agentId": "f10a7", "usage": {"input_tokens": 900, "output_tokens": 900}},
    ]
    below = f"{slug(ORCHARD)}/{DELEGATING}/subagents"
    files = (
        parent.file(slug(ORCHARD))
        | own.file(below, "agent-a5ca1e")
        | {f"{PROJECTS}/{below}/agent-a5ca1e.meta.json": b'{"agentType":"ladder-inspector"}\n'}
        | flow.file(f"{below}/workflows/wf-1", "agent-f10a7")
        | {f"{PROJECTS}/{below}/workflows/wf-1/journal.jsonl": jsonl(journal)}
    )
    return Scene(files, [asks, child, other, lost, late, worker], progress_only_calls=1)


def _message(call: Call) -> Json:
    content = [{"type": "text", "text": "Rung three."}]
    return {"id": call.id, "role": "assistant", "model": call.model, "content": content, "usage": claude_usage(call)}


def _progress(parent: Transcript, copied: Json, output: int | None = None, *, again: bool = False) -> Json:
    """Return the parent's progress line around a copy of a subagent's line, with *output* where it was poorer."""
    message = dict(copied["message"])
    if output is not None:
        message["usage"] = message["usage"] | {"output_tokens": output}
    nested = {name: copied[name] for name in ("type", "timestamp", "uuid", "requestId")} | {"message": message}
    data = {"type": "agent_progress", "agentId": copied["agentId"], "message": nested}
    name = f"progress.{copied['uuid']}.{again}"
    return parent.line("progress", copied["timestamp"], name, data=data, parentToolUseID="toolu_demo")


def long_session() -> Scene:
    """
    A notice that is no call, a line cut in the middle, a model that falls back, an advisor, and two hidden calls.

    The fallback's last line has another model and other cache figures: only a whole line is true. The advisor's part
    is a call of its own with its own model; the other part of the loop is in the top level already.
    """
    log = Transcript(LONG, LIGHTHOUSE, version="2.1.212")
    first = claude("lamp", t(4, "10:00:03"), (10, 12_500, 6_630, 720))
    fallen = claude("lens", t(4, "10:04:11"), (14, 0, 19_870, 1_333), SONNET)
    before = claude("lens", t(4, "10:04:11"), (3, 19_130, 744, 5))
    advised = claude("mirror", t(4, "10:20:00"), (6, 20_614, 512, 268))
    advisor = claude("mirror:advisor:1", t(4, "10:20:00"), (21_132, 0, 0, 190), HAIKU)

    log.person(t(4, "10:00:00"), "The lamp flickers.")
    log.answer(first, output=1, stop=None, text="Which lamp?")
    log.answer(first, t(4, "10:00:15"), text="The upper one.")
    notice = {"id": line_uuid("notice"), "role": "assistant", "model": "<synthetic>", "content": []}
    zero = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    log.add("assistant", t(4, "10:02:00"), "notice", message=notice | {"usage": zero}, isApiErrorMessage=True)
    log.lines.append('{"parentUuid":null,"type":"assistant","message":{"id":"msg_demo_cut","usage":{"input_tok')
    log.answer(before, stop=None, text="Looking at the lens.")
    log.answer(fallen, t(4, "10:04:50"), text="The lens is clean.")
    log.add("system", t(4, "10:10:00"), "compaction", subtype="compact_boundary", content="Compacted.")
    log.add("system", t(4, "10:18:00"), "recap", subtype="away_summary", content="While you were away.")
    line = log.answer(advised, text="The mirror is bent.")
    part = claude_usage(advisor) | {"type": "advisor_message", "model": HAIKU}
    line["message"]["usage"]["iterations"] = [claude_usage(advised) | {"type": "message"}, part]
    return Scene(log.file(slug(LIGHTHOUSE)), [first, fallen, advised, advisor], rejected_lines=1, hidden_calls=2)


def from_windows() -> Scene:
    """A file that an editor saved with a BOM, CRLF line ends and spaces behind the colons."""
    log = Transcript(WINDOWS, "C:\\dev\\lighthouse", version="2.1.215")
    first = claude("harbour", t(5, "07:30:00"), (8, 9_310, 4_120, 530), SONNET)
    second = claude("pier", t(5, "07:33:20"), (5, 13_438, 611, 148), SONNET)
    log.person(t(5, "07:29:58"), "Which ships are due?")
    log.answer(first)
    log.answer(second)
    text = "".join(f"{json.dumps(line)}\r\n" for line in log.lines)
    return Scene({f"{PROJECTS}/{slug(log.cwd)}/{WINDOWS}.jsonl": b"\xef\xbb\xbf" + text.encode()}, [first, second])


def old_version() -> Scene:
    """
    A version that never wrote the last line of a call, and a proxy that gave no id.

    The first call has only its placeholder: input is sound, output a lower bound. The others are known by the uuid of
    their line; one of them was written twice.
    """
    log = Transcript(OLD, LIGHTHOUSE, "storm", version="2.1.20")
    placeholder = claude("storm", t(5, "21:15:00"), (3, 15_870, 1_460, 1), is_incomplete=True)
    first = claude("gale", t(5, "21:20:00"), (2_480, 0, 0, 61), "glm-4.6")
    second = claude("squall", t(5, "21:24:00"), (2_480, 0, 0, 61), "glm-4.6")
    log.answer(placeholder, stop=None, text="Shutters.")
    for call in (first, first, second):
        line = log.answer(call)
        del line["message"]["id"], line["requestId"]
    return Scene(log.file(slug(LIGHTHOUSE)), [placeholder, first, second])


def live_session() -> Scene:
    """A session that is being written: the last line waits for its second half, and counts only then."""
    log = Transcript(LIVE, LIGHTHOUSE, "storm", version="2.1.217")
    first = claude("foghorn", t(7, "16:00:02"), (9, 11_040, 5_008, 402), split=(5_008, 0))
    second = claude("beacon", t(7, "16:03:41"), (4, 16_048, 733, 1_021), split=(733, 0))
    unfinished = claude("tide", t(7, "16:06:00"), (4, 16_781, 220, 350))
    log.person(t(7, "16:00:00"), "Sound the horn.")
    log.answer(first)
    log.answer(second, output=1, stop=None, text="Lighting.")
    log.answer(second, t(7, "16:04:02"), text="Lit.")
    log.answer(unfinished)
    path, content = next(iter(log.file(slug(LIGHTHOUSE)).items()))
    return Scene({path: content[:-150]}, [first, second])


def without_transcript() -> Scene:
    """A session run without persistence leaves a title and no usage: unmetered, not zero; two files are no logs."""
    stub: list[Json | str] = [
        {"type": "ai-title", "sessionId": STUB, "title": "Count the gulls"},
        {"type": "mode", "sessionId": STUB, "mode": "plan"},
    ]
    cache = {"version": 1, "dailyModelTokens": [{"date": "2026-11-01", "tokensByModel": {OPUS: 999_999}}]}
    history: list[Json | str] = [{"display": "Count the gulls", "sessionId": STUB, "project": LIGHTHOUSE}]
    files = {
        f"{PROJECTS}/{slug(LIGHTHOUSE)}/{STUB}.jsonl": jsonl(stub),
        ".claude/stats-cache.json": f"{compact(cache)}\n".encode(),
        ".claude/history.jsonl": jsonl(history),
    }
    return Scene(files, unmetered_sources=1)


# -- Codex -----------------------------------------------------------------------------------------------------------


def codex(  # the same for Codex: one line per call
    name: str,
    at: str,
    tokens: tuple[int, int, int, int],
    model: str = GPT,
    written: int | None = None,
) -> Call:
    """Declare a call of *tokens* (input, cache read, output, of which reasoning); *written*: cache writes."""
    given, read, output, reasoning = tokens
    return Call(
        CODEX,
        f"resp_demo_{name}",
        at,
        model,
        input=given,
        output=output,
        cache_read=read,
        cache_write=written,
        reasoning=reasoning,
    )


def codex_usage(vector: Vector, *, with_writes: bool = False) -> Json:
    """Return a usage object of Codex."""
    usage = {"input_tokens": vector.input, "cached_input_tokens": vector.cached}
    if with_writes:
        usage["cache_write_input_tokens"] = vector.written
    rest = {"output_tokens": vector.output, "reasoning_output_tokens": vector.reasoning}
    return usage | rest | {"total_tokens": vector.input + vector.output}


@dataclass
class Rollout:
    """The lines of one Codex file, and how far its running total has come."""

    thread: str
    started: str
    cwd: str = ORCHARD
    version: str = "0.146.0"
    total: Vector = NOTHING
    lines: list[Json | str] = field(default_factory=list)

    def add(self, kind: str, at: str, payload: Json) -> Json:
        """Write a line, and return it."""
        line = {"timestamp": at, "type": kind, "payload": payload}
        self.lines.append(line)
        return line

    def header(self, at: str | None = None, **more: Any) -> Json:  # noqa: ANN401 - JSON
        """Write this thread's header."""
        return self.add("session_meta", at or self.started, self.meta() | more)

    def meta(self) -> Json:
        """Return what a header says of this thread."""
        git = {"commit_hash": "0dd5eed", "branch": "main", "repository_url": REMOTES[self.cwd]}
        shared = {"id": self.thread, "timestamp": self.started, "cwd": self.cwd, "originator": "codex_cli_rs"}
        return shared | {"cli_version": self.version, "source": "cli", "model_provider": "openai", "git": git}

    def turn(self, at: str, model: str = GPT) -> None:
        """Write which model answers from here on."""
        self.add("turn_context", at, {"cwd": self.cwd, "model": model, "turn_id": line_uuid(f"turn.{at}")})

    def count(self, at: str, total: Vector | None, last: Vector | None = None) -> Json:
        """Write a running total, or the empty form that stands before the first."""
        info = None
        if total is not None:
            info = {
                "total_token_usage": codex_usage(total),
                "last_token_usage": codex_usage(last or NOTHING),
                "model_context_window": 272_000,
            }
        return self.add("event_msg", at, {"type": "token_count", "info": info})

    def made(self, *calls: Call) -> None:
        """Write the total after each of *calls*."""
        for call in calls:
            self.total = self.total.plus(call.vector)
            self.count(call.at, self.total, call.vector)

    def record(self, call: Call, thread_total: Vector, thread: str | None = None) -> Json:
        """Write the ledger's record of *call*."""
        own = {"thread_id": thread or self.thread, "turn_id": "turn-1", "session_id": self.thread}
        usage = {
            "usage": codex_usage(call.vector, with_writes=call.cache_write is not None),
            "thread_token_usage": codex_usage(thread_total),
        }
        parent = {"parent_thread_id": self.thread} if thread else {}
        attribution = {"attribution": {"model": call.model}}
        return self.add("token_usage_record", call.at, own | parent | {"response_id": call.id} | usage | attribution)

    @property
    def name(self) -> str:
        """The file's name."""
        return f"rollout-{self.started[:19].replace(':', '-')}-{self.thread}.jsonl"

    def file(self) -> dict[str, bytes]:
        """Return the file, under its path."""
        return {f"{SESSIONS}/{self.started[:10].replace('-', '/')}/{self.name}": jsonl(self.lines)}


def thread_id(number: int) -> str:
    """Return an invented id of a thread."""
    return f"0199c0de-{number:04x}-7000-8000-0000000c0de{number:x}"


def totals_and_their_copies() -> Scene:
    """
    One thread with repeats, an empty total and a stale one; a fork and a subagent that begin with a copy of it.

    Both copies have new times, all within a few milliseconds. The fork then counts from zero; the subagent counts on
    from its parent's total, so its own totals are mostly inherited.
    """
    parent = Rollout(thread_id(1), t(1, "13:00:00"))
    first = codex("acorn", t(1, "13:00:20"), (4_120, 0, 380, 128))
    second = codex("bark", t(1, "13:02:40"), (1_930, 7_680, 912, 320))
    third = codex("cone", t(1, "13:06:05"), (640, 9_600, 144, 0), MINI)
    fourth = codex("dew", t(1, "13:09:30"), (1_210, 10_240, 506, 192), MINI)
    parent.header()
    parent.count(t(1, "13:00:02"), None)
    parent.turn(t(1, "13:00:03"))
    parent.made(first)
    parent.count(t(1, "13:00:21"), parent.total, first.vector)
    parent.made(second)
    stale = parent.total
    history = len(parent.lines)
    parent.turn(t(1, "13:05:50"), MINI)
    parent.made(third)
    parent.count(t(1, "13:06:06"), stale, second.vector)
    parent.made(fourth)

    fork = Rollout(thread_id(2), t(2, "11:00:00"))
    own = [codex("elm", t(2, "11:00:25"), (5_016, 0, 277, 64)), codex("fern", t(2, "11:03:10"), (988, 4_864, 430, 96))]
    fork.header(forked_from_id=parent.thread)
    fork.lines += _replayed(parent.lines[:history], t(2, "11:00:00"))
    fork.turn(t(2, "11:00:10"))
    fork.made(*own)

    child = Rollout(thread_id(3), t(3, "15:00:00"))
    done = [
        codex("gorse", t(3, "15:00:31"), (2_210, 3_072, 190, 0)),
        codex("hazel", t(3, "15:02:02"), (702, 5_120, 254, 64)),
    ]
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": parent.thread, "depth": 1}}}
    child.header(parent_thread_id=parent.thread, source=spawned, thread_source="subagent")
    child.lines += _replayed(parent.lines, t(3, "15:00:00"))
    child.turn(t(3, "15:00:12"))
    child.total = parent.total
    child.made(*done)
    return Scene(parent.file() | fork.file() | child.file(), [first, second, third, fourth, *own, *done])


def _replayed(lines: Sequence[Json | str], at: str) -> Iterator[Json]:
    """Yield *lines* as a fork copies them: the same payloads, new times, three milliseconds apart."""
    for number, line in enumerate(lines):
        if isinstance(line, dict):
            yield line | {"timestamp": f"{at[:-4]}{number * 3:03}Z"}


def orphaned_fork() -> Scene:
    """A fork whose parent is nowhere: only the burst of its first totals shows that they are not its own."""
    gone = Rollout(thread_id(4), t(6, "08:00:00"), LIGHTHOUSE)
    gone.header()
    gone.turn(t(6, "08:00:00"))
    for number, part in enumerate(
        (Vector(9_000, 0, 0, 700, 100), Vector(14_500, 8_960, 0, 410, 64), Vector(15_200, 13_824))
    ):
        gone.made(codex(f"gone_{number}", t(6, "08:00:00"), (part.input, part.cached, part.output, part.reasoning)))
    fork = Rollout(thread_id(5), t(6, "08:30:00"), LIGHTHOUSE)
    own = [
        codex("iris", t(6, "08:30:22"), (1_802, 14_336, 366, 128)),
        codex("juniper", t(6, "08:33:00"), (655, 16_128, 98, 0)),
    ]
    fork.header(forked_from_id=gone.thread)
    fork.lines += _replayed(gone.lines, t(6, "08:30:00"))
    fork.turn(t(6, "08:30:09"))
    fork.total = gone.total
    fork.made(*own)
    return Scene(fork.file(), own)


def reset_and_abort() -> Scene:
    """A counter that begins again in mid-session, a line torn by a crash, and an abort whose total is zero."""
    log = Rollout(thread_id(6), t(4, "14:00:00"), LIGHTHOUSE)
    before = [
        codex("kelp", t(4, "14:00:40"), (8_330, 2_048, 1_120, 448)),
        codex("larch", t(4, "14:05:00"), (3_004, 11_264, 690, 192)),
    ]
    first = codex("moss", t(4, "14:30:00"), (3_380, 1_024, 205, 64))
    second = codex("nettle", t(4, "14:34:00"), (1_140, 4_352, 318, 0))
    log.header()
    log.turn(t(4, "14:00:05"))
    log.made(*before)
    log.lines.append('{"timestamp":"2026-11-04T14:06:11.000Z","type":"event_ms')
    log.total = NOTHING
    log.turn(t(4, "14:29:30"))
    log.made(first)
    log.add("event_msg", t(4, "14:31:00"), {"type": "turn_aborted", "reason": "interrupted"})
    log.count(t(4, "14:31:01"), NOTHING, Vector(88_000))
    log.made(second)
    return Scene(log.file(), [*before, first, second], rejected_lines=1)


def archived_and_cold() -> Scene:
    """A rollout that is both live and archived, and one that a background worker compressed."""
    kept = Rollout(thread_id(7), t(3, "09:00:00"), LIGHTHOUSE)
    calls = [
        codex("oak", t(3, "09:00:18"), (3_777, 0, 420, 128)),
        codex("pine", t(3, "09:02:45"), (890, 4_096, 233, 0)),
    ]
    kept.header()
    kept.turn(t(3, "09:00:02"))
    kept.made(*calls)
    cold = Rollout(thread_id(8), t(1, "18:00:00"), LIGHTHOUSE)
    old = [
        codex("quince", t(1, "18:00:30"), (6_040, 0, 808, 256)),
        codex("reed", t(1, "18:04:00"), (1_500, 6_656, 377, 64)),
    ]
    cold.header()
    cold.turn(t(1, "18:00:04"))
    cold.made(*old)
    path, content = next(iter(cold.file().items()))
    live = kept.file()
    copy = {f"{ARCHIVED}/{kept.name}": next(iter(live.values()))}
    return Scene(live | copy | {f"{path}.zst": zstandard.ZstdCompressor(level=3).compress(content)}, [*calls, *old])


def ledger() -> Scene:
    """
    A thread with a ledger: each response is on record, and most are in the running total beside it.

    The compaction's own call is in the ledger alone, and its record is copied into the compaction's line. The last
    record is a guardian's, a child that has no file.
    """
    log = Rollout(thread_id(9), t(5, "12:00:00"), version="0.154.0")
    first = codex("sage", t(5, "12:00:21"), (2_950, 3_328, 514, 192), written=1_024)
    second = codex("thyme", t(5, "12:03:33"), (1_105, 7_168, 702, 256), written=512)
    packing = codex("umbel", t(5, "12:10:00"), (1_380, 8_704, 1_450, 0), written=0)
    third = codex("vetch", t(5, "12:12:12"), (2_001, 1_536, 188, 0), written=0)
    guardian = codex("willow", t(5, "12:13:00"), (1_222, 0, 40, 0), MINI, written=0)
    log.header()
    log.turn(t(5, "12:00:04"))
    ledger_total = NOTHING
    for call in (first, second, packing, third):
        ledger_total = ledger_total.plus(call.vector)
        record = log.record(call, ledger_total)
        if call is packing:
            log.add("compacted", t(5, "12:10:01"), {"message": "", "latest_token_usage_record": record["payload"]})
        else:
            log.made(call)
    log.record(guardian, guardian.vector, thread_id(10))
    return Scene(log.file(), [first, second, packing, third, guardian])


def before_usage() -> Scene:
    """A file of mid-2025, when Codex wrote no usage at all: unmetered, not zero."""
    thread = thread_id(11)
    lines: list[Json | str] = [
        {"id": thread, "timestamp": "2025-07-14T10:00:00.000Z", "instructions": None, "git": {"branch": "main"}},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Draw a map."}]},
        {"record_type": "state"},
    ]
    return Scene(
        {f"{SESSIONS}/2025/07/14/rollout-2025-07-14T10-00-00-{thread}.jsonl": jsonl(lines)}, unmetered_sources=1
    )


# -- gptme -----------------------------------------------------------------------------------------------------------


def gptme(  # and for gptme: one line per call
    name: str,
    at: str,
    tokens: tuple[int, int | None, int | None, int],
    model: str = "anthropic/claude-sonnet-4-5",
) -> Call:
    """Declare a call of *tokens* (input, cache read, cache write, output); null is what its provider does not state."""
    given, read, written, output = tokens
    return Call(GPTME, name, at, model, input=given, output=output, cache_read=read, cache_write=written)


def said(role: str, at: str, text: str, metadata: Json | None = None) -> Json:
    """Return a message; its time has no zone, as gptme writes it."""
    message = {"role": role, "content": text, "timestamp": at.replace(".000Z", ".120000")}
    return message | ({"metadata": metadata} if metadata is not None else {})


def answered(call: Call, *, is_flat: bool = False) -> Json:
    """Return the message of *call*; older versions wrote its tokens flat."""
    stated = {
        "input_tokens": call.input,
        "output_tokens": call.output,
        "cache_read_tokens": call.cache_read,
        "cache_creation_tokens": call.cache_write,
    }
    usage = {name: value for name, value in stated.items() if value is not None}
    metadata = {"model": call.model, **(usage if is_flat else {"usage": usage})}
    return said("assistant", call.at, f"About the {call.id}.", metadata)


def conversation(name: str, lines: Iterable[Json], file: str = "conversation.jsonl") -> dict[str, bytes]:
    """Return a conversation's file under its path; gptme writes spaces behind colons."""
    return {f"{CONVERSATIONS}/{name}/{file}": "".join(f"{json.dumps(line)}\n" for line in lines).encode()}


def undone_and_forked() -> Scene:
    """
    A conversation, the branch that an undo left, and a fork of both.

    A copy has neither id nor owner: time, model and tokens are its identity. What was undone was paid all the same.
    One answer has no metadata: it cannot be counted and is not guessed.
    """
    first = gptme("heron", t(2, "17:00:05"), (1_840, 0, 2_310, 260))
    second = gptme("stork", t(2, "17:02:30"), (88, 4_150, 402, 515))
    undone = gptme("crane", t(2, "17:05:00"), (61, 4_552, 530, 744))
    third = gptme("ibis", t(2, "17:08:45"), (47, 4_552, 96, 190))
    fourth = gptme("egret", t(3, "10:01:00"), (120, 4_648, 330, 288))
    start = [said("system", t(2, "17:00:00"), "You help."), said("user", t(2, "17:00:01"), "Name the birds.")]
    shared = [*start, answered(first), said("user", t(2, "17:02:00"), "More."), answered(second)]
    name = "2026-11-02-quiet-blue-heron"
    main = [*shared, answered(third), said("assistant", t(2, "17:09:00"), "No figures for this one.")]
    fork = [*main, said("user", t(3, "10:00:50"), "And the white one?"), answered(fourth)]
    files = (
        conversation(name, main)
        | conversation(name, [*shared, answered(undone)], "branches/main-undo-1.jsonl")
        | conversation("2026-11-03-fork-of-heron", fork)
    )
    return Scene(files, [first, second, undone, third, fourth])


def older_and_evaluated() -> Scene:
    """A conversation with flat metadata, an evaluation that really spent tokens, and a run that states nothing."""
    old = [
        gptme("owl", t(4, "20:00:00"), (2_260, 0, 1_800, 330)),
        gptme("rook", t(4, "20:03:00"), (105, 4_060, 435, 212)),
    ]
    model = "openai/gpt-5-mini"
    tried = [
        gptme("wren", t(6, "05:00:10"), (3_190, None, None, 145), model),
        gptme("finch", t(6, "05:00:40"), (3_410, None, None, 87), model),
    ]
    run = [said("user", t(7, "07:00:00"), "Feed the gulls."), said("assistant", t(7, "07:00:09"), "Fed.")]
    files = (
        conversation("2026-11-04-old-brown-owl", [answered(call, is_flat=True) for call in old])
        | conversation("2026-11-06-gptme-evals-gpt-5-mini-tool-0a1b2c3d", [answered(call) for call in tried])
        | conversation("run-471-20261107070000", run)
    )
    return Scene(files, [*old, *tried], unmetered_sources=1)


# -- all of it -------------------------------------------------------------------------------------------------------

SCENES: Final = (
    streamed_and_resumed,
    subagents,
    long_session,
    from_windows,
    old_version,
    live_session,
    without_transcript,
    totals_and_their_copies,
    orphaned_fork,
    reset_and_abort,
    archived_and_cold,
    ledger,
    before_usage,
    undone_and_forked,
    older_and_evaluated,
)


def expected(scenes: Sequence[Scene]) -> Json:
    """Sum what was declared, in the units of `usage --json`."""
    calls = [call for scene in scenes for call in scene.calls]
    agents = sorted({call.agent for call in calls})
    days = sorted({call.day for call in calls})
    return {
        "schema": "tallystick.demo-expected/1",
        "agents": {agent: _sums([call for call in calls if call.agent == agent]) for agent in agents},
        "days": {day: _totals([call for call in calls if call.day == day]) for day in days},
        **{
            each.name: sum(getattr(scene, each.name) for scene in scenes)
            for each in fields(Scene)
            if each.name not in ("files", "calls")
        },
    }


def _sums(calls: Sequence[Call]) -> Json:
    """Sum every class of tokens; null where no call states it."""
    parts = ("input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    stated = {part: [value for call in calls if (value := getattr(call, part)) is not None] for part in parts}
    return {
        "calls": len(calls),
        **{f"{part}_tokens": sum(values) if values else None for part, values in stated.items()},
        "total_tokens": sum(call.total for call in calls),
        "incomplete_calls": sum(call.is_incomplete for call in calls),
    }


def _totals(calls: Sequence[Call]) -> dict[str, int]:
    agents = sorted({call.agent for call in calls})
    return {agent: sum(call.total for call in calls if call.agent == agent) for agent in agents}


def generate(folder: Path) -> None:
    """
    Write `home/` and `expected.json` below *folder*.

    A compressed file that holds the right content stays as it is: its bytes depend on the library's version.
    """
    scenes = [scene() for scene in SCENES]
    for scene in scenes:
        for path, content in scene.files.items():
            _write(folder / "home" / path, content)
    (folder / "expected.json").write_text(json.dumps(expected(scenes), indent=1) + "\n", encoding="utf-8", newline="")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zst" and path.exists() and _unpacked(path.read_bytes()) == _unpacked(content):
        return
    path.write_bytes(content)


def _unpacked(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content)


if __name__ == "__main__":
    generate(Path(__file__).parent)
