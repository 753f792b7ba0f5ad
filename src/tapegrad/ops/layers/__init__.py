"""What layers compute: normalisation, embeddings, attention, dropout."""
