"""Every decoder of the product: how to feed it bytes, the errors that it may answer with, and samples that it takes.

`tests/quality/test_fuzz.py` sees to it that a module which decodes anything is named here, or says why not.
"""
