// Before anything is painted: the theme that was chosen, so that a dark page never begins with a white flash.
(() => {
  let chosen = null;
  try {
    chosen = JSON.parse(localStorage.getItem('tern.theme'));
  } catch { /* a browser without storage follows the system */ }
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
})();
