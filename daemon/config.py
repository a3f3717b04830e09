"""
What an operator writes down once: `config.toml`.

Looked for in systemd's `$CONFIGURATION_DIRECTORY`, else in `$XDG_CONFIG_HOME/tallystick`, else in
`~/.config/tallystick`. Imported only where there is such a file: no command pays for it otherwise.
"""

import hashlib
import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from daemon.money import micros
from daemon.patterns import what_is_wrong
from state.errors import TallystickError
from state.evidence import RateFacts, RateWindow, RuleSet, Trailers
from state.vocabulary import (
    ID_PATTERN,
    MODEL_PATTERN,
    TASK_BRANCH_PATTERN,
    TASK_TRAILERS,
    WORD_PATTERN,
    WORKSTREAM_TRAILERS,
)

FILE_NAME = "config.toml"


class ConfigUnusable(TallystickError):
    """
    The configuration cannot be read, or says something that is not known. Correct the place named here.
    """

    exit_code = 2


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class LogConfig(_Strict):
    """How the log is kept."""

    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None, description="whole segments older than this are retired and leave their totals; null keeps all"
    )


def _usable(pattern: str) -> str:
    """Return *pattern* if the tables can run it; the error names what is wrong with it, and not the pattern."""
    wrong = what_is_wrong(pattern) if pattern else None
    if wrong is not None:
        raise PydanticCustomError(wrong, "the tables cannot run this pattern")
    return pattern


#: A regular expression whose one group is an id; empty for none.
BranchPattern = Annotated[str, Field(pattern=r"^[ -~]{0,256}$"), AfterValidator(_usable)]


class TasksConfig(_Strict):
    """How branches and commits name tasks."""

    branch_pattern: BranchPattern = Field(TASK_BRANCH_PATTERN, description="its group is the task; empty for none")
    workstream_branch_pattern: BranchPattern = Field("", description="its group is the workstream; empty for none")
    task_trailers: Trailers = Field(TASK_TRAILERS, description="trailers of a commit that name a task")
    workstream_trailers: Trailers = Field(WORKSTREAM_TRAILERS, description="trailers that name a workstream")

    def rules(self) -> RuleSet:
        """Return the same as evidence."""
        return RuleSet(
            branch_pattern=self.branch_pattern or None,
            workstream_branch_pattern=self.workstream_branch_pattern or None,
            task_trailers=self.task_trailers,
            workstream_trailers=self.workstream_trailers,
        )


def _as_tuple(value: object) -> object:
    """Take a list for a tuple: TOML has no other."""
    return tuple(value) if isinstance(value, list) else value


class HealthConfig(_Strict):
    """From when on something is wrong."""

    reporting_window_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        900, description="within so long every silence is told"
    )
    canary_events: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1, description="so many signs of work without a token in a window are a flatline"
    )
    disk_free_mib: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        512, description="less room than this on the disk of the state directory is told"
    )
    sentinel: bool = Field(False, description="whether a synthetic session is planted and has to come out again")


class HooksConfig(_Strict):
    """Which hooks have to be in place."""

    expected: Annotated[tuple[Literal["claude-code", "codex"], ...], BeforeValidator(_as_tuple)] = Field(
        (), description="agents whose settings have to name our hook"
    )


class PrivacyConfig(_Strict):
    """What may stand in the log in plain."""

    names: Literal["plain", "hashed"] = Field(
        "plain", description="paths and branches: `plain`, or `hashed` by a key that only this log has; for a new log"
    )


class RootConfig(_Strict):
    """A further directory of logs."""

    agent: Annotated[str, Field(pattern=rf"^{WORD_PATTERN}$")] = Field(description="whose adapter reads it")
    path: Annotated[str, Field(pattern=r"^[/~]", max_length=4096)] = Field(description="absolute, or below `~/`")


class ClaimsConfig(_Strict):
    """A file of records that a harness writes of its sessions."""

    path: Annotated[str, Field(pattern=r"^[/~]", max_length=4096)] = Field(description="absolute, or below `~/`")


