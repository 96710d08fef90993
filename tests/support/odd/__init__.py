"""Objects of every kind as odd as a real apiserver takes them, made from the CRDs' own schemas by a seeded generator."""
