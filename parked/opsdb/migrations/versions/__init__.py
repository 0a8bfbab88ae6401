"""One file per revision, numbered. A published revision is never edited."""
