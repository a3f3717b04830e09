"""
`make fuzz`: coverage-guided fuzzing of everything that decodes, from the corpus of our fixtures.

Half of the mutations are of the structure (`target.mutated`), half are libFuzzer's own. The fuzzer runs in a process of
its own, as it ends without a word to Python; what it came to is printed by this one, which fails at a crash, a hang, or
more memory than a reader may take.
"""

import argparse
import importlib
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

#: What a reader may take at most, in MiB; the fuzzer's own corpus and counters are in it.
MEMORY_MIB_MAX: Final = 256
#: Longest line that is made, in bytes; the reader itself skips what is longer than 8 MiB.
LINE_BYTES_MAX: Final = 64 * 1024
#: One line may take so long, in seconds.
LINE_SECONDS_MAX: Final = 10


def main() -> int:
    """Fuzz, and print lines, crashes and peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _fuzz(Path(options.inside), options.lines, options.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="tallystick-fuzz-") as directory:
        return _told(Path(directory), options.lines, options.seed or random.SystemRandom().randrange(1, 2**31))


def _told(directory: Path, lines: int, seed: int) -> int:
    command = [sys.executable, "-m", "tests.fuzz.run", "--inside", str(directory), f"--lines={lines}", f"--seed={seed}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    stats = dict(re.findall(r"^stat::(\w+): +(\d+)", done.stdout, re.MULTILINE))
    found = sorted(directory.glob("found-*"))
    read, peak_mib = int(stats.get("number_of_executed_units", 0)), int(stats.get("peak_rss_mb", 0))
    sys.stdout.write(f"{read:,} lines, {len(found)} crashes, peak memory {peak_mib} MiB, seed {seed}\n")
    if done.returncode or found or read < lines:
        sys.stdout.write(f"{done.stdout[-6000:]}\n")
        for each in found:
            sys.stdout.write(f"{each.name}: {each.read_bytes()[:4096]!r}\n")
        return 1
    return 0


def _fuzz(directory: Path, lines: int, seed: int) -> None:
    """Fuzz in this process, which ends here."""
    atheris: Any = importlib.import_module("atheris")  # in the environment of `make fuzz` alone
    with atheris.instrument_imports(include=["adapters", "daemon.message", "daemon.message_rules", "daemon.hooks"]):
        target: Any = importlib.import_module("tests.fuzz.target")
    names, known = target.NAMES, list(target.corpus())
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, (name, line) in enumerate(known):
        (corpus / f"{number:05}").write_bytes(bytes([names.index(name)]) + line[: LINE_BYTES_MAX - 1])
    others = [line for _, line in known]

    def one(content: bytes) -> None:
        if content:
            target.TARGETS[names[content[0] % len(names)]](content[1:])

    def mutate(content: bytes, size_max: int, dice_seed: int) -> bytes:
        dice = random.Random(dice_seed)
        if len(content) < 2 or dice.random() < 0.5:
            return bytes(atheris.Mutate(content, size_max))
        made: bytes = content[:1] + target.mutated(content[1:], dice, others)
        return made[:size_max]

    options = (
        f"-runs={lines}",
        f"-seed={seed}",
        f"-max_len={LINE_BYTES_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-timeout={LINE_SECONDS_MAX}",
        f"-artifact_prefix={directory}{os.sep}found-",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
