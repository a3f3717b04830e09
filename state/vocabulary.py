"""
The closed words of evidence: classes, kinds, flags and the shapes a stored string may have.

Adapters may import this module and nothing else of `state`. Everything here is plain data, so that a fast command pays
nothing for it.
"""

import re
from typing import Final, Literal, get_args

#: Version of the event schema that this code writes; older events are upcast on read (`state/upcast.py`).
EVENT_VERSION: Final = 1

#: Greatest number of tokens one statement may claim; more is a damaged or hostile line.
TOKENS_MAX: Final = 10**12

#: Classes of tokens that do not overlap, each followed by what is part of it; all are whole numbers.
TOKEN_CLASSES: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
#: Sums of them that every surface shows.
TOKEN_TOTALS: Final = ("total_tokens", "total_without_cache_read_tokens")
#: The total as the source states it: kept beside them, never computed.
STATED_TOTAL: Final = "provider_total_tokens"

#: What calls cost by the rates that hold: no evidence, and in a tombstone because its calls cannot be priced again.
COST: Final = "cost_usd_micros"

#: Totals in one `published` event: an event has 64 KiB at most, and a total some 350 bytes.
TOTALS_MAX: Final = 150

#: Name of an agent, and the class of source that its files are: words of its adapter, so that one file adds an agent.
Agent = str
SourceClass = str

#: Agent of the sessions that the daemon plants itself; they are in no total.
SENTINEL: Final = "sentinel"

Measurement = Literal[
    "measured",  #: the source itself reports these tokens for this call
    "estimated",  #: somebody computed them without the source's own figure
    "allocated",  #: a share of a measured row; another slicing of the same tokens, never an addend
    "superseded",  #: a richer, better or newer statement about the same call exists
    "retired",  #: measured once; its evidence was retired and only the total is left
]

KnownSourceClass = Literal[
    "claude_transcript",  #: a transcript of Claude Code
    "codex_session",  #: a rollout of Codex
    "gptme_log",  #: a conversation of gptme
    "opencode_db",  #: the database of OpenCode 1.2 or later
    "opencode_message",  #: a message of OpenCode before 1.2: one document each
    "session_record",  #: a harness's record of a session: a claim
    "prompt_history",  #: an agent's own list of prompts: names of sessions, and nothing else
    "llm_connect",  #: a call that a program of the operator's reports with the provider's usage
    "manual",  #: an operator's declaration
    "task_fallback",  #: an estimate left by a finished task
    "legacy_post",  #: numbers of an old caller, without provenance
    "legacy_import",  #: a row of an old token table that names its source
]

#: How the figure of a statement is to be read.
Basis = Literal[
    "call",  #: the tokens of one API call
    "counter",  #: a running total of the session; evidence is its increase
]

#: Which kind of line made the statement; a stronger witness of the same call beats a weaker one whatever its value.
Witness = Literal[
    "transcript",  #: the call's own line in the agent's transcript
    "progress",  #: a copy inside a parent's progress line: the weakest witness of a Claude call
    "ledger",  #: a per-response record of the agent's own ledger
    "ledger_copy",  #: the copy of a ledger record inside a compaction line
    "counter",  #: a running total
    "message",  #: a message's own metadata
]

#: What a file is to its session.
Role = Literal[
    "main",  #: the session's own file
    "archived",  #: the session's own file, moved to the agent's archive
    "subagent",  #: a file of a subagent
    "branch",  #: an undone or edited part of a conversation
    "view",  #: a compacted copy of a conversation
    "record",  #: a harness's records of sessions, or an agent's own list of them: nobody's log
]

#: Why a figure can be trusted, and how far. `docs/evidence.md` states each criterion.
Confidence = Literal[
    "stated",  #: the source states these tokens for this call, under the provider's own id
    "counted",  #: the increase of a running total that the source states
    "inferred",  #: stated by the source, but the identity of the call is made from its content
    "lower_bound",  #: stated by a partial or weakest witness: the call cost at least this
    "claimed",  #: somebody else's record says so
]

