// Package browser looks at the project's pages in a headless Chromium, for tests: what is drawn and how large, whether it can
// be read, and what the browser complains about.
//
// It knows Chromium and package page's classes. It must never know what a page is about. Nothing but the page's own address is
// opened. A test without Chromium is skipped with a message.
package browser
