// Package check holds what every file of the repository is held to: links of the
// documents that lead somewhere, commands and flags in them that exist, and no
// trace of the machine that a file was written on.
//
// It knows Markdown as far as links need it. It must never dial: an address on
// another host is only looked at.
package check
