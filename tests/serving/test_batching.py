"""Requests answered together: which, how many, in what time, and what becomes of one that fails."""

import asyncio
from typing import Any

import numpy as np
import pytest

from visionport.errors import InputError, OptionError
from visionport.serving.batching import Batcher, Batching, read_batching
from visionport.serving.statuses import RequestError, invalid


class Model:
    """Doubles what it is asked, and remembers how many rows each call had. Negative rows are its poison."""

    def __init__(self, seconds: float = 0.0):
        self.calls: list[int] = []
        self.at_once = self.most_at_once = 0
        self._seconds = seconds

    async def __call__(self, feeds):
        self.calls.append(len(feeds["x"]))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        if (feeds["x"] < 0).any():
            raise invalid("negative")
        return {"y": feeds["x"] * 2}


def rows(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)[:, None]}


def run(how: Batching, feeds, model: Model | None = None):
    model = model or Model()

    async def main() -> list[Any]:
        batcher = Batcher(how, model)
        return await asyncio.gather(*(batcher.ask(f) for f in feeds), return_exceptions=True)

    return asyncio.run(main()), model


def test_requests_go_together_and_each_gets_its_own():
    answers, model = run(Batching(max_batch=4, timeout=0.05), [rows(1), rows(2, 3), rows(4), rows(5)])
    assert [a["y"].ravel().tolist() for a in answers] == [[2], [4, 6], [8], [10]]
    assert model.calls == [4, 1]


def test_one_alone_waits_no_longer_than_the_timeout():
    answers, model = run(Batching(max_batch=100, timeout=0.01), [rows(1)])
    assert (answers[0]["y"].tolist(), model.calls) == ([[2]], [1])


def test_other_shapes_do_not_go_together():
    wide = {"x": np.ones((1, 2), np.float32)}
    _, model = run(Batching(max_batch=8, timeout=0.02), [rows(1), wide, rows(2), wide, {"x": np.ones((1, 2))}])
    assert sorted(model.calls) == [1, 2, 2]


def test_a_request_that_fails_takes_no_other_with_it():
    answers, model = run(Batching(max_batch=3, timeout=0.05), [rows(1), rows(-1), rows(3)])
    assert [answers[0]["y"].item(), answers[2]["y"].item()] == [2, 6]
    assert isinstance(answers[1], RequestError)
    assert model.calls == [3, 1, 1, 1]


def test_rows_beyond_a_batch_go_alone():
    answers, model = run(Batching(max_batch=2, timeout=0), [rows(1, 2, 3)])
    assert (answers[0]["y"].ravel().tolist(), model.calls) == ([2, 4, 6], [3])


def test_only_the_allowed_sizes():
    answers, model = run(Batching(max_batch=8, timeout=0.02, sizes=(1, 4, 8)), [rows(1), rows(2), rows(3)])
    assert [a["y"].item() for a in answers] == [2, 4, 6]
    assert model.calls == [4]


def test_a_full_queue_refuses():
    how = Batching(max_batch=1, timeout=0, max_waiting=2, threads=1)
    answers, model = run(how, [rows(i) for i in range(6)], Model(0.05))
    full = [a for a in answers if isinstance(a, RequestError)]
    assert (len(full), full[0].http) == (4, 503)
    assert "batch scheduling queue" in str(full[0])
    assert model.most_at_once == 1


def test_calls_at_a_time():
    _, model = run(Batching(max_batch=1, timeout=0, threads=3), [rows(i) for i in range(9)], Model(0.02))
    assert model.most_at_once == 3


def test_who_has_gone_is_not_answered():
    model = Model(0.05)

    async def main():
        batcher = Batcher(Batching(max_batch=1, timeout=0, threads=1), model)
        first = asyncio.create_task(batcher.ask(rows(1)))
        gone = asyncio.create_task(batcher.ask(rows(2)))
        await asyncio.sleep(0.02)
        gone.cancel()
        await first
        return await batcher.ask(rows(3))

    assert asyncio.run(main())["y"].item() == 6
    assert model.calls == [1, 1]


def test_a_model_that_has_another_number_of_rows_is_asked_alone():
    class Reduces(Model):
        async def __call__(self, feeds):
            self.calls.append(len(feeds["x"]))
            return {"y": feeds["x"].sum(keepdims=True)[0]}

    answers, model = run(Batching(max_batch=2, timeout=0.05), [rows(1), rows(2)], Reduces())
    assert [a["y"].item() for a in answers] == [1, 2]
    assert model.calls == [2, 1, 1]


def test_the_file_of_parameters(tmp_path):
    file = tmp_path / "batching.txt"
    file.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 5000 } max_enqueued_batches { value: 3 }\n"
        "num_batch_threads { value: 4 } allowed_batch_sizes: 2 allowed_batch_sizes: 8 pad_variable_length_inputs: false"
    )
    assert read_batching(file) == Batching(max_batch=8, timeout=0.005, max_waiting=3, threads=4, sizes=(2, 8))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("max_batch { value: 8 }", InputError),
        ("max_batch_size { value: 0 }", OptionError),
        ("batch_timeout_micros { value: -1 }", OptionError),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", OptionError),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 8 allowed_batch_sizes: 4", OptionError),
    ],
)
def test_a_file_of_parameters_that_is_wrong(tmp_path, text, error):
    file = tmp_path / "batching.txt"
    file.write_text(text)
    with pytest.raises(error, match=str(file)):
        read_batching(file)
