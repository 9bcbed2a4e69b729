"""Which licences pass, under which policy, and what is said of the others."""

from __future__ import annotations

import pytest
from filter_batches import batch, reasons
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.filters.license import LicenseFilter, LicenseSettings
from pipelines.filters.permissive import PERMISSIVE
from pipelines.filters.spdx import Allowance, is_known
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.settings import LicensePolicy

ALLOWANCE = Allowance(PERMISSIVE)


def source(name: str, policy: LicensePolicy = "require") -> JsonlSettings:
    return JsonlSettings(name=name, path="/nowhere", license_policy=policy)


@pytest.mark.parametrize(
    "expression",
    [
        "MIT", "mit", "Apache-2.0", "BSD-3-Clause", "ISC", "Unlicense", "CC0-1.0", "0BSD", "BSL-1.0", "Zlib", "PSF-2.0", "Python-2.0",
        "CC-BY-4.0", "MIT AND ISC", "GPL-3.0-only OR MIT", "(GPL-2.0 OR MIT) AND Apache-2.0", "Apache-2.0 WITH LLVM-exception",
        "Apache-2.0+", "BSD-2-Clause-FreeBSD", "Python-2.0.1",
    ],
)  # fmt: skip
def test_allowed(expression: str) -> None:
    assert ALLOWANCE.objection(expression) == ""


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("GPL-2.0", "'GPL-2.0-only' is not allowed"),
        ("GPL-2.0+", "'GPL-2.0-or-later' is not allowed"),
        ("LGPL-2.1", "'LGPL-2.1-only' is not allowed"),
        ("AGPL-3.0-or-later", "'AGPL-3.0-or-later' is not allowed"),
        ("MPL-2.0", "'MPL-2.0' is not allowed"),
        ("EPL-2.0", "'EPL-2.0' is not allowed"),
        ("CC-BY-SA-4.0", "'CC-BY-SA-4.0' is not allowed"),
        ("CC-BY-NC-4.0", "'CC-BY-NC-4.0' is not allowed"),
        ("MIT AND GPL-3.0-only", "'GPL-3.0-only' is not allowed"),
        ("GPL-2.0-only OR LGPL-2.1-only", "'GPL-2.0-only' is not allowed; 'LGPL-2.1-only' is not allowed"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "'GPL-2.0-only' is not allowed"),
        ("LicenseRef-Go", "'LicenseRef-Go' is not an SPDX id, nor named in the allow-list"),
        ("Public-Domain", "'Public-Domain' is not an SPDX id, nor named in the allow-list"),
        ("NOASSERTION", "'NOASSERTION' is not an SPDX id, nor named in the allow-list"),
        ("MIT/Apache", "'MIT/Apache' is no SPDX expression"),
        ("MIT AND", "'MIT AND' is no SPDX expression"),
        ("", "empty expression"),
        ("(" * 1500, "is no SPDX expression"),
        ("MIT OR " * 1000 + "MIT", "expression of 7003 characters, at most 2000 are read"),
    ],
)
def test_not_allowed(expression: str, words: str) -> None:
    assert words in ALLOWANCE.objection(expression)


@given(st.text(max_size=40))
def test_nothing_passes_by_accident_and_nothing_raises(expression: str) -> None:
    assert Allowance([]).objection(expression) != ""


