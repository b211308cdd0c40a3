package check

import (
	"path"
	"regexp"
	"strings"
)

// Command is one command line of a document: the words after a program's name.
type Command struct {
	Line int
	Args []string
}

// between is what one command line ends at and another may begin.
var between = regexp.MustCompile(`&&|\|\||[|;&>()]|\s#.*`)

// Commands finds the command lines of a program in a document's code: blocks that
// are fenced or indented, and code in a line.
func Commands(content, program string) []Command {
	var all []Command
	lines := strings.Split(content, "\n")
	fence := ""
	for i := 0; i < len(lines); i++ {
		at, line := i, lines[i]
		if marker := fenceOf(line); marker != "" {
			if fence == "" {
				fence = marker
			} else {
				fence = ""
			}
			continue
		}
		var snippets []string
		if fence != "" || strings.HasPrefix(line, "    ") {
			for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
				i++
				line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
			}
			if text := strings.TrimSpace(line); !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "//") {
				snippets = []string{text}
			}
		} else {
			for _, m := range code.FindAllString(line, -1) {
				snippets = append(snippets, strings.Trim(m, "`"))
			}
		}
		for _, s := range snippets {
			for part := range strings.SplitSeq(between.ReplaceAllString(s, "\n"), "\n") {
				words := strings.Fields(part)
				for len(words) > 0 && strings.Contains(words[0], "=") {
					words = words[1:] // the environment
				}
				if len(words) > 0 && path.Base(words[0]) == program {
					all = append(all, Command{at + 1, words[1:]})
				}
			}
		}
	}
	return all
}

// Flags are the flags among the words of a command line, without their values.
func (c Command) Flags() []string {
	var flags []string
	for _, word := range c.Args {
		word = strings.Trim(word, `"'[]`)
		if name, _, _ := strings.Cut(word, "="); len(name) > 1 && name[0] == '-' && name != "--" {
			flags = append(flags, name)
		}
	}
	return flags
}
