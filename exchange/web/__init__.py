"""HTTP: two listeners, one for units (mutual TLS) and one for everybody.

Handlers are top-level functions: read the request, call a step of the journey,
shape the answer. Only ``problems`` turns errors into HTTP. ``routes`` is the table
of everything there is, and the source of the OpenAPI document.
"""
