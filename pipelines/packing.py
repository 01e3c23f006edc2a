"""Rows of a batch in one flat pass: hardly any padding, and what rows begin with in common goes through once.

A pass is one sequence: for each group of rows the ids that all of them begin with (the system prompt with its tools), then
each row's own ids, one row after another. Position by position (projections, norms, head) nothing else is to be known;
attention works group by group, so that a row sees its beginning and itself. Loss and gradients are those of the padded batch
(with dropout in expectation: rows of a group share the mask of their beginning). A pass ends in a filling that nobody learns
from: with passes of few sizes freed memory fits the next one, where a heap of all sizes tears. Refused: sliding windows,
attention sinks, soft caps here; layers other than attention and models without Transformers' attention interface in
`trainer.py`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from data.errors import BadInput

ATTENTION = "kefu_grouped"  # the name under which Transformers finds `grouped_attention`
MULTIPLE = 128  # of tokens, up to which a pass is filled
PAIRS_AT_ONCE = 2**22  # of a query and a key: 16 heads' weights are 134 MB then, in BF16; a single row may be more


@dataclass(frozen=True)
class Group:
    """Rows of one batch that begin with the same `shared` ids, in the order in which they lie in a pass; the filling of a
    pass is a group without rows."""

    shared: int
    rows: tuple[int, ...]
    own: tuple[int, ...]  # how many ids each row has after the shared ones

    @property
    def width(self) -> int:
        """The tokens of the group."""
        return self.shared + sum(self.own)


@dataclass(frozen=True)
class Block:
    """Rows of a group that are attended to together, padded to the longest of them."""

    own: tuple[int, ...]
    places: Any  # (rows x longest,) among the own ids of the block; a shorter row's last one is repeated
    kept: Any  # (sum of own,) of the results, without those of repetitions


@dataclass(frozen=True)
class Span:
    """A group as attention sees it: what its rows share, then blocks of them."""

    shared: int
    blocks: tuple[Block, ...]


def spans(groups: Sequence[Group], device: Any) -> tuple[Span, ...]:
    """What `grouped_attention` must know of a pass, made once for all layers, with its indices on `device`."""
    return tuple(Span(group.shared, tuple(_block(own, device) for own in _blocks(group) if own)) for group in groups)


def _blocks(group: Group) -> list[tuple[int, ...]]:
    """The lengths of a group's rows, divided where padding them to the longest would take more than `PAIRS_AT_ONCE`."""
    blocks: list[tuple[int, ...]] = [()]
    for own in group.own:
        longest = max(own, *blocks[-1], 0)
        if blocks[-1] and (len(blocks[-1]) + 1) * longest * (group.shared + longest) > PAIRS_AT_ONCE:
            blocks.append(())
        blocks[-1] = (*blocks[-1], own)
    return blocks


def _block(lengths: tuple[int, ...], device: Any) -> Block:
    import torch

    own, steps = torch.tensor(lengths), torch.arange(max(lengths))
    starts = own.cumsum(0) - own
    places = starts[:, None] + torch.minimum(steps, own[:, None] - 1)
    kept = (steps < own[:, None]).flatten().nonzero()[:, 0]
    return Block(lengths, places.flatten().to(device), kept.to(device))


def in_passes(batch: Sequence[Sequence[int]], prompts: Sequence[int], end: int, tokens: int) -> list[list[Group]]:
    """Divides a batch of ids into passes of at most `tokens` tokens, or of a single row; then fills them up to a `MULTIPLE`.

    `prompts` has the length of each row's prompt; rows share the first turn of it, up to the id `end`.
    """
    by_beginning: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, (ids, prompt) in enumerate(zip(batch, prompts, strict=True)):
        prompt_ids = ids[: max(prompt - 1, 0)]  # something of its own is left to predict the completion from
        first_turn = prompt_ids[: prompt_ids.index(end) + 1] if end in prompt_ids else ()
        by_beginning[tuple(first_turn)].append(row)
    passes: list[list[Group]] = [[]]
    # the longest beginning first: where a pass is full, the group that goes on begins anew in the next, at its cost
    for beginning, rows in sorted(by_beginning.items(), key=lambda group: len(group[0]), reverse=True):
        shared = len(beginning)
        rows.sort(key=lambda row: len(batch[row]))  # neighbours of like length need little padding in attention
        for row in rows:
            own = len(batch[row]) - shared
            goes_on = row != rows[0]  # the last pass ends in the group of this beginning
            more = own if goes_on else shared + own
            if passes[-1] and sum(group.width for group in passes[-1]) + more > tokens:
                passes.append([])
                goes_on = False
            group = passes[-1].pop() if goes_on else Group(shared, (), ())
            passes[-1].append(Group(shared, (*group.rows, row), (*group.own, own)))
    return [[*groups, *_filling(groups)] for groups in passes]


