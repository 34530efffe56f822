"""Runs the core: every event goes in here, and every effect is carried out here, in order.

Nothing in here waits. What takes time is handed to the engine or the link, and comes back as an event.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from opsconsole_agent.core.effect import (
    AbandonPreparation,
    AskToSave,
    Effect,
    FinishLog,
    ForgetAttempt,
    Kill,
    NoteFault,
    Pause,
    PersistIntent,
    PrepareAttempt,
    Resume,
    RewindLog,
    SendObservation,
    SendReport,
    StartAttempt,
    Terminate,
    WithdrawAsk,
)
from opsconsole_agent.core.event import (
    ClockMoved,
    EngineHello,
    Event,
    IntentsFound,
    LogComplete,
    PreparationFailed,
    StartFailed,
    Tick,
)
from opsconsole_agent.core.intent import Intent
from opsconsole_agent.core.reactor import Reactor
from opsconsole_agent.engine.build import has_build
from opsconsole_agent.engine.engine import Engine
from opsconsole_agent.failure.last_lines import NOTHING, Printed, secret_variables
from opsconsole_agent.log.shipper import LogShipper
from opsconsole_agent.probe.io_path import OutputCount
from opsconsole_agent.recognise.recogniser import Recogniser
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Message, Observed
from opsconsole_protocol.log import Source

_CLOCK_JUMP_MS = 2_000
_WATCH_AFTER_S = 0.05
_REPORT_PAUSE_S = 0.002
"""At most one report in this time: each costs both sides a frame, and the coordinator a commit."""
_REPORT_PAUSE_BUSY_S = 0.01
"""At most one report in this time while attempts here wait for a slot: then nothing waits for the coordinator's answer."""
_MAY_LACK_LINES = "the disk of this worker was full when the task ended, so its log may lack lines"
_WRITTEN_BY_TASKS = (Source.STDOUT, Source.STDERR)

_log = logging.getLogger(__name__)


class Link(Protocol):
    """The way to the coordinator, as far as effects need it."""

    def send(self, message: Message) -> None:
        """Queue a message, or drop it where there is no connection."""

    def allow_shipping(self) -> None:
        """The coordinator has said how much of each log it has."""

    def wake_shipping(self) -> None:
        """There may be something new in a log file, or room for more of it."""


