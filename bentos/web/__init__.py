"""What may be asked and how it is answered over HTTP: the door, its paths, errors and their description.

``door`` is the ASGI app around BentoML's own, ``endpoints`` its paths, ``gatekeeper`` who may, ``openapi`` what it
says of itself.
"""
