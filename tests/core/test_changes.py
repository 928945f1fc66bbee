"""Pages, layers and logs that forks share."""

from __future__ import annotations

import random

import numpy as np

from muster.core import changes
from muster.core.changes import Log, since
from muster.core.overlay import Overlay
from muster.core.rows import Rows


def test_forked_rows_and_overlays_never_see_each_other() -> None:
    rng = random.Random(1)
    kept: list[tuple[Rows, Overlay[int, int], np.ndarray, dict[int, int]]] = []
    rows = Rows(2)
    rows.reach(300)
    kept.append((rows, Overlay(), np.zeros((300, 2), np.int64), {}))
    for _ in range(3000):
        rows, layers, numbers, entries = kept[rng.randrange(len(kept))]
        row, column, value = rng.randrange(300), rng.randrange(2), rng.randrange(1, 99)
        match rng.randrange(8):
            case 0 if len(kept) < 12:
                kept.append((rows.fork(), layers.fork(), numbers.copy(), dict(entries)))
            case 1 if len(kept) > 2:
                kept.pop(rng.randrange(len(kept)))
            case 2:
                assert layers.pop(row) == entries.pop(row, None)
            case _:
                rows.put(row, column, value)
                numbers[row, column] = value
                layers[row] = entries[row] = value
    for rows, layers, numbers, entries in kept:
        assert (rows.column(1)[:300] == numbers[:, 1]).all()
        assert rows.column(0, np.arange(50, 90)).tolist() == numbers[50:90, 0].tolist()
        assert dict(layers.items()) == entries
        assert all(layers.get(key) == entries.get(key) for key in range(300))


def test_a_reader_goes_from_any_inventory_of_a_family_to_any_other() -> None:
    main = Log()
    main.note(1)
    start = main.mark()
    main.note(2)
    fork = Log(main.mark())
    fork.note(3)
    main.note(4)
    deeper = Log(fork.mark())
    fork.note(5)
    deeper.note(6)
    assert sorted(since(start, main.mark()) or ()) == [2, 4]
    assert sorted(since(start, fork.mark()) or ()) == [2, 3, 5]
    assert sorted(since(main.mark(), deeper.mark()) or ()) == [3, 4, 6]
    assert sorted(since(deeper.mark(), fork.mark()) or ()) == [5, 6]
    assert since(start, Log().mark()) is None


def test_a_reader_behind_a_cut_log_is_told_so() -> None:
    log = Log()
    start = log.mark()
    for row in range(2 * changes.LIMIT - 1):
        log.note(row)
    assert since(start, log.mark()) is not None
    middle = log.mark()
    log.note(0)
    assert since(start, log.mark()) is None
    assert list(since(middle, log.mark()) or ()) == [0]
