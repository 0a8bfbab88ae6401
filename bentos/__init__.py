"""The REST service: online features and the published model in, answers and a prediction log out.

``service`` declares it to BentoML; ``runtime`` and ``wiring`` put a worker together; ``launch`` starts a server,
``build`` packages it. A question comes in by ``connections`` and ``web``; ``application`` answers it over the ports of
``ports``, which ``store`` is behind, with the ``model``; ``answer`` decides, ``bodies`` says it. ``log`` keeps what was
served, ``feedback`` is what is said of it afterwards, ``metrics`` count. Each may import those below it, never those
above (``import-linter``, in ``pyproject.toml``).
"""
