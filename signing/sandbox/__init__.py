"""Judging documents in processes of their own, with bounds on memory, processor and time.

``worker`` is what runs there, ``pool`` starts, feeds and replaces workers, ``wire``
is what they say to each other, ``first_page`` reads the head of a page. A document
that breaks a worker costs that worker, and its verdict is undecided.
"""
