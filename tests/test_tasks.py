"""Tasks on sequences: their examples, compared with examples drawn slowly."""

import numpy as np
import pytest
import torch

from progress_measures.data.examples import SampledExamples
from support.experiments import SEQUENCES, sequence_run


def to_number(digits):
    return int("".join(map(str, digits)))


def test_digits_of_sums_are_those_of_python():
    task = sequence_run("five_digit_addition", task={"digits": 5}).task
    torch.manual_seed(129000)
    stream = task.batches(129000, 64)
    for _ in range(3):
        drawn = next(stream)
        x, y = (torch.randint(0, 10, (64, 5)) for _ in range(2))  # the global generator, as in the notebook
        for tokens, positions, labels, of_x, of_y in zip(*drawn, x.tolist(), y.tolist(), strict=True):
            assert tokens[:12].tolist() == [*of_x, 10, *of_y, 11]
            assert to_number(tokens[12:]) == to_number(of_x) + to_number(of_y)
            assert positions.tolist() == [11, 12, 13, 14, 15, 16]
            assert labels.tolist() == tokens[12:].tolist()


def test_subsequences_repeat_at_the_positions_of_numpys_legacy_generator():
    task = sequence_run("repeated_subsequence", task={"vocabulary": 128, "length": 85, "subsequence": 16}).task
    np.random.seed(1)
    stream = task.batches(1, 50)
    for _ in range(2):
        drawn = next(stream)
        tokens = np.random.randint(1, 128, (50, 85))
        tokens[:, 0] = 0
        starts = [np.random.randint(1 + 28 * i, 14 + 28 * i, 50) for i in range(3)]
        for i, row in enumerate(tokens):
            copied = row[starts[0][i] : starts[0][i] + 16].copy()
            mask = np.zeros(85, dtype=bool)
            for start in (starts[1][i], starts[2][i]):
                row[start : start + 16] = copied
                mask[start : start + 15] = True
            assert drawn.tokens[i].tolist() == row.tolist()
            assert drawn.positions[i].tolist() == np.flatnonzero(mask).tolist()
            assert drawn.labels[i].tolist() == row[1:][mask[:-1]].tolist()


def test_answer_follows_from_one_token_in_noise():
    task = sequence_run("skip_trigram", task={"noise": 10, "answers": 10, "length": 40}).task
    generator = torch.Generator().manual_seed(6798)
    stream = task.batches(6798, 30)
    for _ in range(2):
        drawn = next(stream)
        noise = torch.randint(2, 12, (30, 40), generator=generator)
        answer = torch.randint(0, 10, (30,), generator=generator)
        position = torch.randint(1, 41, (30,), generator=generator)
        for i in range(30):
            row = [0, *noise[i].tolist(), 1]
            row[position[i]] = 12 + int(answer[i])
            assert drawn.tokens[i].tolist() == row
            assert (drawn.positions[i].tolist(), drawn.labels[i].tolist()) == ([41], [int(answer[i])])


@pytest.mark.parametrize("kind", SEQUENCES)
def test_examples_fit_their_layout(kind):
    run = sequence_run(kind)
    sizes, drawn = run.task.sizes, next(run.task.batches(0, 20))
    names = run.task.answer_names()
    assert drawn.tokens.shape == (20, sizes.context_length)
    assert drawn.positions.shape == drawn.labels.shape == (20, len(names))
    assert 0 <= drawn.tokens.min() <= drawn.tokens.max() < sizes.vocabulary
    assert 0 <= drawn.labels.min() <= drawn.labels.max() < sizes.outputs
    assert (np.diff(drawn.positions, axis=1) > 0).all()


def test_examples_of_an_update_do_not_depend_on_the_order_of_calls():
    run = sequence_run("skip_trigram", batch=7)
    in_order = [SampledExamples(run).of_update(update).tokens for update in range(6)]
    examples = SampledExamples(run)
    for update in (4, 5, 5, 1, 0, 3):
        assert (examples.of_update(update).tokens == in_order[update]).all()
    assert len(np.unique(np.concatenate(in_order), axis=0)) == 42


def test_each_pass_has_every_example_once_in_a_new_order():
    run = sequence_run("five_digit_addition", examples=12, batch=4)
    drawn = SampledExamples(run)
    passes = [np.concatenate([drawn.of_update(3 * i + part).tokens for part in range(3)]) for i in range(2)]
    for examples in passes:
        assert sorted(map(tuple, examples)) == sorted(map(tuple, drawn.fixed.tokens))
    assert (passes[0] != passes[1]).any()
    assert (drawn.of_update(4).labels == SampledExamples(run).of_update(4).labels).all()


def test_test_examples_are_not_training_examples():
    run = sequence_run("repeated_subsequence", examples=12)
    drawn = SampledExamples(run)
    assert drawn.of_update(3) is drawn.fixed
    assert drawn.test().tokens.shape[0] == run.split.test_examples
    assert not (set(map(tuple, drawn.test().tokens)) & set(map(tuple, drawn.fixed.tokens)))
