"""Style sheet and script of the page at ``/docs``.

Without JavaScript the page lacks only the copy buttons. ``POLICY`` allows exactly this
style sheet and this script, by their hashes, and nothing from any URL.
"""

import base64
import hashlib
from typing import Final
from urllib.parse import quote

STYLE: Final = """
:root{--paper:#fff;--wash:#f4f7f6;--ink:#12201e;--soft:#4d5f5b;--line:#dce5e2;--accent:#0a6b5d;
--tint:#e3f3ef;--code:#0b3f38;--get:#0b57a4;--get-t:#e4effa;--post:#0a6646;--post-t:#def3e8;
--put:#86480a;--put-t:#fbeeda;--delete:#ad2118;--delete-t:#fce8e6;--panel:#0f1f1c;
--mono:ui-monospace,"SF Mono","Cascadia Code",Menlo,Consolas,"DejaVu Sans Mono",monospace;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
@media (prefers-color-scheme:dark){:root{--paper:#0b1312;--wash:#121d1b;--ink:#e4eeeb;
--soft:#9fb3ae;--line:#22312e;--accent:#62d6c0;--tint:#11322c;--code:#a5e6d8;--get:#8ec3f7;
--get-t:#10283f;--post:#7edcb0;--post-t:#0d2e21;--put:#f3bf7c;--put-t:#35240d;--delete:#ff9d94;
--delete-t:#3d1714;--panel:#101b19}}
*{box-sizing:border-box}
html{scroll-padding-top:5rem}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.6 var(--sans);
overflow-wrap:break-word;-webkit-text-size-adjust:100%;text-size-adjust:100%}
a{color:var(--accent);text-underline-offset:.2em;text-decoration-thickness:1px}
a:hover{text-decoration-thickness:2px}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
p{margin:0 0 .9em}
ul{margin:0 0 .9em;padding-left:1.2em}
h1,h2,h3,h4{line-height:1.25;letter-spacing:-.015em;text-wrap:balance;margin:0;
overflow-wrap:anywhere}
h1{font-size:clamp(1.9rem,5vw,2.7rem);letter-spacing:-.03em}
h2{font-size:1.65rem;margin-bottom:.8rem}
h3{font-size:1.22rem}
h4{font-size:.95rem;margin:1.8rem 0 .5rem}
code{font:.875em/1.5 var(--mono);overflow-wrap:anywhere}
p code,li code,td code{background:var(--wash);border:1px solid var(--line);border-radius:5px;
padding:.05em .32em;color:var(--code)}
.skip{position:absolute;left:-999px;top:0;z-index:9;background:var(--accent);color:var(--paper);
padding:.7rem 1rem}
.skip:focus{left:0}
.bar{position:sticky;top:0;z-index:3;display:flex;align-items:center;gap:1rem;height:3.5rem;
padding:0 1.5rem;background:var(--paper);border-bottom:1px solid var(--line)}
.brand{display:flex;align-items:center;gap:.7rem;margin-right:auto;min-width:0;color:var(--ink);
font-weight:650;text-decoration:none;white-space:nowrap;letter-spacing:-.01em}
.brand b{overflow:hidden;text-overflow:ellipsis;font-weight:inherit}
.brand span{display:grid;place-items:center;flex:none;width:2rem;height:2rem;border-radius:8px;
background:var(--accent);color:var(--paper);font-size:1.15rem}
.bar button,.bar .raw,.copy{font:500 .85rem/1 var(--sans);border-radius:8px;cursor:pointer}
.bar button,.bar .raw{padding:.6rem .8rem;border:1px solid var(--line);background:var(--paper);
color:var(--ink);text-decoration:none}
.bar button:hover,.bar .raw:hover{background:var(--wash)}
.bar .raw{font-family:var(--mono)}
.frame{display:grid;grid-template-columns:17.5rem minmax(0,1fr);max-width:112rem;margin:0 auto}
nav{font-size:.9rem}
nav ul{list-style:none;margin:0;padding:0}
nav>ul>li{margin-bottom:1.1rem}
nav a{display:flex;gap:.55rem;align-items:baseline;padding:.28rem .6rem;border-radius:7px;
color:var(--soft);text-decoration:none;overflow-wrap:anywhere}
nav>ul>li>a{color:var(--ink);font-weight:620}
nav>ul>li:nth-child(1){margin-bottom:.1rem}
nav a:hover{background:var(--wash);color:var(--ink)}
nav a[aria-current]{background:var(--tint);color:var(--accent)}
nav .method{flex:none;width:2.9rem;padding:0;background:none;font-size:.65rem;text-align:left}
nav summary{padding:.28rem .6rem;color:var(--soft);cursor:pointer}
#contents{display:block;position:sticky;top:3.5rem;inset-inline:auto;width:auto;margin:0;
height:calc(100vh - 3.5rem);max-height:none;overflow:auto;padding:1.8rem .9rem;border:0;
border-right:1px solid var(--line);background:var(--paper);color:inherit}
main{min-width:0;padding:0 clamp(1.1rem,3.5vw,3.5rem) 6rem}
.hero{padding:3.4rem 0 1rem}
.facts{display:flex;flex-wrap:wrap;gap:.5rem .6rem;align-items:center;margin:1.1rem 0;
font-size:.9rem;color:var(--soft)}
.facts span{padding:.2rem .7rem;border:1px solid var(--line);border-radius:99px}
main>section{padding-top:2.6rem;margin-top:1.6rem;border-top:1px solid var(--line)}
section .entry{padding:2rem 0 2.4rem}
section .entry+.entry{border-top:1px solid var(--line)}
.here{color:var(--soft);font-weight:400;text-decoration:none;opacity:0}
:is(h2,h3):hover .here,.here:focus-visible{opacity:1}
.address{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem .6rem;margin:.55rem 0 1.1rem}
.address code{font-size:.95rem;background:none;border:0;padding:0;color:var(--ink)}
.method{display:inline-block;padding:.22rem .5rem;border-radius:6px;text-align:center;
font:700 .72rem/1.2 var(--mono);letter-spacing:.04em;color:var(--soft);background:var(--wash)}
.get{color:var(--get);background:var(--get-t)}
.post,.ok{color:var(--post);background:var(--post-t)}
.put,.patch{color:var(--put);background:var(--put-t)}
.delete,.no{color:var(--delete);background:var(--delete-t)}
.mark{padding:.1rem .55rem;border:1px solid var(--line);border-radius:99px;color:var(--soft);
font-size:.78rem}
.status{display:inline-block;min-width:2.9rem;padding:.12rem .45rem;border-radius:6px;
text-align:center;font:650 .8rem/1.4 var(--mono)}
.columns{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,27rem);gap:1rem 3rem}
@media (min-width:100rem){.columns{grid-template-columns:minmax(0,1fr) minmax(0,36rem)}}
h3+.columns{margin-top:.6rem}
.samples{min-width:0}
.about>:first-child{margin-top:0}
.either{margin:1.2rem 0 .4rem;font-weight:600}
table{width:100%;border-collapse:collapse;font-size:.9rem;line-height:1.5}
th,td{padding:.6rem .9rem .6rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line);font-weight:400}
thead th{padding-block:.3rem;color:var(--soft);font-size:.78rem;font-weight:500}
tbody th code{font-weight:650;color:var(--ink);overflow-wrap:break-word}
tbody th .long{overflow-wrap:anywhere}
var{font-style:normal;color:var(--accent)}
details{margin:.2rem 0}
.about details{margin:1rem 0;padding:.6rem .9rem;border:1px solid var(--line);border-radius:10px}
.about summary{font-size:.9rem;cursor:pointer}
.about details[open]>summary{margin-bottom:.5rem}
.about details tr:last-child>*{border-bottom:0}
.about>h3{margin:1.6rem 0 .5rem;font-size:1.05rem}
td:last-child{overflow-wrap:anywhere}
td>:last-child{margin-bottom:0}
td p{margin-bottom:.35em}
.must{color:var(--delete);font-size:.8rem}
.may{color:var(--soft);font-size:.8rem}
.fine{color:var(--soft);font-size:.85rem;line-height:1.75}
figure{margin:0 0 1rem}
.panel{border-radius:12px;background:var(--panel);color:#e1ece9;overflow:hidden;
border:1px solid var(--line)}
.panel figcaption{display:flex;justify-content:space-between;align-items:center;height:2.4rem;
padding:0 .5rem 0 1rem;color:#9fb3ae;font-size:.78rem;border-bottom:1px solid #ffffff17}
.copy{padding:.4rem .6rem;border:0;background:none;color:#c4d4d0;font-size:.78rem}
.copy:hover{background:#ffffff17}
pre{margin:0;padding:.8rem 1rem 1rem;white-space:pre-wrap;font-size:.8rem;line-height:1.6}
pre code{font-size:1em;line-height:inherit}
.j-key{color:#8fd8f5}.j-text{color:#b8e3a1}.j-number{color:#f5c67f}.j-word{color:#f0a8c0}
@media (max-width:74rem){.columns{grid-template-columns:minmax(0,1fr)}}
@media (max-width:56rem){.frame{display:block}.bar{padding:0 1.1rem}.hero{padding-top:2.2rem}
.bar .raw{display:none}
#contents{position:static;height:auto;border-right:0;border-bottom:1px solid var(--line)}
@supports selector(:popover-open){#contents:not(:popover-open){display:none}
#contents{position:fixed;inset:0 0 0 auto;width:min(20rem,86vw);height:100%;padding:1.3rem .8rem;
border-left:1px solid var(--line);border-bottom:0}
#contents::backdrop{background:#0009}}
nav a{padding-block:.45rem}
}
@media (max-width:40rem){thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;
overflow:hidden}
table,tbody,tr,th,td{display:block}
tr{padding:.8rem 0;border-bottom:1px solid var(--line)}
tbody th,td{padding:0;border:0}
td:not(:last-child),tbody th{display:inline-block;margin-right:.7rem}
td:last-child{margin-top:.2rem}}
@media (min-width:56.01rem){.bar button{display:none}}
@supports not selector(:popover-open){.bar button{display:none}}
@media print{.bar,nav,.skip,.here{display:none!important}.frame,.columns{display:block}
.panel{background:none;color:inherit}.panel *{color:inherit!important}.entry{break-inside:avoid}}
"""

SCRIPT: Final = """
for (const place of document.querySelectorAll("[data-origin]")) place.textContent = location.origin;
for (const panel of document.querySelectorAll(".panel")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.onclick = async () => {
    const code = panel.querySelector("code");
    getSelection().selectAllChildren(code);
    // Away from https and localhost there is no navigator.clipboard.
    if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
    else document.execCommand("copy");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  panel.querySelector("figcaption").append(button);
}
const contents = document.getElementById("contents");
contents.addEventListener("click", (event) => {
  if (event.target.closest("a") && contents.matches(":popover-open")) contents.hidePopover();
});
const links = new Map([...contents.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -85% 0px" });
for (const id of links.keys()) seen.observe(document.getElementById(id));
"""


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


ICON: Final = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="8" fill="#0a6b5d"/>'
    '<path d="M16 8v16M8 16h16" stroke="#fff" stroke-width="5" stroke-linecap="round"/></svg>'
)
POLICY: Final = (
    f"default-src 'none'; img-src data:; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
    "base-uri 'none'; form-action 'none'"
)
