"""The special tokens of CodeGen2.5 and of StarCoder, and their order in the vocabulary.

codegen25, behind the ordinary vocabulary. Source: tokenization_codegen25.py of Salesforce/codegen25-7b-multi (recipe: 50,257 GPT-2
ids, then 943 added tokens):

    <|endoftext|> | 30 space runs, 31…2 | 8 tab runs, 9…2 | 18 StarCoder tokens | <dummy_0..3> | <sep> <eom> | <mask_n> … <mask_1>

starcoder, before the ordinary vocabulary. Source: special_tokens_map.json of bigcode/starcoder:

    <|endoftext|> | 18 StarCoder tokens | ordinary … | and, only where masks are asked for: <dummy_0..3> | <sep> <eom> | <mask_n> … <mask_1>

Whitespace runs stand for ordinary text. All others are control tokens: only code may write them, text never can.
"""

from __future__ import annotations

from typing import Final, Literal

Layout = Literal["codegen25", "starcoder"]
"""Names of the published orders of special tokens."""

END_OF_TEXT: Final = "<|endoftext|>"
SEP: Final = "<sep>"
END_OF_MASK: Final = "<eom>"
PAD: Final = "<fim_pad>"

WHITESPACE_RUNS: Final = tuple(" " * n for n in range(31, 1, -1)) + tuple("\t" * n for n in range(9, 1, -1))

STARCODER: Final = (
    "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<gh_stars>",
    "<issue_start>", "<issue_comment>", "<issue_closed>",
    "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>",
    "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>",
)  # fmt: skip

DUMMIES: Final = tuple(f"<dummy_{i}>" for i in range(4))

SYSTEM, USER, ASSISTANT, END_OF_TURN = DUMMIES
"""What the four reserved tokens mean in chats: who speaks next, and that the turn is over. Our choice; CodeGen2.5 left them unused."""

MARKS_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "issue": ("<issue_start>", "<issue_comment>", "<issue_closed>"),
    "commit": ("<commit_before>", "<commit_msg>", "<commit_after>"),
    "notebook": ("<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>"),
    "chat": (SYSTEM, USER, ASSISTANT, END_OF_TURN),
}
"""The control tokens that may stand in a document, by its kind; in other kinds none may. Those of the header (`<reponame>`, …), of
objectives, and `<|endoftext|>` are no document's: later stages put them in."""

PUBLISHED_MASKS: Final = 881
"""Number of `<mask_i>` in the published vocabulary of 51,200 ids."""


def mask(i: int) -> str:
    """The i-th sentinel, counted from 1 as in the model card."""
    return f"<mask_{i}>"


def control_tokens(n_masks: int) -> tuple[str, ...]:
    """Every control token of codegen25 but `<|endoftext|>`, in id order; `<mask_1>` comes last and so has the highest id."""
    return STARCODER + infill_tokens(n_masks)


def infill_tokens(n_masks: int) -> tuple[str, ...]:
    """What CodeGen2.5 has beyond StarCoder's tokens, in id order."""
    masks = tuple(mask(i) for i in range(n_masks, 0, -1))
    return (*DUMMIES, SEP, END_OF_MASK, *masks)


def layout_controls(layout: Layout, n_masks: int) -> tuple[str, ...]:
    """Every control token of a layout, `<|endoftext|>` first. StarCoder's has no masks unless some are asked for."""
    more = control_tokens(n_masks) if layout == "codegen25" or n_masks else STARCODER
    return (END_OF_TEXT, *more)


def added_tokens(n_masks: int) -> tuple[str, ...]:
    """Everything that follows `<|endoftext|>` in the vocabulary, in id order."""
    return WHITESPACE_RUNS + control_tokens(n_masks)
