"""How systems are looked at: the engine, and one module or folder per system. What is seen stands in ``facts``."""
