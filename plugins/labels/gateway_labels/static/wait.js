// Shows the whole page of a label once it was read: the news of the stream, or a look now and then.

async function look() {
  const answer = await fetch(location.href, { headers: { "X-Gateway-Quiet": "1" } }).catch(() => null);
  const page = answer?.ok ? await answer.text() : "";
  if (page && !page.includes("data-waits")) location.reload();
  else setTimeout(look, 1000);
}

setTimeout(look, 500);
