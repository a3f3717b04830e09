"""What is said of a directory is what git says of it, whatever kind of checkout it is in and whoever made it."""

import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.decode import digest
from daemon.checkout import look
from daemon.git_files import ConfigDamaged, config_entries
from daemon.history import Histories
from state.evidence import CheckoutFacts
from tests.daemon.live import needs
from tests.daemon.repositories import commit, git, repository

NEW = "git@github.com:owner/name.git"


def facts(place: Path | str) -> CheckoutFacts:
    looked = look(str(place), Histories())
    assert looked is not None
    return looked.facts


def root_by_git(place: Path) -> str:
    return git(place, "rev-list", "--first-parent", "HEAD").splitlines()[-1]


# -- kinds of checkouts --------------------------------------------------------------------------------------------


def test_a_plain_checkout_is_told_whole(tmp_path: Path) -> None:
    """
    From any directory in it: top, branch, head, first commit and remotes, as git has them.
    """
    top = repository(tmp_path / "repo", commits=3)
    git(top, "remote", "add", "origin", NEW)
    inner = top / "src" / "deep"
    inner.mkdir(parents=True)

    found = facts(inner)

    assert found == CheckoutFacts(
        cwd=str(inner),
        state="present",
        checkout_kind="main",
        top_path=git(inner, "rev-parse", "--show-toplevel"),
        main_path=str(top),
        git_path=str(top / ".git"),
        root_commit=root_by_git(top),
        head_commit=git(top, "rev-parse", "HEAD"),
        git_branch="main",
        is_shallow=False,
        is_foreign=False,
        remotes={"origin": "github.com/owner/name"},
    )


def test_a_directory_without_repository_is_none_and_one_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    """
    Nothing is said of a directory that never was seen; a file in its place is no directory.
    """
    (tmp_path / "file").touch()

    assert CheckoutFacts(cwd=str(tmp_path), state="none") == facts(tmp_path)
    assert [None] * 3 == [look(str(tmp_path / name), Histories()) for name in ("nothing", "file", "file/below")]
    assert look("/nul\0byte", Histories()) is None
    assert look("/" + "x" * 5000, Histories()) is None


def test_a_worktree_shares_the_repository_and_has_its_own_top_and_branch(tmp_path: Path) -> None:
    top = repository(tmp_path / "repo", commits=2)
    git(top, "remote", "add", "origin", NEW)
    git(top, "worktree", "add", "--quiet", "-b", "fix/one", str(tmp_path / "tree"))
    commit(tmp_path / "tree", "in the worktree")

    main, tree = facts(top), facts(tmp_path / "tree")

    assert ("worktree", str(tmp_path / "tree"), str(top)) == (tree.checkout_kind, tree.top_path, tree.main_path)
    assert (main.git_path, main.root_commit, main.remotes) == (tree.git_path, tree.root_commit, tree.remotes)
    assert ("main", "fix/one") == (main.git_branch, tree.git_branch)
    assert git(tmp_path / "tree", "rev-parse", "HEAD") == tree.head_commit != main.head_commit


