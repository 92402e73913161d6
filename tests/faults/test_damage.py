"""Damaged stores: a changed bit or a missing end in any chunk is noticed by every reader."""

import random
import shutil

import pytest
from stages import STAGES, assert_recovers, copy_before, differences

from progress_measures.files import open_store
from support.processes import command

pytestmark = pytest.mark.faults

DRAW, EXPLORE = STAGES["figure"], STAGES["explorer"]
# the store, the stage that reads it, and the stage that writes it again
STORES = {
    "dataset": ("results/small/dataset.zarr", STAGES["extraction"], STAGES["dataset"]),
    "weights": ("results/small/runs/seed0/checkpoints.zarr", STAGES["extraction"], None),
    "history": ("results/small/runs/seed0/history.zarr", STAGES["gather"], None),
    "measures": ("results/small/runs/seed0/measures/*.zarr", STAGES["gather"], STAGES["extraction"]),
    "cube, read by a figure": ("results/small/cube.zarr", DRAW, STAGES["gather"]),
    "cube, read by the explorer": ("results/small/cube.zarr", EXPLORE, STAGES["gather"]),
    "cube, read to be published": ("results/small/cube.zarr", STAGES["publish"], STAGES["gather"]),
}


def damage(path, random_numbers):
    """Flip a random bit of a file, or remove its end."""
    content = bytearray(path.read_bytes())
    if random_numbers.random() < 0.5:
        content[random_numbers.randrange(len(content))] ^= 1 << random_numbers.randrange(8)
    else:
        del content[random_numbers.randrange(len(content)) :]
    path.write_bytes(content)


@pytest.mark.parametrize("case", STORES)  # not `name`, by which --one-in selects stages
def test_damaged_chunk_is_noticed(case, trial, undisturbed, tmp_path, tally):
    """A stage that reads the chunk fails and names the store; a stage that does not read it is unaffected."""
    pattern, reader, writer = STORES[case]
    folder = copy_before(undisturbed, reader, tmp_path / "copy")
    random_numbers = random.Random(f"{case} {trial}")
    store = random_numbers.choice(sorted(folder.glob(pattern)))
    chunk = random_numbers.choice(sorted(path for path in store.rglob("c/**/*") if path.is_file()))
    original = chunk.read_bytes()
    damage(chunk, random_numbers)
    done = command(*reader.line, folder=folder)
    if done.returncode == 0:
        assert set(differences(folder, undisturbed)) <= {chunk.relative_to(folder).as_posix()}
    else:
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert store.relative_to(folder).as_posix() in done.stderr
    tally.count(f"damaged chunk, {case}", "refused" if done.returncode else "right")
    if writer:
        if writer is STAGES["dataset"]:  # this stage never overwrites a dataset
            shutil.rmtree(store)
        assert command(*writer.line, folder=folder).returncode == 0
    else:
        chunk.write_bytes(original)
    assert_recovers(reader, folder, undisturbed)


PUBLISHED = {
    "cube": ("published/small.zarr.zip", ("draw", "paper/fig07", "--cube", "published/small.zarr.zip")),
    "weights": ("published/small.weights.zarr.zip", ("export", "small", "--to", "out.pth")),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_damaged_published_file_is_noticed(name, trial, undisturbed, tmp_path, tally):
    path, line = PUBLISHED[name]
    folder = copy_before(undisturbed, STAGES["training"], tmp_path / "copy")
    (folder / "out.pth").unlink(missing_ok=True)
    before_damage = command(*line, folder=folder)
    assert before_damage.returncode == 0, before_damage.stderr
    outputs = {file: file.read_bytes() for file in [*folder.glob("results/figures/**/*.*"), *folder.glob("out.pth")]}
    assert outputs
    for file in outputs:
        file.unlink()
    damage(folder / path, random.Random(f"{name} {trial}"))
    done = command(*line, folder=folder)
    if done.returncode == 0:
        assert outputs == {file: file.read_bytes() for file in outputs}
    else:
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert path in done.stderr
    tally.count(f"damaged published {name}", "refused" if done.returncode else "right")


RECORDS = {
    "state": "runs/seed0/resume/*.npz",
    "record of a run": "runs/seed0/done.json",
    "record of all": "trained.json",
    "description of all checkpoints": "runs/seed0/checkpoints.zarr/zarr.json",
    "description of a tensor": "runs/seed0/checkpoints.zarr/W_Q/zarr.json",
}


@pytest.mark.parametrize("kind", RECORDS)
def test_damaged_records_of_training(kind, trial, undisturbed, tmp_path, tally):
    """Training again gives the same weights bit by bit."""
    folder = copy_before(undisturbed, STAGES["figure"], tmp_path / "copy")
    random_numbers = random.Random(f"{kind} {trial}")
    (path,) = (folder / "results/small").glob(RECORDS[kind])
    damage(path, random_numbers)
    (folder / "results/small/runs/seed0/done.json").unlink(missing_ok=True)
    done = command("train", "small", folder=folder)
    assert done.returncode == 0, done.stderr
    done = command(*STAGES["figure"].line, folder=folder)
    assert done.returncode == 0, done.stderr
    # damage may remain in parts of a tensor's description that are never read, and in their copy in the root of the store
    unread = {path, path.parents[1] / "zarr.json"} if kind == "description of a tensor" else set()
    assert {folder / name for name in differences(folder, undisturbed)} <= unread
    checkpoints = "results/small/runs/seed0/checkpoints.zarr"
    assert open_store(folder / checkpoints).equals(open_store(undisturbed / checkpoints))
    tally.count(f"damaged {kind}", "right")
