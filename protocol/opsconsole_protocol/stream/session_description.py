"""What we take of a session description (SDP) from the other end, before an engine sees it.

An engine looks up names and knocks at addresses that a description has in it. So of its candidates only those with a literal
address are kept, and not many; of its media only the one data channel.
"""

import ipaddress

from opsconsole_protocol.error import ProtocolError

DESCRIPTION_CHARACTERS_MAX = 32 * 1024
CANDIDATES_MAX = 64
_CANDIDATE = "a=candidate:"
_NO_MORE = "a=end-of-candidates"
"""A description comes with all its candidates, so an engine may give up when it has tried them."""
_MEDIA = "m="
_DATA_CHANNEL = "webrtc-datachannel"


def check_description(description: str) -> str:
    """Return the description without the candidates that we don't take.

    Raises ProtocolError for one that doesn't describe exactly one data channel with the hash of its certificate.
    """
    lines = description.splitlines()
    media = [line for line in lines if line.startswith(_MEDIA)]
    if (
        len(description) > DESCRIPTION_CHARACTERS_MAX
        or not all(line.isascii() and line.isprintable() for line in lines)
        or len(media) != 1
        or not media[0].endswith(f" {_DATA_CHANNEL}")
        or not any(line.startswith("a=fingerprint:sha-256 ") for line in lines)
    ):
        raise ProtocolError("the other end describes something else than a data channel: no WebRTC with it")
    others = [line for line in lines if line != _NO_MORE and not line.startswith(_CANDIDATE)]
    candidates = [line for line in lines if line.startswith(_CANDIDATE) and _has_address(line)][:CANDIDATES_MAX]
    return "\r\n".join((*others, *candidates, _NO_MORE, ""))


def _has_address(candidate: str) -> bool:
    words = candidate.split()
    try:
        address = ipaddress.ip_address(words[4])
    except (IndexError, ValueError):
        return False
    return "%" not in words[4] and not (address.is_multicast or address.is_unspecified)
