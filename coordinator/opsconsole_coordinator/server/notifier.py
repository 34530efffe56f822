"""Tells people what their rules ask for, after the commit and beside it: nobody waits for a receiver.

Events are read from the store, so that a coordinator that was killed goes on where it was. What isn't delivered yet is stored
with it, and each rule has a task of its own, so a receiver that hangs holds up its own rule only.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from opsconsole_coordinator.core.model import SYSTEM
from opsconsole_coordinator.notice import rule as core
from opsconsole_coordinator.notice.rule import Notice, NoticeRule, Occasion
from opsconsole_coordinator.server.commit_loop import CommitLoop, ToldRows
from opsconsole_coordinator.server.identity import Identities
from opsconsole_coordinator.server.known_name import check_person, check_project
from opsconsole_coordinator.server.notice_channel import NotDelivered, deliver, label
from opsconsole_coordinator.store import notice as store
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_protocol.api import EventRow
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import WorkerId

log = logging.getLogger("opsconsole.coordinator.notices")

LOOK_EVERY_S = 30.0
GAP_S = 0.2
"""Between two looks: what many jobs do at once is read at once."""
EVENTS_AT_ONCE = 500
NOTICES_WAITING_MAX = 10_000
"""How many notices of one rule wait: newer ones are dropped, which is an event."""
STOP_S = 5.0


class Notifier:
    """One for a coordinator. `run` looks and delivers for ever; `stop` gives what is under way a few seconds."""

    def __init__(
        self, commit_loop: CommitLoop, identities: Identities, rules: Iterable[NoticeRule], store_id: str
    ) -> None:  # fmt: skip
        self._commit_loop = commit_loop
        self._identities = identities
        self._rules = {rule.key: rule for rule in rules}
        self._origin = (store_id, commit_loop.name)
        self._queues = {key: deque[Notice]() for key in self._rules}
        self._filled = {key: asyncio.Event() for key in self._rules}
        self._is_new = asyncio.Event()
        self._busy: set[str] = set()
        self._idle = asyncio.Event()
        self._is_stopping = False

    def publish(self, jobs: ToldRows, workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:  # noqa: ARG002 - CommitListener
        """Take note that events were committed. Never blocks."""
        if any(event.kind in core.EVENT_KINDS for event in events):
            self._is_new.set()

    async def run(self) -> None:
        """Look and deliver, for ever."""
        found: store.Seen | None = None
        while True:
            try:
                found = await self._begin()
                await self._tell_misnamed()
                break
            except StoreError as error:
                log.warning("notices wait: %s", error)
                await asyncio.sleep(LOOK_EVERY_S)
        if found is None:
            return
        seen = found
        async with asyncio.TaskGroup() as group:
            for rule in self._rules.values():
                group.create_task(self._deliver(rule), name="deliver notices")
            while True:
                try:
                    seen = await self._look(seen)
                except StoreError as error:
                    log.warning("notices wait: %s", error)
                    await asyncio.sleep(LOOK_EVERY_S)
                await asyncio.sleep(GAP_S)
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._is_new.wait()
                except TimeoutError:
                    pass

    async def stop(self) -> None:
        """Begin no further delivery, and return when none is under way, or after STOP_S. What is left is delivered by the next start."""
        self._is_stopping = True
        self._idle.clear()
        try:
            async with asyncio.timeout(STOP_S):
                while self._busy:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.info("what couldn't be delivered in time is tried again after the next start")

    async def _begin(self) -> store.Seen | None:
        """How far was looked, with what is left to deliver taken in; None where no rules are, and then nothing is kept of former ones."""
        database = self._commit_loop.database
        if not self._rules:
            if await database.read(store.is_used):
                await database.write(store.forget)
            return None
        seen = await database.write(lambda one: store.begin(one, self._commit_loop.clock.now_ms(), self._rules))
        for key, notices in (await database.read(store.waiting)).items():
            self._fill(key, notices)
        return seen

    async def _tell_misnamed(self) -> None:
        """A rule about somebody, or a project, that there isn't tells nobody anything: say so, as it may be meant for who comes later."""
        for rule in self._rules.values():
            try:
                if rule.project:
                    await check_project(self._commit_loop, rule.project)
                if rule.person:
                    check_person(self._commit_loop, self._identities, rule.person)
            except OpsconsoleError as error:
                self._audit(
                    f"a [[notify]] of config.toml ({label(rule.channel)}) tells of nothing yet: {error.message}"
                )

    def _fill(self, key: str, notices: Iterable[Notice]) -> None:
        self._queues[key].extend(notices)
        self._filled[key].set()

    async def _look(self, seen: store.Seen) -> store.Seen:
        """Make the notices of all that was committed since, store them, and hand them on."""
        self._is_new.clear()
        now_ms = self._commit_loop.clock.now_ms()
        since_ms = max(seen.at_ms, now_ms - core.GIVE_UP_AFTER_MS)
        waits = [rule.wait_ms for rule in self._rules.values() if Occasion.WAIT in rule.on and rule.wait_ms is not None]
        window = (since_ms - max(waits), now_ms - min(waits)) if waits else None
        kinds = tuple(core.EVENT_KINDS | core.WAIT_KINDS if waits else core.EVENT_KINDS)
        found = await self._commit_loop.database.read(lambda one: store.look(one, seen, kinds, window, EVENTS_AT_ONCE))
        begun = [event for event in found.events if event.kind in core.WAIT_KINDS]
        told = [event for event in found.events if event.kind in core.EVENT_KINDS]
        events = [event for event in told if now_ms - event.at_ms < core.GIVE_UP_AFTER_MS]
        rules = self._rules.values()
        made = [
            *core.of_events(rules, events, found.jobs, self._origin),
            *core.of_waiting(rules, found.waiting, since_ms, now_ms, self._origin),
        ]
        kept: dict[str, list[Notice]] = {key: [] for key in self._rules}
        for rule, notice in made:
            if len(self._queues[rule.key]) + len(kept[rule.key]) < NOTICES_WAITING_MAX:
                kept[rule.key].append(notice)
        if found.events or waits:
            seen = store.Seen(found.events[-1].seq if found.events else seen.seq, now_ms)
            stored = [(self._rules[key], notice) for key, notices in kept.items() for notice in notices]
            over_ms = window[0] if window is not None else None
            await self._commit_loop.database.write(lambda one: store.add(one, stored, begun, over_ms, seen))
            if dropped := len(made) - len(stored):
                self._audit(f"{_count(dropped)} dropped: {NOTICES_WAITING_MAX:,} of the same rule wait already")
        for key, notices in kept.items():
            if notices:
                self._fill(key, notices)
        if len(found.events) == EVENTS_AT_ONCE:
            self._is_new.set()
        return seen

    async def _deliver(self, rule: NoticeRule) -> None:
        """Deliver one notice after the other. One that fails goes to the end, and the rule waits longer after each failure in a row."""
        queue, filled, failures = self._queues[rule.key], self._filled[rule.key], 0
        while True:
            await filled.wait()
            if self._is_stopping:
                return
            if not queue:
                filled.clear()
                continue
            notice = queue.popleft()
            self._busy.add(rule.key)
            try:
                is_done = await self._try(rule, notice)
            finally:
                self._busy.discard(rule.key)
                self._idle.set()
            failures = 0 if is_done else failures + 1
            if not is_done:
                queue.append(notice)
                await asyncio.sleep(core.delay_ms(failures) / 1000)

    async def _try(self, rule: NoticeRule, notice: Notice) -> bool:
        """Whether this notice is dealt with: delivered, or given up."""
        try:
            await deliver(rule.channel, notice)
        except NotDelivered as error:
            is_late = self._commit_loop.clock.now_ms() - notice.at_ms > core.GIVE_UP_AFTER_MS
            log.warning("a notice didn't reach %s: %s", label(rule.channel), error)
            if not is_late and not error.is_final:
                return False
            await self._done(rule, notice)
            after = " for a day" if is_late else ""
            what = f"of {notice.job}" if notice.job else f"about {notice.worker}"
            self._audit(f"the notice {what} ({notice.kind}) couldn't be given to {label(rule.channel)}{after}: {error}")
            return True
        await self._done(rule, notice)
        return True

    async def _done(self, rule: NoticeRule, notice: Notice) -> None:
        try:
            await self._commit_loop.database.write(lambda one: store.done(one, rule.key, [notice.id]))
        except StoreError as error:
            log.warning("a notice that is dealt with may be sent once more after a restart: %s", error)

    def _audit(self, text: str) -> None:
        log.warning(text)
        loop = self._commit_loop
        loop.reactor.on_audit(SYSTEM, EventKind.NOTICE, text, loop.fleet.name, loop.clock.now_ms())
        loop.changed()


def _count(number: int) -> str:
    return "1 notice was" if number == 1 else f"{number:,} notices were"
