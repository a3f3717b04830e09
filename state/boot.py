"""Which boot of the machine this is."""


def boot_id() -> str:
    """
    Name this boot of the machine; empty where the kernel does not tell.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - `health` pays for imports
            return file.read().strip()
    except (OSError, ValueError):
        return ""
