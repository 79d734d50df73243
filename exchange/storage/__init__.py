"""What the hub keeps: one SQL database and one folder of contents.

Adapters of the ports in ``exchange.journey.ports``. All writes to the database
go through the one :class:`~exchange.storage.committer.Committer`.
"""
