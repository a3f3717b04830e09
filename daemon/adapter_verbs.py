"""What `tallystick adapters list` and `tallystick adapters check` do: for those who write an adapter."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

from adapters.contract import Adapter, Header, Root
from adapters.registry import installed, registered, same_names, what_is_wrong
from daemon import show
from daemon.bootstrap import further, open_log
from daemon.conformance import Finding, Piece, findings, recognised
from daemon.databases import Database, DatabaseDenied
from daemon.discover import Found, places, sweep
from daemon.documents import DOCUMENT_BYTES_MAX
from daemon.ingest import Ingest
from daemon.settings import Settings
from daemon.tail import SourceFile
from projections.build import Projection
from projections.hashes import FACTS_ASK, facts_hash
from state.errors import TallystickError
from state.paths import StatePaths

DONE, FINDINGS = 0, 1

#: At most so many lines or rows of a file are checked.
PIECES_MAX: Final = 20_000
#: A larger file, in bytes, is not copied to be read in steps.
COPIED_BYTES_MAX: Final = 256 * 1024 * 1024


class NoAdapter(TallystickError):
    """
    No adapter claims this file, or several do. Name one with --adapter, or give your own file with --module.
    """

    exit_code = 2


class AdapterUnusable(TallystickError):
    """
    This file defines no adapter. It must set ADAPTER to an object of the contract: see docs/adding-an-agent.md.
    """

    exit_code = 2


def list_adapters(settings: Settings, *, as_json: bool) -> int:
    """Show every adapter and plug-in, its roots for this home, and how many files it claims there."""
    rows = [_listed(each.name, each.origin, each.adapter, each.problem, settings) for each in registered()]
    taken = same_names()
    if as_json:
        show.document({"schema": "tallystick.adapters/1", "rows": rows, "same_names": taken})
    else:
        show.table(_COLUMNS, rows)
        for row in rows:
            for root in row["roots"]:
                show.out(f"    {row['adapter']}: {show.safe(root['path'])}{'' if root['exists'] else ' (not there)'}")
    for row in rows:
        if row["problem"]:
            show.warn(f"plug-in {row['adapter']} of {row['origin']} reads nothing: {row['problem']}")
    for name in taken:
        show.warn(f"two adapters are called {name}: uninstall one, or nothing can be read")
    return FINDINGS if taken or any(row["problem"] for row in rows) else DONE


_COLUMNS: Final = ("adapter", "agent", "kind", "source_class", "parser_version", "origin", "files", "problem")


def _listed(name: str, origin: str, adapter: Adapter | None, problem: str | None, settings: Settings) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COLUMNS) | {"adapter": name, "origin": origin, "problem": problem, "roots": []}
    if adapter is None:
        return row
    own = [*places([adapter], settings.home, settings.agent_environment), *further([adapter], settings)]
    roots = [place.path for place in own]
    seen = sweep(own, settings.zone)
    return row | {
        "adapter": adapter.parser,
        "agent": adapter.agent,
        "kind": adapter.kind,
        "source_class": adapter.source_class,
        "parser_version": adapter.parser_version,
        "files": sum(isinstance(each, Found) for each in seen),
        "roots": [{"path": show.safe(root), "exists": os.path.lexists(root)} for root in roots],
    }


# -- check ---------------------------------------------------------------------------------------------------------


def check(settings: Settings, files: Sequence[str], name: str | None, module: str | None, *, as_json: bool) -> int:
    """Run an adapter over files: what it recognises, and whether it keeps its promises; 1 when it does not."""
    own = [_from_module(Path(module))] if module else []
    rows = [_checked(settings, Path(file).absolute(), name, own) for file in files]
    if as_json:
        show.document({"schema": "tallystick.adapters.check/1", "rows": rows})
    else:
        for row in rows:
            _print(row)
    return FINDINGS if any(row["findings"] or not row["pieces"] for row in rows) else DONE


def _from_module(path: Path) -> Adapter:
    """Load the adapter of a file that is not installed."""
    spec = importlib.util.spec_from_file_location(f"tallystick_module_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise AdapterUnusable(path=path, problem="no Python file")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:  # an author's own error, and the author is who reads this
        raise AdapterUnusable(path=path, problem=f"{type(error).__name__}: {error}") from error
    candidate = getattr(loaded, "ADAPTER", None)
    problem = "no ADAPTER" if candidate is None else what_is_wrong(candidate)
    if problem:
        raise AdapterUnusable(path=path, problem=problem)
    return cast("Adapter", candidate)


def _checked(settings: Settings, path: Path, name: str | None, own: Sequence[Adapter]) -> dict[str, Any]:
    if not path.is_file():
        raise NoAdapter(path=path, problem="no such file")
    adapter, claimed = _claimed(settings, path, name, own)
    header = _completed(adapter, claimed, path)
    try:
        pieces = list(_pieces(adapter, path))
        found = list(findings(adapter, header, pieces))
    except DatabaseDenied as denied:
        pieces, found = [], [Finding("readable", denied.code)]
    is_too_large = path.stat().st_size > COPIED_BYTES_MAX
    raises = any(each.check in ("no_exception", "sound") for each in found)
    if pieces and not raises and not is_too_large and not _says_the_same_in_steps(settings, adapter, header, path):
        found.append(Finding("incremental", "read in steps the tables say something else than read at once"))
    counts = asdict(recognised(adapter, header, pieces))
    models = [{"model": model, "statements": calls, "tokens": tokens} for model, calls, tokens in counts.pop("models")]
    return {
        "path": show.safe(str(path)),
        "adapter": adapter.parser,
        "kind": adapter.kind,
        "session_id": header.session_id,
        **counts,
        "models": models,
        "findings": [asdict(each) for each in found],
        "not_checked": ["incremental"] if is_too_large or raises else [],
    }


def _claimed(settings: Settings, path: Path, name: str | None, own: Sequence[Adapter]) -> tuple[Adapter, Header]:
    """Return the adapter for a file, and what the file's place says: below a root, or whatever folders lead to it."""
    candidates = [each for each in (own or installed()) if name is None or each.parser == name]
    claims = [(adapter, *claim) for adapter in candidates if (claim := _header(settings, adapter, path)) is not None]
    nearest = max((names for _, _, names in claims), default=0)
    best = [(adapter, header) for adapter, header, names in claims if names == nearest]
    if len(best) == 1:
        return best[0]
    if not best and len(candidates) == 1:  # named, or the author's own: a sample may lie anywhere
        return candidates[0], Header(path.stem, "main", zone=settings.zone)
    raise NoAdapter(path=path, claimed_by=",".join(adapter.parser for adapter, _ in best) or "nobody")


