"""A stream of output in pieces: the same progress, steps and metrics however it is cut, and after a restart."""

import io
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress
from tqdm import tqdm

from opsconsole_agent.recognise.line import PRINTED_LINE_BYTES_MAX, Count
from opsconsole_agent.recognise.stream import Finding, Mark, Stream
from opsconsole_protocol.pattern import compile_pattern

TOLD = {
    "\rtrain:  41%|████▏     | 2460/6000 [00:41<00:59, 60.00it/s]": (2460, 6000),
    "\r  0%|          | 0/10 [00:00<?, ?it/s]\r 10%|█         | 1/10 [00:01<00:09,  1.00s/it]": (1, 10),
    "\r100%|██████████| 10/10 [00:10<00:00,  1.00s/it]\n": (10, 10),
    "\rmodel.pt:  41%|####1     | 41.0M/100M [00:04<1:00:06, 9.9MB/s]": (41e6, 100e6),
    "\r 5%|▌         | 1.5k/30.0k [00:41<10:59, 60.00it/s]": (1500, 30000),
    "\r41%|████": (41, 100),
    "Working... ━━━━━━━━━━━━━━━━╸━━━━━━━━━━━━━━━━━━━━━━━  41% 0:00:12": (41, 100),
    "\x1b[2K\x1b[32mDownload\x1b[0m \x1b[38m━━━━━━━━╸\x1b[0m  50% 0:00:12": (50, 100),
    "[=====>     ] 41%": (41, 100),
    "Epoch 3/10": (3, 10),
    "Epoch [3/10], loss: 0.1234": (3, 10),
    "epoch: 3 of 10": (3, 10),
    "step 120/6000": (120, 6000),
    "INFO 2026-11-27 00:00:00 step 120/6000 loss 0.3": (120, 6000),
    "Iteration 7 / 9": (7, 9),
    "global step 120/6000": (120, 6000),
    "[120/4000] loss=0.3": (120, 4000),
    "Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.134": (640, 60000),
    "Epoch 3/10:  50%|█████     | 50/100 [00:50<00:50,  1.0it/s]": (2.5, 10),
    "Epoch 3/10\n120/600 [=====>........................] - ETA: 8s - loss: 0.3": (2.2, 10),
    "Epoch 1/2\n60/60 [====] - loss: 1\nEpoch 2/2": (1, 2),
    "\rtrain:  976/6000 loss=0.3\rtrain:  977/6000 loss=0.2": (977, 6000),
    "\r[12/90] cc -c a.c\r[13/90] cc -c b.c": (13, 90),
    "\r 1,234,567  45%   12.3MB/s    0:00:12\r 1,300,567  46%   12.3MB/s    0:00:11": (46, 100),
    "step 5/10\nsaved checkpoint\nvalidating\n": (5, 10),
}
SAYS_NOTHING = [
    "\rtrain: 977/6000", "\racc 41%\racc 42%", "\r5/10\r4/10", "\r5/10\r6/1", "5/10\r\n6/10\r\n", "\r1/2\r1/2\ndone",
    "", "loss 0.41", "accuracy 41%", "see /data/2026/11/27", "2026/11/27 10:00", "took 3/4 of a second", "step 7/0",
    "step 9/5", "Epoch 3", "100%", "GPU 0 41% | 20000MiB / 81920MiB", "-----", "a/b", "step 12345678901234567890/3",
]  # fmt: skip


def read(text: str | bytes, stream: Stream | None = None) -> list[Finding]:
    stream = stream or Stream()
    data = text.encode() if isinstance(text, str) else text
    return stream.feed(data) + stream.finish()


def progress(found: Iterable[Finding]) -> tuple[float, float] | None:
    told = [one.progress for one in found if one.progress is not None]
    return (told[-1].done, told[-1].total) if told else None


def points(found: Iterable[Finding]) -> list[tuple[float | None, dict[str, float]]]:
    return [(one.step, one.values) for one in found if one.values]


def drawn(epochs: int, steps: int, *, outer: bool) -> bytes:
    """What tqdm draws."""
    file = io.StringIO()
    around: Iterable[int] = tqdm(range(epochs), file=file, mininterval=0) if outer else range(epochs)
    for epoch in around:
        with tqdm(total=steps, file=file, mininterval=0, leave=not outer) as bar:
            for step in range(steps):
                bar.set_postfix(loss=1 / (1 + epoch * steps + step), refresh=False)
                bar.update()
    return file.getvalue().encode()


@pytest.mark.parametrize("text", TOLD)
def test_progress_is_told(text: str) -> None:
    assert progress(read(text)) == TOLD[text]


@pytest.mark.parametrize("text", SAYS_NOTHING)
def test_what_tells_no_progress(text: str) -> None:
    assert progress(read(text)) is None


def test_left_is_what_the_bar_says() -> None:
    (finding,) = read(" 41%|####1     | 41.0M/100M [00:04<1:00:06, 9.9MB/s]\n")
    assert finding.progress == Count(41e6, 100e6, 3_606_000.0)


def test_a_bar_of_rich() -> None:
    file = io.StringIO()
    with Progress(console=Console(file=file, force_terminal=True, width=100), auto_refresh=False) as bars:
        task = bars.add_task("train", total=50)
        bars.update(task, advance=30, refresh=True)
        drawn_so_far = file.getvalue()
    assert progress(read(drawn_so_far)) == (60, 100)


