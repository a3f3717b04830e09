"""Places for tables that answer one question: nobody takes another's away."""

from concurrent.futures import ThreadPoolExecutor

from daemon.scratch import scratch
from tests.daemon.conftest import Host

_ASKERS = 6
_QUESTIONS = 60


def _asked(host: Host) -> None:
    for _ in range(_QUESTIONS):
        with scratch(host.state) as place:
            (place.root / "tables").touch(exist_ok=False)
            assert place.temporary.is_dir()


def test_questions_of_one_instant_have_a_place_each(host: Host) -> None:
    """
    Each sweeps what killed ones left, and none what another one is just making; nothing is left.
    """
    with ThreadPoolExecutor(_ASKERS) as askers:
        for each in [askers.submit(_asked, host) for _ in range(_ASKERS)]:
            each.result()

    assert [] == list(host.state.temporary.iterdir())