def test_a_worktree_of_a_bare_repository_has_no_main_one(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    git(tmp_path, "clone", "--quiet", "--bare", str(source), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", str(tmp_path / "tree"), "main")

    bare, tree = facts(tmp_path / "bare.git"), facts(tmp_path / "tree")

    assert ("bare", None, None) == (bare.checkout_kind, bare.top_path, bare.main_path)
    assert ("worktree", None) == (tree.checkout_kind, tree.main_path)
    assert root_by_git(source) == bare.root_commit == tree.root_commit


def test_a_submodule_is_a_repository_of_its_own(tmp_path: Path) -> None:
    """
    It has another root and other remotes than the one around it, and so has a submodule within it, and its worktree.
    """
    library = repository(tmp_path / "library")
    app = repository(tmp_path / "app", commits=2)
    git(app, "submodule", "--quiet", "add", str(library), "vendor/library")
    git(app / "vendor/library", "remote", "set-url", "origin", "https://host.example/library.git")
    git(app / "vendor/library", "worktree", "add", "--quiet", str(tmp_path / "tree"))

    outer, inner, tree = facts(app), facts(app / "vendor/library"), facts(tmp_path / "tree")

    assert ("main", "submodule", "worktree") == (outer.checkout_kind, inner.checkout_kind, tree.checkout_kind)
    assert str(app / "vendor/library") == inner.top_path == inner.main_path == tree.main_path
    assert root_by_git(library) == inner.root_commit != outer.root_commit
    assert {"origin": "host.example/library"} == inner.remotes
    assert {} == outer.remotes


def test_a_git_directory_elsewhere_is_no_submodule(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    repository(tmp_path / "repo", "--separate-git-dir", str(tmp_path / "modules" / "repo.git"))

    found = facts(tmp_path / "repo")

    assert ("main", str(tmp_path / "repo")) == (found.checkout_kind, found.main_path)
    assert str(tmp_path / "modules" / "repo.git") == found.git_path


def test_a_repository_within_another_is_the_one_that_counts(tmp_path: Path) -> None:
    outer = repository(tmp_path / "outer")
    inner = repository(outer / "inner", commits=2)
    commit(outer, "another")

    assert str(inner) == facts(inner).top_path
    assert root_by_git(inner) == facts(inner).root_commit


def test_a_clone_and_a_fork_share_the_root_and_differ_in_remotes(tmp_path: Path) -> None:
    source = repository(tmp_path / "source", commits=3)
    git(tmp_path, "clone", "--quiet", str(source), "clone")
    git(tmp_path / "clone", "remote", "set-url", "origin", "https://github.com/fork/name")
    git(tmp_path / "clone", "remote", "add", "upstream", NEW)

    found = facts(tmp_path / "clone")

    assert root_by_git(source) == found.root_commit
    assert {"origin": "github.com/fork/name", "upstream": "github.com/owner/name"} == found.remotes


def test_a_shallow_clone_has_no_root(tmp_path: Path) -> None:
    """
    Its oldest commit is none that anybody else takes for the first.
    """
    source = repository(tmp_path / "source", commits=5)
    git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{source}", "shallow")

    shallow = facts(tmp_path / "shallow")
    git(tmp_path / "shallow", "fetch", "--quiet", "--unshallow")

    assert (True, None) == (shallow.is_shallow, shallow.root_commit)
    assert shallow.head_commit is not None
    assert (False, root_by_git(source)) == (
        facts(tmp_path / "shallow").is_shallow,
        facts(tmp_path / "shallow").root_commit,
    )


def test_an_unborn_branch_has_a_name_and_no_commit(tmp_path: Path) -> None:
    found = facts(repository(tmp_path, commits=0))

    assert ("main", None, None) == (found.git_branch, found.head_commit, found.root_commit)


def test_a_detached_head_has_a_commit_and_no_branch(tmp_path: Path) -> None:
    top = repository(tmp_path, commits=3)
    git(top, "checkout", "--quiet", "--detach", "HEAD~1")

    found = facts(top)

    assert (None, git(top, "rev-parse", "HEAD")) == (found.git_branch, found.head_commit)
    assert root_by_git(top) == found.root_commit


def test_packed_references_and_objects_are_read(tmp_path: Path) -> None:
    """
    After `git gc` nothing has a file of its own any more; a commit on top of it has.
    """
    top = repository(tmp_path, commits=4)
    before = facts(top)
    git(top, "gc", "--quiet")
    assert not list((top / ".git/refs/heads").iterdir())

    packed = facts(top)
    head = commit(top, "on top")

    assert before == packed
    assert (head, before.root_commit) == (facts(top).head_commit, facts(top).root_commit)


def test_borrowed_objects_are_read(tmp_path: Path) -> None:
    """
    `git clone --shared` copies nothing; the first commit stands in the other repository, or in the one behind it.
    """
    source = repository(tmp_path / "source", commits=2)
    git(tmp_path, "clone", "--quiet", "--shared", str(source), "one")
    commit(tmp_path / "one", "own")
    git(tmp_path, "clone", "--quiet", "--shared", str(tmp_path / "one"), "two")

    assert root_by_git(source) == facts(tmp_path / "two").root_commit


def test_a_repository_of_sha256_is_read(tmp_path: Path) -> None:
    top = repository(tmp_path, "--object-format", "sha256", commits=3)
    loose = facts(top)
    git(top, "gc", "--quiet")

    assert 64 == len(loose.root_commit or "")
    assert root_by_git(top) == loose.root_commit == facts(top).root_commit


def test_references_that_stand_elsewhere_are_not_made_up(tmp_path: Path) -> None:
    """
    In a reftable; HEAD is then there for older programs only. All else is told.
    """
    top = repository(tmp_path)
    git(top, "remote", "add", "origin", NEW)
    with (top / ".git/config").open("a") as file:
        file.write("[extensions]\n\trefStorage = reftable\n")
    (top / ".git/HEAD").write_text("ref: refs/heads/.invalid\n")

    found = facts(top)

    assert (None, None, None) == (found.git_branch, found.head_commit, found.root_commit)
    assert ("present", {"origin": "github.com/owner/name"}) == (found.state, found.remotes)


def test_a_link_to_a_checkout_is_the_checkout(tmp_path: Path) -> None:
    """
    The directory is stated as the logs name it, all else by its real place.
    """
    top = repository(tmp_path / "repo")
    (tmp_path / "link").symlink_to(top)

    found = facts(tmp_path / "link")

    assert (str(tmp_path / "link"), str(top)) == (found.cwd, found.top_path)


def test_a_renamed_checkout_is_the_same_repository(tmp_path: Path) -> None:
    top = repository(tmp_path / "before")
    before = facts(top)
    top.rename(tmp_path / "after")

    after = facts(tmp_path / "after")

    assert look(str(top), Histories()) is None
    assert (before.root_commit, before.head_commit) == (after.root_commit, after.head_commit)


def test_a_checkout_whose_main_one_was_deleted_is_none(tmp_path: Path) -> None:
    """
    Git does not look for another repository further up; neither do we.
    """
    outer = repository(tmp_path / "outer")
    top = repository(tmp_path / "repo")
    git(top, "worktree", "add", "--quiet", str(outer / "tree"))
    shutil.rmtree(top)

    assert "none" == facts(outer / "tree").state


def test_a_path_that_is_no_text_is_a_hash(tmp_path: Path) -> None:
    top = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    repository(top)

    found = facts(top)

    assert found.top_path == found.cwd == f"hash:{digest(str(top))}"
    assert root_by_git(top) == found.root_commit


# -- whose it is ---------------------------------------------------------------------------------------------------


def as_another(script: str, *arguments: object) -> str:
    """Run Python as another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    needs("setpriv")
    command = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


LOOK = """
import sys
from daemon.checkout import look
from daemon.history import Histories
facts = look(sys.argv[1], Histories()).facts
print(facts.state, facts.is_foreign, facts.root_commit)
"""


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that other users can enter."""
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_uid == os.geteuid() and place not in (Path("/"), Path("/tmp")):  # noqa: S108 - not ours
            place.chmod(place.stat().st_mode | 0o055)
    return tmp_path


def test_somebody_elses_repository_is_read_and_told_so(open_path: Path) -> None:
    """
    Git refuses it (`safe.directory`), for it would obey its configuration; here nothing of it is obeyed.
    """
    top = repository(open_path / "repo", commits=2)

    assert f"present True {root_by_git(top)}" == as_another(LOOK, top)


LOOK_TWICE = """
import json, sys
from datetime import UTC, datetime
from daemon.checkouts import Checkouts
checkouts = Checkouts(lambda: datetime.now(UTC))
for place in (sys.argv[1], sys.argv[1]):
    try:
        print(*(json.loads(event)["k"] for event in checkouts.look(place)))
    except OSError:
        print("no answer")
"""


def test_a_checkout_is_recorded_though_the_log_of_its_head_may_not_be_read(open_path: Path) -> None:
    """
    Which commits were made in it is then not known; what it is, is.
    """
    top = repository(open_path / "repo", commits=2)
    (top / ".git/logs/HEAD").chmod(0)

    assert "checkout" == as_another(LOOK_TWICE, top)


def test_a_repository_that_may_not_be_read_is_unreadable(open_path: Path) -> None:
    """
    Whether the directory itself is closed, or only its `.git`.
    """
    closed = repository(open_path / "closed")
    (open_path / "outer").mkdir()
    hidden = repository(open_path / "outer" / "hidden")
    (closed / ".git").chmod(0o700)
    (open_path / "outer").chmod(0o700)

    assert ["unreadable None None"] * 2 == [as_another(LOOK, place) for place in (closed, hidden)]


# -- what was made to harm -----------------------------------------------------------------------------------------


def fifo(place: Path) -> None:
    place.unlink(missing_ok=True)
    os.mkfifo(place)


def huge(place: Path) -> None:
    with place.open("ab") as file:
        file.truncate(1 << 40)


def device(place: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to("/dev/zero")


def loop(place: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(place.name)


NAMES = ("HEAD", "config", "packed-refs", "shallow", "commondir", "refs/heads/main", "objects/info/alternates")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", [fifo, huge, device, loop], ids=lambda harm: harm.__name__)
def test_what_never_ends_in_the_place_of_a_file_is_passed_over(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    """
    A pipe that nobody writes to, a file of a terabyte, a device, a link to itself: the look ends, and says what is
    left to be known.
    """
    top = repository(tmp_path / "repo")
    commit(top, "one more")
    harm(top / ".git" / name)

    looked: list[object] = []
    thread = threading.Thread(target=lambda: looked.append(look(str(top), Histories())), daemon=True)
    thread.start()
    thread.join(30)

    assert looked, "it hangs"


PIECES = (
    b"\0",
    b"\n",
    b" ",
    b"ref: ",
    b"refs/heads/main",
    b"gitdir: ",
    b"..",
    b"/",
    b"[core]",
    b"worktree=",
    b"\xff",
    b"x" * 300,
)


@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 60))])
def test_whatever_stands_in_its_files_a_checkout_is_looked_at(tmp_path: Path, seed: int) -> None:
    """
    No file of a repository makes a look fail: what it says is something, or nothing.
    """
    rng = random.Random(seed)
    top = repository(tmp_path / "repo")
    git(top, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    places = [top / ".git" / name for name in NAMES] + [
        tmp_path / "tree/.git",
        *((top / ".git/worktrees/tree" / name) for name in ("HEAD", "commondir", "gitdir")),
    ]
    for place in rng.sample(places, 3):
        place.parent.mkdir(exist_ok=True, parents=True)
        before = place.read_bytes() if place.exists() else b""
        harm = b"".join(rng.choices(PIECES, k=rng.randrange(6)) * rng.choice((1, 1, 1, 400)))
        place.write_bytes(rng.choice((b"", before, before)) + harm)

    for cwd in (top, tmp_path / "tree"):
        assert facts(cwd).state in ("present", "none")


def test_an_index_without_its_pack_is_passed_over(tmp_path: Path) -> None:
    """
    An interrupted `git gc` leaves one; the objects are elsewhere.
    """
    top = repository(tmp_path / "repo", commits=3)
    root = root_by_git(top)
    git(top, "repack", "-q")
    (pack,) = (top / ".git/objects/pack").glob("*.pack")
    pack.unlink()

    assert root == facts(top).root_commit


def test_what_vanishes_under_our_eyes_is_not_gone(tmp_path: Path) -> None:
    """
    Whatever is deleted of a repository, the directory is still there.
    """
    for name in ("HEAD", "objects", "refs", "config"):
        top = repository(tmp_path / name)
        place = top / ".git" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()

        assert ("present" if name == "config" else "none") == facts(top).state


def test_a_pipe_for_git_is_no_repository(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".git")

    assert "none" == facts(tmp_path).state


@pytest.mark.parametrize(
    "text", ["gitdir: .git", "gitdir: a", "gitdir:", "gitdir: a\0b", "gitdir: /dev/zero", "", "x" * 100_000]
)
def test_a_git_file_that_leads_nowhere_is_no_repository(tmp_path: Path, text: str) -> None:
    """
    To itself, in a circle, to nothing, to a device, or no such file at all.
    """
    (tmp_path / "a").write_text("gitdir: .git")
    (tmp_path / ".git").write_text(text)

    assert "none" == facts(tmp_path).state


@pytest.mark.parametrize(
    "head",
    ["ref: ../../../etc/passwd", "ref: refs/../../outside", "ref: refs/heads/a b", "ref: ", "0" * 39, "\x1b[2J", ""],
)
def test_a_head_that_is_no_name_makes_no_repository(tmp_path: Path, head: str) -> None:
    top = repository(tmp_path / "repo")
    (top / ".git" / "HEAD").write_text(head)

    assert "none" == facts(top).state


def test_a_branch_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    """
    A reference names a reference; a name with dots leads nowhere, a circle ends.
    """
    top = repository(tmp_path / "repo")
    (top / ".git" / "outside").write_text("a" * 40)
    for text in ("ref: refs/../outside", "ref: refs/heads/main", "secret of somebody"):
        (top / ".git/refs/heads/main").write_text(text)

        assert (None, None) == (facts(top).head_commit, facts(top).root_commit)


def test_nothing_of_a_configuration_is_executed(tmp_path: Path) -> None:
    """
    Git itself runs a program for this repository; a look at it runs none.
    """
    top = repository(tmp_path / "repo")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.hooksPath", "credential.helper"):
        git(top, "config", name, str(trap))
    git(top, "config", "include.path", str(tmp_path / "included"))
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in top.rglob("*"))

    found = facts(top)

    assert "present" == found.state
    assert not (tmp_path / "executed").exists()
    assert before == sorted((str(path), path.lstat().st_mtime_ns) for path in top.rglob("*"))
    git(top, "status")
    assert (tmp_path / "executed").exists(), "the trap is none"


def test_damaged_objects_leave_the_root_unknown(tmp_path: Path) -> None:
    """
    A history that breaks off has no beginning that can be told; whatever bytes there are, the look ends.
    """
    rng = random.Random(7)
    top = repository(tmp_path / "repo", commits=6)
    git(top, "gc", "--quiet")
    root = root_by_git(top)
    packs = [path for path in (top / ".git/objects/pack").iterdir() if path.suffix in (".idx", ".pack")]
    for path in packs:
        content = path.read_bytes()
        path.chmod(0o600)
        for _ in range(150):
            harmed = bytearray(content)
            for _ in range(rng.choice((1, 3, 40))):
                harmed[rng.randrange(len(harmed))] = rng.randrange(256)
            path.write_bytes(harmed[: rng.choice((len(harmed), rng.randrange(len(harmed))))])

            assert facts(top).root_commit in (root, None)
        path.write_bytes(content)
    assert root == facts(top).root_commit


def test_a_missing_commit_leaves_the_root_unknown(tmp_path: Path) -> None:
    top = repository(tmp_path / "repo", commits=4)
    middle = git(top, "rev-parse", "HEAD~2")
    (top / ".git/objects" / middle[:2] / middle[2:]).unlink()

    found = facts(top)

    assert (git(top, "rev-parse", "HEAD"), None) == (found.head_commit, found.root_commit)


# -- remotes and configuration -------------------------------------------------------------------------------------

SECRET = "Sw0rdf1sh"
SECRET_URLS = (
    f"https://user:{SECRET}@host.example/owner/name.git",
    f"https://{SECRET}@host.example/owner/name",
    f"https://{SECRET}:x-oauth-basic@host.example:8443/owner/name.git",
    f"https://oauth2:{SECRET}@host.example/owner/name",
    f"https://x-access-token:{SECRET}@host.example/owner/name/",
    f"HTTPS://user:{SECRET}@HOST.example/owner/name",
    f"https://user:{SECRET}%40@host.example/owner/name",
    f"https://user:{SECRET}@@host.example/owner/name",
    f"https://us@er:{SECRET}@host.example/owner/name",
    f"https://user:a/{SECRET}@host.example/owner/name",
    f"https://user:a?{SECRET}@host.example/owner/name",
    f"https://user:a#{SECRET}@host.example/owner/name",
    f"https://user:a {SECRET}@host.example/owner/name",
    f"https://user:\\{SECRET}@host.example/owner/name",
    f"https://host.example/owner/name?token={SECRET}",
    f"https://host.example/owner/name.git#{SECRET}",
    f"https://host.example/owner/name;{SECRET}",
    f"https:/user:{SECRET}@host.example/owner/name",
    f"https:user:{SECRET}@host.example/owner/name",
    f"//user:{SECRET}@host.example/owner/name",
    f"http://user:{SECRET}@host.example/owner/name",
    f"ssh://user:{SECRET}@host.example:22/owner/name",
    f"git+ssh://user:{SECRET}@host.example/owner/name",
    f"ftp://user:{SECRET}@host.example/owner/name",
    f"user:{SECRET}@host.example:owner/name",
    f"{SECRET}@host.example:owner/name.git",
    f"https://[::1]:8443/{SECRET}@x",
    f"ext::sh -c {SECRET}",
    f"https://user:{SECRET}@host.example",
    f"https://user:{SECRET}@",
    f"{SECRET}@",
)


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_secret_of_an_address_is_told(tmp_path: Path, url: str) -> None:
    """
    User, password and token in every spelling: what cannot be taken apart for certain is a hash.
    """
    top = repository(tmp_path / "repo", commits=0)
    git(top, "config", "remote.origin.url", url)
    git(top, "config", f"remote.{url}.url", url)

    told = facts(top).model_dump_json()

    assert SECRET.lower() not in told.lower()
    assert 2 == len(facts(top).remotes)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (NEW, "github.com/owner/name"),
        ("https://GitHub.com/Owner/Name.git/", "github.com/Owner/Name"),
        ("ssh://git@host.example:2222/a/b/c.git", "host.example/a/b/c"),
        ("/srv/git/name.git", f"hash:{digest('/srv/git/name.git')}"),
        ("https://host.example/" + "x" * 5000, f"hash:{digest('https://host.example/' + 'x' * 5000)}"),
    ],
)
def test_a_remote_is_named_by_host_and_path(tmp_path: Path, url: str, expected: str) -> None:
    top = repository(tmp_path / "repo", commits=0)
    git(top, "config", "remote.origin.url", url)

    assert {"origin": expected} == facts(top).remotes


