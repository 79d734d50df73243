"""The hub: ledger, protocol, journey, and the parts that touch the world.

Import direction: ``ledger`` leans on nothing of ours; ``protocol`` on ledger,
signing and pki (clients import it); ``journey`` on protocol and below; ``storage``,
``courier`` and ``web`` on journey and below; ``app`` knows everybody.
"""
