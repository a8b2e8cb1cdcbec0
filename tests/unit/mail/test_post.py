"""The way out, against a real mail server: over verified TLS or not at all, one header a line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Mail as MailSettings
from maestro_ml.core.settings_groups import MailSecurity
from maestro_ml.identity.secret import Secret, load_secret
from maestro_ml.mail.errors import MailDelayed, MailRefused
from maestro_ml.mail.models import Mail
from maestro_ml.mail.post import LINK, SEALED_AS, Post
from support.mail import PASSWORD, SENDER, USER, Inbox, a_mail_server


@pytest.fixture
def box(tmp_path: Path) -> Secret:
    return load_secret(Settings(data=tmp_path))


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with a_mail_server(tmp_path) as inbox:
        yield inbox


def a_mail(**changes: str | bytes) -> Mail:
    fields = {"kind": "a.kind", "recipient": "ada@lab.test", "subject": "Hello", "text": "Words.\n"}
    return Mail(created_at=utc_now(), **(fields | changes))  # type: ignore[arg-type]


async def test_a_mail_arrives_encrypted_and_says_that_no_person_wrote_it(
    inbox: Inbox, box: Secret
) -> None:
    mail = a_mail()
    await Post(inbox.settings, box).hand_over(mail)
    got = inbox.got[0]
    assert (inbox.to, inbox.encrypted) == (["ada@lab.test"], [True])
    assert got["From"] == f"Maestro ML <{SENDER}>"
    assert (got["To"], got["Subject"], got["Auto-Submitted"]) == (
        *("ada@lab.test", "Hello"),
        "auto-generated",
    )
    assert got["Message-ID"] == f"<{mail.id}@maestro.test>"
    assert got.get_content().splitlines() == ["Words."]


async def test_subjects_and_texts_keep_every_letter(inbox: Inbox, box: Secret) -> None:
    words = "Grüße aus Zürich, 日本語, 🎼 " * 6
    await Post(inbox.settings, box).hand_over(a_mail(subject=words, text=f"{words}\n"))
    assert inbox.got[0]["Subject"] == words
    assert inbox.got[0].get_content().splitlines() == [words]


async def test_a_sealed_link_is_opened_on_the_way_out(inbox: Inbox, box: Secret) -> None:
    sealed = box.seal(b"https://maestro.test/page#mll_token" + b"x" * 60, SEALED_AS)
    mail = a_mail(text=f"Here:\n\n    {LINK}\n", link_sealed=sealed)
    post = Post(inbox.settings, box)
    await post.hand_over(mail)
    assert "https://maestro.test/page#mll_token" in inbox.got[0].get_content()
    assert b"https://maestro.test/page#mll_token" + b"x" * 60 in bytes(
        inbox.got[0]
    )  # and in one piece
    assert "mll_token" not in str(post.shown(mail))  # it is for its owner
    assert "mll_token" in str(Post(MailSettings(), box).shown(mail))  # there is no other way


async def test_a_domain_beyond_ascii_is_written_as_name_servers_know_it(
    inbox: Inbox, box: Secret
) -> None:
    await Post(inbox.settings, box).hand_over(a_mail(recipient="ada@zürich.test"))
    assert inbox.to == ["ada@xn--zrich-kva.test"]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("field", ["recipient", "subject"])
async def test_nothing_adds_a_header(inbox: Inbox, box: Secret, field: str, end: str) -> None:
    words = {"recipient": "ada@lab.test", "subject": "Hello"}[field]
    with pytest.raises(MailRefused, match="cannot stand in a mail"):
        await Post(inbox.settings, box).hand_over(a_mail(**{field: f"{words}{end}Bcc: eve@x.test"}))
    assert inbox.got == []


async def test_a_line_of_the_text_never_ends_the_mail(inbox: Inbox, box: Secret) -> None:
    text = "One.\n.\nMAIL FROM:<eve@x.test>\n.\r\nTwo.\n"
    await Post(inbox.settings, box).hand_over(a_mail(text=text))
    assert len(inbox.got) == 1
    assert inbox.got[0].get_content().splitlines() == [
        *("One.", ".", "MAIL FROM:<eve@x.test>", ".", "Two.")
    ]


async def test_tls_from_the_first_byte(tmp_path: Path, box: Secret) -> None:
    with a_mail_server(tmp_path, tls=True) as inbox:
        settings = inbox.settings.model_copy(update={"security": MailSecurity.TLS})
        await Post(settings, box).hand_over(a_mail())
    assert len(inbox.got) == 1


async def test_a_password_for_the_mail_server(tmp_path: Path, box: Secret) -> None:
    with a_mail_server(tmp_path, auth=True) as inbox:
        settings = inbox.settings.model_copy(
            update={"username": USER, "password": SecretStr(PASSWORD)}
        )
        await Post(settings, box).hand_over(a_mail())
        assert len(inbox.got) == 1
        wrong = settings.model_copy(update={"password": SecretStr("wrong")})
        with pytest.raises(MailDelayed, match="cannot be used") as refused:
            await Post(wrong, box).hand_over(a_mail())
    assert "wrong" not in refused.value.detail
    assert len(inbox.got) == 1


@pytest.mark.rows(73)
async def test_a_server_without_tls_gets_nothing(tmp_path: Path, box: Secret) -> None:
    with (
        a_mail_server(tmp_path, starttls=False) as inbox,
        pytest.raises(MailDelayed, match="STARTTLS"),
    ):
        await Post(inbox.settings, box).hand_over(a_mail())
    assert inbox.got == []


@pytest.mark.rows(73)
@pytest.mark.parametrize("tls", [True, False])
async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    tmp_path: Path, box: Secret, tls: bool
) -> None:
    with a_mail_server(tmp_path, tls=tls) as inbox:
        security = MailSecurity.TLS if tls else MailSecurity.STARTTLS
        strange = inbox.settings.model_copy(update={"ca_file": None, "security": security})
        with pytest.raises(MailDelayed, match="certificate"):
            await Post(strange, box).hand_over(a_mail())
    assert inbox.got == []


@pytest.mark.rows(73)
async def test_a_certificate_of_another_host_gets_nothing(tmp_path: Path, box: Secret) -> None:
    with (
        a_mail_server(tmp_path, name="other.test") as inbox,
        pytest.raises(MailDelayed, match=r"certificate|hostname|Hostname"),
    ):
        await Post(inbox.settings, box).hand_over(a_mail())
    assert inbox.got == []


@pytest.mark.parametrize("said", ["550 no such person", "554 not this text"])
async def test_what_is_refused_for_good_is_not_tried_again(
    inbox: Inbox, box: Secret, said: str
) -> None:
    inbox.answers = [said]
    with pytest.raises(MailRefused, match=said):
        await Post(inbox.settings, box).hand_over(a_mail())


async def test_what_is_refused_for_now_is(inbox: Inbox, box: Secret) -> None:
    inbox.answers = ["451 come back later"]
    with pytest.raises(MailDelayed, match="451 come back later"):
        await Post(inbox.settings, box).hand_over(a_mail())


async def test_nobody_waits_twice_for_a_server_that_is_away(inbox: Inbox, box: Secret) -> None:
    away = Post(inbox.settings.model_copy(update={"port": 1}), box)
    with pytest.raises(MailDelayed, match="cannot be used"):
        await away.hand_over(a_mail())
    with pytest.raises(MailDelayed, match="a moment ago"):
        await away.hand_over(a_mail())


async def test_a_link_under_another_secret_key_is_told(
    inbox: Inbox, box: Secret, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = load_secret(Settings(data=tmp_path / "other"))
    mail = a_mail(text=LINK, link_sealed=other.seal(b"x", SEALED_AS))
    with pytest.raises(MailRefused, match="another secret key"):
        await Post(inbox.settings, box).hand_over(mail)
    with pytest.raises(MailRefused, match="another secret key"):
        Post(MailSettings(), box).shown(mail)
    assert inbox.got == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "mail.test"},
        {"host": "mail.test", "sender": "nobody"},
        {"host": "mail.test", "sender": "a@b.test\r\nBcc: eve@x.test"},
        {"host": "mail.test", "sender": "a@b.test", "username": "only"},
        {"host": "mail.test", "sender": "a@b.test", "security": "none"},
        {"host": "mail.test", "sender": "a@b.test", "ca_file": "/not/there.pem"},
    ],
)
def test_half_a_mail_server_stops_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        MailSettings.model_validate(wrong)
