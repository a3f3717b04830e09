"""
Every fault has a test, and something in the product that the test would miss.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.matrix import FAULTS, OPEN_IN_SOURCES, OPEN_IN_STATE, files_of_tests
from tests.faults.mutations import TOP, Mutation, recorded


def test_each_fault_has_a_test_and_a_mutation():
    """
    What is still open is said, and nothing else is.
    """
    proven = files_of_tests().keys() & {mutation.fault for mutation in recorded()}

    open_ = {fault.number for fault in FAULTS if fault.name not in proven}

    assert OPEN_IN_STATE | OPEN_IN_SOURCES == open_


def test_numbers_and_names_are_unique():
    """
    A number of the matrix is a name, and a name is a test.
    """
    names = Counter(fault.name for fault in FAULTS)

    assert list(range(1, 73)) == [fault.number for fault in FAULTS]
    assert [] == [name for name, count in names.items() if count > 1]


def test_each_mutation_is_of_a_fault():
    """
    A misspelt name would leave a fault without its proof.
    """
    assert set() == {mutation.fault for mutation in recorded()} - {fault.name for fault in FAULTS}


@pytest.mark.parametrize("mutation", [pytest.param(each, id=f"{each.fault}-{each.file}") for each in recorded()])
def test_each_mutation_still_fits_the_product(mutation: Mutation, tmp_path: Path):
    """
    What it changes stands there, and once: a record of what the product no longer is would prove nothing.
    """
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True, exist_ok=True)
    whole = (TOP / mutation.file).read_bytes()
    copy.write_bytes(whole)

    mutation.apply(tmp_path)

    assert whole != copy.read_bytes()
