"""For each fault the one change of the product that takes its protection away."""

import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.matrix import HERE

#: The checkout.
TOP: Final = HERE.parents[1]


class Mutation(NamedTuple):
    """
    A fault's protection, taken away: *before* stands exactly once in *file*, and *after* comes in its place.
    """

    fault: str
    file: str
    before: str
    after: str

    def apply(self, checkout: Path) -> None:
        """
        Change the file below *checkout*.

        Raises:
            ValueError: What is to be changed does not stand there, or more than once.
        """
        path = checkout / self.file
        above, found, below = path.read_text("utf-8").partition(self.before)
        if not found or self.before in below:
            raise ValueError(f"{self.file} is not what the mutation of {self.fault} was recorded for")
        path.write_text(above + self.after + below, "utf-8")


def recorded() -> list[Mutation]:
    """
    Read all mutations; each file of the folder is about one area, each table in it is named for its fault.
    """
    return [
        Mutation(fault, each["file"], each["before"], each["after"])
        for path in sorted((HERE / "mutations").glob("*.toml"))
        for fault, tables in tomllib.loads(path.read_text("utf-8")).items()
        for each in tables
    ]
