"""Signing in and out: a good token, wrong ones, one that ends, and where it is kept."""

from tests.conftest import Daemon
from tests.console.browser import Tab
from tests.web.party import Party
from tests.web.wire import Wire, wait_until


def test_a_token_opens_the_console(tab: Tab, us: Party) -> None:
    tab.sign_in(us.token("reader"))

    tab.role("link", us.namespace).wait()
    assert tab.css(".who .badge").told() == "reader"


def test_the_token_is_in_no_url_no_cookie_and_no_lasting_storage(tab: Tab, us: Party, store: Daemon) -> None:
    token = us.token("writer")
    tab.sign_in(token)
    tab.role("link", us.namespace).click()
    tab.role("heading", us.namespace).wait()

    assert not [request["url"] for request in tab.requests() if token in request["url"]]
    assert not [request for request in tab.requests() if {"cookie", "referer"} & sent(request["headers"]).keys()]
    assert tab.run("document.cookie") == ""
    assert tab.run("localStorage.length") == 0
    assert token not in store.log


def sent(headers: dict[str, str]) -> dict[str, str]:
    """Chromium tells a Referer that it does not send as an empty one."""
    return {name: value for name, value in headers.items() if value}


def test_no_name_goes_to_the_log_by_the_address(writer: Tab, us: Party, store: Daemon) -> None:
    us.publish("plan.txt")

    writer.open(f"#/ns/{us.namespace}/")
    writer.role("link", "plan.txt").wait()

    assert "path=/ " in store.log
    assert not [line for line in store.log.splitlines() if "path=/" in line and "/ns/" in line]


def test_a_reload_keeps_who_is_signed_in(writer: Tab) -> None:
    writer.do("reload")

    writer.role("heading", "Namespaces").wait()


def test_a_wrong_token_is_told_with_the_way_out(tab: Tab) -> None:
    tab.expected.append("401 (Unauthorized)")
    tab.open()
    tab.label("Token").fill("casd_wrong")
    tab.role("button", "Sign in").click()

    assert "ask an admin for a new one" in tab.role("alert", "").told()
    assert tab.run("sessionStorage.length") == 0


def test_an_expired_token_is_told_with_the_way_out(tab: Tab, us: Party) -> None:
    token = us.token("writer", expires_in=1)
    nobody = Wire(us.daemon, token)
    wait_until(lambda: nobody.ask("GET", "/v1/whoami").status == 401, "the token to end")
    nobody.connection.close()
    tab.expected.append("401 (Unauthorized)")
    tab.open()
    tab.run("([token]) => sessionStorage.setItem('casd.token', token)", token)

    tab.do("reload")

    assert "expired" in tab.role("alert", "").told()
    tab.label("Token").wait()


def test_a_token_that_ends_leads_to_the_entrance_and_back_to_where_one_was(tab: Tab, us: Party) -> None:
    tab.expected.append("401 (Unauthorized)")
    tab.sign_in(us.token("writer"))
    us.publish("a/report.txt")
    for token in us.admin.ask("GET", "/v1/tokens?limit=1000").json["items"]:
        if us.namespace in token["namespaces"]:
            us.admin.ask("DELETE", f"/v1/tokens/{token['id']}")

    tab.open(f"#/ns/{us.namespace}/a/")

    assert "You were signed out" in tab.role("alert", "").told()
    assert tab.run("sessionStorage.getItem('casd.token')") is None
    tab.label("Token").fill(us.token("writer"))
    tab.role("button", "Sign in").click()
    tab.role("link", "report.txt").wait()


def test_signing_out_forgets_the_token(writer: Tab) -> None:
    writer.role("button", "Sign out").click()

    writer.label("Token").wait()
    assert writer.run("sessionStorage.getItem('casd.token')") is None
