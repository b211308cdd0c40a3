package check

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// unwanted is what no file may hold: a pattern, and text without which it cannot
// be there, which is looked for first. Both are cut in two so that this file
// does not hold it either.
var unwanted = []struct {
	what    string
	hints   []string
	pattern *regexp.Regexp
}{
	{"a path of one machine", []string{"/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/"},
		regexp.MustCompile(`(^|[^A-Za-z0-9_.~$})/=-])/(wo` + `rk|ro` + `ot|ho` + `me/[a-z]+|Us` + `ers/[A-Za-z]+)/`)},
	{"the host of a package registry", []string{"golang" + ".org", "py" + "pi.org", "pythonho" + "sted.org", "np" + "mjs.org", "crates" + ".io"},
		regexp.MustCompile(`(proxy|sum)\.golang` + `\.org|py` + `pi\.org|pythonho` + `sted\.org|registry\.np` + `mjs\.org|crates` + `\.io`)},
	{"a note of something that is not yet", []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}, regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)},
	{"a conflict of a merge", []string{"<<<<" + "<<<", ">>>>" + ">>>"}, regexp.MustCompile(`(?m)^(<<<<` + `<<<|>>>>` + `>>>)`)},
	{"a private key", []string{"PRIVATE" + " KEY-----"}, regexp.MustCompile(`(?m)^-----BEGIN [A-Z ]*PRIVATE` + ` KEY-----\n[A-Za-z0-9+/=]{40}`)},
}

// held is what unwanted things a text holds, and where.
func held(content []byte) map[string][]int {
	found := map[string][]int{}
	for _, u := range unwanted {
		if slices.ContainsFunc(u.hints, func(h string) bool { return bytes.Contains(content, []byte(h)) }) {
			if at := u.pattern.FindIndex(content); at != nil {
				found[u.what] = at
			}
		}
	}
	return found
}

// largest is more than any file here needs; data do not belong into the repository.
const largest = 1 << 20

func TestNoTraceOfAMachine(t *testing.T) {
	for _, path := range tracked(t) {
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > largest {
			t.Errorf("%s has %d bytes: at most %d", path, len(content), largest)
		}
		if bytes.IndexByte(content, 0) >= 0 { // a picture
			continue
		}
		for what, at := range held(content) {
			t.Errorf("%s:%d holds %s: %q", path, 1+bytes.Count(content[:at[0]], []byte("\n")), what, content[at[0]:at[1]])
		}
		switch {
		case !utf8.Valid(content):
			t.Errorf("%s is no UTF-8", path)
		case bytes.Contains(content, []byte("\r\n")) && !strings.Contains(path, "testdata/"):
			t.Errorf("%s has lines that end with a carriage return", path)
		}
	}
}

// The patterns find what they are for.
func TestUnwantedIsFound(t *testing.T) {
	for text, found := range map[string]bool{
		"see /wo" + "rk/x":                       true,
		"in \"/ho" + "me/someone/x\"":            true,
		"https://proxy.golang" + ".org":          true,
		"// TO" + "DO: later":                    true,
		"a\n<<<<" + "<<< HEAD\n":                 true,
		"pkg/workload/work" + "/x":               false,
		"https://example.com/wo" + "rk/":         false,
		"~/.kube/config":                         false,
		"-----BEGIN RSA PRIVATE" + " KEY-----\n": false, // the header alone is how tests name one
	} {
		if got := len(held([]byte(text))) > 0; got != found {
			t.Errorf("%q: %t, want %t", text, got, found)
		}
	}
}
