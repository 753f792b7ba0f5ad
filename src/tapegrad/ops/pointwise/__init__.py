"""Operations element by element, with broadcasting and type promotion."""
