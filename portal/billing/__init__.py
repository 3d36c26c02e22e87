"""Invoices and payments, whoever took the money.

Owns invoices, invoice_lines and payments.
"""
