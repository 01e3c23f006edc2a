"""Flat passes: every row once, nothing twice, bounded; attention as in a batch of whole rows."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput
from pipelines import packing
from pipelines.packing import Group, flat, grouped_attention, in_passes, spans

END = 3
ROWS = st.lists(st.lists(st.integers(0, END), min_size=2, max_size=30), min_size=1, max_size=30)


@given(ROWS, st.data(), st.integers(1, 200))
def test_passes_hold_every_row_once_share_and_fit(batch: list[list[int]], data: st.DataObject, tokens: int) -> None:
    prompts = [data.draw(st.integers(1, len(ids) - 1)) for ids in batch]
    passes = in_passes(batch, prompts, END, tokens)

    assert sorted(row for groups in passes for group in groups for row in group.rows) == list(range(len(batch)))
    for groups in passes:
        rows = [row for group in groups for row in group.rows]
        assert len(rows) == 1 or sum(group.width for group in groups if group.rows) <= tokens
        assert sum(group.width for group in groups) % packing.MULTIPLE == 0
        ids, positions, scored = flat(batch, prompts, groups)
        assert len(ids) == len(positions) == sum(group.width for group in groups)
        assert [ids[place + 1] for place in scored] == [i for row in rows for i in batch[row][prompts[row] :]]
        assert [positions[place] + 1 for place in scored] == [i for r in rows for i in range(prompts[r], len(batch[r]))]
        start = 0
        for group in groups:
            assert len({tuple(batch[row][: group.shared]) for row in group.rows}) <= 1
            own_start = start + group.shared
            for row, own in zip(group.rows, group.own, strict=True):
                assert group.shared < prompts[row]  # a completion is predicted from an id of the row's own
                places = [*range(start, start + group.shared), *range(own_start, own_start + own)]
                assert [ids[place] for place in places] == batch[row]
                assert [positions[place] for place in places] == list(range(len(batch[row])))
                own_start += own
            start += group.width


def test_a_beginning_in_common_lies_in_a_pass_once() -> None:
    batch = [[1, END, 1, 2], [0, END, 2, 2], [1, END, 2, 2, 2]]
    (groups,) = in_passes(batch, [3, 3, 4], END, 100)
    ids, _, scored = flat(batch, [3, 3, 4], groups)

    assert groups == [Group(2, (0, 2), (2, 3)), Group(2, (1,), (2,)), Group(packing.MULTIPLE - 11, (), ())]
    assert ids[:11] == [1, END, 1, 2, 2, 2, 2, 0, END, 2, 2]
    assert scored == [2, 5, 9]


def test_the_longest_beginning_is_not_divided_where_a_shorter_one_can_be() -> None:
    short, long = [0, END, 1, 1, 1], [1, 1, 1, END, 1, 1]
    passes = in_passes([short, long, long], [4, 5, 5], END, 12)  # in this order the second long row would not fit

    beginnings = [[(group.shared, group.rows) for group in groups if group.rows] for groups in passes]
    assert beginnings == [[(4, (1, 2))], [(2, (0,))]]


@pytest.mark.parametrize(
    "groups",
    [
        [Group(0, (0,), (5,))],
        [Group(4, (0, 1, 2), (3, 1, 6))],
        [Group(4, (0, 1), (3, 7)), Group(0, (2, 3), (2, 2)), Group(1, (4,), (1,))],
        [Group(4, (0,), (3,)), Group(5, (), ())],
    ],
    ids=["one row", "one group", "three groups", "filled"],
)
@pytest.mark.parametrize("pairs_at_once", [1, 100, 10**6], ids=["by row", "in blocks", "whole"])
def test_grouped_attention_is_the_attention_of_the_whole_rows(
    monkeypatch: pytest.MonkeyPatch, groups: list[Group], pairs_at_once: int
) -> None:
    monkeypatch.setattr(packing, "PAIRS_AT_ONCE", pairs_at_once)
    torch.manual_seed(0)
    tokens = sum(group.width for group in groups)
    query, key, value = (torch.randn(1, heads, tokens, 8, dtype=torch.float64) for heads in (6, 2, 2))
    found, _ = grouped_attention(None, query, key, value, None, 0.35, spans(groups, "cpu"))

    start = 0
    for group in groups:
        shared = list(range(start, start + group.shared))
        own_start = start + group.shared
        for own in group.own:
            places = shared + list(range(own_start, own_start + own))
            whole = _plain(query[:, :, places], key[:, :, places], value[:, :, places])
            torch.testing.assert_close(found[0, places].transpose(0, 1), whole[0])
            own_start += own
        start += group.width


@given(st.integers(0, 50), st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_blocks_of_attention_are_bounded(shared: int, own: list[int]) -> None:
    group = Group(shared, tuple(range(len(own))), tuple(own))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PAIRS_AT_ONCE", 2000)
        (span,) = spans([group], "cpu")

    assert [length for block in span.blocks for length in block.own] == own
    for block in span.blocks:
        assert len(block.own) == 1 or len(block.places) * (shared + max(block.own)) <= 2000
        assert block.places[block.kept].tolist() == list(range(sum(block.own)))


@pytest.mark.parametrize("special", [{"sliding_window": 8}, {"softcap": 30.0}, {"s_aux": torch.zeros(6)}], ids=str)
def test_other_kinds_of_attention_are_refused(special: dict[str, Any]) -> None:
    one = torch.zeros(1, 2, 3, 8)
    with pytest.raises(BadInput, match="choose another base"):
        grouped_attention(None, one, one, one, None, 1.0, spans([Group(0, (0,), (3,))], "cpu"), **special)


def _plain(query: Any, key: Any, value: Any) -> Any:
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return sdpa(query, key, value, is_causal=True, scale=0.35, enable_gqa=True)
