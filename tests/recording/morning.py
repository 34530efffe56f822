"""One morning in the lab, played to the real core: agents by script, a clock that is told, chance from a seed."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol import link
from opsconsole_protocol.api import TemplateRow
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.link import Gpu, GpuUser, Host, TaskUsage
from opsconsole_protocol.state import AttemptState, TaskState
from tests.coordinator.core.world import FakeWorker, World
from tests.recording import lab
from tests.recording.lab import BOXES, MINUTE_MS, NOW_MS, Box, Work

BEGIN_MIN = 960
STEP_MS = MINUTE_MS
"""Everybody who lives is heard before each step, so nobody seems silent for the length of one."""


class Morning:
    """Play with `play`; then `world` stands where the record ends, and `jobs` are all jobs by name."""

    def __init__(self) -> None:
        self.world = World(seed=7)
        self.world.now_ms = NOW_MS - BEGIN_MIN * MINUTE_MS
        self.world.fleet.name = "lab-coordinator"
        self.world.fleet.seq = 10_000
        self.jobs: dict[str, Job] = {}
        self._dead: set[str] = set()
        self._plan: list[tuple[float, int, Callable[[], None]]] = []

    # --- the plan ----------------------------------------------------------------------------------------------

    def at(self, minutes: float, action: Callable[[], object]) -> None:
        """Plan something for so many minutes before now."""
        heapq.heappush(self._plan, (-minutes, len(self._plan), lambda: void(action())))

    def play(self) -> None:
        """All that happens, in its order, up to now."""
        self._plan_catalog()
        self._plan_workers()
        self._plan_steady()
        self._plan_sweeps()
        self._plan_others()
        while self._plan:
            minutes, _, action = heapq.heappop(self._plan)
            self._pass_to(NOW_MS + round(minutes * MINUTE_MS))
            action()
            if not self._plan or self._plan[0][0] > minutes:
                self.settle()
        self._pass_to(NOW_MS - 2_000)
        self._beat()
        self.world.now_ms = NOW_MS
        self.settle()

    def _plan_catalog(self) -> None:
        for name, about in lab.PROJECTS.items():
            status = "paused" if name == lab.PAUSED else None
            self.at(BEGIN_MIN, partial(self._set_project, name, about, status))
        for template in lab.TEMPLATES:
            self.at(BEGIN_MIN, partial(self._set_template, template))

    def _plan_workers(self) -> None:
        for box in BOXES:
            self.at(BEGIN_MIN, partial(self._join, box))
        self.at(25, lambda: self._drain(lab.OLD, "drain", "ben"))
        self.at(17, lambda: self._drain("gpu-a", "drain", "ben"))
        self.at(13, lambda: self._drain("gpu-a", "undrain", "ben"))
        self.at(15.2, lambda: self._dead.add(lab.SPARE))
        self.at(0.52, lambda: self._dead.add(lab.CLOUD))
        self.at(0.25, lambda: None)  # a moment at which its silence is noticed

    def _plan_steady(self) -> None:
        for work in lab.STEADY:
            self.at(work.created, partial(self._submit, work))
            if work.started is not None:
                self.at(work.started, partial(self._start, work))
            if work.finished is not None:
                self.at(work.finished, partial(self._succeed, work, range(work.full_spec().num_tasks)))

    def _plan_sweeps(self) -> None:
        sweep, grid, prep = lab.SWEEP, lab.GRID, lab.PREPROCESS
        for work, steps in (
            (sweep, ((90, ()), (74.9, (3,)), (70, (0, 1, 2)), (50, (4, 5, 6, 7)), (30, (8, 9, 10)))),
            (prep, ((43, ()), (36, range(16)), (30, range(16, 32)), (24, range(32, 48)), (18, range(48, 61)))),
            (grid, ((195, ()),)),
        ):
            self.at(work.created, partial(self._submit, work))
            for minutes, done in steps:
                self.at(minutes, partial(self._succeed, work, done))
                self.at(minutes - 0.05, partial(self._start, work))
        self.at(120, lambda: self._fail(grid, 0, "exit code 1", EndCause.EXIT_CODE, exit_code=1))
        self.at(119.5, lambda: self._start(grid))

    def _plan_others(self) -> None:
        others = (
            lab.TRAIN,
            lab.EVAL,
            lab.BUILD,
            lab.DISTILL,
            lab.NIGHTLY,
            lab.REPORT,
            lab.HUGE,
            lab.GANG,
            *lab.folds(),
        )
        for work in others:
            self.at(work.created, partial(self._submit, work))
        self.at(lab.NIGHTLY.created, lambda: self._act("hold", lab.NIGHTLY, "data not ready"))
        self.at(260, lambda: self._report(lab.BURSTY, AttemptState.PREEMPTED, error="made way for llm-finetune",
                                          cause=EndCause.PREEMPTED, **self._end()))  # fmt: skip
        self.at(110, lambda: self._act("pause", lab.SEGMENT, by="dana"))
        self.at(109.9, lambda: self._report(lab.SEGMENT, AttemptState.PAUSED))
        self.at(
            71,
            lambda: self._fail(
                lab.FAILED,
                0,
                "exit code 1: ran out of GPU memory: it tried to allocate 2.00 GiB; GPU 0 has 1.31 GiB free of 39.39 GiB "
                "(train.py, line 212)",
                EndCause.GPU_OUT_OF_MEMORY,
                exit_code=1,
                hint="use a smaller batch, or gradient accumulation; or ask for a larger GPU: --require 'gpu_memory_mb>=…'",
            ),
        )
        self.at(70.9, lambda: self._start(lab.SWEEP))
        self.at(69.8, lambda: self._start(lab.DENOISE))
        self.at(70.1, lambda: self._act("cancel", lab.LOOK, by="dana"))
        self.at(70, lambda: self._report(lab.LOOK, AttemptState.KILLED, signal=15, **self._end()))
        self.at(15.5, lambda: self._start(lab.TRAIN))
        self.at(12.4, lambda: self._start(lab.TRAIN))
        self.at(0.8, lambda: self._report(lab.BUILD, AttemptState.BUILDING, build_started_ms=self.world.now_ms))

    # --- what happens ------------------------------------------------------------------------------------------

    def _join(self, box: Box) -> None:
        io_paths: dict[str, Any] = {"input": None, "output": None, "filesystem": box.filesystem}
        if box.paths is not None:
            io_paths |= {"input": box.paths[0], "output": box.paths[1]}
        properties: dict[str, Any] = {
            "hostname": f"{box.name}.lab.example", "os": "Linux 6.8", "cpus": 64, "memory_mb": 515_000,
            "python_version": "3.11.9", "io_paths": io_paths,
        }  # fmt: skip
        if box.card is not None:
            properties |= {"gpu_model": box.card.name, "gpu_memory_mb": box.card.memory_mb, "cuda_version": "12.4",
                           "driver_version": "550.54.15"}  # fmt: skip
        hand = FakeWorker(
            self.world, box.name, box.slots, tags=box.tags, properties=properties, gpus=self._gpus(box),
            gpu_message="" if box.card else "no NVIDIA driver: this worker has no GPU",
        )  # fmt: skip
        hand.id = WorkerId(box.id)
        self.world.workers[box.name] = hand
        hand.connect()

    def _set_project(self, name: str, about: str, status: str | None) -> None:
        self.world.reactor.on_set_project(name, about, status, "root", self.world.now_ms)

    def _set_template(self, template: TemplateRow) -> None:
        self.world.reactor.on_set_template(template, "root", self.world.now_ms)

    def _drain(self, name: str, action: str, by: str) -> None:
        self.world.reactor.on_set_maintenance(name, action, by, self.world.now_ms)

    def _submit(self, work: Work) -> None:
        spec = work.full_spec()
        fields = {name: getattr(spec, name) for name in spec.__struct_fields__}
        self.jobs[work.name] = self.world.submit(id=JobId(work.id), by=work.by, turn=work is not lab.NIGHTLY, **fields)

    def _act(self, verb: str, work: Work, reason: str = "", by: str = "ana") -> None:
        self.world.reactor.on_act(verb, JobId(work.id), None, by, reason, self.world.now_ms)

    def _start(self, work: Work) -> None:
        """What was assigned of a job begins to run."""
        job = self.jobs[work.name]
        for task in job.tasks:
            attempt = self.world.fleet.current(task)
            if task.state is TaskState.ASSIGNED and attempt is not None:
                self._say(attempt, AttemptState.RUNNING, started_at_ms=self.world.now_ms, **self._folders(job, attempt))

    def _folders(self, job: Job, attempt: Attempt) -> dict[str, Any]:
        box = box_named(attempt.worker_name)
        if box.paths is None:
            return {}
        task = f"/task-{attempt.index}" if len(job.tasks) > 1 else ""
        return {"output_path": f"{box.paths[1]}/jobs/{job.id}{task}",
                "workdir": job.spec.workdir or f"/var/lib/opsconsole/attempts/{attempt.id}/work"}  # fmt: skip

    def _succeed(self, work: Work, indices: Sequence[int]) -> None:
        for index in indices:
            self._report(work, AttemptState.SUCCEEDED, index, exit_code=0, **self._end())

    def _fail(self, work: Work, index: int, error: str, cause: str, **fields: Any) -> None:
        self._report(work, AttemptState.FAILED, index, error=error, cause=cause, **fields, **self._end())

    def _end(self) -> dict[str, Any]:
        return {"finished_at_ms": self.world.now_ms, "peak_memory_mb": 18_400, "cpu_seconds": 5_210.0}

    def _report(self, work: Work, state: AttemptState, index: int = 0, **fields: Any) -> None:
        attempt = self.world.fleet.current(self.jobs[work.name].tasks[index])
        assert attempt is not None, f"{work.name} has no attempt to report as {state}"
        self._say(attempt, state, **fields)

    def _say(self, attempt: Attempt, state: AttemptState, **fields: Any) -> None:
        self.world.workers[attempt.worker_name].report(attempt, state, **fields)

    # --- time --------------------------------------------------------------------------------------------------

    def _pass_to(self, now_ms: int) -> None:
        world = self.world
        while world.now_ms < now_ms:
            world.now_ms = min(now_ms, world.now_ms + (5_000 if self._dead else STEP_MS))
            self._beat()
            world.reactor.on_tick(world.now_ms)
            self.settle()

    def settle(self) -> None:
        """Everybody does as told: answers questions, confirms what was assigned. Then nobody waits for anything."""
        world = self.world
        world.turn()
        while any(hand.inbox for hand in world.workers.values()):
            for hand in world.workers.values():
                assert not hand.ends, hand.ends
                for message in hand.take_all():
                    if hand.name not in self._dead:
                        self._heed(hand, message)
            world.turn()

    def _heed(self, hand: FakeWorker, message: link.CoordinatorMessage) -> None:
        match message:
            case link.JobAssignment(desired=desired):
                hand.report(desired.attempt_id, AttemptState.ASSIGNED)
            case link.InputFile():
                self._look_for(hand, message)
            case _:
                pass

    def _look_for(self, hand: FakeWorker, asked: link.InputFile) -> None:
        """What is on the shared filesystem is found, and in the words of an agent nothing else is."""
        box, reactor, now_ms = box_named(hand.name), self.world.reactor, self.world.now_ms
        if box.filesystem == "vast":
            size = 3_200_000_000 if asked.kind is link.QuestionKind.INPUT else 0
            there = link.FileExists(check_id=asked.check_id, path=f"/mnt/vast/inputs/{asked.filename}", size_bytes=size)
            reactor.on_input_answer(hand.record, there, now_ms)
            return
        words = "is not there" if asked.kind is link.QuestionKind.INPUT else "there is no such folder on this worker"
        reactor.on_input_answer(hand.record, link.FileNotFound(check_id=asked.check_id, reason=words), now_ms)

    def _beat(self) -> None:
        for hand in self.world.workers.values():
            if hand.name not in self._dead:
                hand.heartbeat(**self._readings(box_named(hand.name)))

    def _readings(self, box: Box) -> Mapping[str, Any]:
        live = self.world.workers[box.name].record.live.values()
        running = [one for one in live if one.state in (AttemptState.RUNNING, AttemptState.PAUSED)]
        usage = {
            one.id: TaskUsage(current_memory_mb=17_200 + one.index, peak_memory_mb=18_400, cpu_percent=312.0, process_count=9,
                              disk_mb=2_100, gpu_memory_mb=61_400, gpu_utilization_percent=93)
            for one in running
        }  # fmt: skip
        host = Host(cpu_percent=37.5 if running else 2.0, load1=12.4 if running else 0.1, memory_used_mb=201_000,
                    memory_available_mb=314_000, disk_free_mb=1_840_000)  # fmt: skip
        message = "" if box.card else "no NVIDIA driver: this worker has no GPU"
        return {"gpus": self._gpus(box, {uuid: one for one in running for uuid in one.gpu_ids}), "host": host,
                "usage": usage, "gpu_message": message}  # fmt: skip

    def _gpus(self, box: Box, owners: Mapping[str, Attempt] | None = None) -> tuple[Gpu, ...]:
        """The cards of a host: quiet while nothing is known of who uses them."""
        return tuple(self._gpu(box, index, {} if owners is None else owners) for index in range(len(box.use)))

    def _gpu(self, box: Box, index: int, owners: Mapping[str, Attempt]) -> Gpu:
        assert box.card is not None
        uuid = lab.gpu_uuid(box.name, index)
        owner = owners.get(uuid)
        is_foreign = box.name == "rtx-03"
        utilisation, memory = box.use[index] if owner is not None or is_foreign else (0, 600)
        processes: tuple[GpuUser, ...] = ()
        if owner is not None:
            processes = (GpuUser(pid=41_200 + index, name="python", memory_mb=memory - 500, attempt_id=owner.id),)
        elif is_foreign:
            processes = (
                GpuUser(pid=9_310, name="python3", memory_mb=memory - 900),
                GpuUser(pid=1_204, name="Xorg", memory_mb=180),
            )
        return Gpu(
            index=index, uuid=uuid, name=box.card.name, memory_total_mb=box.card.memory_mb, memory_used_mb=memory,
            utilization_percent=utilisation, temperature_c=34 + utilisation // 2,
            power_w=round(30 + box.card.power_limit_w * utilisation / 120, 1), power_limit_w=box.card.power_limit_w,
            processes=processes,
        )  # fmt: skip


def box_named(name: str) -> Box:
    """One of the hosts."""
    return next(box for box in BOXES if box.name == name)


def void(_: object) -> None:
    """Nothing."""
