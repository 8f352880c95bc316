"""Facts of what runs by itself, for the plans that change it."""

from __future__ import annotations

from datetime import datetime, timezone

from samaops.facts.schedule import FilesFacts, FoundFile, JobFacts, Pause, ScheduleFacts

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
CRONTAB = """MAILTO=ops@senelec.sn
# Backup quotidien à 2h du matin
0 2 * * * /usr/local/bin/backup_samaconso.sh >> /var/log/backup_samaconso.log 2>&1
0 6 * * * /usr/local/bin/daily_maintenance.sh
0 3 * * 0 /usr/local/bin/weekly_maintenance.sh
"""


def schedule(*pauses: Pause) -> ScheduleFacts:
    jobs = (JobFacts("daily", "0 6 * * *", None, 86400.0), JobFacts("weekly", "0 3 * * 0", None, 604800.0))
    return ScheduleFacts(NOW, None, jobs, pauses)


def paused(job: str) -> Pause:
    return Pause(job, datetime(2099, 1, 1, tzinfo=timezone.utc), "a migration", "awa", NOW)


def holding(path: str, content: str | None) -> FilesFacts:
    return FilesFacts((FoundFile(path, content),))
