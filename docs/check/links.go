package check

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// Page is a Markdown file, as far as links need it.
type Page struct {
	// Anchors are where a link may lead within it.
	Anchors map[string]bool
	// Links are the targets of its links and pictures, as written.
	Links []Link
}

// Link is one link and its line.
type Link struct {
	Line   int
	Target string
}

var (
	// inline is [text](target) and ![text](target); the target may have a title.
	inline = regexp.MustCompile(`\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()<>\s]+(?:\([^()\s]*\)[^()<>\s]*)?)>?(?:\s+"[^"]*")?\s*\)`)
	// reference is [name]: target.
	reference = regexp.MustCompile(`^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s+"[^"]*")?\s*$`)
	html      = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	htmlID    = regexp.MustCompile(`(?:id|name)="([^"]+)"`)
	heading   = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$`)
	code      = regexp.MustCompile("`[^`]*`")
	textOf    = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// Read reads a Markdown file.
func Read(content string) Page {
	p := Page{Anchors: map[string]bool{}}
	seen := map[string]int{}
	fence := ""
	for i, line := range strings.Split(content, "\n") {
		if marker := fenceOf(line); marker != "" {
			switch {
			case fence == "":
				fence = marker
			case strings.HasPrefix(marker, fence):
				fence = ""
			}
			continue
		}
		if fence != "" || strings.HasPrefix(line, "    ") {
			continue // code
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			anchor := Anchor(m[1])
			if n := seen[anchor]; n > 0 {
				p.Anchors[fmt.Sprintf("%s-%d", anchor, n)] = true
			} else {
				p.Anchors[anchor] = true
			}
			seen[anchor]++
		}
		for _, m := range htmlID.FindAllStringSubmatch(line, -1) {
			p.Anchors[m[1]] = true
		}
		text := code.ReplaceAllString(line, "")
		for _, pattern := range []*regexp.Regexp{inline, html} {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				p.Links = append(p.Links, Link{i + 1, m[1]})
			}
		}
		if m := reference.FindStringSubmatch(text); m != nil {
			p.Links = append(p.Links, Link{i + 1, m[1]})
		}
	}
	return p
}

// fenceOf is the marker of a line that begins or ends a block of code.
func fenceOf(line string) string {
	line = strings.TrimLeft(line, " ")
	for _, marker := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, marker) {
			return marker
		}
	}
	return ""
}

// Anchor is the name that a heading is linked by: lower case, words joined by
// dashes, everything else but letters, digits, dashes and underscores left out.
func Anchor(text string) string {
	text = textOf.ReplaceAllString(text, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Files is what links of a repository may lead to.
type Files struct {
	// Pages are its Markdown files by their path from the root, with slashes.
	Pages map[string]Page
	// Exists reports whether there is a file or folder at such a path.
	Exists func(path string) bool
}

// Dead says what is wrong with each link of a page, empty where nothing is.
func (f Files) Dead(from string) []string {
	var wrong []string
	for _, l := range f.Pages[from].Links {
		if why := f.dead(from, l.Target); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s:%d: the link %q %s", from, l.Line, l.Target, why))
		}
	}
	return wrong
}

func (f Files) dead(from, target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return "is no address: " + err.Error()
	case u.Scheme == "mailto" && strings.Contains(u.Opaque, "@"):
		return ""
	case u.Scheme == "https" || u.Scheme == "http":
		if u.Hostname() == "" || !strings.Contains(u.Hostname(), ".") {
			return "names no host"
		}
		return ""
	case u.Scheme != "":
		return "has the scheme " + u.Scheme + ": allowed is https, http, mailto or a path"
	case strings.HasPrefix(u.Path, "/"):
		return "begins at a root that is another one elsewhere: write it from " + path.Dir(from)
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
		if strings.HasPrefix(to, "../") {
			return "leads out of the repository"
		}
		if !f.Exists(to) {
			return "leads to " + to + ", which is not there"
		}
	}
	if u.Fragment == "" {
		return ""
	}
	page, isPage := f.Pages[to]
	if !isPage {
		return "" // a line of a file of code
	}
	if !page.Anchors[u.Fragment] {
		return "leads to a heading that " + to + " does not have"
	}
	return ""
}
