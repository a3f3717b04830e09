"""
What stands in files: text that is none, marks, holes, and lines without end.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import zstandard

from daemon.bootstrap import open_log, roots, utc_now
from daemon.discover import look_at
from daemon.ingest import Ingest
from daemon.tail import CHUNK_BYTES
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append


def rejected(host: Host) -> list[str]:
    return [row["code"] for row in host.rows("SELECT code FROM rejected ORDER BY seq")]


def test_split_or_invalid_utf_8(host: Host) -> None:
    """
    A character of which half is written, or that two reads share, is whole when its line is; bytes that are no text
    cost no call where nobody reads them, and are told where they are all there is.
    """
    log = host.claude()
    line = claude_line("msg_a", 5, note="CUT").replace(b"CUT", "\u2713".encode())
    half = line.index("\u2713".encode()) + 1
    append(log, b" " * (CHUNK_BYTES - half - 1) + b"\n" + line[:half])
    with open_log(host.settings) as held:
        ingest, found = Ingest(held, utc_now, is_live=True), look_at(roots(host.settings), str(log), "UTC")
        assert found is not None
        ingest.look(found)
        ingest.commit()
    append(log, line[half:])
    append(log, claude_line("msg_b", 6, note="CUT").replace(b"CUT", b"\xff\xc3"))
    append(log, b'\xff\xfe{"type": \xc3\n')

    host.ingest()

    assert (2, 31) == host.totals()
    assert ["invalid_json"] == rejected(host)


def test_byte_order_mark_crlf_or_nuls(host: Host) -> None:
    """
    Each line counts that has something before or behind it; a hole that a crash left is told, and costs nothing.
    """
    lines = [claude_line(f"msg_{n}", n, second=n) for n in range(5)]
    host.claude().write_bytes(
        b"\xef\xbb\xbf" + lines[0]
        + lines[1].replace(b"\n", b"\r\n")
        + b"\0" * 4096 + lines[2]
        + b"\0" * 4096 + b"\n"
        + b"\r\n"
        + lines[3].replace(b"\n", b"\0\0\r\n")
        + lines[4]
    )  # fmt: skip

    host.ingest()

    assert (5, 60) == host.totals()
    assert ["nul_run"] == rejected(host)


#: One pass over the home, and how much memory it took more than what was there before, in KiB.
_PASS: Final = """
import resource, sys
from daemon.bootstrap import open_log, seen_files, utc_now
from daemon.ingest import Ingest
from daemon.settings import load
settings = load(sys.argv[1], sys.argv[2])
with open_log(settings) as log:
    seen = seen_files(settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Ingest(log, utc_now).run(seen)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
def test_endless_line(host: Host, *, is_compressed: bool) -> None:
    """
    A line of a gigabyte is passed over in the memory of the longest line that is read, and told; the next one counts.
    """
    gibibyte, log = 1 << 30, host.claude()
    if is_compressed:
        frame = zstandard.ZstdCompressor().compressobj()  # one for all of it: some 32 KiB
        parts = [frame.compress(bytes(1 << 24)) for _ in range(gibibyte >> 24)]
        end = frame.compress(b"\n" + claude_line("msg_a", 5)) + frame.flush()
        log.with_suffix(".jsonl.zst").write_bytes(b"".join(parts) + end)
    else:
        with log.open("wb") as file:
            file.truncate(gibibyte)  # a hole: no byte of it is on the disk
        append(log, b"\n" + claude_line("msg_a", 5))

    grown = subprocess.run(
        [sys.executable, "-c", _PASS, host.home, host.state.root],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    )
    host.ingest()

    assert int(grown.stdout) < 64 * 1024
    assert (1, 15) == host.totals()
    assert [{"code": "too_long", "length_bytes": gibibyte}] == host.rows("SELECT code, length_bytes FROM rejected")
