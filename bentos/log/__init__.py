"""The prediction log: what was served, on its way into Parquet parts, and found again.

``prediction_log`` takes answers, ``waiting`` and ``spool`` hold them, ``hand`` passes them to the process ``writer``,
which makes a ``part``; ``backlog`` is what waits for it. ``logged`` finds an answer by its ``answer_id``.
"""
