"""What a unit or an auditor runs: the client library and the ``gongwen`` command line.

    with Hub(UnitHome.open(path, secret)) as hub:
        sent = hub.send([Path("通知.pdf")], to=["11310000000000000X"], title="关于…的通知")

``hub`` is the library, on ``operations`` (what is asked, without I/O) and ``transport``
(the drivers); ``verify`` and ``auditor`` need no hub. ``main`` and ``commands`` are the
command line. Leans on ``protocol``, ``ledger``, ``signing`` and ``pki``, and on nothing
of the hub: a unit's install has neither database nor web server.
"""