def test_of_many_remotes_origin_is_kept(tmp_path: Path) -> None:
    top = repository(tmp_path / "repo", commits=0)
    with (top / ".git/config").open("a") as file:
        file.writelines(f'[remote "r{number:03}"]\nurl = https://host.example/{number}\n' for number in range(500))
        file.write(f'[remote "origin"]\nurl = {NEW}\nurl = https://host.example/second\n')

    found = facts(top).remotes

    assert 20 == len(found)
    assert "github.com/owner/name" == found["origin"]


VALUE = st.text(st.sampled_from('abz09 \t"\\#;=[].-é\n'), max_size=12)
NAME = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True)


@settings(max_examples=40)
@given(
    entries=st.lists(st.tuples(NAME, st.none() | VALUE.filter(lambda text: "\n" not in text), NAME, VALUE), max_size=4)
)
def test_a_configuration_that_git_wrote_is_read_as_git_reads_it(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str | None, str, str]]
) -> None:
    """
    Names with dots and quotes, values with spaces, quotes, comments and line ends.
    """
    place = tmp_path_factory.mktemp("config") / "config"
    place.touch()
    for section, inner, name, value in entries:
        key = f"{section}.{name}" if inner is None else f"{section}.{inner}.{name}"
        git(place.parent, "config", "--file", str(place), "--add", key, value)

    assert listed(place) == list(config_entries(place.read_bytes()))


