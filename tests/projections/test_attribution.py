"""To which repository a call belongs: by evidence, or to none; never by a guess."""

from typing import Any

import pytest

from tests.projections.ledger import call, checkout, message, register, tokens, unequal

ROOT, OTHER_ROOT = "a" * 40, "b" * 40
APP, FORK = "github.com/acme/app", "github.com/me/app"


def seen(cwd: str, remote: str | None = APP, root: str | None = ROOT, at: float = 0, **facts: Any) -> bytes:
    """Return a look at a checkout with one remote and a root commit."""
    remotes = {} if remote is None else {"origin": remote}
    return checkout(cwd, at, **{"remotes": remotes, "root_commit": root} | facts)


# -- the rungs -------------------------------------------------------------------------------------------------------


def test_root_commit_and_remote_together_are_the_first_rung(ledger) -> None:
    """
    Both are the registered repository's.
    """
    ledger.write([register("app", remotes=[APP], root_commits=[ROOT]), seen("/w/app"), call("m", cwd="/w/app")])

    assert {"m": ("app", "root_and_remote")} == ledger.repos()


def test_a_shallow_clone_has_no_root_and_is_known_by_its_remote(ledger) -> None:
    """
    What is cut off cannot agree; the remote alone answers, a rung lower.
    """
    register_both = register("app", remotes=[APP], root_commits=[ROOT])
    ledger.write([register_both, seen("/w/app", root=None, is_shallow=True), call("m", cwd="/w/app")])

    assert {"m": ("app", "remote")} == ledger.repos()


def test_a_fork_is_another_repository_though_it_shares_the_root(ledger) -> None:
    """
    The fork is not taken for what it was forked from, whether it is registered or not.
    """
    ledger.write(
        [
            register("app", remotes=[APP], root_commits=[ROOT]),
            seen("/w/fork", remote=FORK),
            call("m", cwd="/w/fork"),
        ]
    )
    assert {"m": (FORK, "root_and_remote")} == ledger.repos()

    ledger.write([register("mine", remotes=[FORK], root_commits=[ROOT])])
    assert {"m": ("mine", "root_and_remote")} == ledger.repos()


def test_a_stated_remote_needs_no_checkout(ledger) -> None:
    """
    A log that names its remote is attributed though its directory was never seen here, and in any spelling of the host.
    """
    ledger.write([register("app", remotes=[APP]), call("m", cwd="/far/away", git_remote="github.com/Acme/App")])

    assert {"m": ("app", "remote")} == ledger.repos()


def test_a_remote_beats_a_path_though_nobody_registered_it(ledger) -> None:
    """
    In a registered directory, a call that states another remote is the other's; and so is a checkout with one.
    """
    ledger.write(
        [
            register("w", paths=["/w", "/w/fork"]),
            seen("/w/fork", remote=FORK),
            call("m", cwd="/w/gone", git_remote=APP),
            call("n", cwd="/w/fork", at=1),
        ]
    )

    assert {"m": (APP, "remote"), "n": (FORK, "root_and_remote")} == ledger.repos()


def test_a_branch_without_common_history_is_still_of_its_repository(ledger) -> None:
    """
    A worktree of an orphan branch has another first commit, and the same git directory.
    """
    shared: dict[str, Any] = {"git_path": "/w/app/.git", "main_path": "/w/app"}
    ledger.write(
        [
            register("app", remotes=[APP], root_commits=[ROOT]),
            seen("/w/app", **shared),
            seen("/w/pages", root=OTHER_ROOT, checkout_kind="worktree", **shared),
            call("m", cwd="/w/pages"),
        ]
    )

    assert {"m": ("app", "root_and_remote")} == ledger.repos()


def test_what_is_registered_under_an_ambiguous_name_is_nobodys(ledger) -> None:
    """
    It is not named by its remote instead.
    """
    registered = [register(name, remotes=[f"github.com/o/{name}"]) for name in ("c", "d", "f")]
    aliases = [register("c", aliases=["d"]), register("f", aliases=["d"])]
    ledger.write([*registered, *aliases, call("m", git_remote="github.com/o/d")])

    assert {"m": (None, "several_repos")} == ledger.repos()


