"""What all packages of the web app share. Imports none of them."""
