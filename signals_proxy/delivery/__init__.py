"""Using accounts: checking them, and sending through them.

Read in this order: ``delivery`` (what each way of delivering offers), ``report`` (steps and
reasons), ``deliveries`` (tries and deadline); ``egress``, ``dial`` and ``tls`` (whereto, and whom to
believe); ``http`` and what sends by it, ``smtp`` and ``mail``. Nothing is imported here: the
configuration needs the settings alone.
"""
