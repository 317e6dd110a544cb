"""A day's worth of churn in minutes, and what it leaves behind."""
