"""The history of the authority's schema, run from code by ``authority_tables``.

A revision that was released is never changed; the next one is a new file.
"""
