// Buttons that copy: of each program, and of each hash, which is shown in part.
const copy = async (text) => {
  if (navigator.clipboard) {
    try { return await navigator.clipboard.writeText(text); } catch { /* not allowed here: the old way */ }
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
};
const button = (text) => {
  const it = document.createElement("button");
  it.type = "button";
  it.className = "copy";
  it.textContent = "Copy";
  it.addEventListener("click", async () => {
    await copy(text);
    it.textContent = "Copied";
    setTimeout(() => { it.textContent = "Copy"; }, 1500);
  });
  return it;
};
for (const code of document.querySelectorAll("pre")) {
  const box = document.createElement("div");
  box.className = "code";
  code.replaceWith(box);
  box.append(button(code.textContent), code);
}
for (const hash of document.querySelectorAll("[data-copy]")) hash.after(" ", button(hash.dataset.copy));
