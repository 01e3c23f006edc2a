"""What people write never counts as the template's: no text becomes one of its marks."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from data.chat import END_OF_TURN, SPECIAL_TOKENS, render, template
from data.schema import Message
from serving.tokenizer import ServedTokenizer

SPECIAL = ("<|endoftext|>", "<|im_start|>", END_OF_TURN, "<a>", "a>b")
MARKS = (*SPECIAL, *SPECIAL_TOKENS, "<tool_response>", "</tool_response>")


def a_tokenizer() -> Tokenizer:
    """Every byte a token, and the marks."""
    letters = ByteLevel.alphabet()
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(sorted(letters))}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in SPECIAL])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in SPECIAL_TOKENS])
    return tokenizer


LIBRARY = a_tokenizer()
TOKENIZER = ServedTokenizer(LIBRARY, template())
LETTERS = 256  # token ids from here on are marks
texts = st.lists(st.sampled_from((*MARKS, "<", "<|", "|>", "im_end", "a", "b", " ", "订", "\n")), max_size=12).map(
    "".join
)


@given(texts | st.text())
def test_no_text_holds_a_mark(text: str) -> None:
    plain = TOKENIZER.plain(text)
    assert not any(mark in plain for mark in MARKS)
    assert all(number < LETTERS for number in LIBRARY.encode(plain).ids)
    assert plain.replace(" ", "") == text.replace(" ", "")
    assert TOKENIZER.plain(plain) == plain


@given(st.text())
def test_other_text_is_left_as_it_is(text: str) -> None:
    if not any(mark in text for mark in MARKS):
        assert TOKENIZER.plain(text) == text


@given(texts.filter(str.strip))
def test_a_prompt_has_the_turns_that_the_server_gave_it(text: str) -> None:
    asked = [Message(role="user", content=TOKENIZER.plain(text))]
    begun, ended = (LIBRARY.token_to_id(mark) for mark in ("<|im_start|>", END_OF_TURN))
    ids = LIBRARY.encode(render(TOKENIZER, asked)).ids
    assert (ids.count(begun), ids.count(ended)) == (2, 1)


@given(st.text("? <x", max_size=20))
def test_a_special_token_that_a_blank_would_not_undo_is_left(text: str) -> None:
    library = a_tokenizer()
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("?", "  ", "< ", " x")])
    assert ServedTokenizer(library, template()).plain(text) == text
