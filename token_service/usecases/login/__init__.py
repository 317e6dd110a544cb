"""Login: a credential is verified and becomes a session, or a fresh login of one."""
