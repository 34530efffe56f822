"""Answers the coordinator's questions about what ended jobs left on this worker, and removes what it says."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from opsconsole_agent.probe.io_path import OutputRefused, WorkerIOConfig
from opsconsole_agent.state import leaving
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.bound import cut
from opsconsole_protocol.link import (
    LEAVINGS_MAX,
    TROUBLE_CHARACTERS_MAX,
    TROUBLES_MAX,
    Leaving,
    Leavings,
    LookForLeavings,
    RemoveLeavings,
)


class Cache(Protocol):
    """What is kept for jobs to come, as far as nobody needs it now. Both methods block."""

    def look(self, before_ms: int) -> list[Leaving]:
        """All that was used last before this time, Unix milliseconds."""

    def remove(self, names: Collection[str]) -> list[Leaving]:
        """Remove those of these names, and return what was removed."""


class LeavingAnswerer:
    """One agent's. `outputs`: where results go; `caches`: what else may go. `say` is told what was removed."""

    def __init__(
        self,
        state: StateFolder,
        outputs: WorkerIOConfig,
        keep_output_days: float,
        caches: Sequence[Cache],
        say: Callable[[str], None],
    ) -> None:
        self._state = state
        self._outputs = outputs
        self._keep_output_days = keep_output_days
        self._caches = caches
        self._say = say

    async def answer(self, message: LookForLeavings | RemoveLeavings) -> Leavings:
        """What there is, or what was removed."""
        if isinstance(message, LookForLeavings):
            return await self._look(message)
        return await self._remove(message)

    async def _look(self, message: LookForLeavings) -> Leavings:
        before_ms = time.time_ns() // 1_000_000 - message.older_than_ms
        found: list[Leaving] = []
        troubles: list[str] = []
        is_more = False
        if message.attempts:
            found = await asyncio.to_thread(leaving.look, self._state, before_ms)
            for cache in self._caches:
                found += await asyncio.to_thread(cache.look, before_ms)
            found.sort(key=lambda one: (-one.bytes, one.name))
        if message.outputs:
            try:
                outputs, is_more = await asyncio.to_thread(
                    leaving.look_at_outputs, self._state, self._outputs, message.outputs
                )
                found += outputs
            except OutputRefused as refusal:
                troubles.append(refusal.message)
        return self._made(message.check_id, found, troubles, is_more=is_more)

    async def _remove(self, message: RemoveLeavings) -> Leavings:
        names = frozenset(message.names)
        removed, troubles = await asyncio.to_thread(leaving.remove, self._state, names)
        for cache in self._caches:
            removed += await asyncio.to_thread(cache.remove, names)
        is_more = False
        if message.outputs:
            try:
                outputs, words, is_more = await asyncio.to_thread(
                    leaving.remove_outputs, self._state, self._outputs, message.outputs
                )
                removed += outputs
                troubles += words
            except OutputRefused as refusal:
                troubles.append(refusal.message)
        if removed:
            self._say(f"{len(removed)} things that ended tasks had left were removed, as the coordinator asked")
        return self._made(message.check_id, removed, troubles, is_more=is_more)

    def _made(self, number: int, found: list[Leaving], troubles: list[str], *, is_more: bool) -> Leavings:
        return Leavings(
            check_id=number,
            leavings=tuple(found[:LEAVINGS_MAX]),
            more=is_more or len(found) > LEAVINGS_MAX,
            troubles=tuple(cut(text, TROUBLE_CHARACTERS_MAX) for text in troubles[:TROUBLES_MAX]),
            keep_attempt_days=self._state.kept_days,
            keep_output_days=self._keep_output_days,
        )
