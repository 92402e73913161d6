"""Atomic writes: files appear whole or not at all, and an interrupt is passed on."""

import json
import os

import pytest

from progress_measures import files, markdown
from progress_measures.errors import UserError
from progress_measures.plain_text import text_table


def test_interrupt_is_raised_while_a_thread_still_writes_to_the_folder(tmp_path, monkeypatch):
    """Zarr writes each file under a temporary name first, in a thread that an interrupt does not stop."""
    unlink = os.unlink

    def rename_then_remove(name, *, dir_fd=None):
        if str(name).endswith(".partial"):
            os.rename(name, "chunk", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        unlink(name, dir_fd=dir_fd)

    def write_and_interrupt():
        with files.atomic_path(tmp_path / "store") as temporary:
            temporary.mkdir()
            (temporary / "chunk.partial").write_bytes(b"")
            monkeypatch.setattr(os, "unlink", rename_then_remove)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt()
    assert not (tmp_path / "store").exists()


def test_files_left_by_a_killed_process_are_removed_by_the_next(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "getpid", lambda: 2**22 + 1)  # above the id of every process
        leftover = files._beside(tmp_path / "store", "tmp")
    leftover.mkdir()
    (leftover / "chunk").write_bytes(b"half")
    with files.atomic_path(tmp_path / "store") as temporary:
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_chunk_without_entries_is_damage(tmp_path):
    array = {"node_type": "array", "shape": [2], "chunk_grid": {"configuration": {"chunk_shape": [0]}}}
    array["chunk_key_encoding"] = {"configuration": {"separator": "/"}}
    root = {"attributes": {files.ALL_CHUNKS_STORED: True}, "consolidated_metadata": {"metadata": {"loss": array}}}
    (tmp_path / "zarr.json").write_text(json.dumps(root))
    damaged = pytest.raises(UserError, match=r"is missing or damaged .*chunks without entries.*; gather again")
    with damaged, files.damage_reported(tmp_path, "gather again"):
        files.check_chunks(tmp_path)


def test_table_may_have_an_empty_title():
    assert text_table(["", "loss"], [["seed0", "0.1"], ["", ""]]) == "       loss\n-----  ----\nseed0  0.1\n"


@pytest.mark.parametrize(
    ("text", "is_markdown", "expected"),
    [
        ("`a|b` x|y", False, "`a\\|b` x\\|y"),
        ("`a|b` \\| x|y", True, "`a\\|b` \\| x\\|y"),
        ("`a *b*", False, "`a \\*b\\*"),
        ("*a* `b*`", False, "\\*a\\* `b*`"),
    ],
)
def test_cell_of_a_markdown_table_ends_where_its_text_ends(text, is_markdown, expected):
    assert markdown.cell(text, is_markdown) == expected