def _filling(groups: Sequence[Group]) -> list[Group]:
    missing = -sum(group.width for group in groups) % MULTIPLE
    return [Group(missing, (), ())] if missing else []


def flat(
    batch: Sequence[Sequence[int]], prompts: Sequence[int], groups: Sequence[Group]
) -> tuple[list[int], list[int], list[int]]:
    """The ids of a pass, the position of each, and the places whose next id is learned: it belongs to a completion."""
    ids: list[int] = []
    positions: list[int] = []
    scored: list[int] = []
    for group in groups:
        ids += batch[group.rows[0]][: group.shared] if group.rows else [0] * group.shared
        positions += range(group.shared)
        for row, own in zip(group.rows, group.own, strict=True):
            ids += batch[row][group.shared :]
            positions += range(group.shared, group.shared + own)
            completion = len(batch[row]) - prompts[row]
            scored += range(len(ids) - completion - 1, len(ids) - 1)
    return ids, positions, scored


def grouped_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: None,
    scaling: float,
    spans: Sequence[Span],
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Any = None,
    **_: Any,
) -> tuple[Any, None]:
    """Causal attention within the groups of a flat pass (its `spans`), for Transformers' attention interface.

    `query` is (1, heads, tokens, dimension), `key` and `value` have the key heads; the result is (1, tokens, heads, dimension).
    """
    from torch.utils.checkpoint import checkpoint

    if sliding_window is not None or softcap is not None or s_aux is not None:
        raise BadInput(
            "the base has sliding windows, soft caps or attention sinks; training knows plain causal attention only "
            "(Llama, Qwen2, Qwen3 have it): choose another base"
        )
    # computed again in the backward pass: the attention weights would be most of the memory, and slow to move
    attend = partial(_by_groups, spans=spans, scaling=scaling, dropout=dropout)
    return checkpoint(attend, query, key, value, use_reentrant=False), None


def _by_groups(query: Any, key: Any, value: Any, spans: Sequence[Span], scaling: float, dropout: float) -> Any:
    import torch

    sizes = [size for span in spans for size in (span.shared, *(sum(block.own) for block in span.blocks))]
    parts = zip(*(tensor[0].split(sizes, dim=1) for tensor in (query * scaling, key, value)), strict=True)
    found = []
    for span in spans:
        shared_q, shared_k, shared_v = (tensor[None] for tensor in next(parts))
        if span.shared:
            found.append(_causal(shared_q, shared_k, shared_v, dropout)[0])
        for block in span.blocks:
            rows = len(block.own)
            q, own_k, own_v = (
                tensor.index_select(1, block.places).unflatten(1, (rows, -1)).transpose(0, 1) for tensor in next(parts)
            )
            k, v = (
                torch.cat([shared.expand(rows, -1, -1, -1), own], dim=2)
                for shared, own in ((shared_k, own_k), (shared_v, own_v))
            )
            of_rows = _causal(q, k, v, dropout).transpose(0, 1)
            found.append(of_rows.flatten(1, 2).index_select(1, block.kept))
    return torch.cat(found, dim=1).transpose(0, 1)[None]


def _causal(query: Any, key: Any, value: Any, dropout: float) -> Any:
    """(rows, heads, m, d) of m queries, the last m of n positions; keys are (rows, key heads, n, d)."""
    import torch

    (rows, heads, m, d), n = query.shape, key.shape[2]
    query = query.reshape(rows, key.shape[1], -1, d)  # the heads that share a key head, one after another
    scores = (query @ key.transpose(2, 3)).unflatten(2, (-1, m))
    scores += torch.full((m, n), float("-inf"), dtype=scores.dtype, device=scores.device).triu(n - m + 1)
    weights = torch.nn.functional.dropout(scores.softmax(-1), dropout)  # sums in FP32 whatever the type
    return (weights.to(value.dtype).flatten(2, 3) @ value).reshape(rows, heads, m, d)
