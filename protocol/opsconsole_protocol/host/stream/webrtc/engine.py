"""Which WebRTC engines there are here.

`aiortc` is written in Python and always there. `wrtc` is Chrome's own, several times as fast, and used where it is installed
(`opsconsole[webrtc]`) and can be loaded. Both are imported only when a stream is to go that way.
"""

from __future__ import annotations

from functools import cache

from opsconsole_protocol.host.stream.webrtc.channel import Engine

AIORTC = "aiortc"
WRTC = "wrtc"


def engine_names() -> tuple[str, ...]:
    """The engines that can be used here, the fastest first. The first call may take half a second."""
    return (*(engine.name for engine in _native()[0]), AIORTC)


def engine_fault() -> str:
    """Why the fast engine isn't used although it is installed, as one line; empty where nothing is wrong."""
    return _native()[1]


def load_engine() -> Engine:
    """Load the fastest engine that there is."""
    for engine in _native()[0]:
        return engine
    from opsconsole_protocol.host.stream.webrtc.aiortc_engine import AiortcEngine

    return AiortcEngine()


@cache
def _native() -> tuple[tuple[Engine, ...], str]:
    try:
        from opsconsole_protocol.host.stream.webrtc.wrtc_engine import WrtcEngine
    except ModuleNotFoundError as error:
        if error.name in {"webrtc", "wrtc"}:
            return (), ""
        return (), _fault(error)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with an optional extra, there is the other engine)
        return (), _fault(error)
    return (WrtcEngine(),), ""


def _fault(error: Exception) -> str:
    return (
        f"{WRTC} can't be loaded ({type(error).__name__}), so {AIORTC} is used, which is slower: "
        "install opsconsole[webrtc] anew"
    )
