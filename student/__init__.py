"""Training a student on a teacher's stored logits. Imports no teacher."""
