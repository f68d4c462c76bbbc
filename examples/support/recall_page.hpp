#pragma once

namespace example {

// The parts of the report on memories that do not depend on its numbers: the style of a page that is readable by day
// and by night and on a telephone, and the script that shows another memory or question.

inline constexpr const char* kRecallPageHead = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Which memory remembers?</title>
<style>
:root { --back: #ffffff; --text: #1d2230; --soft: #5b6475; --rule: #d9dde5; --card: #f5f6f9; --shade: 255, 176, 32;
  --bar: #0067a8; --good: #0a7a3f; --bad: #b3261e;
  --c0: #6b7280; --c1: #b45f06; --c2: #a8327f; --c3: #0067a8; --c4: #00805a; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171f; --text: #e8eaf0; --soft: #a3abba; --rule: #343a48; --card: #1d212b; --shade: 214, 138, 0;
    --bar: #62b6f0; --good: #5bd08d; --bad: #ff8a80;
    --c0: #9aa3b2; --c1: #f0a04b; --c2: #ec84c6; --c3: #62b6f0; --c4: #4cc9a0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 12px 0; }
h2 { font-size: 1.2rem; margin: 32px 0 8px; }
.note, figcaption { color: var(--soft); font-size: 0.9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
thead th[colspan] { text-align: center; }
th:first-child { text-align: left; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.sample { width: 36px; height: 14px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); gap: 16px; }
figure { margin: 0; }
figure svg { width: 100%; height: auto; display: block; }
svg text { font: 14px system-ui, sans-serif; fill: var(--soft); }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: var(--rule); }
.chance { stroke: var(--soft); stroke-dasharray: 3 4; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.line0 { stroke: var(--c0); } .line1 { stroke: var(--c1); } .line2 { stroke: var(--c2); }
.line3 { stroke: var(--c3); } .line4 { stroke: var(--c4); }
.mark0 { fill: var(--c0); } .mark1 { fill: var(--c1); } .mark2 { fill: var(--c2); }
.mark3 { fill: var(--c3); } .mark4 { fill: var(--c4); }
button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 2px 10px; cursor: pointer; }
button[aria-pressed="true"] { border-color: var(--bar); box-shadow: 0 0 0 1px var(--bar); }
.choice { display: flex; flex-wrap: wrap; gap: 8px; }
#answer { min-height: 3em; margin: 8px 0; }
.story { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 2px 24px; }
.page { margin: 0; padding: 2px 0 6px; border-bottom: 1px solid var(--rule); display: flex; flex-wrap: wrap;
  align-items: flex-end; align-content: flex-start; gap: 0 1px; overflow-wrap: anywhere; font-size: 0.92rem; }
.number { color: var(--soft); font-size: 0.75rem; width: 2em; padding-bottom: 3px; }
.word { display: inline-flex; flex-direction: column; align-items: stretch; max-width: 100%; }
.word i { height: 16px; margin: 0 3px; background: linear-gradient(var(--bar), var(--bar)) bottom / 100%
  calc(100% * var(--s)) no-repeat; }
.word b { font-weight: 400; padding: 0 3px; border-radius: 4px; border: 1px solid transparent;
  background: rgba(var(--shade), var(--w, 0)); }
.word.fact b { border-color: var(--text); }
.question { padding: 0 6px; margin: 0 3px; font-size: 0.86rem; }
.right { color: var(--good); } .wrong { color: var(--bad); }
.right::before { content: "✓ "; } .wrong::before { content: "✗ "; }
</style>
</head>
<body>
)html";

inline constexpr const char* kRecallPageScript = R"html(<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const words = [...document.querySelectorAll(".word")];
const memories = [...document.querySelectorAll("[data-memory]")];
const questions = [...document.querySelectorAll("[data-question]")];
let memory = data.shown, question = (data.questions || []).length - 1;

function show() {
  const chosen = data.memories[memory], asked = data.questions && data.questions[question];
  memories.forEach((button, i) => button.setAttribute("aria-pressed", i === memory));
  questions.forEach((button, i) => {
    const word = chosen.answers[i].word, right = word === data.questions[i].answer;
    button.textContent = word;
    button.className = "question " + (right ? "right" : "wrong");
    button.setAttribute("aria-pressed", i === question);
  });
  words.forEach((word, i) => {
    const strength = chosen.strength.length ? chosen.strength[i] : 0;
    const influence = asked ? chosen.answers[question].influence[i] || 0 : 0;
    word.firstChild.style.setProperty("--s", strength / 100);
    word.lastChild.style.setProperty("--w", influence / 100);
    word.classList.toggle("fact", Boolean(asked) && i === asked.fact);
    word.title = (chosen.strength.length ? "written " + strength + "%, " : "") + "influence " + influence + "%";
  });
  const how = chosen.strength.length ? "" : " This memory does not choose what it writes: there are no bars.";
  document.getElementById("answer").textContent = asked
    ? chosen.name + " says " + chosen.answers[question].word + "; right is " + asked.answer + ", told " + asked.pages +
      (asked.pages === 1 ? " page" : " pages") + " before." + how
    : "";
}

memories.forEach((button, i) => button.addEventListener("click", () => { memory = i; show(); }));
questions.forEach((button, i) => button.addEventListener("click", () => { question = i; show(); }));
show();
</script>
)html";

}  // namespace example
