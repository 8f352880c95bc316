"""The small honest SamaConso application: an HTTP API and its Celery tasks.

A program of its own: it imports nothing of samaops, so that its directory can be mounted as ``/app/app``
and started as the guide does (``uvicorn app.api:app``, ``celery -A app.celery_app worker``), or run in
place as ``samaops.lab.app``.
"""
