"""What lies below a directory is opened, and nothing that a link would lead to; with an old kernel, too."""

import os
from pathlib import Path

import pytest

from daemon import beneath
from daemon.beneath import has_beneath, open_beneath


@pytest.fixture(params=["openat2", "step by step"])
def top(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory that is reached by a link, under a kernel that knows the call and under one that does not."""
    if request.param == "step by step":
        monkeypatch.setattr(beneath, "_OPENAT2", 100_000)  # no call of any kernel: ENOSYS
    (tmp_path / "real/a/b").mkdir(parents=True)
    (tmp_path / "real/a/b/file").write_bytes(b"ours")
    (tmp_path / "file").write_bytes(b"theirs")
    (tmp_path / "top").symlink_to("real")
    return tmp_path / "top"


def test_a_file_below_is_opened(top: Path) -> None:
    """
    However deep; the directory itself may be reached by a link.
    """
    descriptor = open_beneath(str(top), "a/b/file", os.O_RDONLY)

    assert b"ours" == os.read(descriptor, 9)
    os.close(descriptor)
    assert has_beneath(str(top), "a/b")
    assert has_beneath(str(top), "")
    assert not has_beneath(str(top), "a/b/file")


@pytest.mark.parametrize("name", ["last", "first/file", "a/loop/b/file", "../file", "a/../../file"])
def test_what_leads_elsewhere_is_not(top: Path, name: str) -> None:
    """
    Be it the last part of the name or one before, and wherever it leads; no descriptor is left open.
    """
    (top / "last").symlink_to("a/b/file")
    (top / "first").symlink_to(top.parent)
    (top / "a/loop").symlink_to(".")
    opened = os.listdir("/proc/self/fd")  # noqa: PTH208 - names

    with pytest.raises(OSError, match=r"symbolic links|Not a directory|cross-device"):
        open_beneath(str(top), name, os.O_RDONLY)

    assert opened == os.listdir("/proc/self/fd")  # noqa: PTH208 - names
