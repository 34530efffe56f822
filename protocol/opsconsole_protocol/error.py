"""The error tree. Every error is one line that says what to do; `code` is what travels on the wire."""

from collections.abc import Mapping


class OpsconsoleError(Exception):
    """Root of all errors that are meant for a person."""

    code: str = "error"

    @property
    def message(self) -> str:
        """The one line."""
        return str(self.args[0]) if self.args else self.code


class InvalidRequest(OpsconsoleError):
    """Something asked for can't be right, whatever the state of the fleet."""

    code = "invalid"


class NotFound(OpsconsoleError):
    """No such job, task, worker, …"""

    code = "not_found"


class Ambiguous(OpsconsoleError):
    """A prefix that names more than one thing."""

    code = "ambiguous"


class Conflict(OpsconsoleError):
    """Right in itself, but not in the present state."""

    code = "conflict"


class Unauthenticated(OpsconsoleError):
    """No credential, or not a valid one."""

    code = "unauthenticated"


class Forbidden(OpsconsoleError):
    """A valid credential whose role doesn't reach."""

    code = "forbidden"


class VersionMismatch(OpsconsoleError):
    """The two sides speak different protocol versions."""

    code = "version"


class Unavailable(OpsconsoleError):
    """Can't be done at the moment; trying again later may help."""

    code = "unavailable"


class LimitExceeded(OpsconsoleError):
    """A documented limit bites."""

    code = "limit"


class ProtocolError(OpsconsoleError):
    """A peer sent what can't be understood."""

    code = "protocol"


class IllegalTransition(OpsconsoleError):
    """A move that the transition table doesn't know; carries the entity's recent story."""

    code = "illegal_transition"


class NoWorkersAvailableError(OpsconsoleError):
    """No worker matches what the job requires (the seeds' name)."""

    code = "no_workers_available"


class NoWorkersAcceptedError(OpsconsoleError):
    """Workers match, but each of them declined (the seeds' name). `reasons`: what each worker said, by its name."""

    code = "no_workers_accepted"

    def __init__(self, message: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})


class JobFailedError(OpsconsoleError):
    """A job that was waited for has not succeeded (the seeds' name).

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
