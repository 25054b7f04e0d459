"""Run folders -> predictions -> scores -> statistics -> tables, claims, figures and a report; without torch."""
