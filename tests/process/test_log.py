"""Logs of every size and kind, while they grow and afterwards."""

import os
import subprocess
from pathlib import Path

from opsconsole_protocol.log import Source
from tests.process.lab import OPSCONSOLE, Lab, words

MEMORY_MB_MAX = 250


def test_a_million_lines_arrive_in_order_and_in_bounded_memory(house: Lab) -> None:
    million = "".join(f"{number}\n" for number in range(1, 1_000_001)).encode()
    followed, printed = house.follow("submit", "submit", "-q", "--follow", "--", "seq", "1000000")
    assert house.wait_ended(followed, 60) == 0
    assert printed.read_bytes() == million
    job_id = house.ask(lambda client: client.jobs(limit=1))[0].id

    logs, printed = house.follow("logs", "logs", job_id)
    assert house.wait_ended(logs, 60) == 0
    assert printed.read_bytes() == million
    assert house.lines(job_id, tail=5) == [str(number) for number in range(999_996, 1_000_001)]
    assert (
        house.run("logs", job_id, "--tail", "5").stdout.encode() == million[-len("999996\n") * 4 - len("1000000\n") :]
    )
    assert house.run("logs", job_id, "--start-line", "-3").stdout.split() == ["999998", "999999", "1000000"]
    assert house.run("logs", job_id, "--grep", "^99999[0-3]$").stdout.split() == [
        "999990",
        "999991",
        "999992",
        "999993",
    ]
    assert house.lines(job_id, start_line=500_000, max_lines=1) == ["500001"]
    for name in ("serve", "gpu-a"):
        assert house.peak_memory_mb(name) < MEMORY_MB_MAX, name


def test_following_ends_with_the_task(house: Lab) -> None:
    script = 'echo first; echo second >&2; while [ ! -e "$GO" ]; do sleep 0.05; done; printf last; exit 3'
    job_id = house.give(script, environment={"GO": f"{house.folder}/go-follow"}, num_tasks=2, max_task_failures=1)
    one, one_out = house.follow("one", "logs", "-f", job_id, "--task", "0", "--source", "stdout")
    both, both_out = house.follow("both", "logs", "-f", job_id)
    house.wait(lambda: one_out.read_text() == "first\n", "the first line, while the task runs")
    house.wait(lambda: len(both_out.read_text().splitlines()) == 4, "both tasks' lines")
    (house.folder / "go-follow").touch()
    assert house.wait_ended(one) == 0
    assert house.wait_ended(both) == 0
    assert one_out.read_text() == "first\nlast"
    expected = [f"[{task}] {text}" for task in (0, 1) for text in ("first", "last", "second")]
    assert sorted(both_out.read_text().splitlines()) == expected
    assert house.wait_state(job_id, "failed")["task_counts"] == {"failed": 2}


def test_progress_binary_and_endless_lines_are_shown_cut_and_not_fatal(house: Lab) -> None:
    script = (
        r"printf 'a\rb\rc\n'; head -c 3000000 /dev/zero | tr '\0' x; echo; "
        r"printf '\377\376\000\001 \033[31mred\033[0m\n'; printf 'no newline'"
    )
    job_id = house.give(script)
    house.wait_state(job_id, "succeeded")
    lines = house.lines(job_id)
    whole = "".join(lines)
    assert lines[0] == "a\rb\rc"
    assert lines[-2:] == ["\ufffd\ufffd\0\x01 \x1b[31mred\x1b[0m", "no newline"]
    assert 60_000 < whole.count("x") <= 3_000_000
    rows = house.rows("logs", job_id)
    assert {row["line_number"] for row in rows} == {0, 1, 2, 3}
    assert house.run("logs", job_id, "--grep", "red").stdout.count("\n") == 1
    assert house.run("logs", job_id, "--tail", "1").stdout == "no newline"


def test_a_follower_that_stops_reading_hurts_nobody(house: Lab) -> None:
    flood = house.give("yes 'a line of some length, again and again and again' | head -n 600000; echo over")
    reader, writer = os.pipe()
    stuck = subprocess.Popen(
        (*OPSCONSOLE, "logs", "-f", flood), stdin=subprocess.DEVNULL, stdout=writer, env=house.environ, cwd=house.folder
    )
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"a"  # it has begun; from now on nobody reads
        done = house.run("submit", "-q", "--follow", *words("echo meanwhile"))
        assert done.stdout == "meanwhile\n"
        house.wait_state(flood, "succeeded")
        assert house.lines(flood, tail=1) == ["over"]
        assert stuck.poll() is None
        assert house.worker("gpu-a")["connection"] == "connected"
        for name in ("serve", "gpu-a"):
            assert house.peak_memory_mb(name) < MEMORY_MB_MAX, name
    finally:
        stuck.kill()
        stuck.wait(10)
        os.close(reader)


def test_a_log_outlives_its_folder_on_the_worker(house: Lab, tmp_path: Path) -> None:
    job_id = house.give('echo here; pwd > "$PLACE"', environment={"PLACE": str(tmp_path / "place")})
    house.wait_state(job_id, "succeeded")
    house.wait_lines(job_id, "here")
    assert str(house.state_dir("gpu-a")) in (tmp_path / "place").read_text()
    assert house.lines(job_id, sources=("stderr",)) == []


def test_a_log_over_its_limit_is_cut_and_the_rest_stays_on_the_worker(lab: Lab) -> None:
    (lab.folder / "config.toml").write_text("[coordinator]\nmax_task_log_mb = 1\n")
    lab.serve()
    lab.agent("gpu-a")
    job_id = lab.give("yes 0123456789abcde | head -n 200000; exit 3")
    lab.wait_state(job_id, "failed")
    attempts = lab.state_dir("gpu-a") / "attempts"
    lab.wait(lambda: not [*attempts.glob("*/spec.json")], "the worker to be told that it may forget")
    [note] = lab.lines(job_id, sources=(Source.ERROR,))
    path = next(attempts.glob(f"{job_id}.*/stdout"))
    assert note == (
        "opsconsole: log cut, it has reached its limit of 1048576 bytes (max_task_log_mb); "
        f"the rest of stdout stays on the worker for 7 days: {path}"
    )
    assert path.stat().st_size == 200_000 * 16
    assert len(lab.lines(job_id, sources=(Source.STDOUT,))) == (1 << 20) // 16
