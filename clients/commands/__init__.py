"""The commands of ``gongwen``, a module per group; each imports what it runs only when it runs."""
