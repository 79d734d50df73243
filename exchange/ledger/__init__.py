"""The append-only ledger: tree, proofs, signed checkpoints, tiles.

Everything here is pure: bytes and values in, values out. It leans on nothing of
ours and, outside the standard library, on ``cryptography`` alone, so that an
auditor can read this one folder and know what a receipt proves.

    merkle       hashes, frontier, proofs and their checks       RFC 9162 §2.1
    tiles        the files of the static layout                  C2SP tlog-tiles
    tree         proofs out of tiles; the growing right edge
    note         text signed by several keys                     C2SP signed-note
    checkpoint   the signed head of the tree                     C2SP tlog-checkpoint
    cosignature  what a witness signs                            C2SP tlog-cosignature
    keys         verifier keys of every type we accept
    policy       whom an auditor trusts                          C2SP tlog-policy
    proof        the offline proof inside a receipt              C2SP tlog-proof
    signer       what the checkpoint signer remembers and refuses
    export       the files of a static ledger folder
    audit        the check of such a folder, every byte of it

``docs/formats/`` has a page for each format, with an example first.
"""
