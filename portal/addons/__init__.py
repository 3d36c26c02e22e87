"""What vendors have on top of their tier, and how it is set up: steps that can be watched, domains, mailboxes.

Owns vendor_addons, provisioning_runs, provisioning_steps, provisioning_log, domains, mailboxes and certificates.
"""
