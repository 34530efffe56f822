"""Answers to the coordinator's questions about datasets."""

import asyncio
from pathlib import Path

from opsconsole_agent.dataset.describer import Describer
from opsconsole_agent.link.dataset_answerer import DatasetAnswerer
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.dataset import DatasetQuery
from opsconsole_protocol.link import DatasetDescribed, DescribeDataset
from opsconsole_protocol.mount import Mount
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.waiting import until

LAB = FileRoot(kind=RootKind.MOUNT, mount="lab")


def answerer(tmp_path: Path, program: str = "") -> DatasetAnswerer:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "lab" / "ragged.csv").write_text("a,b\n1\n")
    (tmp_path / "program.py").write_text(program)
    io = WorkerIOConfig(mounts=(Mount(label="lab", path=str(tmp_path / "lab")),))
    describer = Describer(program=tmp_path / "program.py") if program else Describer()
    return DatasetAnswerer(FilePlaces(StateFolder(tmp_path / "state"), io), describer)


async def test_a_dataset_a_broken_one_and_none(tmp_path: Path) -> None:
    one = answerer(tmp_path)
    sound = await one.answer(DescribeDataset(check_id=7, query=DatasetQuery(root=LAB, path=b"a.csv")))
    assert sound.description is not None
    assert (sound.check_id, sound.description.rows, sound.code) == (7, 1, "")
    broken = await one.answer(DescribeDataset(check_id=8, query=DatasetQuery(root=LAB, path=b"ragged.csv")))
    assert broken.fault is not None
    assert (broken.check_id, broken.description, broken.fault.line) == (8, None, 2)
    gone = await one.answer(DescribeDataset(check_id=9, query=DatasetQuery(root=LAB, path=b"gone.csv")))
    assert gone == DatasetDescribed(check_id=9, code="not_found", error="gone.csv is not there (any more)")
    for query in (DatasetQuery(), DatasetQuery(url="ftp://h/a"), DatasetQuery(root=LAB, path=b"../a")):
        assert (await one.answer(DescribeDataset(check_id=1, query=query))).code == "invalid"


async def test_one_process_at_a_time_and_none_is_left_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    slow = answerer(
        tmp_path, f"import os, time\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)\n"
    )
    questions = [
        asyncio.create_task(slow.answer(DescribeDataset(check_id=number, query=DatasetQuery(root=LAB, path=b"a.csv"))))
        for number in range(3)
    ]
    await until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    [pid] = pids.read_text().split()
    for question in questions[::-1]:
        question.cancel()
    assert all(
        isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*questions, return_exceptions=True)
    )
    stat = Path(f"/proc/{pid}/stat")
    await until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")
    assert pids.read_text().split() == [pid]
