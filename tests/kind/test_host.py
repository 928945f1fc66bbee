"""What is noted of the host before a private daemon starts, and put back after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.kind import host


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for /proc/sys with two of the sysctls; there are no cgroups."""
    made = tmp_path / "sys"
    (made / "kernel").mkdir(parents=True)
    (made / "kernel/panic").write_text("1\n")
    (made / "kernel/panic_on_oops").write_text("0\n")
    monkeypatch.setattr(host, "PROC", made)
    monkeypatch.setattr(host, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(host.remove_cgroups, "__defaults__", (tmp_path / "cgroup",))
    return made


def test_what_changed_is_put_back_and_the_note_is_gone(proc: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    host.record(note)
    (proc / "kernel/panic").write_text("10\n")
    host.restore(note)
    assert (proc / "kernel/panic").read_text().strip() == "1"
    assert not note.exists()
    (proc / "kernel/panic").write_text("7\n")
    host.restore(note)
    assert (proc / "kernel/panic").read_text() == "7\n", "without a note nothing is touched"


def test_the_note_of_a_killed_run_is_not_written_over(proc: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    host.record(note)
    (proc / "kernel/panic_on_oops").write_text("1\n")
    host.record(note)
    host.restore(note)
    assert (proc / "kernel/panic_on_oops").read_text().strip() == "0"


def test_our_cgroups_go_in_every_hierarchy_and_no_others(tmp_path: Path) -> None:
    ours = [tmp_path / host.CGROUP / "a", tmp_path / "memory" / host.CGROUP / "a" / "b", tmp_path / "cpu" / host.CGROUP]
    other = tmp_path / "memory" / "docker" / "c"
    for path in [*ours, other]:
        path.mkdir(parents=True)
    assert host.remove_cgroups(tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c", "cpu", "docker", "memory"]


def test_cgroups_in_use_are_told(tmp_path: Path) -> None:
    busy = tmp_path / "cpu" / host.CGROUP / "a"
    busy.mkdir(parents=True)
    (busy / "stays").write_text("")
    assert host.remove_cgroups(tmp_path) == [busy, busy.parent]
