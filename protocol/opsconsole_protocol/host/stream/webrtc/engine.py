"""Which WebRTC engines there are here.

`aiortc` is written in Python and always there. `wrtc` is Chrome's own, several times as fast, and used where it is installed
(`opsconsole[webrtc]`) and can be loaded. Both are imported only when a stream is to go that way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache

from opsconsole_protocol.host.stream.webrtc.channel import Engine

AIORTC = "aiortc"
WRTC = "wrtc"
_PACKAGE = "webrtc"
"""What `wrtc` is imported as."""
logger = logging.getLogger(__name__)


def engine_names() -> tuple[str, ...]:
    """The engines that can be used here, the fastest first. The first call may take half a second."""
    return (*(engine.name for engine in _native()[0]), AIORTC)


def engine_fault() -> str:
    """Why the fast engine isn't used although it is installed, as one line; empty where nothing is wrong."""
    return _native()[1]


def engines() -> Iterator[Engine]:
    """Load one engine after the other, the fastest first. The last is always there."""
    yield from _native()[0]
    from opsconsole_protocol.host.stream.webrtc.aiortc_engine import AiortcEngine

    yield AiortcEngine()


def leave_out_native() -> None:
    """Do as if no fast engine were installed, in this process, from before the first stream; for tests and measurements."""
    _left_out.append(WRTC)
    _native.cache_clear()


_left_out: list[str] = []


@cache
def _native() -> tuple[tuple[Engine, ...], str]:
    if _left_out:
        return (), ""
    try:
        from opsconsole_protocol.host.stream.webrtc.wrtc_engine import WrtcEngine
    except ModuleNotFoundError as error:
        return (), "" if error.name == _PACKAGE else _fault(error)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with an optional extra, there is the other engine)
        return (), _fault(error)
    return (WrtcEngine(),), ""


def _fault(error: Exception) -> str:
    fault = (
        f"{WRTC} can't be loaded ({type(error).__name__}), so {AIORTC} is used, which is slower: "
        "install opsconsole[webrtc] anew"
    )
    logger.warning("%s", fault)
    return fault
