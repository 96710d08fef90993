"""Users, invitations and mail to them."""
