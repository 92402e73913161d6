"""What is written appears whole or not at all, and an interrupt stays an interrupt."""

import os

import pytest

from progress_measures import files


def test_an_interrupt_comes_through_though_the_folder_is_still_written_to(tmp_path, monkeypatch):
    """Zarr writes each file beside its name first, in a thread that an interrupt does not stop."""
    remove = os.unlink

    def named_meanwhile(name, *, dir_fd=None):
        if str(name).endswith(".partial"):
            os.rename(name, "chunk", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        remove(name, dir_fd=dir_fd)

    def interrupted():
        with files.atomic_path(tmp_path / "store") as temporary:
            temporary.mkdir()
            (temporary / "chunk.partial").write_bytes(b"")
            monkeypatch.setattr(os, "unlink", named_meanwhile)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "store").exists()


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "getpid", lambda: 2**22 + 1)  # above every process's number
        left = files._beside(tmp_path / "store", "tmp")
    left.mkdir()
    (left / "chunk").write_bytes(b"half")
    with files.atomic_path(tmp_path / "store") as temporary:
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