def test_a_stated_remote_beats_what_the_directory_is_now(ledger) -> None:
    """
    The directory was another clone when the call was made: what was seen later does not answer for it.
    """
    ledger.write([seen("/w/app", remote=FORK), call("m", cwd="/w/app", git_remote=APP), call("n", cwd="/w/app")])

    assert {"m": (APP, "remote"), "n": (FORK, "root_and_remote")} == ledger.repos()


def test_a_registered_path_is_the_last_rung(ledger) -> None:
    """
    A directory without checkout, and a checkout without remote, belong to the nearest registered path.
    """
    ledger.write(
        [
            register("all", paths=["/w"]),
            register("app", paths=["/w/app/"], root_commits=[ROOT]),
            checkout("/w/app/src", state="none", top_path=None, main_path=None),
            seen("/w/plain", remote=None, root=None),
            register("plain", paths=["/w/plain"]),
            call("m", cwd="/w/app/src"),
            call("n", cwd="/w/plain", at=1),
            call("never_seen", cwd="/w/other", at=2),
            call("beside", cwd="/wood", at=3),
        ]
    )

    assert {
        "m": ("app", "path"),
        "n": ("plain", "path"),
        "never_seen": ("all", "path"),
        "beside": (None, "not_seen"),
    } == ledger.repos()


def test_a_remote_that_nobody_registered_names_its_repository(ledger) -> None:
    """
    Nothing has to be registered; two checkouts of one remote are one repository, in any spelling.
    """
    ledger.write(
        [
            seen("/w/one"),
            seen("/w/two", remote="github.com/Acme/App"),
            call("m", cwd="/w/one"),
            call("n", cwd="/w/two", at=1),
        ]
    )

    assert {"m": (APP, "root_and_remote"), "n": (APP, "root_and_remote")} == ledger.repos()


def test_what_was_reported_with_a_repository_is_its(ledger) -> None:
    """
    A report may name the repository, by any of its names; a log's own line is not asked for it.
    """
    ledger.write([register("app", remotes=[APP], aliases=["old"]), tokens(repo="old"), tokens(source_id="n", repo="x")])

    assert {"anthropic:msg_p": ("app", "stated"), "anthropic:n": ("x", "stated")} == ledger.repos()


# -- none, and why ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "gap"),
    [
        ([call("m")], "no_directory"),
        ([call("m", cwd="/w")], "not_seen"),
        ([call("m", cwd="/w"), checkout("/w", state="unreadable")], "not_seen"),
        ([call("m", cwd="/w"), checkout("/w", state="none")], "no_checkout"),
        ([call("m", cwd="/w"), seen("/w", remote=None)], "no_remote"),
        ([call("m", cwd="/w"), seen("/w", remote="hash:" + "0" * 32)], "no_remote"),
        ([call("m", cwd="/w"), checkout("/w", remotes={"a": APP, "b": FORK})], "several_remotes"),
        (
            [call("m", cwd="/w"), seen("/w"), register("a", remotes=[APP]), register("b", remotes=[APP])],
            "several_repos",
        ),
        ([call("m", cwd="/w/x"), register("a", paths=["/w"]), register("b", paths=["/w"])], "several_repos"),
        (
            [call("m", cwd="/w"), seen("/w", root=OTHER_ROOT), register("a", remotes=[APP], root_commits=[ROOT])],
            "roots_disagree",
        ),
        ([tokens(repo="x"), register("a", aliases=["x"]), register("b", aliases=["x"])], "several_repos"),
    ],
)
def test_what_is_missing_or_ambiguous_is_none_and_says_why(ledger, events, gap) -> None:
    """
    No repository is ever guessed, and each reason has a word.
    """
    ledger.write(events)

    assert [(None, gap)] == list(ledger.repos().values())
    assert [(gap, 1)] == ledger.rows("SELECT repo_gap, calls FROM unattributed")