PIECE = st.sampled_from(
    [
        "[a]",
        '[remote "o"]',
        "[A.b]",
        "url",
        "=",
        " ",
        "\t",
        "x",
        '"',
        "\\",
        "\\n",
        "\n",
        "#",
        ";",
        "é",
        "\r\n",
        "[",
        "]",
        "1",
    ]
)


@settings(max_examples=60)
@given(content=st.lists(PIECE, max_size=14).map("".join))
def test_a_configuration_that_people_wrote_is_read_as_git_reads_it_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    """
    Whatever stands there: where git takes it we take it and say the same; where git refuses it we say nothing.
    """
    place = tmp_path_factory.mktemp("config") / "config"
    place.write_bytes(content.encode())
    try:
        expected: list[tuple[str, str]] | None = listed(place)
    except subprocess.CalledProcessError:
        expected = None
    try:
        found: list[tuple[str, str]] | None = list(config_entries(place.read_bytes()))
    except ConfigDamaged:
        found = None

    assert expected == found


def listed(place: Path) -> list[tuple[str, str]]:
    """Return every entry as git reads it; a value that is not given is empty."""
    out = git(place.parent, "config", "--file", str(place), "--list", "--null")
    pairs = (entry.partition("\n") for entry in out.split("\0") if entry)
    return [(name, value) for name, _, value in pairs]


