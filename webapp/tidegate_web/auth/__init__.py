"""Sign-in: passwords, sessions kept on the server, CSRF, throttling, and the check that every route goes through."""
