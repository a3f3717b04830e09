"""Rows of an old token table, made into reports of tokens; `docs/migration.md` is the operator's side."""
