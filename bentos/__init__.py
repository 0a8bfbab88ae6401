"""The REST service: online features and the published model in, answers and a prediction log out.

``service`` declares it to BentoML and ``door`` speaks HTTP; ``application`` answers over the ports of ``ports``;
``answer`` decides, ``scorer`` scores; ``champion`` swaps models while requests run; ``prediction_log`` keeps what was
served. ``runtime`` and ``wiring`` put a worker together; ``launch`` starts a server process, ``build`` packages it.
"""
