"""Thinking is kept apart however the text is cut."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from serving.reasoning import Part, ThinkSplitter, joined, split, without_markup

pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", "<thin", "a", " ", "\n", "好", "<tool_call>"]),
    max_size=14,
).map("".join)


@given(pieces, st.lists(st.integers(0, 60), max_size=8))
def test_every_cut_gives_the_same_as_the_whole(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    splitter = ThinkSplitter()
    parts: list[Part] = []
    for start, end in pairwise(edges):
        parts += splitter.feed(text[start:end])
    parts += splitter.end()
    content = "".join(piece for kind, piece in parts if kind == "content").strip()
    reasoning = "".join(piece for kind, piece in parts if kind == "reasoning").strip()
    assert (content, reasoning) == split(text)


@given(st.text(alphabet="ab \n好", max_size=20), st.text(alphabet="ab好", min_size=1, max_size=20))
def test_joined_and_split_are_inverse(content: str, reasoning: str) -> None:
    assert split(joined(content.strip(), reasoning)) == (content.strip(), reasoning)


@given(pieces)
@example("<<think>think>")
@example("<<<tool_call>think>think>")
def test_markup_never_leaves(text: str) -> None:
    assert not any(mark in without_markup(text) for mark in ("<tool_call>", "</tool_call>", "<think>", "</think>"))
