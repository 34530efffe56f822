"""The error tree. Every error is one line that says what to do; on the wire an error is its `code` and that line."""

import copyreg
from collections.abc import Callable, Mapping
from typing import Any


class OpsconsoleError(Exception):
    """Root of all errors that are meant for a person."""

    code: str = "error"

    @property
    def message(self) -> str:
        """The line for people."""
        return str(self.args[0]) if self.args else self.code

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """To another process it goes as what it holds: what it is made of is more than its line."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined] # known to pickle


class InvalidRequest(OpsconsoleError):
    """Something that was asked for can't be right, whatever the state of the fleet."""

    code = "invalid"


class NotFound(OpsconsoleError):
    """There is no such job, task, worker, …"""

    code = "not_found"


class Ambiguous(OpsconsoleError):
    """A prefix that names more than one thing."""

    code = "ambiguous"


class Conflict(OpsconsoleError):
    """What was asked for may be right, but not in the present state."""

    code = "conflict"


class Unauthenticated(OpsconsoleError):
    """No credential was shown, or none that is valid."""

    code = "unauthenticated"


class Forbidden(OpsconsoleError):
    """The credential is valid, but its role doesn't allow this."""

    code = "forbidden"


class VersionMismatch(OpsconsoleError):
    """The two sides speak different protocol versions."""

    code = "version"


class Unavailable(OpsconsoleError):
    """It can't be done at the moment; trying again later may help."""

    code = "unavailable"


class LimitExceeded(OpsconsoleError):
    """A limit (docs/limits.md) is reached."""

    code = "limit"


class ProtocolError(OpsconsoleError):
    """A peer sent what can't be understood."""

    code = "protocol"


class IllegalTransition(OpsconsoleError):
    """A move that the transition table doesn't have; the message ends with the entity's recent story."""

    code = "illegal_transition"


class NoWorkersAvailableError(OpsconsoleError):
    """No worker matches what the job requires."""

    code = "no_workers_available"


class NoWorkersAcceptedError(OpsconsoleError):
    """Workers match, but each of them declined. `reasons`: what each said, by the worker's name."""

    code = "no_workers_accepted"

    def __init__(self, message: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})


class JobFailedError(OpsconsoleError):
    """A job that was waited for has not succeeded.

    `code` is the job's state (failed, killed, worker_failed, unschedulable, blocked, …), `exit_code` what a shell would
    say, `job` its id. `recoverable`: nothing is wrong with the job itself, so that trying again may help.
    """

    code = "job_failed"

    def __init__(
        self,
        message: str,
        code: str = "job_failed",
        *,
        recoverable: bool = False,
        job: str = "",
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.recoverable = recoverable
        self.job = job
        self.exit_code = exit_code


_BY_CODE: dict[str, type[OpsconsoleError]] = {
    error.code: error
    for error in (
        InvalidRequest, NotFound, Ambiguous, Conflict, Unauthenticated, Forbidden, VersionMismatch, Unavailable,
        LimitExceeded, ProtocolError, IllegalTransition, NoWorkersAvailableError, NoWorkersAcceptedError,
        JobFailedError,
    )
}  # fmt: skip


def from_code(code: str, message: str) -> OpsconsoleError:
    """The error that a peer named on the wire; an unknown code becomes a plain OpsconsoleError."""
    return _BY_CODE.get(code, OpsconsoleError)(message)
