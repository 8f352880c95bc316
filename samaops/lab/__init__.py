"""The practice production. Nothing else imports it."""
