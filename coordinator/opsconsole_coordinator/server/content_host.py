"""Operators' machines that offer trees: which are there, what they have, and the streams by which it is wanted of them.

A machine is there as long as one of its calls waits here, and PRESENCE_S longer.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.open_stream import Party, PartyKind
from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict, LimitExceeded, Unavailable
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.message import StreamGrant

PRESENCE_S = 15.0
GRANTS_QUEUED_MAX = 64
"""Streams that are wanted of one machine, and that it hasn't taken."""
HOSTS_OF_ONE_MAX = 32
"""Machines that offer by one credential at a time; the core bounds them all."""
UNWANTED_AFTER_S = 600.0
"""An offer comes before the job that needs it: this long it isn't called unwanted."""


@dataclass(slots=True, eq=False)
class OfferingHost:
    """One machine. `owner`: the hash of the credential by which it offers."""

    id: str
    name: str
    owner: str
    seen_s: dict[ContentId, float] = field(default_factory=dict)
    """The trees that it offers, and since when; 0 where a job has needed it."""
    grants: deque[StreamGrant] = field(default_factory=deque)
    has_news: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    leaving: asyncio.TimerHandle | None = None

    @property
    def party(self) -> Party:
        """The machine as an end of a stream: its signals are awaited by whoever offers."""
        return Party(PartyKind.PERSON, self.owner, self.name)


class ContentHosts:
    """All machines that offer trees."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop
        self._hosts: dict[str, OfferingHost] = {}

    def party(self, host_id: str) -> Party | None:
        """A machine as an end of a stream; None where it isn't there."""
        host = self._hosts.get(host_id)
        return host.party if host is not None else None

    async def offer(self, request: api.OfferContents, caller: Caller) -> api.OfferAnswer:
        """A machine offers trees, and waits until one is wanted. Raises Conflict or LimitExceeded."""
        host = self._enter(request, caller)
        try:
            unwanted = self._unwanted(host)
            if not host.grants and not unwanted and request.wait_ms:
                host.has_news.clear()
                try:
                    await asyncio.wait_for(host.has_news.wait(), request.wait_ms / 1000)
                except TimeoutError:
                    unwanted = self._unwanted(host)
            grants = tuple(host.grants)
            host.grants.clear()
            return api.OfferAnswer(grants=grants, unwanted=unwanted)
        finally:
            self._leave(host)

    def serve(self, host_id: str, grant: StreamGrant) -> None:
        """A machine is to send a tree. Raises Unavailable or LimitExceeded."""
        host = self._hosts.get(host_id)
        if host is None:
            raise Unavailable("the machine that offered this is gone: try again when it is back")
        if len(host.grants) >= GRANTS_QUEUED_MAX:
            raise LimitExceeded(f"{host.name} has {GRANTS_QUEUED_MAX} streams to begin: try again later")
        host.grants.append(grant)
        host.has_news.set()

    def tell_again(self) -> None:
        """The fleet was built anew from the store: tell it who is there."""
        for host in self._hosts.values():
            self._tell(host)

    def revoke(self, owner: str) -> None:
        """A credential was revoked: machines that offered by it are gone."""
        for host in [one for one in self._hosts.values() if one.owner == owner]:
            self._gone(host)

    def _enter(self, request: api.OfferContents, caller: Caller) -> OfferingHost:
        host = self._hosts.get(request.host_id)
        if host is not None and host.owner != caller.hash:
            raise Conflict(f"somebody else offers files as {host.name} at the moment: end that first")
        now_s = asyncio.get_running_loop().time()
        if host is None:
            self._check_room(caller)
            host = OfferingHost(request.host_id, request.host, caller.hash)
        wanted = set(request.content_ids)
        is_news = host.id not in self._hosts or wanted != set(host.seen_s) or host.name != request.host
        host.name = request.host
        host.seen_s = {one: host.seen_s.get(one, now_s) for one in wanted}
        if is_news:
            self._tell(host)
        self._hosts[host.id] = host
        host.calls += 1
        if host.leaving is not None:
            host.leaving.cancel()
            host.leaving = None
        return host

    def _check_room(self, caller: Caller) -> None:
        if sum(one.owner == caller.hash for one in self._hosts.values()) >= HOSTS_OF_ONE_MAX:
            raise LimitExceeded(
                f"{caller.actor} offers files on {HOSTS_OF_ONE_MAX} machines: end that on some of them first"
            )

    def _leave(self, host: OfferingHost) -> None:
        host.calls -= 1
        if not host.calls and self._hosts.get(host.id) is host:
            host.leaving = asyncio.get_running_loop().call_later(PRESENCE_S, self._gone, host)

    def _gone(self, host: OfferingHost) -> None:
        if self._hosts.get(host.id) is host:
            del self._hosts[host.id]
            host.has_news.set()
            self._commit_loop.reactor.on_host_gone(host.id, self._commit_loop.clock.now_ms())
            self._commit_loop.changed()

    def _tell(self, host: OfferingHost) -> None:
        now_ms = self._commit_loop.clock.now_ms()
        self._commit_loop.reactor.on_host_offers(host.id, host.name, tuple(host.seen_s), now_ms)
        self._commit_loop.changed()

    def _unwanted(self, host: OfferingHost) -> tuple[ContentId, ...]:
        """What it offers and no unfinished job needs any more."""
        now_s = asyncio.get_running_loop().time()
        found: list[ContentId] = []
        for one, since_s in host.seen_s.items():
            if self._is_needed(one):
                host.seen_s[one] = -UNWANTED_AFTER_S
            elif now_s - since_s > UNWANTED_AFTER_S:
                found.append(one)
        return tuple(found)

    def _is_needed(self, content_id: ContentId) -> bool:
        jobs = self._commit_loop.fleet.jobs
        return any(
            job_id in jobs and not jobs[job_id].is_finished
            for job_id in self._commit_loop.fleet.contents.jobs_with(content_id)
        )
