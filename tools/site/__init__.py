"""The site: every page of the documentation, and each script in sections, four frameworks abreast.

`python -m tools.site` builds it. Its pages are those of docs/ and docs/ja/, and what is added to
them is made from the scripts at that moment, so that nothing in it can be older than the code.
"""
