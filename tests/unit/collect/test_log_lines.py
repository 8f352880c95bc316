"""A line of a log is shown without what its clients' customers wrote."""

from __future__ import annotations

import pytest

from samaops.collect.log_lines import without_secrets
from samaops.site import chosen

PHONE = "+221771234567"
LINES = {
    f"DETAIL:  Key (phone)=({PHONE}) already exists.": "DETAIL: Key (phone)=(***) already exists.",
    f"DETAIL: La clé « (phone, lower(name))=({PHONE}, Awa (2)) » existe déjà.": "(***) » existe déjà.",
    f'DETAIL:  Key (customer)=({PHONE}) is not present in table "customers".': 'present in table "customers"',
    f"DETAIL:  Failing row contains (7, {PHONE}, null).": "Failing row contains (***)",
    f"DETAIL:  parameters: $1 = '7', $2 = '{PHONE}'": "$1 = '***', $2 = '***'",
    f"STATEMENT:  UPDATE customers SET phone = '{PHONE}' WHERE id = 9": "SET phone = '***' WHERE id = ?",
    f"INSTRUCTION :  SELECT '{PHONE}'": "INSTRUCTION : SELECT '***'",
    f'ERROR:  invalid input syntax for type integer: "{PHONE}"': 'for type integer: "***"',
    f"ERREUR:  syntaxe en entrée invalide pour le type integer : « {PHONE} »": "integer : « *** »",
    f"[SQL: INSERT INTO customers VALUES ('{PHONE}')]": "VALUES ('***')",
    f"[parameters: ('{PHONE}', 'Awa')]": "[parameters: ***]",
    f"LOG:  execute <unnamed>: SELECT '{PHONE}'": "execute <unnamed>: SELECT '***'",
}


@pytest.mark.parametrize("line", LINES)
def test_what_a_customer_wrote_is_left_out(line: str) -> None:
    shown = without_secrets(line)
    assert PHONE.removeprefix("+") not in shown
    assert LINES[line] in shown


def test_with_everything_asked_for_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "_is_verbose", True)
    assert PHONE in without_secrets(f"DETAIL:  Key (phone)=({PHONE}) already exists.")
    assert "secret" not in without_secrets("password=secret")


@pytest.mark.parametrize(
    "line",
    [
        'FATAL:  password authentication failed for user "samaconso_user"',
        'ERROR:  relation "notifications" does not exist at character 15',
        "FATAL:  remaining connection slots are reserved (limit = 200)",
        'ERROR:  new row for relation "notifications" violates check constraint "sent_after_created"',
        "LOG:  checkpoint complete: wrote 12 buffers (0.1%); write=0.1 s",
        "Worker exited prematurely: signal 9 (SIGKILL) Job: 3.",
        'File "/app/main.py", line 3, in run(queue)=(low)',
    ],
)
def test_the_words_that_decide_stay(line: str) -> None:
    assert without_secrets(line) == line.replace("  ", " ").replace("=(low)", "=(***)")
