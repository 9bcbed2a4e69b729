"""Which documents a repository or a path has in a run, and where they went: `spanmill trace RUN --repo REPO`, `--path PATH`.

Whoever asks for an opt-out knows names, not ids.
"""

from __future__ import annotations

from contracts.errors import InputError, StageError
from pipelines import lookup
from pipelines.forget import scan
from pipelines.guesses import did_you_mean, guess_paths, guess_repos
from pipelines.input_run import check_input
from pipelines.named import Names, Place, Row, documents_named
from pipelines.trace_home import Answer, Home, Segment

LISTED = 50
"""Documents that are listed, by default."""


def trace_names(run_dir: str, repo: str, path: str, input_dir: str = "", at_most: int = LISTED) -> Answer:
    """The documents that curate kept of a repository, of a path, or of a path in a repository: how many, and the first ones.

    Each is told with where it went: the rows of shards that hold it, what it is a duplicate of, and whether it is forgotten. Documents that
    curate dropped are not among them: of these nothing but ids is kept. Raises StageError where there is no curate stage, InputError, with
    the name that was probably meant, where nothing has this name. Cost: a pass over names and one over removals, one over the segments of
    the shards; memory does not grow with the number of documents.
    """
    check_input(input_dir)
    home = Home(run_dir, input_dir)
    curate = home.folder("curate")
    if not curate:
        raise StageError(f"{run_dir} has no finished curate stage, where names are: --input names the run that has it.")
    names = Names.of((), [Place(repo, path)]) if path else Names.of([repo])
    count, rows = 0, list[Row]()
    for found in documents_named(curate, names, at_most=at_most):
        count += found.total
        rows += found.rows[: at_most - len(rows)]
    if not count:
        raise InputError(_unknown(curate, repo, path))
    return {"repo": repo, "path": path, "documents": count, "shown": _whereabouts(home, rows), "shards": home.folder("shard")}


def _whereabouts(home: Home, rows: list[Row]) -> list[Answer]:
    """Where documents went, in the order of the rows."""
    ids = [row["doc_id"] for row in rows]
    dedup, shards = home.folder("dedup"), home.folder("shard")
    removed = {row["doc_id"]: row for row in lookup.removals(dedup, ids)} if dedup else {}
    segments: dict[bytes, list[Segment]] = {}
    for path, found in scan(shards, ids).items() if shards else ():
        for doc_id, row, number in zip(found.segments.doc_id, found.row.tolist(), found.number.tolist(), strict=True):
            segments.setdefault(doc_id.tobytes(), []).append((path, row, number))
    return [
        {
            **row,
            "doc_id": row["doc_id"].hex(),
            "rows": len({segment[:2] for segment in segments.get(row["doc_id"], [])}),
            "keeper_id": removed[row["doc_id"]]["keeper_id"].hex() if row["doc_id"] in removed else None,
            "forgotten": home.forgotten(row["doc_id"], row, segments.get(row["doc_id"], [])),
        }
        for row in rows
    ]


def _unknown(curate: str, repo: str, path: str) -> str:
    """Words for names that nothing has."""
    if path:
        place = Place(repo, path)
        guess = guess_paths(curate, [place]).get(place)
        what, meant = f"path {place.words()!r}", guess.words() if guess else ""
    else:
        what, meant = f"repository {repo!r}", guess_repos(curate, [repo]).get(repo, "")
    return (
        f"{curate} kept no document of {what}.{did_you_mean(meant)} Paths must be equal to the letter; of repositories the case of letters "
        "does not matter. Documents that were dropped are known by their ids only."
    )
