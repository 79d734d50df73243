"""Who is who, and since when: certificates, their issue, revocation and paths.

Leans on nothing of ours. The modules at this level are pure: bytes and values
in, values out. What touches the world stands in ``storage/``.
"""
