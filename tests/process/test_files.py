"""Files and code of jobs, on workers that share nothing: real coordinators, agents and streams."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.host.content.scan import scan_file
from opsconsole_protocol.job_content import Bundle, Upload
from tests.agent.transfer.tree import keep_tree, make_tree
from tests.process.lab import Lab
from tests.process.test_disk import small_disk

MIB = 1 << 20


def bundle_of(manifest: Manifest) -> Bundle:
    """The code of this tree."""
    return Bundle(content_id=manifest.content_id, size_bytes=manifest.size_bytes, files=manifest.files)


def upload_of(name: str, manifest: Manifest, *, is_folder: bool = False) -> Upload:
    """A tree as a job's input."""
    return Upload(
        name=name,
        content_id=manifest.content_id,
        size_bytes=manifest.size_bytes,
        files=manifest.files,
        is_folder=is_folder,
    )


@pytest.fixture
def pair(lab: Lab) -> Lab:
    """`gpu-a` is there, and has what tests put into its store before they start it; `gpu-b` has nothing."""
    lab.serve()
    lab.agent("gpu-b")
    return lab


def content_on_a(lab: Lab, name: str, **files: str | bytes) -> Manifest:
    """A folder of these files that only `gpu-a` has."""
    manifest = make_tree(lab.folder / name, **files)
    keep_tree(lab.state_dir("gpu-a"), lab.folder / name, manifest)
    return manifest


def give(lab: Lab, script: str, **fields: Any) -> str:
    """Submit a job as soon as the coordinator has heard who has its trees; its id."""
    job_ids: list[str] = []

    def try_it() -> bool:
        with suppress(InvalidRequest):
            job_ids.append(lab.give(script, **fields))
        return bool(job_ids)

    lab.wait(try_it, "the coordinator to hear what gpu-a has")
    return job_ids[0]


def incoming_bytes(lab: Lab) -> int:
    """What has arrived on `gpu-b` of a tree that isn't whole yet."""
    incoming = lab.state_dir("gpu-b") / "content" / "incoming"
    return sum(path.lstat().st_blocks * 512 for path in incoming.rglob("*") if path.is_file())


def done(lab: Lab, job_id: str, timeout_s: float = 60) -> dict[str, Any]:
    """The job, which has succeeded."""
    job = lab.wait_state(job_id, "succeeded", "failed", timeout_s=timeout_s)
    assert job["state"] == "succeeded", job["tasks"]
    return job


def test_a_job_runs_with_files_and_code_that_only_another_worker_has(pair: Lab) -> None:
    code = content_on_a(pair, "code", train_py="import os; print(open(os.environ['OPSCONSOLE_INPUT_0']).read())")
    (pair.folder / "data.csv").write_text("1,2,3")
    data = scan_file(pair.folder / "data.csv")
    keep_tree(pair.state_dir("gpu-a"), pair.folder, data)
    pair.agent("gpu-a")
    script = "python3 train.py && cp train.py $OPSCONSOLE_OUTPUT_PATH/models/"
    uploads = (upload_of("data.csv", data),)
    job_id = give(pair, script, workers=("gpu-b",), uploads=uploads, bundle=bundle_of(code))
    job = done(pair, job_id)
    assert job["worker"] == "gpu-b"
    pair.wait(lambda: "1,2,3" in pair.lines(job_id), "the data")
    lines = pair.lines(job_id)
    assert any("fetching" in line for line in lines), lines
    model = Path(job["output_path"]) / "models" / "train.py"
    assert model.read_text() == (pair.folder / "code" / "train.py").read_text()
    again = give(pair, script, workers=("gpu-b",), uploads=uploads, bundle=bundle_of(code))
    done(pair, again)
    assert not any("fetching" in line for line in pair.lines(again))