@pytest.mark.parametrize("outer", [False, True])
def test_steps_go_on_where_a_bar_starts_over(outer: bool) -> None:
    found = points(read(drawn(3, 5, outer=outer)))
    assert dict.fromkeys(step for step, _ in found if step) == dict.fromkeys(range(1, 16))
    assert dict(found)[15.0] == {"loss": pytest.approx(1 / 15, rel=1e-2)}


@pytest.mark.parametrize(
    "label",
    ["", "train", "Epoch {epoch}", "Epoch {next}/3", "[{epoch:2d}] fold2", "loss {loss:.3f}", "epoch{next}: lr {rate}"],
)
@pytest.mark.parametrize("leave", [False, True])
def test_steps_go_on_whatever_numbers_a_bars_label_has(label: str, leave: bool) -> None:
    file = io.StringIO()
    for epoch in range(8, 11):
        with tqdm(total=20, file=file, mininterval=0, leave=leave) as bar:
            for step in range(20):
                loss = float("nan") if step == 3 else 5 - step / 3
                text = label.format(epoch=epoch, next=epoch - 7, loss=loss, rate=10.0 ** -(step // 3))
                bar.set_description(text, refresh=False)
                bar.set_postfix(loss=epoch + step / 100, refresh=False)
                bar.update()
    found = points(read(file.getvalue()))
    assert list(dict.fromkeys(step for step, _ in found)) == list(range(1, 61))
    assert dict(found)[60.0] == {"loss": pytest.approx(10.19, rel=1e-2)}


def test_bars_side_by_side_start_nothing_over() -> None:
    drawn_so_far = "".join(f" 9%|█ | {at - gpu}/40 [0:00<?, loss={at}]\n" for at in range(9, 40) for gpu in (0, 1))
    labelled = drawn_so_far.replace(" 9%", "GPU 0: 9%").splitlines()
    labelled[1::2] = [line.replace("GPU 0", "GPU 1") for line in labelled[1::2]]
    assert max(step or 0 for step, _ in points(read("\n".join(labelled)))) == 39


def test_an_inner_bar_moves_the_outer_one() -> None:
    told = [one.progress for one in read(drawn(4, 5, outer=True)) if one.progress is not None]
    parts = [one.done / one.total for one in told]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0, 1)
    assert 1 / 8 < parts[4] < 1 / 4


def test_a_bar_that_was_left_unfinished_is_around_no_other() -> None:
    found = read(" 95%|███ | 95/100 [00:01<00:01]\n  0%| | 0/10 [00:00<?]\r 50%|██ | 5/10 [00:00<00:01]\n")
    assert progress(found) == (5, 10)


def test_a_bar_drawn_again_at_its_step_tells_no_second_point() -> None:
    assert points(read("\r 9%|█ | 1/10 [0:00<?, loss=1]\r 9%|█ | 1/10 [0:01<?, loss=1]\n")) == [(1, {"loss": 1})]
    assert len(points(read("loss=1\nloss=1\n"))) == 2


def test_a_line_without_an_end_tells_progress_and_no_point() -> None:
    stream = Stream()
    assert stream.feed(b"\r 50%|##  | 5/10 [00:01<00:01, loss=0.1") == []
    assert stream.unfinished() == Count(5, 10, 1000.0)
    assert stream.mark == Mark(to=1)
    assert points(stream.feed(b"5]\r")) == [(5, {"loss": 0.15})]


TEXTS = st.lists(
    st.sampled_from([*TOLD, *SAYS_NOTHING, "step=3 loss=0.5", "{'loss': 1.5, 'epoch': 2.0}", "\n", "\r", "x" * 5_000]), max_size=12
).map(lambda parts: "\n".join(parts).encode())  # fmt: skip


@given(TEXTS, st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_how_it_is_cut_makes_no_difference(data: bytes, sizes: list[int]) -> None:
    stream, found, start = Stream(), [], 0
    while start < len(data):
        size = sizes[start % len(sizes)]
        found += stream.feed(data[start : start + size])
        stream.unfinished()
        start += size
        assert stream.offset == min(start, len(data))
    assert repr(found + stream.finish()) == repr(read(data))
    assert stream.mark.to == len(data)


@given(TEXTS, st.integers(0, 400))
def test_after_a_restart_each_point_comes_once(data: bytes, cut: int) -> None:
    first = Stream()
    found = first.feed(data[:cut])
    mark = msgspec.json.decode(msgspec.json.encode(first.mark), type=Mark)
    found += read(data[mark.to :], Stream(mark=mark))
    if not any(len(line) > PRINTED_LINE_BYTES_MAX for line in data.splitlines()):
        assert repr(found) == repr(read(data))


@given(st.lists(st.binary(max_size=9_000), max_size=8))
def test_memory_is_bounded(pieces: list[bytes]) -> None:
    stream = Stream()
    for piece in pieces:
        stream.feed(piece)
        assert stream.offset - stream.mark.to <= PRINTED_LINE_BYTES_MAX
        assert len(stream.mark.bars) <= 4
    assert stream.offset == sum(map(len, pieces))


def test_what_is_skipped_is_left_out_to_the_end_of_its_line() -> None:
    stream = Stream()
    stream.feed(b"loss=1\nloss=2")
    stream.skip_to(1_000)
    assert points(stream.feed(b"3\nloss=4\n")) == [(None, {"loss": 4})]
    assert stream.offset == 1_009


def test_an_operators_pattern() -> None:
    found = read("L 0.5 of 3\nloss=9\n", Stream(compile_pattern(r"L (?P<loss>\S+) of (?P<step>\d+)")))
    assert points(found) == [(3, {"loss": 0.5})]
