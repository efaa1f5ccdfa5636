"""Accounts in the cluster: one document each, in one hidden index.

The only room that speaks to the cluster through the official client. Foreign exceptions end here.
Begin with ``documents``. Nothing is imported here: the configuration needs the settings alone, and
importing the client takes longer than all else that a command does.
"""
