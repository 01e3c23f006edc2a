"""Thinking is kept apart however the text is cut."""

from itertools import groupby, pairwise
from operator import itemgetter

from hypothesis import example, given
from hypothesis import strategies as st

from serving.reasoning import MARKS, Part, Splitter, joined, split, without_markup

pieces = st.lists(
    st.sampled_from([*MARKS, "<", "</", "think", ">", "<thin", "<tool_", "call>", "a", " ", "\n", "好"]), max_size=14
).map("".join)


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(pieces, st.lists(st.integers(0, 90), max_size=8))
@example("<tool_<|im_end|>call>", [])
@example("<th<think>x</think>ink>", [])
def test_every_cut_gives_the_same_as_the_whole_and_no_mark(text: str, cuts: list[int]) -> None:
    def split_up(parts: list[str]) -> list[Part]:
        splitter = Splitter(MARKS)
        said = [part for piece in parts for part in splitter.feed(piece)] + list(splitter.end())
        joined_up = [(kind, "".join(text for _, text in run)) for kind, run in groupby(said, itemgetter(0))]
        return joined_up

    whole = split_up([text])
    assert split_up(cut(text, cuts)) == whole
    for kind in ("content", "reasoning"):
        given = "".join(piece for of, piece in whole if of == kind)
        assert not any(mark in given for mark in MARKS)


@given(pieces, st.lists(st.integers(0, 90), max_size=8))
def test_a_split_whole_is_a_fed_stream(text: str, cuts: list[int]) -> None:
    splitter = Splitter({"<think>": "reasoning", "</think>": "content"})
    parts = [part for piece in cut(text, cuts) for part in splitter.feed(piece)] + list(splitter.end())
    content = "".join(piece for kind, piece in parts if kind == "content").strip()
    assert content == split(text)[0]


@given(st.text(alphabet="ab \n好", max_size=20), st.text(alphabet="ab好", min_size=1, max_size=20))
def test_joined_and_split_are_inverse(content: str, reasoning: str) -> None:
    assert split(joined(content.strip(), reasoning)) == (content.strip(), reasoning)


@given(pieces)
@example("<<think>think>")
@example("<<<tool_call>think>think>")
def test_markup_never_leaves(text: str) -> None:
    assert not any(mark in without_markup(text) for mark in ("<tool_call>", "</tool_call>", "<think>", "</think>"))
