package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// No result is written over what it is made from, by whatever name that is called.
func TestInputsAreKept(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) string {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return text
	}
	const trace = "arrival_s,input,output\n0,100,5\n1,200,6\n"
	const scenario = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2}
decode: {tp: 2}
traffic: {trace: t.csv}
slo: {ttft: {p95: 2s}, tpot: {p95: 40ms}}
policies: [static]
`
	kept := map[string]string{
		"t.csv": write("t.csv", trace), "s.yaml": write("s.yaml", scenario),
		"r.csv": write("r.csv", "input,prefill_start_s,prefill_end_s\n100,0,0.02\n"),
	}
	if err := os.Symlink("t.csv", "link.csv"); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"trace of the scenario":   {"simulate", "-f", "s.yaml", "--requests-out", "t.csv"},
		"trace by another name":   {"simulate", "-f", "s.yaml", "--requests-out", "link.csv"},
		"trace of the flag":       {"simulate", "-f", "s.yaml", "--trace", "t.csv", "--requests-out", "./t.csv"},
		"scenario":                {"simulate", "-f", "s.yaml", "--report", "s.yaml"},
		"scenario of a sweep":     {"simulate", "-f", "s.yaml", "--sweep", "seed=1,2", "--report", "s.yaml"},
		"two results":             {"simulate", "-f", "s.yaml", "--requests-out", "new", "--report", "new"},
		"measurements of a fit":   {"fit", "--model", "qwen3-32b", "--gpu", "h200", "--requests", "r.csv", "-o", "r.csv"},
		"a fit's, by a way round": {"fit", "--model", "qwen3-32b", "--gpu", "h200", "--requests", "r.csv", "-o", "../" + filepath.Base(cwd(t)) + "/r.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := pdctl(t, "", args...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, "which is read or written for something else: allowed is a file of its own") {
				t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
			}
			for file, want := range kept {
				if got, err := os.ReadFile(file); err != nil || string(got) != want {
					t.Errorf("%s is %q now, %v", file, got, err)
				}
			}
		})
	}
}

func cwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A result that breaks off leaves the one of before, and nothing beside it.
func TestWriteFileIsWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "out"), filepath.Join(dir, "link")
	write := func(name, text string, fails error) error {
		return writeFile(name, func(w io.Writer) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			return fails
		})
	}
	broken := errors.New("it broke")
	if err := write(file, "half", broken); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Error("half of a file was left where none was:", err)
	}
	if err := write(file, "first", nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(file, 0o604), os.Symlink("out", link)); err != nil {
		t.Fatal(err)
	}
	if err := write(file, "half", broken); !errors.Is(err, broken) {
		t.Error(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "first" {
		t.Errorf("%q, %v", got, err)
	}
	if err := write(link, "second", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "second" {
		t.Errorf("through a link: %q, %v", got, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced:", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o604 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := write(filepath.Join(dir, "no", "where"), "x", nil); err == nil || strings.Contains(err.Error(), ".part") {
		t.Error(err)
	}
	if err := write(os.DevNull, "x", nil); err != nil {
		t.Error(err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 2 {
		t.Errorf("%v, %v", all, err)
	}
}
