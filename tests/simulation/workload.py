"""Operators: they submit, act, repeat what was not answered, and remember what was."""

from collections.abc import Callable
from functools import partial
from typing import Any

from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec
from tests.simulation.booking import LOOK_EVERY_MS, Booking
from tests.simulation.checker import Checker
from tests.simulation.coordinator import EPOCH_MS, Coordinator
from tests.simulation.plan import ActPlan, JobPlan, Plan
from tests.simulation.virtual import Loop

_FINAL = (Conflict, InvalidRequest, NotFound)


class Operators:
    """Carry out a plan's submissions and acts."""

    def __init__(
        self, loop: Loop, coordinator: Coordinator, plan: Plan, checker: Checker, say: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._coordinator = coordinator
        self._plan = plan
        self._checker = checker
        self._say = say
        self.waiting = 0
        self.bring: Callable[[JobSpec], None] = lambda _: None
        """Sends the coordinator what it is to keep for a job, and doesn't."""

    def begin(self) -> None:
        """Plan everything."""
        for person, change in self._plan.shares:
            self._loop.at(0, partial(self._set_share, person, change))
        for job in self._plan.jobs:
            self._loop.at(job.at_ms, partial(self.submit, job))
        for act in self._plan.acts:
            self._loop.at(act.at_ms, partial(self._act, act))
        if any(act.verb == "maintenance" for act in self._plan.acts):
            self.look()

    def submit(self, job: JobPlan) -> None:
        """Submit a job until it is taken; the id makes it safe to repeat."""
        request = api.SubmitJobs(submissions=(api.Submission(job.job_id, job.spec),))
        self.ask(
            request, f"submit {job.job_id}", lambda _: self._checker.acknowledged_submission(job.job_id), job.person
        )

    def _set_share(self, person: str, change: ShareChange) -> None:
        request = api.SetPerson(name=person, share=change)
        self.ask(request, f"share of {person}", lambda _: self._checker.shares.acknowledged(person, change))

    def lift_limits(self) -> None:
        """Everybody may have everything."""
        self._checker.shares.lifted()
        for person, _ in self._plan.shares:
            change = ShareChange(tasks=-1, gpus=-1)
            self.ask(api.SetPerson(name=person, share=change), f"lift the limits of {person}")

    def ask(
        self, request: api.AnyRequest, words: str, then: Callable[[Any], None] = lambda _: None, person: str = "ana"
    ) -> None:
        """Ask until there is an answer or a final refusal."""
        self.waiting += 1

        def answered(found: Any) -> None:
            self.waiting -= 1
            self._say(f"ana: {words}: done")
            then(found)

        def failed(error: OpsconsoleError) -> None:
            is_early = words.startswith("submit") and ("there is no" in error.message or "isn't kept" in error.message)
            if isinstance(request, api.SubmitJobs) and "isn't kept" in error.message:
                self.bring(request.submissions[0].spec)
            if is_early and not self._checker.was_restored:
                self._say(f"ana: {words}: {error.message[:80]}; later")
            elif isinstance(error, _FINAL):
                self.waiting -= 1
                self._say(f"ana: {words}: refused: {error.message[:100]}")
                return
            else:
                self._say(f"ana: {words}: {error.message[:80]}; again")
            self._loop.at(1_500, ask)

        def ask() -> None:
            self._coordinator.ask(request, answered, failed, person)

        ask()

    def _reserve(self, worker: str, *, maintenance: bool) -> None:
        """Reserve a worker for a project that has no jobs, or for maintenance, soon and for a while."""
        from_ms = self._loop.now_ms + 6_000
        until_ms = from_ms + 24_000
        self._checker.bookings.may_empty |= maintenance
        known = Booking(worker, from_ms, until_ms, maintenance)
        request = api.Reserve(
            workers=(worker,), from_ms=EPOCH_MS + from_ms, until_ms=EPOCH_MS + until_ms, maintenance=maintenance,
            project="" if maintenance else "nightly",
        )  # fmt: skip
        then = lambda _: self.ask(request, f"reserve {worker}", lambda _: self._checker.bookings.acknowledged(known))  # noqa: E731
        self.ask(api.SetProject(name="nightly", create=True), "set project nightly", then)

    def look(self) -> None:
        """Look again and again at what goes on where nothing may."""
        if self._coordinator.fleet is not None and not self._checker.was_restored:
            self._checker.bookings.look()
        self._loop.at(LOOK_EVERY_MS, self.look)

    def _act(self, act: ActPlan) -> None:
        job = self._plan.jobs[act.job]
        subject = job.job_id if act.task is None else f"{job.job_id}/task-{act.task}"
        match act.verb:
            case "drain":
                name = self._plan.hosts[act.job % len(self._plan.hosts)].name
                self.ask(api.SetWorker(name=name, action="drain"), f"drain {name}")
            case "reserve" | "maintenance":
                self._reserve(
                    self._plan.hosts[act.job % len(self._plan.hosts)].name, maintenance=act.verb == "maintenance"
                )
            case "priority":
                self._checker.bands.setdefault(job.job_id, set()).add(0)
                self.ask(api.SetPriority(id=job.job_id, priority=7), f"priority {job.job_id}")
            case "allow preemption":
                self._checker.may_preempt = True
                self.ask(api.SetProject(name="default", preemptible=True), act.verb)
            case verb:
                self._checker.asked(verb, job.job_id, act.task)
                done = lambda _: self._checker.acknowledged_act(verb, job.job_id, act.task)  # noqa: E731
                self.ask(api.Act(verb=verb, ids=(subject,)), f"{verb} {subject}", done)
