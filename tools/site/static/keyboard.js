// What scrolls sideways can be reached by the keyboard, and nothing else becomes a stop.

function markScrolling() {
  for (const block of document.querySelectorAll("pre, .formula, .table-wrapper")) {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
    else block.removeAttribute("tabindex");
  }
}

window.addEventListener("load", markScrolling);
window.addEventListener("resize", markScrolling);
document.addEventListener("change", markScrolling); // another tab is shown
