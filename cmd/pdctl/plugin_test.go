package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Called as kubectl-pda, by which name kubectl finds its plugins, the help and the errors say what a person types.
func TestAsAPluginOfKubectl(t *testing.T) {
	call := func(program string, args ...string) (stdout, stderr string, code int) {
		var out, errs bytes.Buffer
		code = run(t.Context(), args, environment{program: program, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: time.Now})
		return out.String(), errs.String(), code
	}
	for _, program := range []string{"kubectl-pda", "/usr/local/bin/kubectl-pda", "kubectl-pda.exe"} {
		for _, c := range []struct {
			args []string
			says string
		}{
			{[]string{"--help"}, "\n  kubectl pda [command]\n"}, {[]string{"explain", "--help"}, "\n  kubectl pda explain NAME | --snapshot FILE"},
			{[]string{"explain", "--help"}, "\n  kubectl pda explain qwen3 -n default --history\n"}, {[]string{"--version"}, "kubectl pda version "},
		} {
			if stdout, _, code := call(program, c.args...); code != exitDone || !strings.Contains(stdout, c.says) {
				t.Errorf("%s %q: exit code %d, want %q in\n%s", program, c.args, code, c.says, stdout)
			} else if strings.Contains(stdout, "pdctl explain") {
				t.Errorf("%s %q speaks of pdctl:\n%s", program, c.args, stdout)
			}
		}
		if _, stderr, code := call(program, "explain"); code != exitUsage || !strings.HasPrefix(stderr, "kubectl pda explain: what is to be explained?") {
			t.Errorf("%s: exit code %d, %s", program, code, stderr)
		}
	}
	if stdout, _, _ := call("/bin/pdctl", "--help"); !strings.Contains(stdout, "\n  pdctl [command]\n") || strings.Contains(stdout, "kubectl pda ") {
		t.Errorf("called as pdctl it says:\n%s", stdout)
	}
}
