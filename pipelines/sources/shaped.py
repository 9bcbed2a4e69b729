"""Settings of sources that are told what their documents are."""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from contracts.special_tokens import MARKS_OF_KIND
from pipelines.sources.fields import Shape
from pipelines.sources.settings import Kind, Serialised, SourceBase


class ShapedSource(SourceBase):
    """What `jsonl` and `parquet` have in common."""

    shape: Shape = "text"
    """What a row holds: the document's text; or a chat, commit, issue or notebook in several fields, from which the document is put
    together with control tokens between them, as StarCoder did."""

    serialised: Serialised = ""
    """Literal control tokens in the text are text (""), or, with "starcoder", those of the documents' `kind` are control tokens: for
    issues, commits and notebooks that lie in StarCoder's serialisation. A user's text that spells one cannot be told from it then."""

    kind: Kind = "code"
    """What the documents are; by default what `shape` says, "code" for texts."""

    language: str = "unknown"
    """Language of documents that do not say theirs."""

    @model_validator(mode="before")
    @classmethod
    def _kind_of_shape(cls, values: Any) -> Any:
        shape = values.get("shape", "text") if isinstance(values, dict) else "text"
        return values if shape == "text" else {"kind": shape, **values}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.shape != "text" and self.kind != self.shape:
            raise ValueError(f"kind = {self.kind!r} does not fit shape = {self.shape!r}: leave 'kind' out")
        if self.kind == "chat" and self.shape != "chat":
            raise ValueError("kind = 'chat' needs shape = 'chat': only then is known who says what")
        if self.serialised and (self.shape != "text" or self.kind not in MARKS_OF_KIND):
            raise ValueError(
                f"serialised = {self.serialised!r} does not fit shape = {self.shape!r} and kind = {self.kind!r}: it is for shape = "
                "'text' and kind = 'issue', 'commit' or 'notebook'"
            )
        return self

    @property
    def spelled(self) -> tuple[str, ...]:
        """The control tokens that texts spell."""
        return MARKS_OF_KIND[self.kind] if self.serialised else ()