#: What is known to be imperfect about a figure. Counted in every surface that sums the figure.
Flag = Literal[
    "incomplete",  #: output is a streaming placeholder: a lower bound
    "progress_only",  #: only a copy in a parent's progress lines was left
    "hidden_calls",  #: the session shows calls that wrote no usage
    "split_unknown",  #: the cache-write split does not sum to its total
    "clamped",  #: the stated parts contradict each other; the raw numbers are kept
    "inheritance_unknown",  #: the count may hold tokens of a parent that was not seen
    "time_quality",  #: the time is missing, at the epoch or in the future: counted, on no day
    "identity_inferred",  #: no id in the payload: identity is the content
    "conflict",  #: two complete witnesses disagree
]

RejectCode = Literal[
    "invalid_json",  #: not one JSON object
    "too_long",  #: longer than a line may be; skipped without being kept in memory
    "too_deep",  #: nested deeper than the decoder follows
    "invalid_field",  #: a field that is counted has an impossible type
    "out_of_range",  #: a number is negative or beyond `TOKENS_MAX`
    "nul_run",  #: nothing but NUL bytes: a hole left by a crash
    "adapter_failed",  #: the adapter itself failed on it: a bug of the adapter, `tallystick adapters check` shows it
]

SourceChange = Literal[
    "opened",  #: read for the first time
    "replaced",  #: other content under the same name: read again from the start
    "truncated",  #: shorter than what was read: read again from the start
    "moved",  #: the same content under another name: reading goes on
    "gone",  #: deleted; what was read from it stays
    "unreadable",  #: cannot be read, see ``code``
    "readable",  #: can be read again
    "missing",  #: a root that is not there
    "reparsed",  #: read again from the start by a newer parser
]

DaemonChange = Literal[
    "started",  #: it holds the log and begins to read
    "stopped",  #: it was asked to end, and has committed what it had read
]

#: Why a source could not be read.
DenyCode = Literal[
    "permission",  #: this user may not read it
    "symlink",  #: a link is not followed: it may lead out of the home
    "not_regular",  #: a directory, pipe or device where a file should be
    "vanished",  #: it went away while it was being read
    "io_error",  #: the disk did not answer
    "too_deep",  #: nested deeper than any agent does
    "damaged_archive",  #: a compressed file that breaks off
    "damaged_database",  #: no SQLite database, or a damaged one
    "schema_unknown",  #: a database without a table or column that its adapter reads
    "locked",  #: a database that another program keeps to itself
    "journal_unreadable",  #: a database whose journal cannot be read without writing beside it
    "missing",  #: a root that is not there
]

#: Why a message of the inbox was refused.
MessageCode = Literal[
    "invalid_json",  #: not one JSON object, or a name stands in it twice
    "too_long",  #: longer than a message may be; not read
    "too_deep",  #: nested deeper than any message is
    "unknown_kind",  #: no kind of message that this version knows
    "missing_field",  #: a field that the kind needs is not there
    "unknown_field",  #: a field that the kind does not have
    "invalid_field",  #: a value of another type, no word of its list, or no id
    "out_of_range",  #: a number or time beyond what it can be
    "needs_key",  #: a revision orders the messages of one key, and there is none
    "needs_provenance",  #: it claims to be measured, without provider, source id or raw usage
    "needs_target",  #: it does not say what it is about
    "contradicts",  #: the field says something else than another one does
    "wrong_receipt",  #: the file has a key, and its name is not the hash of its content
    "bad_name",  #: the file's name is no receipt
    "symlink",  #: a link is not followed
    "not_regular",  #: a directory, pipe or device where a file should be
    "foreign_owner",  #: the file belongs neither to this user nor to root
    "permission",  #: this user may not read it
    "io_error",  #: the disk did not answer
]

#: How a hook's run ended.
HookOutcome = Literal[
    "ok",  #: it ran and found nothing in the way
    "blocked",  #: it ran and stopped what it was asked about
    "failed",  #: it ended with an error
    "timed_out",  #: it was stopped before its end
    "skipped",  #: it decided that it was not meant
]

