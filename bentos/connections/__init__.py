"""How those who ask are let in, read, waited for and let go: uvicorn's protocol and what stands around it.

``protocol`` reads, ``short_way`` says what may be answered there, ``rounds`` who first; ``admission``, ``full`` and
``open_files`` let in, ``silence`` and ``lingering`` end, ``drain`` stops without losing a request.
"""
