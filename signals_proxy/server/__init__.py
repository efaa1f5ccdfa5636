"""The composition root: every room built and joined. Read ``worker`` first.

Nothing is imported here: the supervisor needs ``material`` alone, of which no room is built.
"""
