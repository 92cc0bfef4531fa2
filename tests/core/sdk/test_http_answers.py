"""How an address answers: JSON in one form."""

import msgspec
from litestar import Response, get
from litestar.background_tasks import BackgroundTask
from litestar.testing import TestClient, create_test_client

from gateway.sdk.http import json_response


class Taken(msgspec.Struct):
    """What is answered."""

    name: str
    count: int


def client_of(answer: Response[bytes]) -> TestClient:
    @get("/", sync_to_thread=False)
    def handler() -> Response[bytes]:
        return answer

    return create_test_client([handler], logging_config=None)  # the tests after it log as before


def test_a_record_is_answered_as_json_in_utf_8():
    with client_of(json_response(Taken("José", 2))) as client:
        answer = client.get("/")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.content == '{"name":"José","count":2}'.encode()


def test_an_answer_has_the_status_and_the_headers_it_is_given():
    with client_of(json_response([], 202, {"X-Import-Id": "imp_1"})) as client:
        answer = client.get("/")

    assert answer.status_code == 202
    assert answer.headers["x-import-id"] == "imp_1"
    assert answer.content == b"[]"


def test_what_is_left_to_do_is_done_once_the_answer_was_sent():
    done: list[str] = []

    async def finish(name: str) -> None:
        done.append(name)

    with client_of(json_response({}, background=BackgroundTask(finish, "imp_1"))) as client:
        client.get("/")

    assert done == ["imp_1"]
