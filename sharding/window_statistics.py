"""What is counted of a window. Every value adds up over windows, so stages sum them and `stats` divides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.schemas import OBJECTIVES
from sharding.chunks import Cuts, Documents
from sharding.made import Made
from sharding.objectives.statistics import count
from sharding.segments import SegmentTable


def window_statistics(
    documents: Documents, cuts: Cuts, made: Made, segments: SegmentTable, ends_line: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Tokens by what they are, examples by kind, cuts, and what each objective counts of its own (objectives.statistics).

    Raises AssertionError if tokens were lost.
    """
    tokens, text = int(segments.length.sum()), len(documents.ids)
    kind, length, chunk = made.column("kind"), made.column("length"), cuts.stop - cuts.start
    grown, padding = int(made.column("grown").sum()), int(segments.length[segments.kind == 0].sum())
    control = int(length.sum()) - text - grown
    if text != int(chunk.sum()) or text + grown + control + padding != tokens or control < 0:
        raise AssertionError(
            f"tokens lost: {text} text + {grown} grown + {control} control + {padding} padding != {tokens} in rows"
        )
    inner = ~cuts.last & (cuts.stop < documents.offsets[cuts.document + 1])
    return {
        "documents": int(documents.ends.sum()),
        "text_tokens": text,
        "header_tokens": int(documents.head.sum()),
        "grown_tokens": grown,
        "control_tokens": control,
        "padding_tokens": padding,
        "objectives": {
            name: {
                "examples": int(np.sum(kind == code)),
                "tokens": int(length[kind == code].sum()),
                "text_tokens": int(chunk[kind == code].sum()),
            }
            for code, name in enumerate(OBJECTIVES)
            if code > 0
        },
        "cut_documents": len(np.unique(cuts.document[inner])),
        "cuts": int(inner.sum()),
        "cuts_at_line_ends": int(ends_line[documents.ids[cuts.stop[inner] - 1]].sum()),
        "corruption": {
            name: count(name, examples, chunks)
            for name, examples, chunks in zip(made.names, made.examples, made.chunks, strict=True)
            if name != "causal"
        },
    }