def _header(settings: Settings, adapter: Adapter, path: Path) -> tuple[Header, int] | None:
    """
    Return what the file's place says, and how many names of a root lead to it.

    A sample is often a copy: below a folder that is called like the end of a root it counts as below that root.
    """
    best: tuple[Header, int] | None = None
    for root in adapter.roots(settings.home, settings.agent_environment):
        for parent in (path, *path.parents):
            names = _shared_names(parent, Path(root.path))
            relative = PurePosixPath(path.relative_to(parent))
            if (best is not None and names <= best[1]) or (parent == path and parent != Path(root.path)):
                continue
            header = adapter.claim(Root(parent, root.role, root.is_flat), relative)
            if header is not None and not (root.is_flat and len(relative.parts) > 1):
                best = replace(header, zone=settings.zone), names
    return best


def _shared_names(one: Path, other: Path) -> int:
    """Return how many names two paths share at their ends."""
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    return next(
        (count for count, (name, own) in enumerate(pairs) if name != own), min(len(one.parts), len(other.parts))
    )


def _completed(adapter: Adapter, header: Header, path: Path) -> Header:
    if adapter.kind != "lines" or header.session_id is not None:
        return header
    first = next(iter(_pieces(adapter, path)), b"")
    return adapter.with_first_line(header, first if isinstance(first, bytes) else b"")


