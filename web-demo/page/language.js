/**
 * uPlot makes a number format for `navigator.language` as soon as it is loaded. In WebKitGTK that may be no language
 * tag (`C`, in the locale of that name), which would throw. Imported before uPlot.
 */
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en', configurable: true });
}
