"""Workers whose caches are too small for what a job brings: told so at once, and the job goes where there is room."""

from opsconsole_protocol.log import Source
from tests.process.lab import Lab


def test_a_job_goes_where_there_is_room_and_waits_where_there_is_none(lab: Lab) -> None:
    lab.serve()
    lab.agent("small", "--cache-bytes", "1000000")
    data = lab.folder / "points.csv"
    data.write_bytes(bytes(3_000_000))
    job_id = lab.submit("--upload", str(data), "--", "sh", "-c", 'wc -c < "$OPSCONSOLE_INPUT_0"')
    words = "needs room for 3.0 MB"
    lab.wait(lambda: words in str(lab.ask(lambda client: client.show(job_id)).job.reason), "the reason")
    assert lab.state(job_id) == "pending"
    lab.agent("large")
    assert lab.wait_state(job_id, "succeeded")["worker"] == "large"
    assert lab.lines(job_id, sources=(Source.STDOUT,)) == ["3000000"]