#: What happened in the agent when its hook was called.
HookEvent = Literal[
    "session_started",  #: a session begins, or is taken up again
    "session_ended",  #: a session ends
    "turn_started",  #: somebody asked
    "turn_ended",  #: the agent has answered
    "subagent_ended",  #: a subagent has answered
    "tool_used",  #: a tool was called and has answered
    "tool_failed",  #: a tool was called and failed
    "plan_changed",  #: the agent's own list of things to do changed
    "compacted",  #: the agent made its context shorter
    "waiting",  #: the agent waits for a person
    "unknown",  #: an event that this version does not know
]

#: What a hook's run left behind.
HookEffect = Literal[
    "task_reported",  #: a message `task`
    "activity_noted",  #: a message `activity`
    "none",  #: nothing but this run
]

#: Why a hook's run reported no task.
HookSkip = Literal[
    "no_tracker_call",  #: nothing in it names a task of a tracker
    "no_status",  #: a task is named, and no status that we know
    "unclear",  #: a task is named by what only the shell knows: a variable, a file, an open quote
    "call_failed",  #: the call failed, so that the tracker knows nothing of it
    "session_internal",  #: the agent's own list, which no tracker knows
    "unknown_event",  #: an event that this version does not know
    "unreadable",  #: what the agent handed over is no JSON object
    "too_long",  #: what the agent handed over is longer than is read
]

#: What a task has come to.
TaskStatus = Literal[
    "open",  #: it is there, nobody works on it
    "in_progress",  #: somebody works on it
    "blocked",  #: it waits for something else
    "completed",  #: it is done
    "failed",  #: it was given up
    "cancelled",  #: it is not wanted any more
]

#: What an agent does, without saying on what.
ActivityKind = Literal[
    "session_started",  #: a session begins, or is taken up again
    "session_ended",  #: a session ends
    "turn_started",  #: the agent begins to answer
    "turn_ended",  #: the agent has answered
    "waiting",  #: the agent waits for a person
    "compacted",  #: the agent made its context shorter
    "plan_changed",  #: the agent changed its own list of things to do
]

#: Of what a report of tokens is.
ReportScope = Literal[
    "call",  #: one call
    "session",  #: all of a session so far; a later report of it says more
]

#: Class of source of tokens that come through the inbox; each is a `KnownSourceClass`.
ReportClass = Literal[
    "llm_connect",  #: a program that called the provider itself
    "manual",  #: an operator's declaration
    "legacy_post",  #: an old caller that knows sums and nothing else
    "legacy_import",  #: a row of an old token table that names its source
]

#: What a row of an old token table was, by its structured fields first and by the known forms of its note second.
LegacyClass = Literal[
    "session_backfill",  #: total of an agent's session, restored from its log: it names the session
    "provider_call",  #: a call that it names by the provider's id
    "hook_report",  #: what a hook noted when a task was completed; no session or call is named by it
    "task_fallback",  #: heuristic that a completed task left behind
    "declared",  #: somebody typed it
    "no_provenance",  #: numbers, and nothing that says where they are from
    "bulk_side_effect",  #: left by a bulk import, a status sync or a consistency run: nobody used these tokens
    "allocated_share",  #: a share of another row: the same tokens once more
    "superseded",  #: taken back by the old table itself: marked so, or set to zero
]

#: What a directory was when it was looked at.
CheckoutState = Literal[
    "present",  #: it is in a checkout of git
    "none",  #: it is there, and in no checkout
    "gone",  #: it was there once, and is not any more
    "unreadable",  #: this user may not read it
]

#: What kind of checkout a directory is in.
CheckoutKind = Literal[
    "main",  #: the working tree that has its own git directory
    "worktree",  #: a further working tree of the same git directory
    "submodule",  #: a repository inside another one's working tree
    "bare",  #: a git directory without working tree
]

