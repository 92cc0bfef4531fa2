// A field that must be compared: editing it, or Enter in it, says that it was; Enter goes to the
// next that was not, and after the last one creates the order. Without this, the boxes do it.

const form = document.querySelector("[data-compare]");

function boxOf(field) {
  return form.querySelector(`input[name=seen][value="${field.name}"]`);
}

form?.addEventListener("input", (event) => {
  const box = event.target.name && event.target.name !== "seen" && boxOf(event.target);
  if (box) box.checked = true;
});

form?.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key !== "Enter" || event.isComposing || !field.matches("input:not([type=checkbox]), [name=patient_address]")) return;
  event.preventDefault();
  const box = boxOf(field);
  if (box) box.checked = true;
  const left = [...form.querySelectorAll("input[name=seen]")].find((each) => !each.checked);
  if (left) form.elements[left.value].focus();
  else form.requestSubmit();
});

form?.querySelector("[data-first]")?.focus();