SOME = ("MIT", "ISC", "GPL-2.0-only", "MPL-2.0")
EXPRESSIONS = st.recursive(
    st.sampled_from(SOME),
    lambda inner: st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map(lambda each: f"({each[0]}{each[1]}{each[2]})"),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_expressions_are_judged_as_python_would(expression: str) -> None:
    meaning = expression.replace("AND", "and").replace("OR", "or")
    for name in SOME:
        meaning = meaning.replace(name, str(name in ("MIT", "ISC")))
    assert (ALLOWANCE.objection(expression) == "") == eval(meaning)  # built from the two words and four names above


def test_every_default_is_on_the_spdx_list_once_and_none_is_copyleft() -> None:
    settings = LicenseSettings()
    assert len(set(settings.allow)) == len(settings.allow) > 150
    assert not any(
        name.startswith(("GPL", "LGPL", "AGPL", "MPL", "EPL", "CDDL", "EUPL")) or "-SA" in name for name in settings.allow
    )
    assert is_known("MIT")
    assert not is_known("MIT-ish")


@pytest.mark.parametrize(("policy", "kept"), [("require", False), ("permissive_by_construction", True), ("keep_unknown", True)])
def test_policies_decide_only_where_there_is_no_licence(policy: LicensePolicy, kept: bool) -> None:
    check = LicenseFilter(LicenseSettings(), [source("code", policy)]).check
    none, bad, good = reasons(check, batch(["a"] * 3, licenses=[[], ["GPL-3.0"], ["MIT"]], license_evidence="column 'l'"))
    assert none == ("" if kept else f"no licence (evidence: column 'l'; policy of the source: {policy})")
    assert bad == f"licence 'GPL-3.0-only' is not allowed (evidence: column 'l'; policy of the source: {policy})"
    assert good == ""


def test_each_source_has_its_own_policy() -> None:
    check = LicenseFilter(LicenseSettings(), [source("a"), source("b", "keep_unknown")]).check
    assert [bool(each) for each in reasons(check, batch(["x", "x"], source=["a", "b"], licenses=[[], []]))] == [True, False]


def test_every_entry_must_hold() -> None:
    check = LicenseFilter(LicenseSettings(), [source("code")]).check
    found = reasons(check, batch(["x"] * 2, licenses=[["MIT", "ISC"], ["MIT", "MPL-2.0", "GPL-2.0"]]))
    assert found[0] == ""
    assert found[1].startswith("licence 'MPL-2.0' is not allowed; 'GPL-2.0-only' is not allowed (")


def test_lists_can_be_widened_and_replaced() -> None:
    wide = LicenseFilter(LicenseSettings(also_allow=["LicenseRef-Go", "MPL-2.0"]), [source("code")]).check
    assert reasons(wide, batch(["x"] * 2, licenses=[["LicenseRef-Go"], ["MPL-2.0 AND MIT"]])) == ["", ""]
    narrow = LicenseFilter(LicenseSettings(allow=["GPL-3.0+"]), [source("code")]).check
    assert [bool(each) for each in reasons(narrow, batch(["x"] * 2, licenses=[["GPL-3.0-or-later"], ["MIT"]]))] == [False, True]


@pytest.mark.parametrize(("name", "words"), [("Apache2", "Did you mean 'Apache-2.0'"), ("MIT OR ISC", "is not a licence id")])
def test_mistyped_ids_are_refused(name: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LicenseSettings(also_allow=[name])


def test_copyleft_is_gone_from_the_real_corpus(corpora) -> None:  # type: ignore[no-untyped-def]
    from pipelines.sources.the_stack import TheStackSettings

    settings = TheStackSettings(
        name="code", path=str(corpora / "small"), exclude_languages=["nl"], file_license_column="file_license"
    )
    real = settings.open()
    check = LicenseFilter(LicenseSettings(), [settings]).check
    kept, total = set(), 0
    for part in real.split([real.survey(path) for path in real.list_inputs()], 10**8):
        for documents, _ in real.read(part):
            verdict = check(documents)
            total += documents.num_rows
            rows = zip(documents["licenses"].to_pylist(), verdict.keep, verdict.reasons.to_pylist(), strict=True)
            kept |= {name for names, keep, _ in rows if keep for name in names}
            assert all(reason is None or "max_stars_repo_licenses" in reason for reason in verdict.reasons.to_pylist())
    assert total == 5298
    assert kept == {
        "MIT",
        "Apache-2.0",
        "BSD-3-Clause",
        "BSD-2-Clause",
        "ISC",
        "curl",
        "Artistic-2.0",
        "BSL-1.0",
        "Unlicense",
        "Zlib",
    }
