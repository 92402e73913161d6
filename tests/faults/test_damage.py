"""A byte that changed, or an end that is missing, in any chunk of any store: it is noticed by whatever reads it."""

import random
import shutil

import pytest
from stages import STAGES, before, differences, goes_on

from progress_measures.files import open_store
from support.processes import command

pytestmark = pytest.mark.faults

DRAW, EXPLORE = STAGES["figure"], STAGES["explorer"]
# store, the stage that reads it, and the one that makes it anew
STORES = {
    "dataset": ("results/small/dataset.zarr", STAGES["extraction"], STAGES["dataset"]),
    "weights": ("results/small/runs/seed0/checkpoints.zarr", STAGES["extraction"], None),
    "history": ("results/small/runs/seed0/history.zarr", STAGES["gather"], None),
    "measures": ("results/small/runs/seed0/measures/*.zarr", STAGES["gather"], STAGES["extraction"]),
    "cube, read by a figure": ("results/small/cube.zarr", DRAW, STAGES["gather"]),
    "cube, read by the explorer": ("results/small/cube.zarr", EXPLORE, STAGES["gather"]),
    "cube, read to be published": ("results/small/cube.zarr", STAGES["publish"], STAGES["gather"]),
}


def damage(path, moment):
    """Flip a bit, or cut an end off."""
    content = bytearray(path.read_bytes())
    if moment.random() < 0.5:
        content[moment.randrange(len(content))] ^= 1 << moment.randrange(8)
    else:
        del content[moment.randrange(len(content)) :]
    path.write_bytes(content)


@pytest.mark.parametrize("what", STORES)  # not stages, of which a short soak leaves some out
def test_a_damaged_chunk_is_noticed(what, trial, tree, tmp_path, tally):
    """What does not read it is as always; what does refuses, and names the store."""
    pattern, reader, maker = STORES[what]
    folder = before(tree, reader, tmp_path / "tree")
    moment = random.Random(f"{what} {trial}")
    store = moment.choice(sorted(folder.glob(pattern)))
    chunk = moment.choice(sorted(path for path in store.rglob("c/**/*") if path.is_file()))
    original = chunk.read_bytes()
    damage(chunk, moment)
    done = command(*reader.line, folder=folder)
    if done.returncode == 0:
        assert set(differences(folder, tree)) <= {chunk.relative_to(folder).as_posix()}
    else:
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert store.relative_to(folder).as_posix() in done.stderr
    tally.count(f"damaged chunk, {what}", "refused" if done.returncode else "right")
    if maker:
        if maker is STAGES["dataset"]:  # which is kept where it is there: so the message says to remove it
            shutil.rmtree(store)
        assert command(*maker.line, folder=folder).returncode == 0
    else:
        chunk.write_bytes(original)
    goes_on(reader, folder, tree)


PUBLISHED = {
    "cube": ("published/small.zarr.zip", ("draw", "paper/fig07", "--cube", "published/small.zarr.zip")),
    "weights": ("published/small.weights.zarr.zip", ("export", "small", "--to", "out.pth")),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_damaged_published_file_is_noticed(name, trial, tree, tmp_path, tally):
    path, line = PUBLISHED[name]
    folder = before(tree, STAGES["training"], tmp_path / "tree")
    (folder / "out.pth").unlink(missing_ok=True)
    undisturbed = command(*line, folder=folder)
    assert undisturbed.returncode == 0, undisturbed.stderr
    made = {file: file.read_bytes() for file in [*folder.glob("results/figures/**/*.*"), *folder.glob("out.pth")]}
    assert made
    for file in made:
        file.unlink()
    damage(folder / path, random.Random(f"{name} {trial}"))
    done = command(*line, folder=folder)
    if done.returncode == 0:
        assert made == {file: file.read_bytes() for file in made}
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
def test_damaged_records_of_training(kind, trial, tree, tmp_path, tally):
    """Training finds its way back to the same bits from whatever is whole."""
    folder = before(tree, STAGES["figure"], tmp_path / "tree")
    moment = random.Random(f"{kind} {trial}")
    (path,) = (folder / "results/small").glob(RECORDS[kind])
    damage(path, moment)
    (folder / "results/small/runs/seed0/done.json").unlink(missing_ok=True)
    done = command("train", "small", folder=folder)
    assert done.returncode == 0, done.stderr
    done = command(*STAGES["figure"].line, folder=folder)
    assert done.returncode == 0, done.stderr
    # of a tensor's description, what nobody reads may stay as it is
    spared = {path.relative_to(folder).as_posix()} if kind == "description of a tensor" else set()
    assert set(differences(folder, tree)) <= spared
    checkpoints = "results/small/runs/seed0/checkpoints.zarr"
    assert open_store(folder / checkpoints).equals(open_store(tree / checkpoints))
    tally.count(f"damaged {kind}", "right")