#: By which evidence a call belongs to a repository, the strongest first.
RepoRung = Literal[
    "stated",  #: who reported the tokens named the repository
    "root_and_remote",  #: root commit and remote of the checkout both are the repository's
    "remote",  #: the remote is the repository's; the root commit is not known, or was not seen
    "path",  #: the directory lies in a registered path of the repository
]

#: Why a call belongs to no repository.
RepoGap = Literal[
    "no_directory",  #: neither directory nor remote was stated
    "not_seen",  #: the directory was never seen, has no remote and no registered path
    "no_checkout",  #: the directory is in no checkout, nor in a registered path
    "no_remote",  #: the checkout has no remote, nor a registered path
    "several_remotes",  #: the checkout has several remotes, none of them named origin
    "several_repos",  #: several repositories claim the same, and none is an alias of the other
    "roots_disagree",  #: the remote is a repository's, and the root commit is none of its own
]

#: By which rule tokens belong to a task or workstream, the strongest first.
AllocationRule = Literal[
    "declared",  #: an operator said so
    "stated",  #: who reported the tokens named the task
    "task_report",  #: a report of the task named the session
    "tool_call",  #: a tool call of the session named the task
    "commit_trailer",  #: the next commit of the checkout named the task
    "branch",  #: the branch is named for the task
    "completion_time",  #: the one session of the agent before the task was completed
]

#: How far an attribution can be trusted.
Trust = Literal[
    "high",  #: it was declared or stated, or two kinds of evidence agree
    "medium",  #: one kind of evidence, seen when it was so
    "low",  #: by place or time alone, or seen long after
]

#: What a claim says of its model.
ModelState = Literal[
    "stated",  #: a name
    "sentinel",  #: a word that stands for none: `<synthetic>`, `unknown`
    "missing",  #: nothing
]

#: The times of a claim.
ClaimTime = Literal[
    "recorded_at",  #: when the record was written
    "started_at",  #: when the session began
    "ended_at",  #: when it ended
]

#: What stood where a claim points when the claim was read.
TrajectoryState = Literal[
    "present",  #: a file
    "missing",  #: nothing
    "unreadable",  #: this user may not look
    "not_regular",  #: a directory, pipe or device
    "unusable",  #: the claim names no path that could be looked at: relative, or no path at all
]

#: Why a finding is acknowledged.
AcknowledgeReason = Literal[
    "expected",  #: it is as it should be here
    "known_defect",  #: a defect that is being mended
    "harmless",  #: true, and of no consequence
    "repaired_elsewhere",  #: mended where it came from
    "not_ours",  #: of somebody else's logs
]

#: What a step of a repair does to a claim.
RepairAction = Literal[
    "attach",  #: the claim gets the one session that matches it
    "clear",  #: the claim loses its pointer: nothing matches, or more than one does
]

#: How somebody uses our tables.
ConsumptionKind = Literal[
    "reader",  #: reads them again and again: a dashboard, a grader
    "export",  #: took a copy once
]

#: Why a total is other than it was believed to be.
RestatementCause = Literal[
    "late",  #: evidence that was read after the belief
    "superseded",  #: a better statement of the same call came, or its estimate gave way; the reason says which
    "moved",  #: the same call, on another day now: an earlier copy of it was read
    "recounted",  #: the same statement, counted from another one: a parent or an earlier total was read
    "decision",  #: an operator's: an allocation or a supersession
    "attribution",  #: a share of the same call: evidence of whose it is came or changed
    "retired",  #: the evidence was retired; its total is in `retired`
    "gone",  #: the log does not count it any more, and nothing says why
    "rules",  #: the belief was counted by other rules than today's
    "price_book",  #: the same tokens by other rates: another book or version, prices of your own, or priced at last
]

