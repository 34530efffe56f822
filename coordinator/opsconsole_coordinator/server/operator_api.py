"""What operators may ask: one line for each kind of request says who may, and what answers it."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from opsconsole_coordinator.server.access_api import AccessApi
from opsconsole_coordinator.server.cleaning import Cleaning
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.coordinator_api import CoordinatorApi, role_to_set_project
from opsconsole_coordinator.server.dataset_api import DatasetApi, role_to_describe
from opsconsole_coordinator.server.file_api import FileApi, reads_mount, role_to_list, role_to_read
from opsconsole_coordinator.server.identity import Caller, Identities
from opsconsole_coordinator.server.job_api import JobApi
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.metrics_api import MetricsApi
from opsconsole_coordinator.server.offer_api import OfferApi
from opsconsole_coordinator.server.queue_api import QueueApi
from opsconsole_coordinator.server.reservation_api import ReservationApi
from opsconsole_coordinator.server.stream_api import StreamApi
from opsconsole_coordinator.server.stream_plan import role_to_open
from opsconsole_coordinator.server.trouble import trouble_of
from opsconsole_coordinator.server.worker_api import WorkerApi, role_to_set
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest

Handler = Callable[[Any, Caller], Awaitable[api.AnyAnswer]]


class Route(NamedTuple):
    """Who may ask for something, and what answers."""

    role: Role | Callable[[Any], Role]
    """The least role that may ask; a function where it depends on the request."""
    handler: Handler | None
    """Raises OpsconsoleError, and has changed nothing then. None: the session answers by itself."""
    is_large: bool = False
    """The answer may have megabytes: for each connection one is made at a time."""
    is_waiting: Callable[[Any], bool] = lambda _: False
    """Whether the answer may wait for something to happen: such calls don't count among the calls in progress."""


class OperatorApi:
    """All requests that operators make, answered one by one."""

    def __init__(
        self, commit_loop: CommitLoop, log_service: LogService, identities: Identities,
        worker_row_cache: WorkerRowCache, cleaning: Cleaning, streams: StreamApi, join_url: Callable[[], str],
    ) -> None:  # fmt: skip
        jobs = JobApi(commit_loop, log_service, cleaning)
        queue = QueueApi(commit_loop)
        workers = WorkerApi(commit_loop, identities, worker_row_cache, cleaning)
        access = AccessApi(commit_loop, identities, join_url)
        coordinator = CoordinatorApi(commit_loop, identities, lambda: trouble_of(commit_loop, log_service, streams))
        files = FileApi(commit_loop, streams.kept)
        reservations = ReservationApi(commit_loop, identities)
        offers = self.offers = OfferApi(commit_loop)
        metrics = MetricsApi(commit_loop, log_service)
        self.person_joined = access.person_joined
        viewer, operator, admin = Role.VIEWER, Role.OPERATOR, Role.ADMIN
        self._routes: dict[type[Any], Route] = {
            api.SubmitJobs: Route(operator, jobs.submit),
            api.ListJobs: Route(viewer, jobs.list_jobs, is_large=True),
            api.ShowJob: Route(viewer, jobs.show, is_large=True),
            api.Act: Route(operator, jobs.act),
            api.SetPriority: Route(operator, jobs.set_priority),
            api.AddTasks: Route(operator, jobs.add_tasks),
            api.MoveJob: Route(operator, queue.move),
            api.PopJob: Route(operator, queue.pop),
            api.ClearQueue: Route(operator, queue.clear),
            api.SetParallel: Route(operator, queue.set_parallel),
            api.WaitJobs: Route(viewer, jobs.wait, is_waiting=lambda _: True),
            api.Why: Route(viewer, jobs.why),
            api.AskGraph: Route(viewer, jobs.graph),
            api.AskCandidates: Route(viewer, jobs.candidates),
            api.ReserveOffer: Route(operator, offers.reserve),
            api.FreeOffer: Route(operator, offers.free),
            api.ReadLog: Route(viewer, jobs.read_log, is_waiting=lambda request: request.wait_ms > 0),
            api.ReadMetrics: Route(
                viewer, metrics.read, is_large=True, is_waiting=lambda request: request.settle_ms > 0
            ),
            api.ListWorkers: Route(viewer, workers.list_workers),
            api.SetWorker: Route(role_to_set, workers.set_worker),
            api.Reserve: Route(admin, reservations.reserve),
            api.ListReservations: Route(viewer, reservations.reservations),
            api.CancelReservation: Route(admin, reservations.cancel),
            api.Clean: Route(operator, workers.clean),
            api.ListPeople: Route(admin, access.people),
            api.RenamePerson: Route(admin, access.rename),
            api.RevokePeople: Route(admin, access.revoke_people),
            api.Invite: Route(admin, access.invite),
            api.ListInvitations: Route(admin, access.invitations),
            api.RevokeInvitations: Route(admin, access.revoke_invitations),
            api.ListFiles: Route(role_to_list, files.list_files, is_large=True),
            api.ReadFilePart: Route(role_to_read, files.read_part, is_large=True),
            api.DescribeDataset: Route(role_to_describe, DatasetApi(commit_loop).describe),
            api.ListEvents: Route(viewer, coordinator.events, is_large=True),
            api.ListProjects: Route(viewer, coordinator.projects),
            api.SetProject: Route(role_to_set_project, coordinator.set_project),
            api.SetPerson: Route(admin, coordinator.set_person),
            api.AskUsage: Route(viewer, coordinator.usage),
            api.ListTemplates: Route(viewer, coordinator.templates),
            api.SetTemplate: Route(operator, coordinator.set_template),
            api.SyncTemplates: Route(operator, coordinator.sync_templates),
            api.RemoveTemplate: Route(operator, coordinator.remove_template),
            api.Backup: Route(admin, coordinator.backup),
            api.ConfirmRestore: Route(admin, coordinator.confirm_restore),
            api.AskHealth: Route(viewer, coordinator.health),
            api.Subscribe: Route(viewer, None),
            api.AskForStream: Route(role_to_open, streams.ask_for_stream),
            api.SendSignal: Route(viewer, streams.send_signal),
            api.AwaitSignals: Route(viewer, streams.await_signals, is_waiting=lambda request: request.wait_ms > 0),
            api.EndStream: Route(viewer, streams.end_stream),
            api.FindContents: Route(viewer, streams.find_contents),
            api.OfferContents: Route(operator, streams.offer_contents, is_waiting=lambda _: True),
        }

    def route(self, request: api.AnyRequest) -> Route:
        """The route of this kind of request."""
        return self._routes[type(request)]

    def require_role(self, request: api.AnyRequest, caller: Caller) -> None:
        """Raise Forbidden where the request needs a higher role than the caller has."""
        role = self.route(request).role
        needed = role if isinstance(role, Role) else role(request)
        caller.require(needed, ", or name a job: everybody may see its files" if reads_mount(request) else "")

    async def answer(self, request: api.AnyRequest, caller: Caller) -> api.AnyAnswer:
        """Answer a request. Raises OpsconsoleError; then nothing was changed."""
        self.require_role(request, caller)
        handler = self.route(request).handler
        if handler is None:
            raise InvalidRequest(f"{type(request).__name__} is answered by the connection that it comes by")
        return await handler(request, caller)
