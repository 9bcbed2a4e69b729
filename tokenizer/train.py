"""Byte-level BPE training with `tokenizers`.

Words are split by GPT-2's pattern, as CodeGen2.5's are. Runs of two or more spaces or tabs are left out of training: they have
tokens of their own in the layout, so merges spent on them would never be used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from contracts.errors import InputError
from tokenizer.config import TokenizerSettings
from tokenizer.layout import Vocabulary, lay_out


def train(texts: Iterator[str], settings: TokenizerSettings) -> Vocabulary:
    """Trains on `texts`; the result depends on their multiset, not on their order or on the number of threads.

    Cost: about 2 MB of text a second and core. Raises InputError if there is no text.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" {2,}|\t{2,}"), "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=settings.ordinary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    counted = _Counted(texts)
    tokenizer.train_from_iterator(counted, trainer)
    if counted.documents == 0:
        raise InputError("There is no text to train a tokenizer on: no document was kept. See the drop reasons with `stats`.")
    model = json.loads(tokenizer.to_str())["model"]
    return lay_out(model["vocab"], [tuple(pair) for pair in model["merges"]], settings.mask_count)


class _Counted:
    """An iterator that knows whether it gave anything."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self.documents = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.documents += 1
            yield text