class CoreRunner:
    """Runs one core. `engine` and `link` must be set before the first event."""

    engine: Engine
    link: Link

    def __init__(
        self,
        reactor: Reactor,
        state: StateFolder,
        shipper: LogShipper,
        recogniser: Recogniser | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`recogniser`: reads what is left of an attempt's output before its logs are measured. `environment`: the agent's
        own, whose secrets no error may show."""
        self.reactor = reactor
        self._environment = environment or {}
        self.knows_attempts = asyncio.Event()
        """Set once the engine has said what lives; before that nothing should be registered."""
        self._state = state
        self._shipper = shipper
        self._recogniser = recogniser
        self._inbox: deque[Event] = deque()
        self._busy = False
        self._watched: set[AttemptId] = set()
        self._watched_builds: set[AttemptId] = set()
        self._to_watch: set[AttemptId] = set()
        self._watch_timer: asyncio.TimerHandle | None = None
        self._unwritten: dict[AttemptId, str] = {}
        self._report_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._deadline_ms = 0
        self._wall_ms, self._monotonic_ms = _clocks()
        self._effect_handlers: dict[type, Callable[[Any], None]] = {
            PersistIntent: self._persist,
            NoteFault: lambda effect: _log.error("a fault of this program, left out: %s", effect.text),
            PrepareAttempt: self._prepare,
            AbandonPreparation: lambda effect: self.engine.abandon(effect.attempt_id),
            StartAttempt: self._start,
            Pause: lambda effect: self.engine.pause(effect.attempt_id),
            Resume: lambda effect: self.engine.resume(effect.attempt_id),
            AskToSave: lambda effect: self.engine.ask_to_save(effect.attempt_id, effect.signal),
            WithdrawAsk: lambda effect: self.engine.withdraw_ask(effect.attempt_id),
            Terminate: lambda effect: self.engine.terminate(effect.attempt_id, effect.grace_ms),
            Kill: lambda effect: self.engine.kill(effect.attempt_id),
            FinishLog: self._finish_log,
            RewindLog: self._rewind_log,
            ForgetAttempt: self._forget,
            SendReport: lambda effect: self.link.send(effect.report),
            SendObservation: lambda effect: self.link.send(effect.observation),
        }

    # --- events in, effects out ------------------------------------------------------------------------------------

    def handle_events(self, events: Sequence[Event]) -> None:
        """Take events in order. Events that come from within an effect are taken after those under way."""
        self._inbox.extend(events)
        if self._busy:
            return
        self._busy = True
        try:
            self._process_inbox()
        finally:
            self._busy = False
        self._set_timer()

    def _process_inbox(self) -> None:
        now_ms = self._now_ms()
        while self._inbox:
            while self._inbox:
                event = self._inbox.popleft()
                if isinstance(event, PreparationFailed) and event.attempt_id in self._watched_builds:
                    event = msgspec.structs.replace(event, log_sizes=self._finish_shipping(event.attempt_id))
                try:
                    self.reactor.handle(event, now_ms)
                except IllegalTransition as error:
                    # News that came late or twice: worth a line, and no harm done.
                    _log.warning("ignored: %s", error)
                if isinstance(event, EngineHello):
                    self._watch_found()
                    self.knows_attempts.set()
            self._carry_out(self.reactor.take_effects(reports=False))
        self._report()

    def _report(self) -> None:
        """Report what changed: at once after a quiet while, and else so late that a short task's start and end are one report."""
        if self._report_timer is None and self.reactor.has_news:
            self._carry_out(self.reactor.take_effects())
            pause_s = _REPORT_PAUSE_BUSY_S if self.reactor.has_waiting else _REPORT_PAUSE_S
            self._report_timer = asyncio.get_running_loop().call_later(pause_s, self._report_again)

    def _report_again(self) -> None:
        self._report_timer = None
        self._report()

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._effect_handlers[type(effect)](effect)

    def begin_exchange(self) -> tuple[Observed, ...]:
        """The whole observed set for a new connection; all of it is on disk when this returns."""
        observed = self.reactor.begin_exchange()
        self._carry_out(self.reactor.take_effects())
        return observed

    def recover(self) -> tuple[Intent, ...]:
        """Tell the core what an earlier life of the agent wrote down; returns what could be read of it."""
        intents, damaged = self._state.load()
        self.handle_events([IntentsFound(intents=intents, damaged=damaged)])
        for attempt_id, why in damaged:
            _log.error("attempt %s: %s", attempt_id, why)
        return intents

    # --- time ------------------------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        """Unix time in milliseconds. Where the clock was set the core hears of that first, for no time has passed."""
        wall_ms, monotonic_ms = _clocks()
        jump_ms = (wall_ms - self._wall_ms) - (monotonic_ms - self._monotonic_ms)
        self._wall_ms, self._monotonic_ms = wall_ms, monotonic_ms
        if abs(jump_ms) > _CLOCK_JUMP_MS:
            _log.warning("the clock of this host moved by %d ms", jump_ms)
            self._inbox.appendleft(ClockMoved(delta_ms=jump_ms))
        return wall_ms

    def _set_timer(self) -> None:
        """An earlier timer is left as it is: it does no harm, and most deadlines are taken back long before they are due."""
        due_ms = self.reactor.next_deadline_ms()
        if due_ms is None or (self._deadline_timer is not None and self._deadline_ms <= due_ms):
            return
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._deadline_ms = due_ms
        delay_s = max(0, due_ms - self._wall_ms) / 1000
        self._deadline_timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._deadline_timer = None
        self.handle_events([Tick()])

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._deadline_timer, self._watch_timer, self._report_timer):
            if timer is not None:
                timer.cancel()

    # --- effects ---------------------------------------------------------------------------------------------------

    def _prepare(self, effect: PrepareAttempt) -> None:
        self._watch_build(effect.attempt_id, effect.launch)
        self.engine.prepare(effect.attempt_id, effect.launch)

    def _persist(self, effect: PersistIntent) -> None:
        attempt_id = effect.intent.attempt_id
        try:
            self._state.write_intent(effect.intent)
        except OSError as error:
            self._unwritten[attempt_id] = error.strerror or str(error)
            _log.error("the intent of %s can't be written: %s", attempt_id, error.strerror)
        else:
            self._unwritten.pop(attempt_id, None)

    def _start(self, effect: StartAttempt) -> None:
        attempt_id = effect.attempt_id
        why = self._unwritten.pop(attempt_id, None)
        if why is not None:
            error = (
                f"it was not started, for the worker can't keep a record of it ({why}): make room in {self._state.path}"
            )
            self._inbox.append(StartFailed(attempt_id=attempt_id, at_ms=self._wall_ms, error=error))
            return
        self._watch_soon(attempt_id)
        self.engine.start(attempt_id)

    def _watch_soon(self, attempt_id: AttemptId) -> None:
        """Follow its files in a moment: small tasks end before that, and most of them write nothing."""
        self._to_watch.add(attempt_id)
        if self._watch_timer is None:
            self._watch_timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch_new)

    def _watch_new(self) -> None:
        self._watch_timer = None
        attempt_ids, self._to_watch = self._to_watch, set()
        for attempt_id in attempt_ids:
            self._watch(attempt_id)

    def _watch(self, attempt_id: AttemptId) -> None:
        if attempt_id not in self._watched:
            self._watched.add(attempt_id)
            for source in (*_WRITTEN_BY_TASKS, Source.REPORT):
                path, kept = self._state.log_names(attempt_id, source)
                self._shipper.watch(attempt_id, source, path, hard_link=kept)
            self.link.wake_shipping()

    def _watch_build(self, attempt_id: AttemptId, launch: Launch | None) -> None:
        """Follow what its preparation says, where there may be something."""
        if launch is None or not has_build(launch) or attempt_id in self._watched_builds:
            return
        self._watched_builds.add(attempt_id)
        self._shipper.watch(attempt_id, Source.BUILD, self._state.log_file(attempt_id, Source.BUILD))
        self.link.wake_shipping()

    def _watch_found(self) -> None:
        """Follow the files of what was found alive."""
        for attempt in self.reactor.expected():
            self._watch_build(attempt.attempt_id, attempt.launch)
            self._watch(attempt.attempt_id)

    def _finish_log(self, effect: FinishLog) -> None:
        attempt_id = effect.attempt_id
        self._to_watch.discard(attempt_id)
        attempt = self.reactor.attempt(attempt_id)
        launch = None if attempt is None else attempt.launch
        output_path = None if attempt is None else attempt.output_path
        self._watch_build(attempt_id, launch)
        is_clean = attempt is not None and attempt.exited is not None and attempt.exited.all_gone
        self.engine.settle(
            attempt_id, launch, output_path, all_gone=is_clean, then=lambda count: self._complete_log(effect, count)
        )

    def _complete_log(self, effect: FinishLog, count: OutputCount | None) -> None:
        """`count`: what the attempt has left in its output folder. Now its logs are measured, and that is its end."""
        attempt_id = effect.attempt_id
        attempt = self.reactor.attempt(attempt_id)
        if self._recogniser is None or attempt is None or attempt.launch is None or self._wrote_nothing(attempt_id):
            self._end_log(effect, count)
        else:
            pattern = attempt.launch.metric_pattern
            self._recogniser.finish(attempt_id, pattern, lambda: self._end_log(effect, count))

    def _end_log(self, effect: FinishLog, count: OutputCount | None) -> None:
        event = self._measure_log(effect)
        if count is not None:
            event = msgspec.structs.replace(event, output_files=count.files, output_bytes=count.size_bytes)
        self.handle_events([event])

    def _measure_log(self, effect: FinishLog) -> LogComplete:
        attempt_id = effect.attempt_id
        is_full = self._state.is_full
        left = self._state.left_words(attempt_id)
        is_watched = attempt_id in self._watched or attempt_id in self._watched_builds
        if not is_watched and not is_full and not effect.note and self._wrote_nothing(attempt_id):
            return LogComplete(attempt_id=attempt_id, left=left)
        self._watch(attempt_id)
        if is_full:
            self._shipper.note(attempt_id, f"opsconsole: {_MAY_LACK_LINES}: make room in {self._state.path}")
        if effect.note:
            self._shipper.note(attempt_id, f"opsconsole: {effect.note}")
        sizes = self._finish_shipping(attempt_id)
        printed = self._printed(attempt_id) if effect.failed else NOTHING
        full_disk = str(self._state.path) if is_full else ""
        return LogComplete(attempt_id=attempt_id, sizes=sizes, printed=printed, full_disk=full_disk, left=left)

    def _finish_shipping(self, attempt_id: AttemptId) -> dict[str, int]:
        """Its files grow no more: their sizes."""
        sizes = {str(source): size for source, size in self._shipper.finish(attempt_id).items()}
        self.link.wake_shipping()
        return sizes

    def _wrote_nothing(self, attempt_id: AttemptId) -> bool:
        try:
            # What has a size has its second name too, unless it couldn't be given one; then it has its size.
            if any(os.path.lexists(self._state.kept_log(attempt_id, source)) for source in _WRITTEN_BY_TASKS):
                return False
            if os.path.lexists(self._state.log_file(attempt_id, Source.REPORT)):
                return False
            return not any(os.lstat(self._state.log_file(attempt_id, source)).st_size for source in _WRITTEN_BY_TASKS)
        except OSError:
            return False

    def correct_log_sizes(self) -> None:
        """Tell the core about logs that ended up shorter than they were when their tasks ended."""
        events = [
            LogComplete(
                attempt_id=AttemptId(log.attempt_id), sizes={str(source): size for source, size in log.sizes.items()}
            )
            for log in self._shipper.take_settled()
            if self.reactor.attempt(log.attempt_id) is not None
        ]
        if events:
            self.handle_events(events)

    def _printed(self, attempt_id: AttemptId) -> Printed:
        attempt = self.reactor.attempt(attempt_id)
        launch = None if attempt is None else attempt.launch
        secrets = secret_variables(self._environment, {} if launch is None else launch.environment)
        stdout, stderr = (self._state.last_printed(attempt_id, source) for source in _WRITTEN_BY_TASKS)
        return Printed(stderr, stdout, secrets)

    def _rewind_log(self, effect: RewindLog) -> None:
        for source in Source:
            self._shipper.rewind(effect.attempt_id, source, effect.offsets.get(source, 0))

    def _forget(self, effect: ForgetAttempt) -> None:
        attempt_id = effect.attempt_id
        self._to_watch.discard(attempt_id)
        is_cut = self._shipper.is_cut(attempt_id)
        if attempt_id in self._watched or attempt_id in self._watched_builds:
            self._watched.discard(attempt_id)
            self._watched_builds.discard(attempt_id)
            self._shipper.drop(attempt_id)
        try:
            self._state.remove(attempt_id, clean=effect.clean, keep_logs=is_cut)
        except OSError as error:
            _log.warning("the folder of %s can't be cleared: %s", attempt_id, error.strerror)
        if effect.publish is not None:
            self.engine.publish(effect.publish)
        self.engine.forget(attempt_id, effect.launch)


def _clocks() -> tuple[int, int]:
    return time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