def test_of_two_with_one_remote_the_root_commit_decides(ledger) -> None:
    """
    Two registered repositories claim a remote; only one has the checkout's first commit.
    """
    ledger.write(
        [
            register("new", remotes=[APP], root_commits=[ROOT]),
            register("old", remotes=[APP], root_commits=[OTHER_ROOT]),
            seen("/w/app"),
            call("m", cwd="/w/app"),
        ]
    )

    assert {"m": ("new", "root_and_remote")} == ledger.repos()


def test_a_checkout_with_several_remotes_is_known_by_origin(ledger) -> None:
    """
    `origin` is the repository's own; without it, several names of one remote are one.
    """
    ledger.write(
        [
            checkout("/w/fork", remotes={"origin": FORK, "upstream": APP}),
            checkout("/w/same", remotes={"a": APP, "b": APP}),
            call("m", cwd="/w/fork"),
            call("n", cwd="/w/same", at=1),
        ]
    )

    assert {"m": (FORK, "remote"), "n": (APP, "remote")} == ledger.repos()


# -- checkouts in all their shapes -----------------------------------------------------------------------------------


def test_a_worktree_belongs_to_the_path_of_its_main_tree(ledger) -> None:
    """
    Wherever it lies; and a subdirectory of it.
    """
    ledger.write(
        [
            register("app", paths=["/w/app"]),
            seen("/trees/one", remote=None, checkout_kind="worktree", main_path="/w/app"),
            seen("/trees/one/src", remote=None, checkout_kind="worktree", top_path="/trees/one", main_path="/w/app"),
            call("m", cwd="/trees/one"),
            call("n", cwd="/trees/one/src", at=1),
        ]
    )

    assert {"m": ("app", "path"), "n": ("app", "path")} == ledger.repos()


def test_a_repository_inside_another_ones_directory_is_not_taken_for_it(ledger) -> None:
    """
    A submodule has its own remote; a nested checkout without one belongs to nobody, not to what lies around it.
    """
    ledger.write(
        [
            register("app", paths=["/w/app"]),
            seen("/w/app/lib", remote=FORK, checkout_kind="submodule", main_path="/w/app/lib"),
            seen("/w/app/vendor", remote=None, main_path="/w/app/vendor"),
            call("m", cwd="/w/app/lib"),
            call("n", cwd="/w/app/vendor", at=1),
        ]
    )

    assert {"m": (FORK, "root_and_remote"), "n": (None, "no_remote")} == ledger.repos()


def test_a_part_of_a_checkout_may_be_registered_by_itself(ledger) -> None:
    """
    Of a repository with several packages, those under a registered path are its.
    """
    ledger.write(
        [
            register("web", paths=["/w/mono/web"]),
            seen("/w/mono/web/src", remote=None, top_path="/w/mono", main_path="/w/mono"),
            seen("/w/mono/api", remote=None, top_path="/w/mono", main_path="/w/mono"),
            call("m", cwd="/w/mono/web/src"),
            call("n", cwd="/w/mono/api", at=1),
        ]
    )

    assert {"m": ("web", "path"), "n": (None, "no_remote")} == ledger.repos()


def test_a_deleted_checkout_stays_what_it_was(ledger) -> None:
    """
    It was recorded when it was seen; that it is gone changes nothing of what was used in it.
    """
    ledger.write([seen("/w/app"), call("m", cwd="/w/app"), checkout("/w/app", at=60, state="gone", top_path=None)])

    assert {"m": (APP, "root_and_remote")} == ledger.repos()


def test_a_directory_is_what_it_was_at_the_time_of_the_call(ledger) -> None:
    """
    One directory, two repositories after each other: the calls are split by time, whenever they were read.
    """
    before, after = call("m", at=5, cwd="/w/app"), call("n", at=15, cwd="/w/app")
    untimed = call("t", at=None, cwd="/w/app")
    ledger.write([checkout("/w/app", at=10, remotes={"origin": FORK}), after, before, untimed])
    ledger.write([checkout("/w/app", at=0, remotes={"origin": APP})])

    assert {"m": (APP, "remote"), "n": (FORK, "remote"), "t": (APP, "remote")} == ledger.repos()