#: Why a call has no cost; never zero.
Unpriced = Literal[
    "no_model",  #: its model is not known
    "service_tier",  #: it was no standard call (batch, flex, priority, fast, a region): no book in use prices that
    "tokens_unknown",  #: input or output was not stated
    "out_of_range",  #: it states more tokens than any call has
    "no_rates",  #: its rates were not looked up yet
    "unknown_model",  #: the price book does not know the model at its provider
    "time_unknown",  #: the price changed over time, and when the call was made is not known
    "context_tier",  #: an increase that may hold several requests, of a model whose price depends on the length of each
    "rate_missing",  #: the book names no price for a class of tokens that was used
]

#: Who ran a check that is evidence itself.
RunBy = Literal[
    "operator",  #: somebody typed it, or a script did
    "timer",  #: a timer of ours or a cron, which says so
]

EventKind = Literal[
    "usage",
    "session",
    "turn",
    "hidden_call",
    "rejected",
    "silent",
    "source",
    "daemon",
    "recovery",
    "hook_run",
    "task",
    "activity",
    "token_event",
    "allocation",
    "repo",
    "expectation",
    "message_rejected",
    "task_named",
    "session_named",
    "checkout",
    "git_commit",
    "rules",
    "claim",
    "trajectory",
    "acknowledgement",
    "repair",
    "supersession",
    "consumption",
    "reconciliation",
    "published",
    "rates",
]

#: Greatest rate, in micro-dollars per million tokens: so many times the tokens of one call still are a whole number of
#: 64 bits, and no call of more than nine billion tokens is priced.
RATE_MAX: Final = 10**9

#: Windows of rates in one event: an event has 64 KiB at most, and a window some 250 bytes.
RATE_WINDOWS_MAX: Final = 150

#: Service tiers that are priced as the book says; null, too, for most logs name none.
STANDARD_TIERS: Final = ("standard", "default")

#: Who may leave an estimate behind when a task is completed without measured evidence. Any other word, and none, never
#: does: not an import, a status sync, a migration, a consistency run.
ESTIMATING_ORIGINS: Final = ("operator", "hook", "agent")

#: Rows of an old table that are kept and count nowhere: nobody used these tokens, or another row has them.
SET_ASIDE_CLASSES: Final = ("bulk_side_effect", "allocated_share", "superseded")

#: How a branch and a commit name a task where the operator's configuration says nothing: `feature/ABC-12-login`, and
#: the trailer `Task: ABC-12`. No branch names a workstream by itself.
TASK_BRANCH_PATTERN: Final = r"(?:^|[/_-])([A-Z][A-Z0-9]+-[0-9]+)(?:$|[/_.-])"
TASK_TRAILERS: Final = ("Task", "Task-Id")
WORKSTREAM_TRAILERS: Final = ("Workstream",)

FLAGS: Final[tuple[str, ...]] = get_args(Flag)

WORD_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
ID_PATTERN: Final = r"[A-Za-z0-9_.:-]{1,128}"
MODEL_PATTERN: Final = r"[A-Za-z0-9._:/@+\[\]-]{1,128}"
BRANCH_PATTERN: Final = r"[A-Za-z0-9._/@+#=,~-]{1,255}"
VERSION_PATTERN: Final = r"[A-Za-z0-9._+-]{1,64}"
HASH_PATTERN: Final = r"[0-9a-f]{32}"
#: An absolute path (POSIX, drive letter or UNC) without control characters.
PATH_PATTERN: Final = r"(?:/|[A-Za-z]:[\\/]|\\\\)[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]{0,4095}"
#: A repository's name among its operators: `tallystick`, `acme/app`, `github.com/acme/app`.
SLUG_PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9._/~+-]{0,254}"
COMMIT_PATTERN: Final = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
URI_PATTERN: Final = r"file://[!-~]{1,12288}"

WORD: Final = re.compile(WORD_PATTERN)
ID: Final = re.compile(ID_PATTERN)
MODEL: Final = re.compile(MODEL_PATTERN)
BRANCH: Final = re.compile(BRANCH_PATTERN)
VERSION: Final = re.compile(VERSION_PATTERN)
PATH: Final = re.compile(PATH_PATTERN)