# -- history -------------------------------------------------------------------------------------------------------


def random_repository(place: Path, rng: random.Random) -> Path:
    """Make a repository with merges, several beginnings, packs, deltas and loose objects."""
    out = []
    heads: list[int] = []
    for mark in range(1, rng.randrange(5, 60)):
        text = "word " * rng.choice((1, 1, 40, 900)) + str(mark)
        out.append(
            f"commit refs/heads/b{mark}\nmark :{mark}\ncommitter a <a@example.com> {1_700_000_000 + mark} +0000\n"
        )
        out.append(f"data {len(text)}\n{text}\n")
        if heads and rng.random() < 0.93:
            parents = rng.sample(heads, min(len(heads), rng.choice((1, 1, 1, 2, 3))))
            out.append(f"from :{parents[0]}\n" + "".join(f"merge :{parent}\n" for parent in parents[1:]))
        out.append("\n")
        heads = [*heads, mark][-6:]
    git(place, "init", "--quiet", "--object-format", rng.choice(("sha1", "sha1", "sha256")))
    command = [
        "git",
        "-C",
        str(place),
        "-c",
        f"fastimport.unpackLimit={rng.choice((1, 1000))}",
        "fast-import",
        "--quiet",
    ]
    subprocess.run(command, input="".join(out).encode(), check=True)
    git(place, "symbolic-ref", "HEAD", f"refs/heads/b{heads[-1]}")
    if rng.random() < 0.5:
        git(place, "repack", "-adfq", "--depth=50", "--window=50")
    if rng.random() < 0.3:
        git(place, "pack-refs", "--all")
    return place


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 25))])
def test_the_first_commit_is_the_one_that_git_finds(tmp_path: Path, seed: int) -> None:
    top = random_repository(tmp_path, random.Random(seed))

    found = facts(top)

    assert git(top, "rev-parse", "HEAD") == found.head_commit
    assert root_by_git(top) == found.root_commit


