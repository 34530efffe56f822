"""A websocket connection of a test's server that first proves what it knows, as a coordinator does on loopback."""

from collections.abc import Callable, Iterable

from websockets.asyncio.server import ServerConnection

from opsconsole_protocol.trust import proof


def proving(tokens: Callable[[], Iterable[str]]) -> type[ServerConnection]:
    """A kind of connection that knows these tokens."""

    class Proving(ServerConnection):
        def data_received(self, data: bytes) -> None:
            if not data.startswith(f"GET {proof.PATH} ".encode()):
                super().data_received(data)
                return
            lines = data.decode().split("\r\n")[1:]
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            where = proof.socket_address(self.transport.get_extra_info("sockname"))
            known = {proof.key_id(one): one for one in map(proof.secret_hash_of, tokens())}
            nonce, keys = fields[proof.NONCE_HEADER.lower()], fields[proof.KEYS_HEADER.lower()]
            found = proof.answer_request(known, nonce, keys, where)
            body = found or "the token is not valid here"
            head = f"HTTP/1.1 {'200 OK' if found else '401 Unauthorized'}\r\ncontent-type: text/plain\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())

    return Proving
