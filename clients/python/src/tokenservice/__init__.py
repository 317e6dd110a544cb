"""Client package of the token service.

Importing this package loads nothing: take what you need from its modules, for instance
``tokenservice.core`` (pure decisions, standard library only), ``tokenservice.validator``
(local validation) or ``tokenservice.client`` (the remote procedure calls).
"""
