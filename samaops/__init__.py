"""Operations CLI of SamaConso: diagnose, repair, maintain."""

__version__ = "0.1.0"
