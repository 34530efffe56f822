"""A websocket connection that makes sure who answers before it sends its request, and follows no redirect.

Imported on the first call of `dial`: websockets is heavy.
"""

import asyncio
import hashlib
import hmac
from secrets import token_hex
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from opsconsole_protocol.trust.address import host_of
from opsconsole_protocol.trust.proof import NONCE_BYTES, secret_hash_of, socket_address
from opsconsole_protocol.trust.proof_request import NoHttp, ProofReply, ProofRequest
from opsconsole_protocol.trust.refusal import Refused, Unproven, WrongCertificate, line_of


def checked(url: str, certificate_hash: str | None, secrets: tuple[str, ...]) -> type[ClientConnection]:
    """The class of connections to `url`: they check the certificate, or ask for a proof that one of `secrets` is known there."""
    fields = {"url": url, "certificate_hash": certificate_hash, "secrets": secrets}
    return type("CheckedConnection", (CheckedConnection,), fields)


class CheckedConnection(ClientConnection):
    """The base of what `checked` makes."""

    url: str
    certificate_hash: str | None
    secrets: tuple[str, ...]
    proof_request: ProofRequest | None = None
    reply: asyncio.Future[ProofReply]

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Check who answers, then send the request. Raises WrongCertificate, Unproven or Refused."""
        # TLS stands, nothing is written yet. Raising any earlier, in connection_made, would go unnoticed.
        if self.certificate_hash is not None:
            self._check_certificate(self.certificate_hash)
        if self.secrets:
            await self._ask_for_proof()
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            # Raised here, websockets doesn't see a redirect that it would follow, token in hand.
            response = error.response
            is_text = response.headers.get("Content-Type", "").startswith("text/plain")
            text = bytes(response.body or b"").decode(errors="replace") if is_text else ""
            raise Refused(self.url, response.status_code, line_of(response.status_code, text)) from None

    def data_received(self, data: bytes) -> None:
        """While a proof is asked for, what comes is the reply to that; afterwards it is the websocket's."""
        if self.proof_request is None:
            super().data_received(data)
            return
        try:
            reply = self.proof_request.feed(data)
        except NoHttp as error:
            self._end_proof_request(error)
            return
        if reply is not None and not self.reply.done():
            self.proof_request = None
            self.reply.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait for a proof, if there is one."""
        self._end_proof_request(exc or EOFError())
        super().connection_lost(exc)

    def _check_certificate(self, certificate_hash: str) -> None:
        shown = self.transport.get_extra_info("ssl_object").getpeercert(True)
        if not hmac.compare_digest(hashlib.sha256(shown).hexdigest(), certificate_hash):
            self.transport.abort()
            raise WrongCertificate(
                f"{self.url} shows another certificate than the one you were given: it is not that coordinator, "
                "or was set up anew; if you know why, ask for a new line with `opsconsole invite`"
            )

    async def _ask_for_proof(self) -> None:
        hashes = tuple(secret_hash_of(one) for one in self.secrets)
        proof_request = self.proof_request = ProofRequest(hashes, token_hex(NONCE_BYTES), host_of(self.url))
        where = socket_address(self.transport.get_extra_info("peername"))
        self.reply = asyncio.get_running_loop().create_future()
        self.transport.write(proof_request.request)
        reply = await self.reply
        if proof_request.is_proof(reply, where):
            return
        self.transport.abort()
        said = line_of(reply.status, reply.text)
        if reply.status not in {200, 401}:
            raise Refused(self.url, reply.status, said)
        raise Unproven(
            f"{self.url} doesn't prove that it knows this token, so the token was not sent"
            f"{f' ({said})' if reply.status == 401 else ''}: check the token; if it is right, another program than the "
            "coordinator listens there, or a tunnel from another port"
        )

    def _end_proof_request(self, error: Exception) -> None:
        if self.proof_request is not None and not self.reply.done():
            self.reply.set_exception(error)