def _as_decimal(value: object) -> object:
    """Take a whole number for a decimal one: TOML tells them apart."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


#: Dollars per million tokens, to the micro-dollar.
Dollars = Annotated[Decimal, BeforeValidator(_as_decimal), Field(ge=0, le=1000, decimal_places=6)]


class PriceConfig(_Strict):
    """What a model costs, in dollars per million tokens; it goes before every price book."""

    model: Annotated[str, Field(pattern=rf"^{MODEL_PATTERN}$")] = Field(description="model, exactly as logs name it")
    provider: Annotated[str, Field(pattern=rf"^{ID_PATTERN}$")] | None = Field(
        None, description="only where logs name this provider; left out, whatever they name"
    )
    input: Dollars = Field(description="input neither read from nor written to a cache")
    output: Dollars = Field(description="output, reasoning included")
    cache_read: Dollars | None = Field(None, description="read from a cache; left out, calls that do so are unpriced")
    cache_write_5m: Dollars | None = Field(
        None, description="written to a cache for five minutes, or nobody says how long; left out, the same"
    )
    cache_write_1h: Dollars | None = Field(None, description="written to a cache for an hour; left out, the same")

    def facts(self) -> RateFacts:
        """Return the same as evidence: a book of its own, whose version is a hash of it."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return RateFacts(
            book="config",
            book_version=hashlib.sha256(said.encode("ascii")).hexdigest()[:12],
            model_provider=self.provider,
            model=self.model,
            matched_provider=self.provider,
            matched_model=self.model,
            windows=(
                RateWindow(
                    input=micros(self.input),
                    cache_read=_micros(self.cache_read),
                    cache_write=_micros(self.cache_write_5m),
                    cache_write_5m=_micros(self.cache_write_5m),
                    cache_write_1h=_micros(self.cache_write_1h),
                    output=micros(self.output),
                ),
            ),
        )


def _micros(usd: Decimal | None) -> int | None:
    return None if usd is None else micros(usd)


def _each_once(prices: tuple[PriceConfig, ...]) -> tuple[PriceConfig, ...]:
    """Return *prices* if no model has two: which of them were meant could only be guessed."""
    if len({(each.provider, each.model) for each in prices}) < len(prices):
        raise PydanticCustomError("priced_twice", "a model of a provider has two prices")
    return prices


class Config(_Strict):
    """Everything that may stand in the file; what is left out keeps its default."""

    log: LogConfig = Field(LogConfig(), description="how the log is kept")
    tasks: TasksConfig = Field(TasksConfig(), description="how branches and commits name tasks")
    health: HealthConfig = Field(HealthConfig(), description="from when on something is wrong")
    hooks: HooksConfig = Field(HooksConfig(), description="which hooks have to be in place")
    privacy: PrivacyConfig = Field(PrivacyConfig(), description="what may stand in the log in plain")
    roots: Annotated[tuple[RootConfig, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="further directories of logs; one that is missing is told"
    )
    claims: Annotated[tuple[ClaimsConfig, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="files of records of harnesses: what they say is held against what was measured"
    )
    prices: Annotated[tuple[PriceConfig, ...], BeforeValidator(_as_tuple), AfterValidator(_each_once)] = Field(
        (), description="prices of your own, in dollars per million tokens; they go before the price book"
    )

    def own_prices(self) -> tuple[RateFacts, ...]:
        """Return the operator's own prices as evidence."""
        return tuple(each.facts() for each in self.prices)


def read_config(path: Path) -> Config:
    """
    Read the configuration; all defaults when there is no such file.

    Raises:
        ConfigUnusable: It is no TOML, or has an unknown or impossible entry; place and rule are named, no value is.
    """
    try:
        return Config.model_validate(tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigUnusable(path=path, reason=type(error).__name__) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"] if str(part).isidentifier())
        raise ConfigUnusable(path=path, entry=place, rule=first["type"]) from None
