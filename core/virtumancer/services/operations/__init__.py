"""Operations that outlive their request, and what becomes of them when the server ends."""
