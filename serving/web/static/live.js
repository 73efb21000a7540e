// One stream of numbers, which is open only while somebody can see the page.

import { BASE } from "./request.js";

const AGAIN_MS = 3000;

// `shown` is called with each second's numbers, `lost` with words when there are none.
export function follow(shown, lost) {
  let source = null;
  let waiting = 0;

  function open() {
    close();
    if (document.hidden) return;
    source = new EventSource(`${BASE}/web/live`);
    source.addEventListener("message", (event) => shown(JSON.parse(event.data)));
    // Its time was over. That is no news to anybody.
    source.addEventListener("again", open);
    source.addEventListener("stopping", () => {
      lost("The server is stopping.");
      later();
    });
    source.addEventListener("error", async () => {
      const refused = source?.readyState === EventSource.CLOSED;
      later();
      if (document.hidden) return;
      lost(refused ? await reason() : "The server does not answer. Looking for it again …");
    });
  }

  function close() {
    clearTimeout(waiting);
    source?.close();
    source = null;
  }

  function later() {
    close();
    waiting = setTimeout(open, AGAIN_MS);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}

// A browser does not tell a page why a stream was refused: ask again, as one that does.
async function reason() {
  try {
    const reply = await fetch(`${BASE}/v2/health/ready`);
    if (reply.ok) return "The server has no live numbers for this page now. Asking again …";
    return `Not ready: ${(await reply.json()).error}.`;
  } catch {
    return "The server does not answer. Looking for it again …";
  }
}
