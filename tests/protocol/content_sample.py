"""Sample messages about what jobs bring along, and what becomes of what they make."""

import msgspec

from opsconsole_protocol import api
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.spec import JobSpec

TREE = ContentId("5f" * 32)
UPLOAD = Upload(
    name="data.slp", content_id=TREE, size_bytes=12_000_000_000, files=3, is_folder=True, host="mbp-7", host_id="h1"
)
BUNDLE = Bundle(content_id=TREE, size_bytes=2_000, files=40, folder="/home/ana/study", commit="0123abc", dirty=True)
SPEC = JobSpec(command=("train",), uploads=(UPLOAD,), bundle=BUNDLE, setup="uv sync", collect=("models/*",))
VERDICT = api.Verdict(
    worker_id="w", worker="gpu1", accepted=False, reason="waits for 12 GB", lacks_content=True, lacks_bytes=12_000
)  # fmt: skip

SAMPLES: dict[str, msgspec.Struct] = {
    "server_answer_candidates_contents_1": api.Answer(
        1,
        api.Candidates(verdicts=(VERDICT,), text="waits for 12 GB from host mbp-7, which is not connected"),
    ),
}  # fmt: skip