def test_a_session_that_changes_its_directory_is_split_call_by_call(ledger) -> None:
    """
    Each line has its own directory.
    """
    ledger.write(
        [seen("/w/app"), seen("/w/fork", remote=FORK), call("m", cwd="/w/app"), call("n", at=1, cwd="/w/fork")]
    )

    assert [(APP, "s", 60), (FORK, "s", 60)] == ledger.rows(
        "SELECT repo, session_id, total_tokens FROM usage_attributed ORDER BY repo"
    )


def test_how_far_an_attribution_can_be_trusted_is_said(ledger) -> None:
    """
    High where two agree, medium by remote, low by path and where the directory was first looked at much later.
    """
    ledger.write(
        [
            register("docs", paths=["/w/docs"]),
            seen("/w/app"),
            seen("/w/late", at=5000),
            call("two", cwd="/w/app"),
            call("one", git_remote=APP, at=1),
            call("path", cwd="/w/docs", at=2),
            call("late", cwd="/w/late", at=3),
            tokens(repo="docs"),
        ]
    )

    assert {"two": "high", "one": "medium", "path": "low", "late": "low", "anthropic:msg_p": "high"} == dict(
        ledger.rows("SELECT source_id, repo_confidence FROM usage_attributed")
    )


# -- names -----------------------------------------------------------------------------------------------------------


def test_one_checkout_under_several_names_is_one_repository_once_one_is_an_alias(ledger) -> None:
    """
    Until then it is ambiguous; a chain of aliases leads to its end, a ring to its least name.
    """
    both = [register("hub", remotes=[APP]), register("state-hub", remotes=[APP]), call("m", git_remote=APP)]
    ledger.write(both)
    assert {"m": (None, "several_repos")} == ledger.repos()

    ledger.write([register("hub", aliases=["state-hub"])])
    assert {"m": ("hub", "remote")} == ledger.repos()

    ledger.write([register("custodian", aliases=["hub"])])
    assert {"m": ("custodian", "remote")} == ledger.repos()

    ledger.write([register("state-hub", aliases=["custodian"])])
    assert {"m": ("custodian", "remote")} == ledger.repos()


def test_a_renamed_repository_keeps_its_usage(ledger) -> None:
    """
    The old remote is one more remote of it, or one more name.
    """
    ledger.write([call("m", git_remote="github.com/acme/old"), call("n", at=1, git_remote=APP)])
    ledger.write([register(APP, aliases=["github.com/acme/old"])])

    assert {"m": (APP, "remote"), "n": (APP, "remote")} == ledger.repos()


def test_a_registration_can_be_withdrawn_and_several_add_up(ledger) -> None:
    """
    Each message is a part of what is known of a repository.
    """
    first = {"repo": "app", "remotes": [APP]}
    ledger.write(
        [
            message("repo", first, "repo:app:1", 1),
            register("app", paths=["/w/app"]),
            call("m", git_remote=APP),
            call("n", at=1, cwd="/w/app"),
        ]
    )
    assert {"m": ("app", "remote"), "n": ("app", "path")} == ledger.repos()

    ledger.write([message("repo", first | {"is_withdrawn": True}, "repo:app:1", 2)])
    assert {"m": (APP, "remote"), "n": ("app", "path")} == ledger.repos()


def test_every_repository_is_listed_with_what_was_used_in_it(ledger) -> None:
    """
    Registered or only seen, with its facts, checkouts and tokens.
    """
    ledger.write(
        [
            register("app", remotes=[APP], aliases=["old"]),
            register("idle", paths=["/w/idle"]),
            seen("/w/app"),
            seen("/w/fork", remote=FORK),
            call("m", cwd="/w/app"),
            call("n", at=1, cwd="/w/fork"),
        ]
    )

    assert [
        ("app", True, [APP], ["old"], ["/w/app"], 1, 60),
        (FORK, False, [FORK], [], ["/w/fork"], 1, 60),
        ("idle", True, [], [], [], 0, None),
    ] == ledger.rows(
        "SELECT repo, is_registered, remotes, aliases, top_paths, calls, total_tokens FROM repos ORDER BY repo"
    )
    assert [] == unequal(ledger)
