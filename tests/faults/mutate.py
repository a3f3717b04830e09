"""
Takes each protection away, one at a time, and demands that the test of its fault fails: `make mutations`.

Names of faults as arguments ask for these alone. A fault whose test is skipped here proves nothing and is told.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.faults.matrix import FAULTS, files_of_tests
from tests.faults.mutations import TOP, Mutation, recorded

_TEST_SECONDS_MAX: Final = 120
_PACKAGES: Final = ("daemon", "adapters", "projections", "state")
#: Exit codes of pytest.
_PASSED: Final = 0
_FAILED: Final = 1


class Copy:
    """
    A copy of the checkout whose code is what every process of a test runs, also those that a test starts.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._mtimes = itertools.count(1_000_000_000)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=TOP,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (TOP / name).is_file():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / name, top / name)
        for environment in TOP.glob(".venv*"):
            (top / environment.name).symlink_to(environment)
        self._python = top / Path(sys.prefix).name / "bin" / "python"
        self._environment = {**os.environ, "PYTHONPATH": str(top)}

    def is_what_runs(self) -> bool:
        """
        Say whether an interpreter that starts anywhere imports our packages from here.
        """
        code = f"import {', '.join(_PACKAGES)}; print(*(each.__path__[0] for each in ({', '.join(_PACKAGES)})))"
        told = subprocess.run(
            [self._python, "-c", code], cwd="/", env=self._environment, check=True, capture_output=True, text=True
        )
        return told.stdout.split() == [str(self._top / name) for name in _PACKAGES]

    def passes(self, fault: str) -> bool | None:
        """
        Run the test of *fault*; None when it was skipped, wholly or in part.

        Raises:
            RuntimeError: It could not be run.
        """
        options = ("-q", "-p", "no:cacheprovider", f"--timeout={_TEST_SECONDS_MAX}")
        test = f"{files_of_tests()[fault].relative_to(TOP)}::test_{fault}"
        done = subprocess.run(
            [self._python, "-m", "pytest", *options, test],
            cwd=self._top,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode not in (_PASSED, _FAILED):
            raise RuntimeError(done.stdout + done.stderr)
        is_skipped = re.search(r"\b\d+ skipped\b", done.stdout.splitlines()[-1])
        return None if is_skipped and done.returncode == _PASSED else done.returncode == _PASSED

    def mutated(self, mutation: Mutation) -> bool | None:
        """
        Run the test of the mutation's fault without the protection; see `passes`.
        """
        path = self._top / mutation.file
        whole = path.read_bytes()
        try:
            mutation.apply(self._top)
            self._touch(path)
            return self.passes(mutation.fault)
        finally:
            path.write_bytes(whole)
            self._touch(path)

    def _touch(self, path: Path) -> None:
        """
        Give *path* a time it never had: what was compiled is told from what is to be by whole seconds and size.
        """
        mtime = next(self._mtimes)
        os.utime(path, (mtime, mtime))


def verdicts(copy: Copy, fault: str) -> Iterator[str]:
    """
    Say of the test as it stands, then of each mutation, what is wrong; nothing when all is as it should be.
    """
    is_passed = copy.passes(fault)
    if is_passed is None:
        yield "skipped"
    elif not is_passed:
        yield "fails as it stands"
    else:
        yield from (f"lives: {each.file}" for each in recorded() if each.fault == fault and copy.mutated(each))


def main(wanted: list[str]) -> int:
    """
    Print one line per fault, and a sum; returns 1 when a mutant lives or a test fails, else 0.
    """
    proven = {each.fault for each in recorded()} & files_of_tests().keys()
    names = wanted or [fault.name for fault in FAULTS if fault.name in proven]
    wrong = skipped = 0
    with TemporaryDirectory(prefix="tallystick-mutants-") as scratch:
        Path(scratch).chmod(0o755)  # some tests run as somebody else, who has to reach it
        copy = Copy(Path(scratch).resolve() / "checkout")
        if not copy.is_what_runs():
            print("the copy is not what runs", file=sys.stderr)
            return 1
        for name in names:
            found = list(verdicts(copy, name))
            wrong += bool(found) and found != ["skipped"]
            skipped += found == ["skipped"]
            print(f"{', '.join(found) or 'killed':20} {name}", flush=True)
    print(f"{len(names)} faults: {len(names) - wrong - skipped} proven, {wrong} not, {skipped} skipped here")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