def test_an_agent_that_is_killed_in_the_middle_of_a_fetch_goes_on_where_it_was(pair: Lab) -> None:
    tree = content_on_a(pair, "big", data_bin=os.urandom(400 * MIB))
    pair.agent("gpu-a")
    job_id = give(pair,
        'cmp "$OPSCONSOLE_INPUT_0/data.bin" "$LAB/big/data.bin" && echo same', workers=("gpu-b",),
        uploads=(upload_of("big", tree, is_folder=True),),
    )  # fmt: skip
    pair.wait(lambda: incoming_bytes(pair) > 20 * MIB, "the first bytes")
    pair.processes["gpu-b"].send_signal(signal.SIGKILL)
    pair.processes["gpu-b"].wait(20)
    arrived = incoming_bytes(pair)
    assert 0 < arrived < tree.size_bytes, "the test was too slow to catch it"
    pair.agent("gpu-b")
    done(pair, job_id, 120)
    pair.wait(lambda: "same" in pair.lines(job_id), "the comparison")


def test_what_a_task_wrote_into_is_fetched_again_for_the_next(pair: Lab) -> None:
    tree = content_on_a(pair, "pictures", a_txt="right")
    pair.agent("gpu-a")
    fields: dict[str, Any] = {"workers": ("gpu-b",), "uploads": (upload_of("pictures", tree, is_folder=True),)}
    spoil = 'chmod -R u+w "$OPSCONSOLE_INPUT_0" && echo wrong > "$OPSCONSOLE_INPUT_0/a.txt"'
    done(pair, give(pair, spoil, **fields))
    job_id = give(pair, 'cat "$OPSCONSOLE_INPUT_0/a.txt"; echo', **fields)
    done(pair, job_id)
    pair.wait(lambda: "right" in pair.lines(job_id), "the right bytes")
    assert any("something was written into the kept tree" in line for line in pair.lines(job_id))


def test_a_disk_that_is_too_small_is_said_in_one_line_and_left_as_it_was(lab: Lab) -> None:
    with small_disk(lab.state_dir("gpu-b"), "size=60m"):
        lab.serve()
        tree = content_on_a(lab, "big", data_bin=os.urandom(80 * MIB))
        small = content_on_a(lab, "small", data_txt="fits")
        lab.agent("gpu-a")
        lab.agent("gpu-b", "--cache-bytes", "1G")
        job_id = give(lab, "true", workers=("gpu-b",), uploads=(upload_of("big", tree, is_folder=True),))
        lab.wait(lambda: "needs room for 84 MB" in str(lab.job(job_id)["reason"]), "why it waits")
        assert "\n" not in lab.job(job_id)["reason"]
        assert lab.state(job_id) == "pending"
        assert not list((lab.state_dir("gpu-b") / "content" / "trees").iterdir())
        fits = (upload_of("small", small, is_folder=True),)
        done(lab, give(lab, 'grep fits "$OPSCONSOLE_INPUT_0/data.txt"', workers=("gpu-b",), uploads=fits))
        lab.close()


def test_results_are_read_and_files_put_by_whoever_may(pair: Lab) -> None:
    """The command line's `get`, `ls` and `put` on a worker without an output path, and one with a writable mount."""
    (pair.folder / "shelf").mkdir()
    pair.agent("gpu-a", "--mount", f"lab={pair.folder}/shelf:rw")
    script = 'cd "$OPSCONSOLE_OUTPUT_PATH" && echo best > models/best && ln -s /etc/passwd models/stolen && ln -s best models/link'
    job_id = give(pair, script, workers=("gpu-b",))
    done(pair, job_id)
    pair.run("get", job_id, "models/*", "--to", "got")
    got = pair.folder / "got" / "models"
    assert sorted(path.name for path in got.iterdir()) == ["best", "link"]
    assert (got / "best").read_text() == "best\n"
    pair.run("put", "got/models/best", "gpu-a:lab:new/folder")
    assert (pair.folder / "shelf" / "new" / "folder" / "best").read_text() == "best\n"
    refused = pair.run("put", "got/models/best", "gpu-a:lab:../outside", code=None)
    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
