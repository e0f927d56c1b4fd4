"""How the report looks: in the light and in the dark, on a wide screen, a narrow one, and on paper."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f23; --soft: #59636e; --ground: #fff; --panel: #f3f5f7; --line: #dde2e7;
  --kept: #1f7a5c; --review: #b7791f; --denied: #b3362d; --unknown: #8a929b; --plain: #3d6fa5; --track: #eceff2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a3adb8; --ground: #14181c; --panel: #1d2328;
  --line: #343c44; --kept: #4fb894; --review: #e0ac4f; --denied: #ec7a70; --unknown: #78828d; --plain: #79a9de;
  --track: #262d33; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Noto Sans", sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
p { margin: .4rem 0; } .about, .note { color: var(--soft); max-width: 48rem; } .about b { color: var(--ink); }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .88em; }
pre { margin: .35rem 0 0; padding: .45rem .7rem; background: var(--ground); border: 1px solid var(--line);
  border-radius: 5px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.whole { margin: 1.4rem 0; } .whole .bar { height: 30px; border-radius: 5px; }
.legend { list-style: none; margin: .8rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.8rem; }
.legend b { font-variant-numeric: tabular-nums; } .legend span { color: var(--soft); }
.key { width: .75em; height: .75em; margin-right: .45em; }
.bar { display: block; width: 100%; height: 15px; background: var(--track); border-radius: 3px; }
.kept { fill: var(--kept); } .review { fill: var(--review); } .denied { fill: var(--denied); }
.unknown { fill: var(--unknown); } .plain { fill: var(--plain); }
.next { background: var(--panel); border-radius: 8px; padding: .3rem 1.3rem 1rem; margin: 1.6rem 0; }
.next h2 { margin-top: .9rem; } .next ol { margin: 0; padding-left: 1.4rem; } .next li { margin: .7rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; vertical-align: top; padding: .32rem .9rem .32rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { color: var(--soft); font-weight: 600; font-size: .85rem; white-space: nowrap; overflow-wrap: normal; }
tbody th { font-weight: 400; min-width: 9rem; max-width: 22rem; } tbody th small { display: block; color: var(--soft); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal; }
td.n:last-child, th.n:last-child { padding-right: 0; }
.plot { width: 34%; min-width: 7rem; } td.plot { padding-top: .6rem; }
@media (max-width: 40rem) { main { padding: 1.2rem .9rem 3rem; } h1 { font-size: 1.35rem; }
  .plot { width: 22%; min-width: 4rem; } tbody th { min-width: 7rem; } th, td { padding-right: .6rem; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --ground: #fff; --panel: #fff; --line: #bbb;
  --kept: #1f7a5c; --review: #b7791f; --denied: #b3362d; --unknown: #8a929b; --plain: #3d6fa5; --track: #eee; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } .next { border: 1px solid var(--line); }
  h2 { break-after: avoid; } tr, .next li { break-inside: avoid; } .wide { overflow: visible; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