def test_every_commit_is_read_as_git_prints_it(tmp_path: Path) -> None:
    """
    Also those that are stored as the difference to another one; of these there are some here.
    """
    from daemon.git_objects import Objects

    text = " ".join(f"word{number}" for number in range(800))
    lines = [
        f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + at} +0000\n"
        f"data {len(text) + 6}\n{text}{at:06}\n\n"
        for at in range(80)
    ]
    top = repository(tmp_path, commits=0)
    subprocess.run(["git", "-C", str(top), "fast-import", "--quiet"], input="".join(lines).encode(), check=True)
    git(top, "repack", "-adfq", "--depth=50", "--window=50")
    (pack,) = (top / ".git/objects/pack").glob("*.idx")
    assert "chain length" in git(top, "verify-pack", "-v", str(pack))

    names = git(top, "rev-list", "main").splitlines()
    with Objects(str(top / ".git")) as objects:
        found = [objects.commit(name) for name in names]

    assert names[1:] == [each.parents[0] for each in found if each is not None and each.parents]
    assert git(top, "log", "--format=%ct").splitlines() == [str(each.committed_seconds) for each in found if each]
    assert [f"{text}{at:06}".encode() for at in reversed(range(80))] == [
        each.message.rstrip() for each in found if each
    ]


def test_what_was_packed_meanwhile_is_found(tmp_path: Path) -> None:
    """
    `git gc` moves every object while we read; it is looked for once more.
    """
    from daemon.git_objects import Objects

    top = repository(tmp_path, commits=3)
    names = git(top, "rev-list", "HEAD").splitlines()
    with Objects(str(top / ".git")) as objects:
        assert objects.commit(names[0]) is not None
        git(top, "gc", "--quiet", "--prune=now")

        assert all(objects.commit(name) is not None for name in names)


def test_while_history_grows_only_what_is_new_is_walked(tmp_path: Path) -> None:
    """
    What is behind the known head need not even be there any more.
    """
    top = repository(tmp_path, commits=4)
    histories = Histories()
    root = histories.root(str(top / ".git"), git(top, "rev-parse", "HEAD"))
    older = git(top, "rev-parse", "HEAD~2")
    (top / ".git/objects" / older[:2] / older[2:]).unlink()
    head = commit(top, "one more")

    assert root == histories.root(str(top / ".git"), head)
    assert Histories().root(str(top / ".git"), head) is None


def test_another_history_has_another_root(tmp_path: Path) -> None:
    top = repository(tmp_path, commits=2)
    histories = Histories()
    first = histories.root(str(top / ".git"), git(top, "rev-parse", "HEAD"))
    git(top, "checkout", "--quiet", "--orphan", "pages")
    head = commit(top, "begun anew")

    assert head == histories.root(str(top / ".git"), head) != first
