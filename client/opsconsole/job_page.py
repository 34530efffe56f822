"""Going through jobs page by page."""

from msgspec.structs import replace

from opsconsole_protocol.api import JobList, ListJobs


def next_page(request: ListJobs, answer: JobList) -> ListJobs:
    """The request for the page after this answer, where its `more` says that there may be one."""
    if request.sort:
        return replace(request, cursor=answer.cursor)
    if answer.next_ms is not None:
        return replace(request, before_ms=answer.next_ms, before_id=answer.next_id)
    if not answer.jobs:
        return request
    return replace(request, before_ms=answer.jobs[-1].created_at_ms, before_id=answer.jobs[-1].id)
