"""Search of Japanese pages: pairs of neighbouring characters, and identifiers whole.

Japanese has no spaces between words. Sphinx' own splitter needs a dictionary to do well, and cuts
`train_step` in two; and a query is not split as the pages were. Here both are cut in the same way:
a run of Japanese into all its pairs, everything else into words. All pairs of what is asked have
to be on a page.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.search import SearchLanguage

from tools.site.words import JAPANESE

RUNS = re.compile(f"[{JAPANESE}]+|[^\\W{JAPANESE}]+")


def split(text: str) -> list[str]:
    """The terms of a text."""
    terms = []
    for run in RUNS.findall(text):
        if re.match(f"[{JAPANESE}]", run) and len(run) > 1:
            terms += [run[place : place + 2] for place in range(len(run) - 1)]
        else:
            terms.append(run)
    return terms


class Japanese(SearchLanguage):
    """Pairs of characters, in the index and in the query."""

    lang = "ja"
    language_name = "Japanese"
    js_stemmer_code = "class Stemmer { stemWord(word) { return word; } }"
    js_splitter_code = f"""
function splitQuery(query) {{
  const japanese = /^[{JAPANESE}]/u;
  const runs = query.match(/[{JAPANESE}]+|(?:(?![{JAPANESE}])[\\p{{L}}\\p{{N}}_])+/gu) ?? [];
  return runs.flatMap((run) =>
    japanese.test(run) && run.length > 1
      ? Array.from({{length: run.length - 1}}, (_, place) => run.slice(place, place + 2))
      : [run]);
}}
"""

    def split(self, input: str) -> list[str]:
        """The terms of a text."""
        return split(input)

    def stem(self, word: str) -> str:
        """A word as it is."""
        return word.lower()

    def word_filter(self, word: str) -> bool:
        """Whether a term is kept."""
        return len(word) > 1


def setup(app: Any) -> None:
    """Register with Sphinx."""
    from sphinx.search import languages

    languages["ja"] = Japanese
