"""What vendors use: events, counters per metric and period, days.

Owns usage_events, usage_counters and usage_daily.
"""
