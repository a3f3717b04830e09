"""
What an operator reads when something went wrong.
"""

import pytest

from state import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TallystickError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_message_is_the_docstring_with_the_facts_behind_it(kind):
    """
    Every kind says what happened and what to do next, on one line, and where.
    """
    message = str(kind(path="/state/log", seq=7))

    assert message.endswith(". (path=/state/log, seq=7)")
    assert "\n" not in message
    assert message.count(". ") >= 2 or ": " in message or ";" in message


def test_integrity_has_an_exit_code_of_its_own():
    """
    4 tells the service manager not to restart: a damaged log is no crash loop.
    """
    codes = {kind.__name__: kind.exit_code for kind in KINDS}

    assert {"LogBroken", "LogCut"} == {name for name, code in codes.items() if code == 4}
    assert {3, 4} == set(codes.values())


def test_message_of_a_new_kind_ends_with_its_first_paragraph():
    """
    What stands below the first paragraph is for developers.
    """

    class Odd(errors.TallystickError):
        """
        It broke, mend
        it.

        Only developers read this.
        """

    assert str(Odd()) == "It broke, mend it."
