"""Projects: which namespaces are projects, and what they allow."""
