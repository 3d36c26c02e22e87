"""Support: questions of vendors and visitors as tickets, and what was answered.

Owns tickets and their messages. A visitor's ticket belongs to no vendor; only staff can read it.
"""
