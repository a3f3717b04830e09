"""A small disk that can be taken away."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

#: EXT4_IOC_SHUTDOWN, without writing the journal: as if the plug was pulled.
SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING_THE_JOURNAL = struct.pack("I", 2)


class Disk:
    """
    A small ext4 in a file, whose plug can be pulled.
    """

    def __init__(self, folder: Path) -> None:
        self.image, self.mountpoint = folder / "image", folder / "mounted"
        self.mountpoint.mkdir()
        with self.image.open("wb") as file:
            file.truncate(64 << 20)

    def run(self, *command: object) -> None:
        subprocess.run([str(word) for word in command], check=True, capture_output=True)

    def format(self) -> None:
        self.run("mkfs.ext4", "-q", "-F", self.image)

    @property
    def mounting(self) -> tuple[str, ...]:
        """
        What `mount` is told. The kernel writes back by itself only every 300 seconds: what was not synced is not there.
        """
        return "-o", "loop,commit=300", str(self.image), str(self.mountpoint)

    def mount(self) -> None:
        self.run("mount", *self.mounting)

    def unmount(self) -> None:
        self.run("umount", self.mountpoint)

    def restart(self) -> None:
        """
        Show what is there after the plug was pulled.
        """
        self.unmount()
        self.mount()

    def turn_read_only(self) -> None:
        """
        Do what the kernel does when it finds the file system damaged: whoever has files open can write them no more.
        """
        self.run("mount", "-o", "remount,abort", self.mountpoint)

    def pull_the_plug(self) -> None:
        descriptor = os.open(self.mountpoint, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_FLUSHING_THE_JOURNAL)
        finally:
            os.close(descriptor)
