"""The token of one attempt: good for what it reports of itself, as long as it lives.

It is made of the agent's own secret and the attempt's id, so nothing has to be kept, and it outlives a restart of the agent.
"""

import hmac

from opsconsole_protocol.ids import AttemptId

_WHAT = b"opsconsole job token "


def job_token(secret: str, attempt_id: AttemptId) -> str:
    """The token of an attempt of the agent that has this secret."""
    proof = hmac.digest(secret.encode(), _WHAT + attempt_id.encode(), "sha256").hex()
    return f"{attempt_id}.{proof}"


def attempt_of(secret: str, token: str) -> AttemptId | None:
    """Whose token this is; None where it is nobody's. Compared in constant time."""
    attempt_id = AttemptId(token.rpartition(".")[0])
    return attempt_id if hmac.compare_digest(job_token(secret, attempt_id).encode(), token.encode()) else None
