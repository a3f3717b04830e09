"""On which kind of file system something lies."""

import os
from pathlib import Path
from typing import Final

#: What the kernel says is mounted in this process's view.
MOUNTS: Path = Path("/proc/self/mountinfo")

#: Those that several hosts can have mounted at once, and that do not all keep one host's lock and another's apart.
_NETWORK: Final = frozenset(
    {
        "9p",
        "afs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "lustre",
        "nfs",
        "nfs4",
        "smb3",
    }
)


def network_file_system(device: int) -> str | None:
    """
    Name the network file system that *device*, a `st_dev`, is; None when it is local, or nobody can tell.

    What is mounted at `/` is the host's own, whatever kind it is: sandboxes and diskless machines begin with one.
    """
    try:
        mounts = [line.split(" ") for line in MOUNTS.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return None
    place = f"{os.major(device)}:{os.minor(device)}"
    here = [mount for mount in mounts if mount[2:3] == [place] and "-" in mount[:-1]]
    if any(mount[4] == "/" for mount in here):
        return None
    kinds = {mount[mount.index("-") + 1] for mount in here}
    return next(iter(kinds & _NETWORK), None)