def _pieces(adapter: Adapter, path: Path) -> Iterator[Piece]:
    """Yield the lines, the one document or the rows of a file."""
    if adapter.kind == "rows":
        yield from _rows(adapter.query, path)
        return
    with SourceFile(str(path)) as source:
        if adapter.kind == "document":
            yield source.read_at(0, DOCUMENT_BYTES_MAX)
            return
        count = 0
        for chunk in source.chunks(0):
            for line in chunk.lines:
                if line.strip(b"\0 \t\r") and count < PIECES_MAX:
                    count += 1
                    yield line.strip(b"\0 \t\r")


def _rows(query: str, path: Path) -> Iterator[Piece]:
    with Database(str(path), query) as database:
        yield from islice(database.rows(), PIECES_MAX)


def _says_the_same_in_steps(settings: Settings, adapter: Adapter, header: Header, path: Path) -> bool:
    """Ingest a copy at once, and another in two steps with a restart between; compare what the tables say."""
    with TemporaryDirectory(prefix="tallystick-") as directory:
        at_once, in_steps = _states(Path(directory), "once", "steps")
        return _facts(settings, adapter, header, path, at_once, [1.0]) == _facts(
            settings, adapter, header, path, in_steps, [0.4, 1.0]
        )


def _states(directory: Path, *names: str) -> list[StatePaths]:
    """Make state directories with empty tables: of the views those that facts are asked of, made once and copied."""
    states = [StatePaths(directory / name / "state") for name in names]
    first = states[0]
    for state in states:
        state.create()
    Projection.scratch(first, first.log_directory, FACTS_ASK).close()
    for state in states[1:]:
        shutil.copyfile(first.projection, state.projection)
    return states


def _facts(
    settings: Settings, adapter: Adapter, header: Header, path: Path, state: StatePaths, parts: Sequence[float]
) -> str:
    copy = state.root.parent / path.name
    own = settings._replace(state=state)
    for part in parts:
        _copied(adapter, path, copy, part)
        seen = Found(str(copy.parent), str(copy), adapter, header, copy.stat())
        with open_log(own) as log:
            Ingest(log, lambda: datetime.now(UTC)).run([seen])
            with Projection.open(state) as projection:
                projection.refresh(state.log_directory)
                facts = facts_hash(projection.connection)
    return facts


def _copied(adapter: Adapter, path: Path, copy: Path, part: float) -> None:
    """Copy a file; of lines as much of it as an agent had written by then, of the others all, written anew."""
    if adapter.kind == "rows":
        for ending in ("", "-wal", "-shm"):
            if os.path.lexists(f"{path}{ending}"):
                shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
        return
    content = path.read_bytes()
    is_whole = part == 1.0 or adapter.kind == "document" or path.suffix == ".zst"
    with copy.open("wb") as file:
        file.write(content if is_whole else content[: int(len(content) * part)])


def _print(row: dict[str, Any]) -> None:
    show.out(f"{row['path']}: {row['adapter']} ({row['kind']}), session {row['session_id'] or '-'}")
    unit = {"lines": "lines", "document": "documents", "rows": "rows"}[row["kind"]]
    show.out(
        f"    {row['pieces']} {unit}, {row['usage_statements']} usage statements, {row['rejected']} rejected,"
        f" {row['unrecognised']} unrecognised, {row['unmetered']} unmetered"
    )
    for each in row["models"]:
        show.out(f"    {each['model'] or '-'}: {each['statements']} statements, {each['tokens']} tokens")
    for each in row["findings"]:
        show.out(f"    {each['check']}: {each['detail']}")
    for name in row["not_checked"]:
        show.out(f"    {name}: not checked")
    if not row["findings"] and not row["not_checked"]:
        show.out("    all checks passed" if row["pieces"] else "    nothing to check")
