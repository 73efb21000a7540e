"""The API documentation in a browser without a network."""

import json

from playwright.sync_api import expect


def test_a_models_example_runs_with_try_it_out(open_page):
    page = open_page("/docs").page
    route = page.locator(".opblock", has_text="/v2/models/digits/infer").first

    route.locator(".opblock-summary-control").click()
    expect(route).to_contain_text("image: float32 [batch, 64]")
    route.get_by_role("button", name="Try it out").click()
    route.get_by_role("button", name="Execute").click()

    live = route.locator(".live-responses-table")
    expect(live.locator(".response-col_status").last).to_contain_text("200")
    body = json.loads(live.locator(".highlight-code code, .microlight code").first.inner_text())
    assert body["outputs"][1]["data"] == [7]
