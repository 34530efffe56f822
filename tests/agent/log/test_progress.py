"""Progress read off what tasks print (hard use: "progress from tqdm-like lines shows at once for a first run").

The kind: a line that tells how far a task is, in any of the usual forms, gives that and nothing else does.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_agent.log.progress import ProgressMeter, Reading, read_progress

TOLD = {
    "\rtrain:  41%|████▏     | 2460/6000 [00:41<00:59, 60.00it/s]": Reading(2460, 6000, 59_000),
    "\r  0%|          | 0/10 [00:00<?, ?it/s]\r 10%|█         | 1/10 [00:01<00:09,  1.00s/it]": Reading(1, 10, 9_000),
    "\r100%|██████████| 10/10 [00:10<00:00,  1.00s/it]\n": Reading(10, 10, 0),
    "\rmodel.pt:  41%|####1     | 41.0M/100M [00:04<1:00:06, 9.9MB/s]": Reading(41e6, 100e6, 3_606_000),
    "\r 5%|▌         | 1.5k/30.0k [00:41<10:59, 60.00it/s]": Reading(1500, 30000, 659_000),
    "\r41%|████": Reading(41, 100),
    "Working... ━━━━━━━━━━━━━━━━╸━━━━━━━━━━━━━━━━━━━━━━━  41% 0:00:12": Reading(41, 100),
    "\x1b[2K\x1b[32mDownload\x1b[0m \x1b[38m━━━━━━━━╸\x1b[0m  50% 0:00:12": Reading(50, 100),
    "[=====>     ] 41%": Reading(41, 100),
    "Epoch 3/10": Reading(3, 10),
    "Epoch [3/10], loss: 0.1234": Reading(3, 10),
    "epoch: 3 of 10": Reading(3, 10),
    "step 120/6000": Reading(120, 6000),
    "INFO 2026-11-27 00:00:00 step 120/6000 loss 0.3": Reading(120, 6000),
    "Iteration 7 / 9": Reading(7, 9),
    "global step 120/6000": Reading(120, 6000),
    "Epoch 3/10:  50%|█████     | 50/100 [00:50<00:50,  1.0it/s]": Reading(2.5, 10),
    "Epoch 3/10\n120/600 [=====>........................] - ETA: 8s - loss: 0.3": Reading(2.2, 10),
    "\rtrain:  976/6000 loss=0.3\rtrain:  977/6000 loss=0.2": Reading(977, 6000),
    "\r[12/90] cc -c a.c\r[13/90] cc -c b.c": Reading(13, 90),
    "\r 1,234,567  45%   12.3MB/s    0:00:12\r 1,300,567  46%   12.3MB/s    0:00:11": Reading(46, 100),
    "step 5/10\nsaved checkpoint\nvalidating\n": Reading(5, 10),
}
SAYS_NOTHING = [
    "\rtrain: 977/6000", "\racc 41%\racc 42%", "\r5/10\r4/10", "\r5/10\r6/1", "5/10\r\n6/10\r\n", "\r1/2\r1/2\ndone",
    "", "loss 0.41", "accuracy 41%", "see /data/2026/11/27", "2026/11/27 10:00", "took 3/4 of a second", "step 7/0",
    "step 9/5", "Epoch 3", "100%", "GPU 0 41% | 20000MiB / 81920MiB", "-----", "a/b", "step 12345678901234567890/3",
]  # fmt: skip


@pytest.mark.parametrize("text", TOLD)
def test_what_is_told(text: str) -> None:
    assert read_progress(text.encode()) == TOLD[text]


@pytest.mark.parametrize("text", SAYS_NOTHING)
def test_what_tells_nothing(text: str) -> None:
    assert read_progress(text.encode()) is None


def test_the_latest_state_of_a_long_line_counts() -> None:
    line = "".join(f"\rstep {number}/6000" for number in range(6000))
    assert read_progress(line.encode()) == Reading(5999, 6000)


@given(st.binary(max_size=5000))
def test_anything_else_does_no_harm(tail: bytes) -> None:
    found = read_progress(tail)
    assert found is None or 0 <= found.done <= found.total


class TestProgressMeter:
    def test_what_is_left_follows_from_the_pace(self) -> None:
        meter = ProgressMeter()
        assert meter.update((b"step 10/100", b""), 1_000) == Reading(10, 100)
        assert meter.update((b"step 20/100", b""), 11_000) == Reading(20, 100, 80_000)

    def test_silence_leaves_what_was_said(self) -> None:
        meter = ProgressMeter()
        meter.update((b"", b"step 10/100"), 0)
        assert meter.update((b"warning", b"saving"), 1_000) == Reading(10, 100)

    def test_a_new_bar_begins_anew(self) -> None:
        meter = ProgressMeter()
        meter.update((b"step 90/100",), 0)
        assert meter.update((b"step 1/100",), 1_000) == Reading(1, 100)
        assert meter.update((b"step 2/100",), 2_000) == Reading(2, 100, 98_000)
