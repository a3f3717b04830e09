"""Statements as they are handed to the database, and the views that they bring."""

import re

import pytest

from projections.catalog import Relation, relations
from tests.projections.ledger import Ledger, call, declare, moment, report, tokens

COMPUTED = {each.name for each in relations() if each.refresh in ("view", "part")}
WHOLE = [each for each in relations() if each.brings_its_views]
_CTE = re.compile(r"(\w+) AS (?:MATERIALIZED )?\(")
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")

EVENTS = (
    call("a", at=1),
    call("b", at=2),
    declare("T-1", session_id="s", since=moment(2), permille=300, workstream_id="W"),
    report("T-9", "completed", at=90, origin="operator", estimated_output_tokens=50),
    tokens("a", 1, source_id="grows", session_id="grown", input_tokens=10),
    tokens("a", 2, source_id="grows", session_id="grown", input_tokens=20),
    tokens(measurement="estimated", source_class="legacy_post", source_id="old", session_id="other"),
)


@pytest.mark.parametrize(
    "relation", [each for each in relations() if each.name in COMPUTED], ids=lambda each: each.name
)
def test_a_header_names_the_views_that_its_statement_reads(relation: Relation) -> None:
    """
    A view that its header does not name would be bound where it is read, and so would all that it is made of.
    """
    own = set(_CTE.findall(relation.sql))
    read = set(_READ.findall(re.sub(r"--.*", "", relation.sql))) - own

    assert read & COMPUTED <= relation.sources
    assert relation.sources & COMPUTED <= read | own


def test_what_a_view_brings_stands_in_it_once() -> None:
    """
    The views of which most is read bring each of their views once, themselves last.
    """
    assert {"usage_parts", "usage_superseded", "findings"} <= {each.name for each in WHOLE}
    for each in WHOLE:
        assert 1 == each.statement.count(f"{each.name} AS ({each.sql})")
        assert each.statement.endswith(f") FROM {each.name}")
        assert all(
            1 == each.statement.count(f" {one.name} AS ({one.sql})")
            for one in relations()
            if one.name in each.sources & COMPUTED
        )


def test_a_view_says_the_same_whether_it_brings_its_views_or_asks_for_them(ledger: Ledger) -> None:
    """
    What is planned once and what is planned wherever it is read comes to the same rows; so does what is stored as text.
    """

    def counted(query: str) -> tuple[int, object]:
        return ledger.rows(f"SELECT count(*), sum(hash(row_)) FROM ({query}) AS row_")[0]  # noqa: S608 - statements of ours

    ledger.write(EVENTS)
    plain = [each for each in WHOLE if each.name != "findings"]  # its parts are nothing that could be asked for

    found = {each.name: counted(each.statement) for each in plain}

    assert {each.name: counted(f"FROM {each.name}") for each in plain} == found
    assert {each.name: counted(each.sql) for each in plain} == found
    assert {"estimates", "fallbacks", "tasks", "usage_estimated", "usage_parts"} <= {
        name for name, (count, _) in found.items() if count
    }
