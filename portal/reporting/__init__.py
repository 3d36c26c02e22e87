"""Reads across rooms for staff: vendor lists now, figures later.

Owns no table.
"""
