"""The program that listens: uvicorn's protocols with limits and deadlines, TLS, and who a proxy speaks for."""
