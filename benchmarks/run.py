"""
What tallystick costs: single passes against a peer, the daemon while it runs, refreshes over long histories.

Nothing else may run meanwhile. Whole processes, warm page cache, CPU seconds of user and system together: quote ratios
and the machine. ccusage is installed from npm into `.bench/`; without npm its rows are missing.
"""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from asked import asked
from cold import cold
from live import live
from pages import pages
from refresh import refresh

PARTS = ("cold", "live", "refresh", "health", "pages")


def main() -> None:
    """Run what was asked for, everything by default."""
    options = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    options.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default all")
    options.add_argument("--megabytes", type=int, default=200, help="of logs for cold and backfill")
    options.add_argument("--times", type=int, default=3, help="runs of which the median is told")
    options.add_argument("--files", type=int, default=50_000, help="for an idle daemon")
    options.add_argument("--seconds", type=int, default=60, help="of idleness")
    options.add_argument("--events", type=int, nargs="*", default=[100_000, 1_000_000], help="of history")
    chosen = options.parse_args()
    parts = chosen.parts or PARTS
    if set(parts) - set(PARTS):
        options.error(f"parts are {', '.join(PARTS)}")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}")
    if "cold" in parts:
        cold(chosen.megabytes, chosen.times)
    if "live" in parts:
        live(chosen.files, chosen.seconds, chosen.megabytes)
    if "refresh" in parts:
        refresh(chosen.events)
    if "health" in parts:
        asked(20)
    if "pages" in parts:
        pages(max(chosen.events), chosen.times)


if __name__ == "__main__":
    main()
