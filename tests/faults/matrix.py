"""What can go wrong around a daemon that reads, keeps and shows evidence, and what it promises then."""

import re
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent


class Fault(NamedTuple):
    """
    One way in which process, disk, file system, watcher or clock fail; the test of its promise is `test_<name>`.
    """

    number: int
    name: str
    promise: str


FAULTS: Final = (
    # the process
    Fault(1, "kill_at_a_random_time", "What was acknowledged is there, exactly once."),
    Fault(2, "kill_inside_a_write", "The torn end goes to quarantine and is cut off; what was acknowledged stays."),
    Fault(3, "kill_between_write_and_sync", "The batch is there with its cursor, or not at all; never twice."),
    Fault(4, "kill_at_every_system_call", "At whichever call: whole batches, once, and cursors that fit them."),
    # the disk
    Fault(5, "power_cut", "What was acknowledged before the plug was pulled is there, exactly once."),
    Fault(6, "power_cut_after_a_rename", "Under the name stands the old file or the new one, never an empty one."),
    Fault(7, "power_cut_after_a_cut", "A torn end that was cut off does not come back behind later batches."),
    Fault(8, "second_crash_during_recovery", "The next start finds the same left to do, or less."),
    Fault(9, "short_write", "The rest is written too; no acknowledged batch is torn."),
    Fault(10, "no_space_on_write", "Nothing half written stays; the daemon says so, waits, and makes up for all."),
    Fault(11, "no_space_on_sync", "Nothing is acknowledged, and the process ends."),
    Fault(12, "device_error_on_sync", "The process ends, never syncs again, and the next start verifies from disk."),
    Fault(13, "device_error_on_reading_a_source", "That file is told and tried again; all others are read."),
    Fault(14, "interrupted_call", "It is repeated, and no error."),
    Fault(15, "limit_on_file_size", "As a full disk: nothing half written, nothing lost, tried again."),
    Fault(16, "no_descriptor_left", "Few are enough; without any the process ends and says why, and nothing is lost."),
    Fault(17, "no_memory_left", "The process ends with nothing half acknowledged, and the next one goes on."),
    Fault(18, "file_system_turns_read_only", "Refused at the start, ended while it runs, and told why."),
    Fault(19, "log_that_may_not_be_changed", "A start says so in our words; the log stays as it was."),
    Fault(20, "state_directory_deleted", "The daemon notices, and ends."),
    Fault(21, "state_directory_of_an_old_backup", "Fewer commits than are remembered are an alarm, no smaller log."),
    # the log
    Fault(22, "flipped_bit", "Whichever bit it is: told."),
    Fault(23, "zeroed_page", "Wherever it is: told."),
    Fault(24, "dropped_swapped_or_doubled_lines", "Told; no event is read twice or changed."),
    Fault(25, "damage_before_valid_batches", "Not one valid later batch is cut off."),
    Fault(26, "missing_or_extra_segment", "Refused: no number vanishes or counts twice in silence."),
    Fault(27, "crash_during_seal_or_compression", "Exactly one valid copy of each segment is read."),
    Fault(28, "damaged_archive", "The plain segment stays until what was written is read back and is the same."),
    # the tables
    Fault(29, "damaged_tables", "Made anew from the log, without anybody's help."),
    Fault(30, "tables_held_by_an_operator", "Neither waits for the other: tables are published by rename."),
    Fault(31, "database_that_gives_up", "Told in health, and opened anew; the log goes on meanwhile."),
    Fault(32, "other_version_of_the_database", "The tables are made anew from the log, row for row the same."),
    # the lock
    Fault(33, "two_daemons", "The second exits 3 and names the process of the first."),
    Fault(34, "child_that_outlives_the_daemon", "No program that we start keeps the lock."),
    Fault(35, "stale_or_reused_pid", "It means nothing; the kernel decides who writes."),
    Fault(36, "lock_on_a_network_file_system", "Refused: two hosts there might not notice each other."),
    # the watch
    Fault(37, "watch_queue_overflow", "What was dropped is found by a sweep over everything."),
    Fault(38, "watch_limit", "The sweep covers what cannot be watched, and health says so."),
    Fault(39, "no_watch_instance", "The daemon starts, and sweeps."),
    Fault(40, "handler_that_raises", "The watch is begun anew."),
    Fault(41, "root_missing_or_made_again", "It is found by the next sweep, and watched again."),
    Fault(42, "directories_made_in_a_hurry", "No file in a new or moved-in tree is missed."),
    Fault(43, "file_system_without_events", "The sweep finds what nobody told."),
    Fault(44, "own_reads", "They wake nobody."),
    # files that change
    Fault(45, "file_renamed", "Same file, same generation: nothing is counted twice."),
    Fault(46, "file_copied_and_truncated", "A new generation; what was read is counted once."),
    Fault(47, "file_changed_in_place", "What stood before the mark is another: it is read again."),
    Fault(48, "file_rewritten_whole", "No line lost, none doubled, and no rotation that was none."),
    Fault(49, "file_replaced", "A new generation."),
    Fault(50, "inode_reused", "The new file is not taken for the old one."),
    Fault(51, "file_deleted_while_open", "Its evidence stays, and it is let go."),
    Fault(52, "file_replaced_while_read", "What is read is of one file, never half of each."),
    Fault(53, "last_line_that_grows", "It waits for its newline, and is read once."),
    # what stands in files
    Fault(54, "split_or_invalid_utf_8", "Counted; never a crash."),
    Fault(55, "byte_order_mark_crlf_or_nuls", "The mark is passed over once, both line ends are read, NULs counted."),
    Fault(56, "endless_line", "Passed over in constant memory, and told."),
    # what files are
    Fault(57, "hard_link", "One generation, read once."),
    Fault(58, "link_out_of_the_root", "Not followed, be it a link out, a loop or one to a device."),
    Fault(59, "fifo_in_the_tree", "Nobody waits for a writer."),
    Fault(60, "device_socket_or_directory_named_as_a_log", "Passed over."),
    Fault(61, "permission_denied_then_granted", "Told for that file, and read once it may be."),
    Fault(62, "name_that_is_no_utf_8", "Read, and stored escaped."),
    Fault(63, "path_too_long_or_hostile", "Escaped wherever it is shown; never a crash."),
    Fault(64, "hundred_thousand_files", "Swept in bounded memory."),
    # time
    Fault(65, "wall_clock_set", "Events are ordered by number, and reading goes on."),
    Fault(66, "stopped_for_long", "A sweep makes up for what was missed."),
    Fault(67, "worker_that_hangs", "The service manager is not told that all is well, and restarts."),
    Fault(68, "disk_that_hangs", "No ping is sent until it answers again."),
    Fault(69, "asked_to_end_with_much_to_do", "What was read is committed within seconds, and the exit code is 0."),
    # what cannot be right
    Fault(70, "identical_totals_across_sessions", "A finding says so."),
    Fault(71, "copied_history", "Counted once; the copies can be seen."),
    Fault(72, "newer_parser_reads_all_again", "The old statements are superseded; the totals are what they were."),
)

#: Faults 1 to 36 without a test or a mutation so far; the suite holds that this is so.
OPEN_IN_STATE: Final[frozenset[int]] = frozenset()

#: Faults 37 to 72 without a test or a mutation so far; the suite holds that this is so.
OPEN_IN_SOURCES: Final[frozenset[int]] = frozenset()

_TEST: Final = re.compile(r"^def test_(\w+)\(", re.MULTILINE)


def files_of_tests() -> dict[str, Path]:
    """
    Say in which file of this folder each test stands, by what it is called behind `test_`.
    """
    return {name: path for path in sorted(HERE.glob("test_*.py")) for name in _TEST.findall(path.read_text("utf-8"))}
