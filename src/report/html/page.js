// The page of `panicsift report html` reads without this. It sorts, filters, opens what a link leads to, and switches
// between dark and light. It makes no markup from text: texts are only read, and set as text.
(() => {
  'use strict';
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  // Dark or light: what the system says, until somebody chooses; the choice lasts as long as the browser keeps it.
  const root = document.documentElement;
  const kept = (value) => {
    try {
      if (value === undefined) return localStorage.getItem('panicsift-theme');
      localStorage.setItem('panicsift-theme', value);
    } catch {
      // A browser that keeps nothing for files is no fault.
    }
    return null;
  };
  const chosen = kept();
  if (chosen === 'dark' || chosen === 'light') root.dataset.theme = chosen;
  const theme = document.getElementById('theme');
  theme.hidden = false;
  theme.addEventListener('click', () => {
    const isDark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = isDark ? 'light' : 'dark';
    kept(root.dataset.theme);
  });

  // Sorting: numbers by value, everything else as text; equal rows keep their order.
  const valueOf = (row, at) => {
    const cell = row.cells[at];
    if (!cell) return '';
    const text = (cell.dataset.v ?? cell.textContent).trim();
    const number = Number(text.replace(/[\s\u202f%<>]/g, ''));
    return text !== '' && Number.isFinite(number) ? number : text.toLowerCase();
  };
  const compare = (a, b) => {
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    if (typeof a === 'number') return -1;
    if (typeof b === 'number') return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  };
  const sort = (table, at) => {
    const heads = all('thead th', table);
    const head = heads[at];
    // Numbers are asked for from the largest on, words from A on.
    const first = head.classList.contains('n') ? 'descending' : 'ascending';
    const other = first === 'descending' ? 'ascending' : 'descending';
    const order = head.getAttribute('aria-sort') === first ? other : first;
    heads.forEach((one) => one.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', order);
    const body = table.tBodies[0];
    const sign = order === 'ascending' ? 1 : -1;
    const rows = Array.from(body.rows, (row) => [valueOf(row, at), row]);
    rows.sort((a, b) => sign * compare(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
  };
  for (const table of all('table.sort')) {
    all('thead th', table).forEach((head, at) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = head.textContent;
      button.title = 'Sort by this column';
      button.addEventListener('click', () => sort(table, at));
      head.replaceChildren(button);
    });
  }

  // Filtering: a row stays while it holds every word that was typed.
  const field = document.getElementById('filter');
  if (field) {
    const frame = field.closest('.filter');
    const told = frame.querySelector('output');
    const rows = all('#clusters-table tbody tr').map((row) => [row, row.textContent.toLowerCase()]);
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      told.textContent = words.length ? `${shown} of ${rows.length}` : '';
    };
    frame.hidden = false;
    field.addEventListener('input', filter);
    document.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === '/' && document.activeElement !== field) {
        event.preventDefault();
        field.focus();
        field.scrollIntoView({ block: 'center' });
      } else if (event.key === 'Escape' && document.activeElement === field) {
        field.value = '';
        filter();
        field.blur();
      }
    });
  }

  // What a link leads to is opened; what is printed is open.
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.querySelector('summary').focus({ preventScroll: true });
      target.scrollIntoView();
    }
  };
  addEventListener('hashchange', open);
  open();
  let opened = [];
  addEventListener('beforeprint', () => {
    opened = all('details:not([open])');
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener('afterprint', () => opened.forEach((one) => { one.open = false; }));
})();
