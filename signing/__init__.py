"""Seals on documents: make, check, report.

Leans on ``pki``. The modules at this level are pure; ``sandbox/`` runs the
judging of untrusted documents in bounded worker processes.
"""
