"""Opens a stream by WebRTC: exchanges descriptions through the links that exist, and waits until the two ends meet."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future
from typing import TypeVar

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.stream.signaller import Signaller
from opsconsole_protocol.host.stream.webrtc.engine import engines
from opsconsole_protocol.host.stream.webrtc.rtc_stream import EngineFailed, RtcStream
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay, StreamCancelled, StreamLost
from opsconsole_protocol.stream.message import IceServer, Way
from opsconsole_protocol.stream.session_description import check_description
from opsconsole_protocol.stream.signal import Failed, RtcAnswer, RtcOffer

LOOK_S = 0.2
"""How often a wait looks whether it is cancelled."""
_T = TypeVar("_T")


def open_webrtc(
    signaller: Signaller,
    is_initiator: bool,
    ice_servers: Sequence[IceServer],
    *,
    timeout_s: float,
    cancel: threading.Event | None = None,
) -> RtcStream:
    """Open a stream to the other end, which calls this at the same time, with `is_initiator` the other way round.

    No server but `ice_servers` is asked for anything: without any, only addresses of the two machines themselves are tried.
    Raises NoWay where the ends don't meet within `timeout_s`, StreamCancelled where `cancel` is set before, and what the
    signaller raises.
    """
    wait = _Wait(timeout_s, cancel)
    stream = _begin(ice_servers)
    try:
        if is_initiator:
            offer = wait.until_done(stream.call(lambda channel: channel.offer()))
            signaller.send(signal.encode(RtcOffer(sdp=offer)))
            answer = check_description(wait.until_told(signaller, RtcAnswer).sdp)
            wait.until_done(stream.call(lambda channel: channel.accept(answer)))
        else:
            offer = check_description(wait.until_told(signaller, RtcOffer).sdp)
            answer = wait.until_done(stream.call(lambda channel: channel.answer(offer)))
            signaller.send(signal.encode(RtcAnswer(sdp=answer)))
        wait.until_done(stream.call(stream.opened))
    except (EngineFailed, ProtocolError, StreamLost) as error:
        stream.abandon()
        raise NoWay(error.message) from None
    except BaseException:
        stream.abandon()
        raise
    return stream


def _begin(ice_servers: Sequence[IceServer]) -> RtcStream:
    """A stream by the fastest engine that can do it."""
    failure = ""
    for engine in engines():
        try:
            return RtcStream(engine, ice_servers)
        except EngineFailed as error:
            failure = error.message
    raise NoWay(failure)


class _Wait:
    """Waits for things until one time, or until somebody cancels."""

    def __init__(self, timeout_s: float, cancel: threading.Event | None) -> None:
        self._timeout_s = timeout_s
        self._until_s = time.monotonic() + timeout_s
        self._cancel = cancel

    def until_done(self, future: Future[_T]) -> _T:
        """Wait for what the engine does."""
        while True:
            slice_s = self._slice_s()
            done, _ = futures.wait((future,), slice_s)
            if done:
                return future.result()

    def until_told(self, signaller: Signaller, kind: type[_T]) -> _T:
        """Wait for a signal of this kind. Raises NoWay where the other end says that it fails; others are passed over."""
        while True:
            body = signaller.receive(self._slice_s())
            told = None if body is None else signal.decode(body)
            match told:
                case kind():
                    return told
                case Failed(way=Way.WEBRTC, reason=reason):
                    raise NoWay(f"the other end says: {reason}")
                case _:
                    pass

    def _slice_s(self) -> float:
        """How long to wait before the next look. Raises NoWay and StreamCancelled."""
        if self._cancel is not None and self._cancel.is_set():
            raise StreamCancelled("the transfer was cancelled")
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise NoWay(f"no WebRTC connection came about within {self._timeout_s:g} s")
        return min(LOOK_S, left_s)
